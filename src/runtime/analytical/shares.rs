//! Time split by what bounds it.

use std::ops::Add;

use crate::runtime::Bound;

/// Seconds under each [`Bound`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Shares([f64; Bound::ALL.len()]);

impl Shares {
    /// All of it under one bound.
    pub(super) fn of(bound: Bound, seconds: f64) -> Self {
        let mut shares = Self::default();
        shares.0[bound as usize] = seconds;
        shares
    }

    /// An operator whose arithmetic alone takes `compute` and whose memory traffic alone takes
    /// `memory` seconds: √(compute² + memory²), at least either, 1.41 times at most, under the larger.
    pub(super) fn roofline(compute: f64, memory: f64) -> Self {
        let seconds = (compute * compute + memory * memory).sqrt();
        // The square root may round to just below the larger of the two.
        let seconds = seconds.max(compute).max(memory);
        Self::of(if compute > memory { Bound::Compute } else { Bound::Memory }, seconds)
    }

    /// The same `times` over.
    pub(super) fn times(mut self, times: f64) -> Self {
        for seconds in &mut self.0 {
            *seconds *= times;
        }
        self
    }

    /// Seconds in all.
    pub(super) fn seconds(&self) -> f64 {
        (self.0[0] + self.0[1]) + (self.0[2] + self.0[3])
    }

    /// Seconds under `bound`.
    pub(super) fn under(&self, bound: Bound) -> f64 {
        self.0[bound as usize]
    }

    /// The bound with the largest share; the first in [`Bound::ALL`] on a tie.
    pub(super) fn largest(&self) -> Bound {
        let mut largest = Bound::ALL[0];
        for bound in Bound::ALL {
            if self.under(bound) > self.under(largest) {
                largest = bound;
            }
        }
        largest
    }
}

impl Add for Shares {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        for (seconds, more) in self.0.iter_mut().zip(other.0) {
            *seconds += more;
        }
        self
    }
}
