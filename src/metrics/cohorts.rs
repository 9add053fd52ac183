//! How many requests were in the system over time, in at most 128 equal intervals: memory does not grow
//! with the run.
//!
//! An interval that would be the 129th makes all of them twice as wide. They cover the time from the first
//! arrival to the last; what happens between two arrivals belongs to the interval of the later one, so the
//! drain after the last arrival is never seen.

use crate::units::SimTime;

const MOST: usize = 128;

/// Counts over time, from the first arrival on.
#[derive(Clone, Debug, Default)]
pub(super) struct Cohorts {
    first: SimTime,
    last: SimTime,
    /// Intervals are `1 << width_bits` ns wide.
    width_bits: u32,
    intervals: Vec<Interval>,
    arrivals: u64,
    /// Starts and completions since the last arrival.
    started_since: u64,
    done_since: u64,
}

/// What happened in one interval, and to the requests that arrived in it.
#[derive(Clone, Copy, Debug, Default)]
struct Interval {
    /// Requests that arrived and were not turned away.
    arrived: u64,
    /// Requests that were first worked on.
    started: u64,
    /// Requests that were done.
    done: u64,
    /// Of those that arrived, how many were done before arrival number `arrivals`, and how many after it.
    own_done: u64,
    own_done_since: u64,
    arrivals: u64,
}

impl Interval {
    /// Of those that arrived, how many were done before the latest arrival, number `arrivals`.
    fn own_done_by(&self, arrivals: u64) -> u64 {
        if self.arrivals == arrivals { self.own_done } else { self.own_done + self.own_done_since }
    }

    /// Brings the counts of own completions up to arrival number `arrivals`.
    fn catch_up(&mut self, arrivals: u64) {
        if self.arrivals != arrivals {
            self.own_done += std::mem::take(&mut self.own_done_since);
            self.arrivals = arrivals;
        }
    }

    /// Both, up to the same arrival.
    fn add(&mut self, other: &Self) {
        self.arrived += other.arrived;
        self.started += other.started;
        self.done += other.done;
        self.own_done += other.own_done;
        self.own_done_since += other.own_done_since;
    }
}

/// A quarter of the time from the first arrival to the last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Quarter {
    /// Requests that arrived and were not turned away.
    pub(super) arrived: u64,
    /// Requests that were done.
    pub(super) done: u64,
    /// Of those that arrived, how many were done before the last arrival of all.
    pub(super) own_done: u64,
    /// Mean number in the system.
    pub(super) in_flight: f64,
    /// Mean number in the system that nobody had worked on.
    pub(super) waiting: f64,
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
            self.intervals.resize(index + 1, Interval::default());
        }
        let interval = &mut self.intervals[index];
        interval.arrived += 1;
        interval.started += std::mem::take(&mut self.started_since);
        interval.done += std::mem::take(&mut self.done_since);
        self.arrivals += 1;
    }

    /// A request that arrived at `arrived` was turned away.
    pub(super) fn turned_away(&mut self, arrived: SimTime) {
        let index = self.index(arrived);
        if let Some(interval) = self.intervals.get_mut(index) {
            interval.arrived = interval.arrived.saturating_sub(1);
        }
    }

    /// A request is done, or the clock stops, after it was first worked on at `started`.
    pub(super) fn started(&mut self, started: SimTime) {
        let index = self.index(started);
        match self.intervals.get_mut(index) {
            Some(interval) if started <= self.last => interval.started += 1,
            _ => self.started_since += 1,
        }
    }

    /// A request that arrived at `arrived` is done now.
    pub(super) fn done(&mut self, arrived: SimTime) {
        self.done_since += 1;
        let index = self.index(arrived);
        if let Some(interval) = self.intervals.get_mut(index) {
            interval.catch_up(self.arrivals);
            interval.own_done_since += 1;
        }
    }

    fn index(&self, at: SimTime) -> usize {
        (at.since(self.first).as_ns() >> self.width_bits) as usize
    }

    #[cold]
    fn widen(&mut self) {
        self.width_bits += 1;
        let mut halves = std::mem::take(&mut self.intervals);
        for half in &mut halves {
            half.catch_up(self.arrivals);
        }
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

    /// The quarters of that time. All zero when it is too short to be cut in four.
    pub(super) fn quarters(&self) -> [Quarter; 4] {
        let mut quarters = [Quarter::default(); 4];
        let many = self.intervals.len();
        if many < 8 {
            return quarters;
        }
        let (mut arrived, mut started, mut done) = (0_u64, 0_u64, 0_u64);
        let (mut in_flight, mut waiting, mut samples) = ([0_u64; 4], [0_u64; 4], [0_u64; 4]);
        for (place, interval) in self.intervals.iter().enumerate() {
            let at = place * 4 / many;
            quarters[at].arrived += interval.arrived;
            quarters[at].done += interval.done;
            quarters[at].own_done += interval.own_done_by(self.arrivals);
            // Numbers at the end of the interval.
            arrived += interval.arrived;
            started += interval.started;
            done += interval.done;
            in_flight[at] += arrived.saturating_sub(done);
            waiting[at] += arrived.saturating_sub(started);
            samples[at] += 1;
        }
        for (at, quarter) in quarters.iter_mut().enumerate() {
            quarter.in_flight = in_flight[at] as f64 / samples[at] as f64;
            quarter.waiting = waiting[at] as f64 / samples[at] as f64;
        }
        quarters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widening_loses_nothing_and_stays_small() {
        // Each waits for fifty others to arrive and is done after a hundred.
        let mut cohorts = Cohorts::default();
        let at = |i: u64| SimTime::from_ns(5_000_000_000 + i * 1_000_003);
        for i in 0..10_000 {
            if i >= 100 {
                cohorts.started(at(i - 50));
                cohorts.done(at(i - 100));
            }
            cohorts.arrived(at(i));
        }
        assert!(cohorts.intervals.len() <= MOST && cohorts.intervals.len() > MOST / 2);
        for _ in 0..2 {
            let quarters = cohorts.quarters();
            let sum = |count: fn(&Quarter) -> u64| quarters.iter().map(count).sum::<u64>();
            assert_eq!((sum(|q| q.arrived), sum(|q| q.done), sum(|q| q.own_done)), (10_000, 9_900, 9_900));
            assert!(quarters.iter().all(|q| (2_300..2_700).contains(&q.arrived)), "{quarters:?}");
            assert_eq!(quarters[0].own_done, quarters[0].arrived);
            assert!(quarters[1..].iter().all(|q| (q.in_flight - 100.0).abs() < 1.0), "{quarters:?}");
            assert!(quarters[1..3].iter().all(|q| (q.waiting - 50.0).abs() < 1.0), "{quarters:?}");
            // The drain is not seen.
            for i in 9_900..10_000 {
                cohorts.started(at(i + 50));
                cohorts.done(at(i));
            }
        }
        for i in 0..10_000 {
            cohorts.turned_away(at(i));
        }
        assert!(cohorts.quarters().iter().all(|q| q.arrived == 0));
    }
}
