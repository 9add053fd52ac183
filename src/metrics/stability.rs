//! Did the deployment keep up with its load?
//!
//! A percentile of an overloaded run says how long the run was, not how good the deployment is; so every
//! summary carries a verdict, decided in constant memory from the requests of each quarter of the arrival
//! window (first to last arrival, length T, A accepted arrivals).
//!
//! Load that exceeds capacity by a share x makes queueing time W grow by x seconds per second, for whoever
//! arrives later waits for all that piled up before. With W₂, W₃, W₄ the mean queueing times of those who
//! arrived in the second, third and fourth quarter (the first is start-up), and
//! *growth* = (W₄ − W₂)/(T/2):
//!
//! - **overloaded**: growth ≥ 0.01, sustained (each of W₃ − W₂ and W₄ − W₃ at least a quarter of W₄ − W₂),
//!   and beyond chance: growth·A/2 requests ≥ 3·√(A/2), three standard deviations of the arrivals of half a
//!   window. The third rule keeps a critically loaded queue's random walk from being called a trend.
//! - **stable**: not that, W₄ ≤ 0.02·T (an overload of x would have left W₄ ≈ ⅞·x·T, so any of 3 % or more
//!   is ruled out), and the end-to-end time grows by at most 0.1 s/s likewise (batches no longer fill up).
//! - **`too_short`**: neither can be said, or fewer than 100 arrivals: run longer.
//! - **offline**: everything arrived at one instant; **`closed_loop`**: arrivals wait for completions, which
//!   no load can outrun. Closed-loop sources are left out when others are open.
//!
//! Limits: a load whose rate changes by itself (a trace with a rush hour) is judged as it came; a queue that
//! was full once and drains again may be called too short. When a horizon leaves requests unfinished, only
//! the time before the oldest of them arrived is judged, for nobody knows how long they would have waited;
//! unless requests overtake each other for long, that keeps nearly all of the window.

use serde::Serialize;

use super::cohorts::Cohorts;
use super::utilisation::ratio;
use crate::units::SimTime;

/// Whether the deployment kept up with its load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Queues do not grow: latencies are those of a steady state.
    Stable,
    /// Queues grow as long as requests arrive: latencies only say how long the run was.
    Overloaded,
    /// Arrivals wait for completions: throughput is the result, latency follows from the concurrency.
    ClosedLoop,
    /// Everything arrived at once: throughput and makespan are the result.
    Offline,
    /// The run does not show whether queues grow.
    TooShort,
}

/// The verdict and the numbers behind it, over open-loop sources.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stability {
    /// Whether the deployment kept up.
    pub verdict: Verdict,
    /// From the first arrival to the last (s).
    pub arrival_window_s: f64,
    /// Requests per second that arrived in the window; null when it is empty.
    pub offered_per_s: Option<f64>,
    /// Requests per second that completed in the window; null when it is empty.
    pub completed_in_window_per_s: Option<f64>,
    /// Requests in the system just after the last arrival, itself included.
    pub backlog_at_last_arrival: u64,
    /// Mean queueing time of the requests of the second quarter of the window (s).
    pub queueing_second_quarter_s: f64,
    /// Mean queueing time of the requests of the last quarter of the window (s).
    pub queueing_last_quarter_s: f64,
    /// Queueing time gained per second of load (s/s): in a steady overload, the excess of load over capacity.
    pub queueing_growth_frac: f64,
    /// End-to-end time gained per second of load (s/s).
    pub e2e_growth_frac: f64,
}

/// Open-loop requests as the verdict sees them.
#[derive(Clone, Debug, Default)]
pub(super) struct Load {
    pub(super) cohorts: Cohorts,
    arrived: u64,
    pub(super) left: u64,
    pub(super) completed: u64,
    /// Whether any source is a closed loop.
    closed_loop: bool,
    /// Completions and requests in the system, as of the last arrival.
    completed_in_window: u64,
    backlog: u64,
}

impl Load {
    /// No requests yet.
    pub(super) fn new(closed_loop: bool) -> Self {
        Self { closed_loop, ..Self::default() }
    }

    /// A request arrives.
    pub(super) fn arrived(&mut self, at: SimTime) {
        self.cohorts.arrived(at);
        self.arrived += 1;
        self.completed_in_window = self.completed;
        self.backlog = self.arrived - self.left;
    }

    /// The verdict on the run.
    pub(super) fn judge(&self) -> Stability {
        let window_s = self.cohorts.window_s();
        let (quarters, judged_s) = self.cohorts.quarters().unwrap_or_default();
        let per_s = |count: u64| (window_s > 0.0).then(|| count as f64 / window_s);
        let [first, second, third, fourth] = quarters;
        let [w2, w3, w4] = [second, third, fourth].map(|cohort| cohort.queueing_s());
        let growth = |late: f64, early: f64| ratio(late - early, judged_s / 2.0);
        let queueing_growth = growth(w4, w2);
        let e2e_growth = growth(fourth.e2e_s(), second.e2e_s());

        let half = (first.requests + second.requests + third.requests + fourth.requests) as f64 / 2.0;
        let sustained = (w3 - w2).min(w4 - w3) >= 0.25 * (w4 - w2);
        let beyond_chance = queueing_growth * half >= 3.0 * half.sqrt();
        let verdict = if self.closed_loop && self.arrived == 0 {
            Verdict::ClosedLoop
        } else if window_s == 0.0 && self.arrived > 1 {
            Verdict::Offline
        } else if half < 50.0 {
            Verdict::TooShort
        } else if queueing_growth >= 0.01 && sustained && beyond_chance {
            Verdict::Overloaded
        } else if w4 <= 0.02 * judged_s && e2e_growth <= 0.1 {
            Verdict::Stable
        } else {
            Verdict::TooShort
        };
        Stability {
            verdict,
            arrival_window_s: window_s,
            offered_per_s: per_s(self.arrived.saturating_sub(1)),
            completed_in_window_per_s: per_s(self.completed_in_window),
            backlog_at_last_arrival: self.backlog,
            queueing_second_quarter_s: w2,
            queueing_last_quarter_s: w4,
            queueing_growth_frac: queueing_growth,
            e2e_growth_frac: e2e_growth,
        }
    }
}
