//! A fixed number of users, each with one request at a time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ArrivalProcess;
use crate::engine::Stream;
use crate::units::{SimSpan, SimTime, Span};
use crate::workload::SourceError;

/// A fixed number of users, each sending its next request when the last one is over: `concurrency`
/// requests at time 0, then one for every request that completes or is rejected.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClosedLoop {
    /// Users, which is the most requests in flight at once; 1 or more. Mirrors `vllm bench serve
    /// --max-concurrency` with an infinite `--request-rate`.
    pub concurrency: u32,
    /// Time from the end of a user's request to the user's next; `s(0)` or more, default `s(0)`.
    #[serde(default = "no_time")]
    pub think_time: Span,
}

fn no_time() -> Span {
    Span::from_secs(0.0)
}

impl ClosedLoop {
    /// Checks the number of users.
    ///
    /// # Errors
    /// `concurrency` is 0.
    pub fn build(self) -> Result<Box<dyn ArrivalProcess>, String> {
        if self.concurrency == 0 {
            return Err("concurrency: must be 1 or more, found 0".to_owned());
        }
        Ok(Box::new(Users { not_started: self.concurrency, think_time: self.think_time.to_sim() }))
    }
}

struct Users {
    not_started: u32,
    think_time: SimSpan,
}

impl ArrivalProcess for Users {
    fn next(&mut self, _: &mut Stream) -> Result<Option<SimTime>, SourceError> {
        let Some(left) = self.not_started.checked_sub(1) else { return Ok(None) };
        self.not_started = left;
        Ok(Some(SimTime::ZERO))
    }

    fn on_departure(&mut self, now: SimTime, _: &mut Stream) -> Option<SimTime> {
        Some(now + self.think_time)
    }

    fn is_closed(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Streams;

    #[test]
    fn starts_with_a_burst_and_then_follows_departures() {
        let mut rng = Streams::new(0).stream("arrivals", 0);
        let text = "(concurrency: 3, think_time: ms(2))";
        let mut users = ron::from_str::<ClosedLoop>(text).unwrap().build().unwrap();
        for _ in 0..3 {
            assert_eq!(users.next(&mut rng).unwrap(), Some(SimTime::ZERO));
        }
        assert_eq!(users.next(&mut rng).unwrap(), None);
        let next = users.on_departure(SimTime::from_ns(500), &mut rng);
        assert_eq!(next, Some(SimTime::from_ns(2_000_500)));
        assert_eq!(users.next(&mut rng).unwrap(), None, "only departures bring more");
    }

    #[test]
    fn thinks_no_time_by_default_and_needs_users() {
        let mut rng = Streams::new(0).stream("arrivals", 0);
        let mut users = ron::from_str::<ClosedLoop>("(concurrency: 1)").unwrap().build().unwrap();
        assert_eq!(users.on_departure(SimTime::from_ns(7), &mut rng), Some(SimTime::from_ns(7)));
        let none = ron::from_str::<ClosedLoop>("(concurrency: 0)").unwrap().build();
        assert!(none.err().unwrap().contains("concurrency: must be 1 or more"));
    }
}
