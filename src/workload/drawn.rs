//! Requests that are drawn: arrivals from one law, lengths from another, and what they share.

use super::naming::Names;
use super::prefix::Prefixes;
use super::session::{Sessions, Turn, Turns};
use super::{ArrivalProcess, LengthSource, Lengths, SourceError};
use crate::engine::{Stream, Streams};
use crate::request::Text;
use crate::scenario::{PrefixSpec, SessionSpec};

/// A class of traffic that is drawn.
pub(super) struct Drawing {
    pub arrivals: Box<dyn ArrivalProcess>,
    pub arrival_draws: Stream,
    lengths: Box<dyn LengthSource>,
    length_draws: Stream,
    prefixes: Option<Prefixes>,
    pub sessions: Option<Sessions>,
    names: Names,
}

/// What the requests of a class share with each other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shared<'a> {
    /// What prompts begin with.
    pub prefix: &'a [PrefixSpec],
    /// Conversations of several turns.
    pub sessions: Option<&'a SessionSpec>,
    /// Most tokens of prompt and answer that its clients take.
    pub longest: u32,
}

impl Drawing {
    /// The class at that place in the workload.
    pub fn new(
        arrivals: Box<dyn ArrivalProcess>,
        lengths: Box<dyn LengthSource>,
        shared: Shared<'_>,
        streams: Streams,
        place: u16,
    ) -> Self {
        let stream = |purpose| streams.stream(purpose, u64::from(place));
        let Shared { prefix, sessions, longest } = shared;
        Self {
            arrivals,
            lengths,
            arrival_draws: stream("arrivals"),
            length_draws: stream("lengths"),
            prefixes: Prefixes::new(prefix, stream("prefixes")),
            sessions: sessions.map(|spec| Sessions::new(spec, longest, stream("sessions"))),
            names: Names::of_source(place),
        }
    }

    /// The names of its tokens, if any may be shared.
    pub fn names(&self) -> Option<Names> {
        (self.prefixes.is_some() || self.sessions.is_some()).then_some(self.names)
    }

    /// The request that arrives and the turns that follow it, which are taken from the `left` ones; none when
    /// there are no more lengths.
    pub fn draw(&mut self, left: &mut u64) -> Result<Turns, SourceError> {
        let Self { lengths, length_draws, prefixes, sessions, names, .. } = self;
        let mut next = || lengths.next(length_draws);
        if prefixes.is_none() && sessions.is_none() {
            return Ok(next()?.map(alone).into_iter().collect());
        }
        let prefix = prefixes.as_mut().map(|prefixes| prefixes.draw(*names)).unwrap_or_default();
        if let Some(sessions) = sessions {
            return sessions.draw(&prefix, *names, left, next);
        }
        let Some(Lengths { prompt_tokens, output_tokens }) = next()? else { return Ok(Turns::new()) };
        let prompt_tokens = prompt_tokens.saturating_add(prefix.tokens() as u32);
        let text = Some(prefix);
        Ok(Turns::from_iter([Turn { text, ..alone(Lengths { prompt_tokens, output_tokens }) }]))
    }
}

/// A request that shares nothing.
const fn alone(lengths: Lengths) -> Turn {
    Turn { think: crate::units::SimSpan::ZERO, lengths, text: None::<Text> }
}
