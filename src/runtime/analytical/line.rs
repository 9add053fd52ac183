//! What an operator comes to, on its way into a sum or onto a bill.

use super::shares::Shares;
use crate::runtime::{Item, Part};

/// All calls of one operator in a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub operator: &'static str,
    pub part: Part,
    pub calls: f64,
    pub shares: Shares,
    pub flops: f64,
    pub bytes: f64,
}

impl Line {
    /// `calls` calls of an operator of which one comes to these figures.
    pub fn new(operator: &'static str, part: Part, calls: f64, one: Shares, flops: f64, bytes: f64) -> Self {
        Self { operator, part, calls, shares: one.times(calls), flops: flops * calls, bytes: bytes * calls }
    }

    pub fn item(&self) -> Item {
        let Self { operator, part, calls, shares, flops, bytes } = *self;
        Item { operator, part, calls, seconds: shares.seconds(), bound: shares.largest(), flops, bytes }
    }
}

/// Takes lines: a running sum, or a list.
pub(super) trait Sink {
    fn take(&mut self, line: Line);
}

impl Sink for Shares {
    fn take(&mut self, line: Line) {
        *self = *self + line.shares;
    }
}

impl Sink for Vec<Line> {
    fn take(&mut self, line: Line) {
        self.push(line);
    }
}
