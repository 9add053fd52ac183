//! Requests grouped by when they arrived, in at most 128 equal intervals: memory does not grow with the run.
//!
//! An interval that would be the 129th makes all of them twice as wide. Whatever becomes known about a
//! request later is added to the cohort in which it arrived, so nothing ever falls outside.

use crate::units::{SimSpan, SimTime};

const MOST: usize = 128;

/// Cohorts of requests by arrival time, from the first arrival on.
#[derive(Clone, Debug, Default)]
pub(super) struct Cohorts {
    first: SimTime,
    last: SimTime,
    /// Intervals are `1 << width_bits` ns wide.
    width_bits: u32,
    intervals: Vec<Cohort>,
    /// Arrival of the oldest request that never finished.
    unfinished: Option<SimTime>,
}

/// Sums over the requests of one cohort whose fate is known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cohort {
    /// Requests that arrived and were not turned away.
    pub(super) requests: u64,
    /// Requests whose latencies are in the sums.
    pub(super) known: u64,
    /// Σ time from arrival to the first step (ns).
    pub(super) queueing_ns: u128,
    /// Σ time from arrival to the end (ns).
    pub(super) e2e_ns: u128,
}

impl Cohort {
    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.known += other.known;
        self.queueing_ns += other.queueing_ns;
        self.e2e_ns += other.e2e_ns;
    }

    /// Mean queueing time (s); zero when nothing is known.
    pub(super) fn queueing_s(&self) -> f64 {
        if self.known == 0 { 0.0 } else { self.queueing_ns as f64 / self.known as f64 / 1e9 }
    }

    /// Mean end-to-end time (s); zero when nothing is known.
    pub(super) fn e2e_s(&self) -> f64 {
        if self.known == 0 { 0.0 } else { self.e2e_ns as f64 / self.known as f64 / 1e9 }
    }
}

impl Cohorts {
    /// A request arrives; calls come in time order.
    pub(super) fn arrived(&mut self, at: SimTime) {
        if self.intervals.is_empty() {
            self.first = at;
        }
        self.last = self.last.max(at);
        while self.index(at) >= MOST {
            self.widen();
        }
        let index = self.index(at);
        if index >= self.intervals.len() {
            self.intervals.resize(index + 1, Cohort::default());
        }
        self.intervals[index].requests += 1;
    }

    /// A request that arrived at `arrived` was turned away.
    pub(super) fn turned_away(&mut self, arrived: SimTime) {
        let index = self.index(arrived);
        if let Some(cohort) = self.intervals.get_mut(index) {
            cohort.requests = cohort.requests.saturating_sub(1);
        }
    }

    /// What became of a request that arrived at `arrived`.
    pub(super) fn known(&mut self, arrived: SimTime, queueing: SimSpan, e2e: SimSpan) {
        let index = self.index(arrived);
        if let Some(cohort) = self.intervals.get_mut(index) {
            cohort.known += 1;
            cohort.queueing_ns += u128::from(queueing.as_ns());
            cohort.e2e_ns += u128::from(e2e.as_ns());
        }
    }

    /// A request that arrived at `arrived` is still in the system when the clock stops.
    pub(super) fn unfinished(&mut self, arrived: SimTime) {
        self.unfinished = Some(self.unfinished.map_or(arrived, |oldest| oldest.min(arrived)));
    }

    fn index(&self, at: SimTime) -> usize {
        (at.since(self.first).as_ns() >> self.width_bits) as usize
    }

    #[cold]
    fn widen(&mut self) {
        self.width_bits += 1;
        let halves = std::mem::take(&mut self.intervals);
        self.intervals = halves
            .chunks(2)
            .map(|pair| {
                let mut whole = pair[0];
                pair[1..].iter().for_each(|half| whole.add(half));
                whole
            })
            .collect();
    }

    /// From the first arrival to the last (s).
    pub(super) fn window_s(&self) -> f64 {
        self.last.since(self.first).as_secs_f64()
    }

    /// The time before anything that never finished arrived, in four quarters, and its length (s).
    ///
    /// None when that is too little of the window to be cut in four.
    pub(super) fn quarters(&self) -> Option<([Cohort; 4], f64)> {
        let (whole, length_s) = match self.unfinished {
            None => (self.intervals.len(), self.window_s()),
            Some(oldest) => {
                let whole = self.index(oldest);
                (whole, SimSpan::from_ns((whole as u64) << self.width_bits).as_secs_f64())
            }
        };
        let mut quarters = [Cohort::default(); 4];
        for (index, cohort) in self.intervals.iter().take(whole).enumerate() {
            quarters[index * 4 / whole].add(cohort);
        }
        (whole >= 8).then_some((quarters, length_s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widening_loses_nothing_and_stays_small() {
        let mut cohorts = Cohorts::default();
        let at = |i: u64| SimTime::from_ns(5_000_000_000 + i * 1_000_003);
        for i in 0..10_000 {
            cohorts.arrived(at(i));
            if i >= 100 {
                cohorts.known(at(i - 100), SimSpan::from_ns(1), SimSpan::from_ns(7));
            }
        }
        assert!(cohorts.intervals.len() <= MOST && cohorts.intervals.len() > MOST / 2);
        let (quarters, _) = cohorts.quarters().unwrap();
        assert_eq!(quarters.iter().map(|q| q.requests).sum::<u64>(), 10_000);
        assert_eq!(quarters.iter().map(|q| q.known).sum::<u64>(), 9_900);
        assert_eq!(quarters.iter().map(|q| q.e2e_ns).sum::<u128>(), 9_900 * 7);
        assert!(quarters.iter().all(|q| (2_300..2_700).contains(&q.requests)), "{quarters:?}");

        cohorts.unfinished(at(9_000));
        cohorts.unfinished(at(5_000));
        let (quarters, length_s) = cohorts.quarters().unwrap();
        let requests: u64 = quarters.iter().map(|q| q.requests).sum();
        assert!((4_800..=5_000).contains(&requests), "{requests}");
        assert!((length_s / 5.0 - 1.0).abs() < 0.05, "{length_s}");
        cohorts.unfinished(at(3));
        assert!(cohorts.quarters().is_none());
    }
}
