//! When the decoding sequences of a client last emitted a token.
//!
//! They all emit in the same steps, so they fall into very few groups: one for the last decode step,
//! and one for each prefill step since. Inter-token gaps cost a record a group, not one a sequence.

use smallvec::SmallVec;

use crate::stats::TokenGaps;
use crate::units::SimTime;

/// Members by the time of their last token.
#[derive(Clone, Debug, Default)]
pub(super) struct TokenClock {
    groups: SmallVec<[(SimTime, u32); 4]>,
    last_tick: SimTime,
}

impl TokenClock {
    /// A member whose last token came at `at` joins.
    pub fn enter(&mut self, at: SimTime) {
        match self.groups.iter_mut().find(|(time, _)| *time == at) {
            Some((_, members)) => *members += 1,
            None => self.groups.push((at, 1)),
        }
    }

    /// A member whose last token came at `at` leaves.
    pub fn leave(&mut self, at: SimTime) {
        let found = self.groups.iter_mut().find(|(time, _)| *time == at);
        debug_assert!(found.is_some(), "nobody's last token came at {at}");
        if let Some((_, members)) = found {
            *members -= 1;
        }
    }

    /// Every member emits a token at `now`; the gaps since their previous ones are recorded.
    #[inline]
    pub fn tick(&mut self, now: SimTime, gaps: &mut TokenGaps) {
        let mut all = 0;
        for (last, members) in &self.groups {
            if *members > 0 {
                gaps.record(now.since(*last), u64::from(*members));
                all += members;
            }
        }
        self.groups.clear();
        self.groups.push((now, all));
        self.last_tick = now;
    }

    /// When all members of then last emitted together.
    pub const fn last_tick(&self) -> SimTime {
        self.last_tick
    }
}
