//! The sources of a running simulation: one a workload of the scenario, each streamed.

use bevy_ecs::resource::Resource;

use super::{ArrivalProcess, LengthSource, Lengths, SourceError};
use crate::engine::{Calendar, Stream, Streams};
use crate::units::SimTime;

/// A stream of requests: when they come, how long they are, who serves them.
pub struct Source {
    arrivals: Box<dyn ArrivalProcess>,
    lengths: Box<dyn LengthSource>,
    pool: u16,
    /// Requests it may still bring.
    left: u64,
    arrival_draws: Stream,
    length_draws: Stream,
}

impl Source {
    /// At most `requests` requests for `pool`; `streams` and the source's position give its draws.
    pub fn new(
        arrivals: Box<dyn ArrivalProcess>,
        lengths: Box<dyn LengthSource>,
        pool: u16,
        requests: u64,
        streams: &Streams,
        position: u16,
    ) -> Self {
        let arrival_draws = streams.stream("arrivals", u64::from(position));
        let length_draws = streams.stream("lengths", u64::from(position));
        Self { arrivals, lengths, pool, left: requests, arrival_draws, length_draws }
    }
}

/// All sources, and what is under way.
#[derive(Resource)]
pub struct Sources {
    sources: Vec<Source>,
    next_id: u64,
    /// Arrivals in the calendar.
    pending: u64,
    in_flight: u64,
}

impl Sources {
    /// Sources in the order of the scenario.
    pub const fn new(sources: Vec<Source>) -> Self {
        Self { sources, next_id: 0, pending: 0, in_flight: 0 }
    }

    /// Number of sources.
    pub const fn len(&self) -> usize {
        self.sources.len()
    }

    /// Whether there is no source.
    pub const fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Requests that have come in and not left.
    pub const fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// The instant of the next arrival of `source` that needs no departure first. It counts as
    /// pending until [`draw`](Self::draw).
    pub(super) fn next_arrival(&mut self, source: u16) -> Result<Option<SimTime>, SourceError> {
        let source = &mut self.sources[source as usize];
        if source.left == 0 {
            return Ok(None);
        }
        let next = source.arrivals.next(&mut source.arrival_draws)?;
        if next.is_some() {
            source.left -= 1;
            self.pending += 1;
        }
        Ok(next)
    }

    /// The request whose arrival is due: its number, pool and lengths; `None` when the source of
    /// lengths has run dry, which ends the source.
    pub(super) fn draw(&mut self, source: u16) -> Result<Option<(u64, u16, Lengths)>, SourceError> {
        let source = &mut self.sources[source as usize];
        self.pending -= 1;
        let Some(lengths) = source.lengths.next(&mut source.length_draws)? else {
            source.left = 0;
            return Ok(None);
        };
        let id = self.next_id;
        self.next_id += 1;
        self.in_flight += 1;
        Ok(Some((id, source.pool, lengths)))
    }

    /// A request of `source` has left at `now`; tells when that brings another one, which then
    /// counts as pending.
    pub(super) fn depart(&mut self, source: u16, now: SimTime) -> Option<SimTime> {
        self.in_flight -= 1;
        let source = &mut self.sources[source as usize];
        if source.left == 0 {
            return None;
        }
        let next = source.arrivals.on_departure(now, &mut source.arrival_draws)?;
        source.left -= 1;
        self.pending += 1;
        Some(next.max(now))
    }

    /// Stops the calendar when nothing is in flight and nothing will come.
    pub(super) fn stop_if_over(&self, calendar: &mut Calendar) {
        if self.pending == 0 && self.in_flight == 0 {
            calendar.stop();
        }
    }
}
