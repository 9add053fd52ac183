//! Did the deployment keep up with its load?
//!
//! A percentile of an overloaded run says how long the run was, not how good the deployment is; so every
//! summary carries a verdict. It is decided in constant memory from counts over the arrival window (first to
//! last arrival of open-loop sources, length T, A accepted arrivals), cut into quarters; the drain after the
//! last arrival says nothing about the load and is not looked at.
//!
//! Load beyond capacity piles up: as requests that wait, or, while batches still have room, as requests that
//! are all worked on, ever more slowly. Let N₂, N₃, N₄ be the mean number in flight in the second, third and
//! fourth quarter (the first is start-up), Q₂, Q₃, Q₄ that of those not yet worked on, D₂, D₄ completions in
//! the second and the last, A₄ arrivals in the last, and E the mean time from arrival to completion (for
//! those in flight at a horizon, to there).
//!
//! A number X *piles up* when X₄ − X₂, the arrivals of half a window that stayed, is at least 1 % of them
//! (A/2), beyond chance (at least 3·√(A/2), three standard deviations of those arrivals: a critically loaded
//! queue's random walk is no trend), and sustained (X₃ − X₂ and X₄ − X₃ each at least a quarter of X₄ − X₂).
//!
//! - **overloaded**: Q piles up, however short the window: who fills an empty system does not wait. Or N
//!   piles up, A ≥ 500, and that is not the system filling up, where completions still catch up with
//!   arrivals: of what D₂ lacked of its quarter's arrivals, D₄ still lacks half, one standard deviation
//!   √(A₄ + D₄) taken off; and at least 80 % of the first quarter's arrivals were done before the last
//!   arrival. (Filling up with exponential times needs T ≥ 1.8·E for that, and has by then made up 60 %.)
//! - **stable**: not that, A ≥ 100, T ≥ 10·E (latencies of requests that met a system still filling up are
//!   none of a steady state), and of the requests that arrived few are left: N₄ ≤ A/10 (by Little T ≥ 10·E
//!   again, as seen inside the window), N₄ − N₂ ≤ 2 % of A/2, and Q₄ ≤ 2 % of A. Had a share x of the
//!   requests been beyond capacity, about N₄ = ⅞·x·A and N₄ − N₂ = x·A/2 would be left: x ≥ 12 % is ruled
//!   out even by few requests, and by many (chance goes with √A) whatever is well above 2 %.
//! - **`too_short`**: neither can be said. `enough_requests` is a rough guess at how many would do: the most
//!   of 200, 2·A, 15·E of arrivals, 100·Q₄, and what makes the noise of N, √(2·N₄), half of what stable
//!   allows.
//! - **`nothing_completed`**: latencies are of no request; the counts of rejections say why. Where that is so of
//!   some classes of traffic and not of others, the verdict is that of the others, and names them.
//! - **offline**: everything arrived at one instant; **`closed_loop`**: arrivals wait for completions, which
//!   no load can outrun. Closed-loop sources are left out when others are open.
//!
//! Limits: a load whose rate changes by itself (a trace with a rush hour) is judged as it came. A horizon
//! that cuts off a mixture of short requests and some that take far longer than the whole window looks like
//! an overload: in both, part of the load stays for as long as anyone looked.

use serde::Serialize;

use super::cohorts::{Cohorts, Quarter};
use super::record::{RequestRecord, Unfinished};
use super::utilisation::ratio;
use crate::units::{SimSpan, SimTime};

/// Fewest arrivals that are judged.
const FEWEST: f64 = 100.0;
/// Share of the arrivals of half a window that may stay in a stable system, and share of all that may wait.
const SETTLED_FRAC: f64 = 0.02;
/// Fewest arrivals that tell an overload of growing batches from a system filling up.
const FEWEST_IN_BATCHES: f64 = 500.0;
/// Windows of a stable system last at least that many times the mean end-to-end time.
const WINDOW_PER_E2E: f64 = 10.0;

