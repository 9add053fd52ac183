//! The rows of a trace as requests: read ahead of the clock as far as others may follow them.
//!
//! A row with a `delay` is due that long after what it follows is over: the turn before it in its session, its
//! `parent`, the requests it is to `wait_for`, and those that name it among their `branches`. What a turn of a
//! session that was turned away would have led to never comes; whoever merely waits for it comes. A row
//! without a delay comes at its arrival, or when what it waits for is over if that is later. One with a
//! delay that follows nothing comes that long after its arrival.
//!
//! Rows follow rows above them, so no two wait for each other. A request may be over before the row is read that
//! follows it, so of a trace whose rows have names [`LOOK_AHEAD`] requests are read beyond the clock; a row that
//! is due before it was read is an error. Of other traces one request is read ahead.
//!
//! Memory: the requests read ahead, those open and those that wait for them, and some 100 bytes for each
//! name, of a request or of a session, that the trace has had so far; nothing for rows without names.

use std::collections::{HashMap, VecDeque};

use smallvec::SmallVec;

use super::followers::{Coming, Followers, Link, Ready};
use super::naming::Names;
use super::{Asks, LAST_ARRIVAL, Replay, SourceError};
use crate::units::{SimSpan, SimTime};

/// How many requests of a trace with names are read before they are due.
const LOOK_AHEAD: usize = 1 << 16;

/// A trace that is replayed.
pub(super) struct Recording {
    pub replay: Replay,
    names: Names,
    /// Requests with an arrival of their own that have not come in yet, in order.
    queue: VecDeque<(SimTime, u32)>,
    /// The labels of requests and of sessions, by name. Never gone through in order.
    requests: HashMap<Box<str>, u32>,
    sessions: HashMap<Box<str>, u32>,
    /// The labels of requests that set off one of that name, which is still to be read.
    set_off: HashMap<Box<str>, SmallVec<[u32; 1]>>,
    /// Whether rows had names so far.
    named: bool,
    /// Whether one followed another as the next turn of a session.
    has_turns: bool,
    over: bool,
}

impl Recording {
    /// The trace of the class at that place in the workload.
    pub fn new(replay: Replay, place: u16) -> Self {
        Self {
            replay,
            names: Names::of_source(place),
            queue: VecDeque::new(),
            requests: HashMap::new(),
            sessions: HashMap::new(),
            set_off: HashMap::new(),
            named: false,
            has_turns: false,
            over: false,
        }
    }

    /// Whether any row so far followed another as the next turn of a session.
    pub const fn has_turns(&self) -> bool {
        self.has_turns
    }

    /// The instant of the next arrival that follows nothing. Reads ahead, `left` rows at most; what is found to
    /// be due after others are over goes to `ready`.
    pub fn next(
        &mut self,
        followers: &mut Followers,
        asks: Asks,
        left: &mut u64,
        now: SimTime,
        ready: &mut Vec<Ready>,
    ) -> Result<Option<SimTime>, SourceError> {
        while !self.over && (self.queue.is_empty() || self.named && self.queue.len() < LOOK_AHEAD) {
            self.over = *left == 0 || !self.replay.advance()?;
            if !self.over {
                *left -= u64::from(!self.replay.row().failed);
                self.take_in(followers, asks, now, ready)?;
            }
        }
        Ok(self.queue.front().map(|(at, _)| *at))
    }

    /// The request whose arrival is due.
    pub fn pop(&mut self) -> Option<u32> {
        self.queue.pop_front().map(|(_, node)| node)
    }

