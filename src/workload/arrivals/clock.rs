//! The exact instant of the last arrival: whole nanoseconds and what is left of one.

use crate::units::{SimSpan, SimTime};

/// Adds up gaps without ever losing the part of a nanosecond that an instant cannot hold, so that
/// rounding does not add up, however many requests come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    now: SimTime,
    /// How far the exact instant lies past `now`, in ns, in [0, 1).
    carry_ns: f64,
}

impl Clock {
    /// Goes `gap_ns` on, which is 0 or more, and answers with the instant reached.
    pub fn advance(&mut self, gap_ns: f64) -> SimTime {
        let gap_ns = gap_ns + self.carry_ns;
        let whole_ns = gap_ns.floor();
        self.carry_ns = gap_ns - whole_ns;
        self.now = self.now + SimSpan::from_ns(whole_ns as u64);
        self.now
    }
}