/// Whether the deployment kept up with its load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Requests do not pile up: latencies are those of a steady state.
    Stable,
    /// Requests pile up as long as they arrive: latencies only say how long the run was.
    Overloaded,
    /// Arrivals wait for completions: throughput is the result, latency follows from the concurrency.
    ClosedLoop,
    /// Everything arrived at once: throughput and makespan are the result.
    Offline,
    /// The run does not show whether requests pile up.
    TooShort,
    /// No request completed: all were turned away, or the clock stopped before.
    NothingCompleted,
}

/// The verdict and the numbers behind it, over open-loop sources. Null is what has no meaning for the run:
/// rates and growth without an arrival window, anything of open-loop requests without any.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stability {
    /// Whether the deployment kept up.
    pub verdict: Verdict,
    /// Classes of traffic of which nothing completed, where something did of others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nothing_completed_of: Vec<String>,
    /// From the first arrival to the last (s).
    pub arrival_window_s: f64,
    /// Requests per second that arrived in the window.
    pub offered_per_s: Option<f64>,
    /// Requests per second that completed in the window.
    pub completed_in_window_per_s: Option<f64>,
    /// Requests in the system just after the last arrival, itself and those of closed-loop users included.
    pub in_flight_at_last_arrival: Option<u64>,
    /// Requests by which the number in flight grew per second, from the second quarter of the window to the
    /// last (1/s): in a steady overload, the excess of load over capacity.
    pub in_flight_growth_per_s: Option<f64>,
    /// The same for requests not yet worked on (1/s).
    pub waiting_growth_per_s: Option<f64>,
    /// Mean time in the system, up to a horizon for those in flight there (s).
    pub mean_in_system_s: Option<f64>,
    /// Roughly how many requests would show whether they pile up, when these do not.
    pub enough_requests: Option<u64>,
}

/// Open-loop requests as the verdict sees them.
#[derive(Clone, Debug, Default)]
pub(super) struct Load {
    cohorts: Cohorts,
    arrived: u64,
    completed: u64,
    /// Requests whose time in the system is known, and Σ of it (ns).
    known: u64,
    in_system_ns: u128,
    /// Completions and requests of all sources in the system, as of the last arrival.
    completed_in_window: u64,
    in_flight: u64,
}

/// How a number developed over the last three quarters.
struct Growth {
    /// From the second quarter to the last.
    by: f64,
    /// Whether that is a trend.
    piles_up: bool,
}

impl Growth {
    fn of(quarters: &[Quarter; 4], half: f64, number: fn(&Quarter) -> f64) -> Self {
        let [_, second, third, fourth] = quarters.each_ref().map(number);
        let by = fourth - second;
        let sustained = (third - second).min(fourth - third) >= 0.25 * by;
        let piles_up = half > 0.0 && by >= 0.01 * half && by >= 3.0 * half.sqrt() && sustained;
        Self { by, piles_up }
    }
}

impl Load {
    /// A request arrives, and `in_flight` of all sources are now in the system.
    pub(super) fn arrived(&mut self, at: SimTime, in_flight: u64) {
        self.cohorts.arrived(at);
        self.arrived += 1;
        self.completed_in_window = self.completed;
        self.in_flight = in_flight;
    }

    /// A request is done now.
    pub(super) fn completed(&mut self, request: &RequestRecord) {
        self.completed += 1;
        self.cohorts.started(request.started);
        self.cohorts.done(request.arrived);
        self.in_system(request.e2e());
    }

    /// A request that arrived at `arrived` was turned away.
    pub(super) fn turned_away(&mut self, arrived: SimTime) {
        self.cohorts.turned_away(arrived);
    }

    /// A request is still in flight at `now`, where the clock stops.
    pub(super) fn unfinished(&mut self, request: &Unfinished, now: SimTime) {
        if let Some(started) = request.started {
            self.cohorts.started(started);
        }
        self.in_system(now.since(request.arrived));
    }

