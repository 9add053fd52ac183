//! The sources of a running simulation: one a workload of the scenario, each streamed.

use bevy_ecs::resource::Resource;

use super::drawn::{Drawing, Shared};
use super::error::on_the_clock;
use super::followers::{Coming, Followers, Ready};
use super::naming::Names;
use super::recording::Recording;
use super::session::{Turn, Turns};
use super::trace::TraceHeader;
use super::{
    ArrivalProcess, Asks, LengthSource, Lengths, Replay, SessionCounts, SourceError, Vocabulary, Wording,
};
use crate::engine::{Calendar, Streams};
use crate::request::Text;
use crate::units::SimTime;

/// A stream of requests: when they come, how long they are, who serves them.
pub struct Source {
    requests: Requests,
    followers: Followers,
    asks: Asks,
    /// The same in the words of traces.
    wording: Wording,
    /// Requests it may still bring.
    left: u64,
    /// Conversations that began.
    begun: u64,
    /// Those that a rejection ended before their last turn.
    broken: u64,
}

/// A request that arrives.
pub(super) struct Drawn {
    pub id: u64,
    pub asks: Asks,
    pub lengths: Lengths,
    pub text: Option<Text>,
}

/// Where requests come from.
enum Requests {
    Drawn(Box<Drawing>),
    Recorded(Box<Recording>),
}

impl Source {
    /// At most `requests` requests that ask for `asks` and have in common what is `shared`; `streams` and the
    /// source's position give its draws.
    pub fn new(
        arrivals: Box<dyn ArrivalProcess>,
        lengths: Box<dyn LengthSource>,
        shared: Shared<'_>,
        asks: Asks,
        requests: u64,
        streams: &Streams,
        position: u16,
    ) -> Self {
        let drawing = Drawing::new(arrivals, lengths, shared, *streams, position);
        Self::of(Requests::Drawn(Box::new(drawing)), asks, requests)
    }

    /// At most `requests` recorded requests that ask for `asks`, unless their rows name something else.
    pub fn replay(replay: Replay, asks: Asks, requests: u64, position: u16) -> Self {
        Self::of(Requests::Recorded(Box::new(Recording::new(replay, position))), asks, requests)
    }

    fn of(requests: Requests, asks: Asks, left: u64) -> Self {
        let (followers, wording) = (Followers::default(), Wording::default());
        Self { requests, followers, asks, wording, left, begun: 0, broken: 0 }
    }

