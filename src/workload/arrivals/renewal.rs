//! Renewal processes: independent gaps of one law, and their rescaling to a given length.
//!
//! A rescaled process lands its N-th and last request at exactly N / rate, as `vllm bench serve`
//! does: every gap is multiplied by (N / rate) / (sum of the N gaps). The sum is drawn ahead from a
//! copy of the random stream, so the gaps are never held in memory.

use super::ArrivalProcess;
use super::clock::Clock;
use crate::engine::Stream;
use crate::scenario::Problem;
use crate::units::SimTime;
use crate::workload::SourceError;

/// The law of a gap between arrivals.
pub(super) trait Gap: Send + Sync + 'static {
    /// A gap of mean 1, 0 or more.
    fn draw(&self, rng: &mut Stream) -> f64;
}

/// Most requests that are rescaled: their gaps are drawn twice.
const MOST_RESCALED: u64 = 1_000_000_000;

/// Independent gaps of one law.
pub(super) struct Renewal<G> {
    gap: G,
    mean_ns: f64,
    clock: Clock,
    rescale: Rescale,
}

enum Rescale {
    Off,
    /// Wanted, once it is known for how many requests.
    Wanted,
    /// To this many requests, before the first.
    Planned(u64),
    /// Under way: the factor on gaps, and the requests still to come.
    On {
        factor: f64,
        left: u64,
        last: SimTime,
    },
}

impl<G: Gap> Renewal<G> {
    /// Gaps of the law `gap`, of `mean_ns` nanoseconds in the mean.
    pub fn boxed(gap: G, mean_ns: f64, rescale: bool) -> Box<dyn ArrivalProcess> {
        let rescale = if rescale { Rescale::Wanted } else { Rescale::Off };
        Box::new(Self { gap, mean_ns, clock: Clock::default(), rescale })
    }

    /// Sums the gaps of `requests` requests from a copy of the stream.
    fn rescaled(&self, requests: u64, rng: &Stream) -> Rescale {
        let mut ahead = rng.clone();
        let sum: f64 = (0..requests).map(|_| self.gap.draw(&mut ahead)).sum();
        // Where almost all gaps are next to nothing, all may be: then there is nothing to stretch.
        let factor = if sum > 1e-100 { requests as f64 / sum } else { 1.0 };
        let last = SimTime::from_ns((requests as f64 * self.mean_ns + 0.5) as u64);
        Rescale::On { factor, left: requests, last }
    }
}

impl<G: Gap> ArrivalProcess for Renewal<G> {
    fn next(&mut self, rng: &mut Stream) -> Result<Option<SimTime>, SourceError> {
        if let Rescale::Planned(requests) = self.rescale {
            self.rescale = self.rescaled(requests, rng);
        }
        let gap_ns = self.gap.draw(rng) * self.mean_ns;
        let Rescale::On { factor, left, last } = &mut self.rescale else {
            return Ok(Some(self.clock.advance(gap_ns)));
        };
        *left = left.saturating_sub(1);
        let at = self.clock.advance(gap_ns * *factor);
        // To the nanosecond, whatever the rounding of a long sum.
        Ok(Some(if *left == 0 { *last } else { at.min(*last) }))
    }

    fn span_s(&self, requests: u64) -> f64 {
        requests as f64 * self.mean_ns / 1e9
    }

    fn plan(&mut self, requests: Option<u64>) -> Result<(), Problem> {
        if matches!(self.rescale, Rescale::Off) {
            return Ok(());
        }
        match requests {
            Some(requests) if requests <= MOST_RESCALED => {
                self.rescale = Rescale::Planned(requests);
                Ok(())
            }
            Some(requests) => {
                let message = format!("cannot rescale {requests} requests, only {MOST_RESCALED} at most");
                Err(Problem::new("rescale", message).help("leave `rescale` out: it changes little here"))
            }
            None => {
                let message = "rescaling needs to know how many requests arrive";
                Err(Problem::new("rescale", message).help("give the workload its `requests`"))
            }
        }
    }
}