    fn in_system(&mut self, time: SimSpan) {
        self.known += 1;
        self.in_system_ns += u128::from(time.as_ns());
    }

    /// The verdict on a run in which `completed` requests of `arrived` did, of all sources; which of them saw
    /// nothing completed is not known here.
    pub(super) fn judge(&self, arrived: u64, completed: u64) -> Stability {
        let window_s = self.cohorts.window_s();
        let quarters = self.cohorts.quarters();
        let accepted = quarters.iter().map(|quarter| quarter.arrived).sum::<u64>() as f64;
        let in_flight = Growth::of(&quarters, accepted / 2.0, |quarter| quarter.in_flight);
        let waiting = Growth::of(&quarters, accepted / 2.0, |quarter| quarter.waiting);
        let in_system_s = ratio(self.in_system_ns as f64 / 1e9, self.known as f64);

        let enough = accepted >= FEWEST;
        let overloaded =
            waiting.piles_up || in_flight.piles_up && accepted >= FEWEST_IN_BATCHES && filled_up(&quarters);
        let settled = window_s >= WINDOW_PER_E2E * in_system_s
            && WINDOW_PER_E2E * quarters[3].in_flight <= accepted
            && in_flight.by <= SETTLED_FRAC * accepted / 2.0
            && quarters[3].waiting <= SETTLED_FRAC * accepted;
        let verdict = if arrived > 0 && completed == 0 {
            Verdict::NothingCompleted
        } else if self.arrived == 0 && arrived > 0 {
            Verdict::ClosedLoop
        } else if window_s == 0.0 && self.arrived > 1 {
            Verdict::Offline
        } else if enough && overloaded {
            Verdict::Overloaded
        } else if enough && settled {
            Verdict::Stable
        } else {
            Verdict::TooShort
        };

        let per_s = |count: f64| (window_s > 0.0).then(|| count / window_s);
        let growth_per_s = |growth: Growth| per_s(growth.by * 2.0).filter(|_| accepted > 0.0);
        let offered_per_s = per_s(self.arrived.saturating_sub(1) as f64);
        Stability {
            verdict,
            nothing_completed_of: Vec::new(),
            arrival_window_s: window_s,
            offered_per_s,
            completed_in_window_per_s: per_s(self.completed_in_window as f64),
            in_flight_at_last_arrival: (self.arrived > 0).then_some(self.in_flight),
            in_flight_growth_per_s: growth_per_s(in_flight),
            waiting_growth_per_s: growth_per_s(waiting),
            mean_in_system_s: (self.known > 0).then_some(in_system_s),
            enough_requests: (verdict == Verdict::TooShort)
                .then(|| self.enough(&quarters[3], offered_per_s.unwrap_or_default() * in_system_s)),
        }
    }

    /// Roughly how many requests would do, with `turnover` of them arriving while one is in the system.
    fn enough(&self, last: &Quarter, turnover: f64) -> u64 {
        let noise = 2.0 * (2.0 * last.in_flight).sqrt() / (SETTLED_FRAC / 2.0);
        [2.0 * self.arrived as f64, 1.5 * WINDOW_PER_E2E * turnover, 2.0 * last.waiting / SETTLED_FRAC, noise]
            .into_iter()
            .fold(2.0 * FEWEST, f64::max)
            .ceil() as u64
    }
}

/// Whether the system has stopped filling up: completions no longer catch up with arrivals, and most of
/// those who came first are done.
fn filled_up([first, second, _, fourth]: &[Quarter; 4]) -> bool {
    let lacked = |quarter: &Quarter| quarter.arrived as f64 - quarter.done as f64;
    let noise = ((fourth.arrived + fourth.done) as f64).sqrt();
    lacked(fourth) - noise >= 0.5 * lacked(second) && 10 * first.own_done >= 8 * first.arrived
}