    /// Makes a request of the row.
    fn take_in(
        &mut self,
        followers: &mut Followers,
        asks: Asks,
        now: SimTime,
        ready: &mut Vec<Ready>,
    ) -> Result<(), SourceError> {
        let arrival = self.replay.arrival()?;
        let row = self.replay.row();
        if row.failed {
            // It never comes, and nothing waits for it.
            if self.replay.may_follow() && !row.id.is_empty() {
                let label = followers.label(arrival);
                self.requests.insert(row.id.as_str().into(), label);
            }
            return Ok(());
        }
        let header = self.replay.header();
        let text = header.block_tokens.filter(|_| !row.blocks.is_empty()).map(|block_tokens| {
            let text = self.names.blocks(&row.blocks, block_tokens, row.prompt_tokens);
            match row.answer {
                Some(id) => text.answered(self.names.token(id)),
                None => text,
            }
        });
        let delay = self.replay.delay();
        if delay.is_some_and(|delay| SimTime::ZERO + delay > LAST_ARRIVAL) {
            return Err(self.replay.error(SourceError::TooLate.to_string()));
        }
        let opens = !row.session.is_empty() && !self.sessions.contains_key(row.session.as_str());
        let coming = Coming { lengths: self.replay.lengths(), asks: self.replay.asks(asks)?, text, opens };
        let node = followers.add(Some(coming), delay.unwrap_or(SimSpan::ZERO), SimTime::ZERO);
        let follows = self.replay.may_follow() && self.link(followers, node, delay.is_some())?;
        if follows || delay.is_some() {
            if !follows || delay.is_none() {
                followers.not_before(node, arrival);
            }
            let known = ready.len();
            followers.settle(node, ready);
            if ready.get(known).is_some_and(|(at, _)| *at < now) {
                return Err(self.replay.error(format!(
                    "the request is due before it is read, more than {LOOK_AHEAD} requests behind those that \
                     it follows: bring them closer together"
                )));
            }
        } else {
            self.queue.push_back((arrival, node));
        }
        Ok(())
    }

    /// Puts the request behind all that its row follows, and gives it its labels; tells whether there was any.
    fn link(&mut self, followers: &mut Followers, node: u32, delayed: bool) -> Result<bool, SourceError> {
        let row = self.replay.row();
        let mut follows = false;
        if !row.session.is_empty() {
            self.named = true;
            let label = if let Some(label) = self.sessions.get(row.session.as_str()).copied() {
                if delayed {
                    followers.follow_label(node, label, Link::Turn);
                    (follows, self.has_turns) = (true, true);
                }
                label
            } else {
                let label = followers.label(SimTime::ZERO);
                self.sessions.insert(row.session.as_str().into(), label);
                label
            };
            followers.stand_for(label, node);
        }
        let parent = Some(&row.parent).filter(|parent| delayed && !parent.is_empty());
        let parents = parent.map(|parent| (parent, "parent", Link::Turn)).into_iter();
        for (name, field, link) in
            parents.chain(row.wait_for.iter().map(|name| (name, "wait_for", Link::Wait)))
        {
            let Some(label) = self.requests.get(name.as_str()) else {
                return Err(self.replay.error(format!(
                    "field `{field}`: `{name}` is no request above this one; a request follows earlier ones, so \
                     that none waits for itself"
                )));
            };
            followers.follow_label(node, *label, link);
            follows = true;
        }
        if !row.id.is_empty() {
            self.named = true;
            for label in self.set_off.remove(row.id.as_str()).unwrap_or_default() {
                followers.follow_label(node, label, Link::Wait);
                follows = true;
            }
            let label = followers.label(SimTime::ZERO);
            followers.stand_for(label, node);
            self.requests.insert(row.id.as_str().into(), label);
        }
        for name in &row.branches {
            if self.requests.contains_key(name.as_str()) {
                return Err(self.replay.error(format!(
                    "field `branches`: `{name}` stands above this one; a request sets off later ones"
                )));
            }
            let label = followers.label(SimTime::ZERO);
            followers.stand_for(label, node);
            self.named = true;
            self.set_off.entry(name.as_str().into()).or_default().push(label);
        }
        Ok(follows)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write;

    use proptest::prelude::*;

    use super::*;
    use crate::scenario::TraceSpec;
    use crate::workload::trace::{Input, Options, read};
    use crate::workload::trace_tools::inspect;
    use crate::workload::{Source, Sources};

    fn sources(trace: &str, speedup: f64) -> Sources {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("t"), trace).unwrap();
        let spec = ron::from_str::<TraceSpec>(&format!("(path: \"t\", speedup: {speedup})")).unwrap();
        let replay = Replay::open(&spec, folder.path()).unwrap().timed().unwrap();
        Sources::new(vec![Source::replay(replay, Asks::default(), u64::MAX, 0)])
    }

