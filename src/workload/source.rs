//! The sources of a running simulation: one a workload of the scenario, each streamed.

use bevy_ecs::resource::Resource;

use super::error::on_the_clock;
use super::trace::{TraceHeader, TraceRow};
use super::{ArrivalProcess, Asks, LengthSource, Lengths, Replay, SourceError, Vocabulary, Wording};
use crate::engine::{Calendar, Stream, Streams};
use crate::units::SimTime;

/// A stream of requests: when they come, how long they are, who serves them.
pub struct Source {
    requests: Requests,
    asks: Asks,
    /// The same in the words of traces.
    wording: Wording,
    /// Requests it may still bring.
    left: u64,
}

/// A request that arrives.
pub(super) struct Drawn {
    pub id: u64,
    pub asks: Asks,
    pub lengths: Lengths,
}

/// Where requests come from.
enum Requests {
    Drawn {
        arrivals: Box<dyn ArrivalProcess>,
        lengths: Box<dyn LengthSource>,
        arrival_draws: Stream,
        length_draws: Stream,
    },
    Recorded(Box<Replay>),
}

impl Source {
    /// At most `requests` requests that ask for `asks`; `streams` and the source's position give its draws.
    pub fn new(
        arrivals: Box<dyn ArrivalProcess>,
        lengths: Box<dyn LengthSource>,
        asks: Asks,
        requests: u64,
        streams: &Streams,
        position: u16,
    ) -> Self {
        let arrival_draws = streams.stream("arrivals", u64::from(position));
        let length_draws = streams.stream("lengths", u64::from(position));
        let drawn = Requests::Drawn { arrivals, lengths, arrival_draws, length_draws };
        Self { requests: drawn, asks, wording: Wording::default(), left: requests }
    }

    /// At most `requests` recorded requests that ask for `asks`, unless their rows name something else.
    pub fn replay(replay: Replay, asks: Asks, requests: u64) -> Self {
        let wording = Wording::default();
        Self { requests: Requests::Recorded(Box::new(replay)), asks, wording, left: requests }
    }

    /// Its rows, if it is recorded, ask for models and pipelines in these words.
    #[must_use]
    pub fn understand(mut self, words: Vocabulary) -> Self {
        if let Requests::Recorded(replay) = &mut self.requests {
            replay.understand(words);
        }
        self
    }

    /// What its requests ask for is put like this.
    #[must_use]
    pub fn worded(self, wording: Wording) -> Self {
        Self { wording, ..self }
    }

    /// What its requests ask for, in the words of traces.
    pub(super) const fn wording(&self) -> &Wording {
        &self.wording
    }

    /// What the request that arrives asks for.
    fn asks(&self) -> Result<Asks, SourceError> {
        match &self.requests {
            Requests::Drawn { .. } => Ok(self.asks),
            Requests::Recorded(replay) => replay.asks(self.asks),
        }
    }

    /// Whether arrivals wait for departures.
    pub fn is_closed(&self) -> bool {
        match &self.requests {
            Requests::Drawn { arrivals, .. } => arrivals.is_closed(),
            Requests::Recorded(_) => false,
        }
    }

    /// The instant of the next arrival that needs no departure first.
    pub(super) fn next_arrival(&mut self) -> Result<Option<SimTime>, SourceError> {
        if self.left == 0 {
            return Ok(None);
        }
        let next = match &mut self.requests {
            Requests::Drawn { arrivals, arrival_draws, .. } => arrivals.next(arrival_draws)?,
            Requests::Recorded(replay) => {
                if replay.advance()? {
                    Some(replay.arrival()?)
                } else {
                    None
                }
            }
        };
        self.left -= u64::from(next.is_some());
        next.map(on_the_clock).transpose()
    }

    /// The lengths of the request that arrives; `None` when there are no more, which ends the source.
    pub(super) fn lengths(&mut self) -> Result<Option<Lengths>, SourceError> {
        let lengths = match &mut self.requests {
            Requests::Drawn { lengths, length_draws, .. } => lengths.next(length_draws)?,
            Requests::Recorded(replay) => Some(replay.lengths()),
        };
        if lengths.is_none() {
            self.left = 0;
        }
        Ok(lengths)
    }

    /// What holds for all its rows, if they are recorded ones.
    pub(super) fn recorded(&self) -> Option<TraceHeader> {
        match &self.requests {
            Requests::Drawn { .. } => None,
            Requests::Recorded(replay) => Some(replay.header()),
        }
    }

    /// The row of the request that arrives, if it is a recorded one.
    pub(super) fn row(&self) -> Option<&TraceRow> {
        match &self.requests {
            Requests::Drawn { .. } => None,
            Requests::Recorded(replay) => Some(replay.row()),
        }
    }

    /// A request has left at `now`: when does that bring another one?
    fn on_departure(&mut self, now: SimTime) -> Option<SimTime> {
        if self.left == 0 {
            return None;
        }
        let Requests::Drawn { arrivals, arrival_draws, .. } = &mut self.requests else { return None };
        let next = arrivals.on_departure(now, arrival_draws)?;
        self.left -= 1;
        Some(next.max(now))
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
        let next = self.sources[source as usize].next_arrival()?;
        self.pending += u64::from(next.is_some());
        Ok(next)
    }

    /// The request whose arrival is due; `None` when the source of lengths has run dry, which ends the
    /// source.
    pub(super) fn draw(&mut self, source: u16) -> Result<Option<Drawn>, SourceError> {
        let source = &mut self.sources[source as usize];
        self.pending -= 1;
        let Some(lengths) = source.lengths()? else { return Ok(None) };
        let id = self.next_id;
        self.next_id += 1;
        self.in_flight += 1;
        let asks = source.asks()?;
        Ok(Some(Drawn { id, asks, lengths }))
    }

    /// A request of `source` has left at `now`; tells when that brings another one, which then
    /// counts as pending.
    pub(super) fn depart(&mut self, source: u16, now: SimTime) -> Option<SimTime> {
        self.in_flight -= 1;
        let next = self.sources[source as usize].on_departure(now)?;
        self.pending += 1;
        Some(next)
    }

    /// Stops the calendar when nothing is in flight and nothing will come.
    pub(super) fn stop_if_over(&self, calendar: &mut Calendar) {
        if self.pending == 0 && self.in_flight == 0 {
            calendar.stop();
        }
    }
}