    /// Its rows, if it is recorded, ask for models and pipelines in these words.
    #[must_use]
    pub fn understand(mut self, words: Vocabulary) -> Self {
        if let Requests::Recorded(recording) = &mut self.requests {
            recording.replay.understand(words);
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

    /// Whether arrivals wait for departures.
    pub fn is_closed(&self) -> bool {
        match &self.requests {
            Requests::Drawn(drawing) => drawing.arrivals.is_closed(),
            Requests::Recorded(_) => false,
        }
    }

    /// What became of its conversations, if there are any.
    fn sessions(&self) -> Option<SessionCounts> {
        let cut_at_context = match &self.requests {
            Requests::Drawn(drawing) => drawing.sessions.as_ref()?.cut,
            Requests::Recorded(recording) => recording.has_turns().then_some(0)?,
        };
        let (begun, ended_by_rejection) = (self.begun, self.broken);
        Some(SessionCounts {
            begun,
            cut_at_context,
            ended_by_rejection,
            unsent_turns: self.followers.unsent(),
        })
    }

    /// The instant of the next arrival that needs no departure first. What is found to be due after
    /// departures goes to `ready`.
    fn next_arrival(&mut self, now: SimTime, ready: &mut Vec<Ready>) -> Result<Option<SimTime>, SourceError> {
        match &mut self.requests {
            Requests::Drawn(_) => self.next_drawn(),
            Requests::Recorded(recording) => {
                recording.next(&mut self.followers, self.asks, &mut self.left, now, ready)
            }
        }
    }

    /// The instant of the next arrival that needs no departure first, of a source that is drawn.
    pub(super) fn next_drawn(&mut self) -> Result<Option<SimTime>, SourceError> {
        let Requests::Drawn(drawing) = &mut self.requests else { return Ok(None) };
        if self.left == 0 {
            return Ok(None);
        }
        let next = drawing.arrivals.next(&mut drawing.arrival_draws)?;
        self.left -= u64::from(next.is_some());
        next.map(on_the_clock).transpose()
    }

    /// The request that arrives, of a source that is drawn, and the turns that follow it; none when there are no
    /// more, which ends the source.
    pub(super) fn turns(&mut self) -> Result<Turns, SourceError> {
        let Requests::Drawn(drawing) = &mut self.requests else { return Ok(Turns::new()) };
        let turns = drawing.draw(&mut self.left)?;
        if turns.is_empty() {
            self.left = 0;
        }
        Ok(turns)
    }

    /// The names of its tokens, if it is drawn and any may be shared.
    pub(super) fn names(&self) -> Option<Names> {
        match &self.requests {
            Requests::Drawn(drawing) => drawing.names(),
            Requests::Recorded(_) => None,
        }
    }

    /// Conversations that it has drawn, if it draws any.
    pub(super) fn conversations(&self) -> Option<u64> {
        match &self.requests {
            Requests::Drawn(drawing) => Some(drawing.sessions.as_ref()?.drawn),
            Requests::Recorded(_) => None,
        }
    }

    /// What holds for all its rows, if they are recorded ones.
    pub(super) fn recorded(&self) -> Option<TraceHeader> {
        match &self.requests {
            Requests::Drawn(_) => None,
            Requests::Recorded(recording) => Some(recording.replay.header()),
        }
    }

    /// The trace, if it is recorded.
    pub(super) fn rows(&mut self) -> Option<(&mut Replay, &mut u64)> {
        match &mut self.requests {
            Requests::Drawn(_) => None,
            Requests::Recorded(recording) => Some((&mut recording.replay, &mut self.left)),
        }
    }

    /// The request whose arrival is due, with the number `id`; `None` when there are no more lengths.
    fn draw(&mut self, id: u64) -> Result<Option<Coming>, SourceError> {
        let drawing = match &mut self.requests {
            Requests::Drawn(drawing) => drawing,
            Requests::Recorded(recording) => {
                return Ok(recording.pop().and_then(|node| self.followers.come_in(node, id)));
            }
        };
        let (asks, in_session) = (self.asks, drawing.sessions.is_some());
        let mut coming = self.turns()?.into_iter().enumerate().map(|(at, Turn { think, lengths, text })| {
            (think, Coming { lengths, asks, text, opens: at == 0 && in_session })
        });
        let first = coming.next();
        self.followers.open_session(id, coming);
        Ok(first.map(|(_, first)| first))
    }

    /// A request has left at `now`: when does that bring another one, beside what follows it?
    fn depart(
        &mut self,
        id: u64,
        turned_away: bool,
        now: SimTime,
        ready: &mut Vec<Ready>,
    ) -> Option<SimTime> {
        let unsent = self.followers.unsent();
        let goes_on = self.followers.leave(id, now, turned_away, ready);
        self.broken += u64::from(self.followers.unsent() > unsent);
        let Requests::Drawn(drawing) = &mut self.requests else { return None };
        // A conversation keeps its user until it ends.
        if goes_on || self.left == 0 {
            return None;
        }
        let next = drawing.arrivals.on_departure(now, &mut drawing.arrival_draws)?;
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
    /// Whether requests say what their prompts consist of.
    texts: bool,
    /// Requests that are due after others are over, and not in the calendar yet, with their sources.
    due: Vec<(SimTime, u16, u32)>,
    ready: Vec<Ready>,
}

impl Sources {
    /// Sources in the order of the scenario.
    pub const fn new(sources: Vec<Source>) -> Self {
        Self {
            sources,
            next_id: 0,
            pending: 0,
            in_flight: 0,
            texts: true,
            due: Vec::new(),
            ready: Vec::new(),
        }
    }

    /// The same; `texts` is whether requests say what their prompts consist of, where that is known. It takes
    /// time that is lost if nobody asks.
    #[must_use]
    pub fn with_texts(self, texts: bool) -> Self {
        Self { texts, ..self }
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

    /// What became of the conversations of all sources, if there are any.
    pub fn sessions(&self) -> Option<SessionCounts> {
        self.sources.iter().filter_map(Source::sessions).reduce(SessionCounts::and)
    }

    /// The instant of the next arrival of `source` that needs no departure first. It counts as
    /// pending until [`draw`](Self::draw).
    pub(super) fn next_arrival(&mut self, source: u16, now: SimTime) -> Result<Option<SimTime>, SourceError> {
        let next = self.sources[source as usize].next_arrival(now, &mut self.ready)?;
        self.pending += u64::from(next.is_some());
        self.note_due(source);
        Ok(next)
    }

    /// The request of `source` that is due, at that place among those that follow others or else the next one;
    /// `None` when the source of lengths has run dry, which ends the source.
    pub(super) fn draw(&mut self, source: u16, follower: Option<u32>) -> Result<Option<Drawn>, SourceError> {
        let source = &mut self.sources[source as usize];
        self.pending -= 1;
        let coming = match follower {
            Some(node) => source.followers.come_in(node, self.next_id),
            None => source.draw(self.next_id)?,
        };
        let Some(Coming { lengths, asks, text, opens }) = coming else { return Ok(None) };
        source.begun += u64::from(opens);
        let id = self.next_id;
        self.next_id += 1;
        self.in_flight += 1;
        Ok(Some(Drawn { id, asks, lengths, text: text.filter(|_| self.texts) }))
    }

    /// The request of `source` with that number has left at `now`; tells when that brings another one, which
    /// then counts as pending.
    pub(super) fn depart(
        &mut self,
        source: u16,
        id: u64,
        turned_away: bool,
        now: SimTime,
    ) -> Option<SimTime> {
        self.in_flight -= 1;
        let next = self.sources[source as usize].depart(id, turned_away, now, &mut self.ready);
        self.pending += u64::from(next.is_some());
        self.note_due(source);
        next
    }

    fn note_due(&mut self, source: u16) {
        self.pending += self.ready.len() as u64;
        self.due.extend(self.ready.drain(..).map(|(at, node)| (at, source, node)));
    }

    /// Takes out the requests that are due after others are over: when, of which source, at which place.
    pub(super) fn due(&mut self) -> impl Iterator<Item = (SimTime, u16, u32)> + '_ {
        self.due.drain(..)
    }

    /// Stops the calendar when nothing is in flight and nothing will come.
    pub(super) fn stop_if_over(&self, calendar: &mut Calendar) {
        if self.pending == 0 && self.in_flight == 0 {
            calendar.stop();
        }
    }
}