    /// Who comes when, by its prompt, where everyone is served for 10 ms of which `turned_away` are not.
    fn came(trace: &str, speedup: f64, turned_away: &[u32]) -> Result<Vec<(u32, u64)>, SourceError> {
        let mut sources = sources(trace, speedup);
        let mut came = Vec::new();
        // Who comes and who leaves, by time and then in the order in which it was known.
        let (mut events, mut number) = (std::collections::BTreeMap::new(), 0);
        let mut next = sources.next_arrival(0, SimTime::ZERO)?.map(|at| (at, None));
        loop {
            for (at, follower) in
                next.take().into_iter().chain(sources.due().map(|(at, _, place)| (at, Some(place))))
            {
                number += 1;
                events.insert((at, number), Ok(follower));
            }
            let Some(((now, _), event)) = events.pop_first() else { break };
            match event {
                Ok(follower) => {
                    let drawn = sources.draw(0, follower)?.unwrap();
                    let prompt = drawn.lengths.prompt_tokens;
                    came.push((prompt, now.as_ns() / 1_000_000));
                    number += 1;
                    let over = now + SimSpan::from_ns(10_000_000);
                    events.insert((over, number), Err((drawn.id, turned_away.contains(&prompt))));
                    if follower.is_none() {
                        next = sources.next_arrival(0, now)?.map(|at| (at, None));
                    }
                }
                Err((id, turned_away)) => assert_eq!(sources.depart(0, id, turned_away, now), None),
            }
        }
        assert_eq!(sources.in_flight(), 0);
        Ok(came)
    }

    /// Rows in Mooncake's format, with what they say beside their lengths; the prompt counts from 1.
    fn rows(rows: &[&str]) -> String {
        let row = |(at, row): (usize, &&str)| {
            format!("{{\"input_length\":{},\"output_length\":1,{row}}}\n", at + 1)
        };
        rows.iter().enumerate().map(row).collect()
    }

    #[test]
    fn turns_follow_one_another_wherever_they_stand() {
        let trace = rows(&[
            "\"timestamp\":0,\"session_id\":\"a\"",
            "\"timestamp\":1000,\"session_id\":\"b\"",
            "\"delay\":500,\"session_id\":\"b\"",
            "\"delay_ms\":40,\"tool_wait_ms\":5,\"session_id\":\"a\"",
            "\"session_id\":\"a\"",
        ]);
        let expected = [(1, 0), (4, 55), (5, 65), (2, 1000), (3, 1510)];
        assert_eq!(came(&trace, 1.0, &[]).unwrap(), expected);
        // Arrivals and delays are sped up, service is not.
        assert_eq!(came(&trace, 5.0, &[]).unwrap(), [(1, 0), (4, 19), (5, 29), (2, 200), (3, 310)]);
        // A turn that is turned away is the last of its session.
        assert_eq!(came(&trace, 1.0, &[4]).unwrap(), [(1, 0), (4, 55), (2, 1000), (3, 1510)]);
    }

    #[test]
    fn a_graph_of_requests_comes_in_its_order() {
        let trace = rows(&[
            "\"timestamp\":0,\"request_id\":\"a\",\"branches\":[\"b\",\"c\"]",
            "\"timestamp\":3,\"request_id\":\"b\"",
            "\"delay\":5,\"request_id\":\"c\"",
            "\"delay\":1,\"request_id\":7,\"wait_for\":[\"c\",\"b\"]",
            "\"timestamp\":90,\"wait_for\":[7]",
            "\"delay\":4,\"timestamp\":95",
        ]);
        let expected = [(1, 0), (2, 10), (3, 15), (4, 26), (5, 36), (6, 99)];
        assert_eq!(came(&trace, 1.0, &[]).unwrap(), expected);
        // Who only waits comes, whatever became of the others.
        assert_eq!(came(&trace, 1.0, &[1, 2, 3, 4]).unwrap(), expected);
    }

    #[test]
    fn what_follows_nothing_above_it_is_refused_with_its_line() {
        let refusal = |more: &str| {
            let trace = rows(&["\"timestamp\":0,\"request_id\":\"a\"", more]);
            came(&trace, 1.0, &[]).unwrap_err().to_string()
        };
        let error = refusal("\"request_id\":\"b\",\"wait_for\":[\"c\"]");
        assert!(error.contains("t:2: field `wait_for`: `c` is no request above this one"), "{error}");
        assert!(refusal("\"request_id\":\"b\",\"wait_for\":[\"b\"]").contains("`b` is no request above"));
        let error = refusal("\"timestamp\":1,\"request_id\":\"b\",\"branches\":[\"a\"]");
        assert!(error.contains("t:2: field `branches`: `a` stands above this one"), "{error}");
        assert!(
            refusal("\"delay\":1e13,\"session_id\":1").contains("t:2: a request arrives more than 292 years")
        );
    }

    #[test]
    fn a_follower_far_below_is_found_in_time_or_refused() {
        let apart = |rows: usize, delay: u64| {
            let mut trace =
                "{\"timestamp\":0,\"session_id\":1,\"input_length\":1,\"output_length\":1}\n".to_owned();
            for at in 0..rows {
                let row = format!("{{\"timestamp\":{},\"input_length\":2,\"output_length\":1}}\n", at / 100);
                trace.push_str(&row);
            }
            let last =
                format!("{{\"delay\":{delay},\"session_id\":1,\"input_length\":3,\"output_length\":1}}\n");
            trace + &last
        };
        let found = |trace: &str| came(trace, 1.0, &[]).unwrap().into_iter().find(|(prompt, _)| *prompt == 3);
        assert_eq!(found(&apart(50_000, 2)), Some((3, 12)));
        assert_eq!(found(&apart(70_000, 700)), Some((3, 710)));
        let error = came(&apart(70_000, 2), 1.0, &[]).unwrap_err().to_string();
        assert!(error.contains("t:70002: the request is due before it is read"), "{error}");
    }

    proptest! {
        /// What `mist trace inspect` calls the ceiling is what the texts of the requests have in common.
        #[test]
        fn the_ceiling_is_what_texts_share(
            prompts in proptest::collection::vec(
                (proptest::collection::vec(0..12_u64, 0..8), 0..16_u64, 0..3_u32), 1..20,
            ),
        ) {
            let mut trace = String::new();
            for (ids, partial, behind) in &prompts {
                // The last block may be partly filled, always alike; more may follow that has no names.
                let mut ids = ids.clone();
                let mut tokens = 16 * ids.len() as u64;
                if *partial > 0 {
                    ids.push(100 + partial);
                    tokens += partial;
                } else {
                    tokens += u64::from(*behind);
                }
                writeln!(
                    trace,
                    "{{\"chat_id\":1,\"timestamp\":0,\"input_length\":{tokens},\"output_length\":1,\"hash_ids\":{ids:?}}}"
                )
                .unwrap();
            }
            let (mut seen, mut shared) = (BTreeSet::new(), 0);
            let mut sources = sources(&trace, 1.0);
            while sources.next_arrival(0, SimTime::ZERO).unwrap().is_some() {
                let text = sources.draw(0, None).unwrap().unwrap().text.unwrap_or_default();
                let names: Vec<u64> =
                    text.runs().iter().flat_map(|run| run.first..run.first + u64::from(run.tokens)).collect();
                shared += names.iter().take_while(|name| seen.contains(*name)).count() as u64;
                seen.extend(names);
            }
            let input = Input::from_reader("t", std::io::Cursor::new(trace));
            let stats = inspect(read(input, &Options::default()).unwrap().as_mut()).unwrap();
            prop_assert_eq!(stats.prefix.map_or(0, |prefix| prefix.hit_tokens), shared);
        }
    }
}
