//! Conversations: how many turns they have, and how far apart these are.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Summary;
use crate::units::SimTime;
use crate::workload::trace::TraceRow;

/// What a trace says of conversations.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SessionStats {
    /// Conversations.
    pub sessions: u64,
    /// Turns a conversation.
    pub turns: Summary,
    /// From one turn's arrival to the next one's, where both are recorded (s); absent if none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap_s: Option<Summary>,
}

/// Counts turns, request by request.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// Position of each session, by name.
    named: BTreeMap<String, usize>,
    /// Position of the session that a request is in, by its id.
    of_request: BTreeMap<String, usize>,
    turns: Vec<u64>,
    last: Vec<SimTime>,
    gaps_ns: Vec<u64>,
}

impl Sessions {
    pub fn add(&mut self, row: &TraceRow) {
        if row.session.is_empty() && row.parent.is_empty() && row.turn.is_none() {
            return;
        }
        let known = if row.session.is_empty() {
            self.of_request.get(&row.parent).copied()
        } else {
            self.named.get(&row.session).copied()
        };
        let at = known.unwrap_or(self.turns.len());
        if known.is_none() {
            self.turns.push(0);
            self.last.push(row.arrival);
            if !row.session.is_empty() {
                self.named.insert(row.session.clone(), at);
            }
        } else if row.delay.is_none() {
            self.gaps_ns.push(row.arrival.since(self.last[at]).as_ns());
        }
        if row.session.is_empty() && !row.id.is_empty() {
            self.of_request.insert(row.id.clone(), at);
        }
        self.turns[at] += 1;
        self.last[at] = row.arrival;
    }

    pub fn stats(mut self) -> Option<SessionStats> {
        let turns = Summary::of(&mut self.turns, 1.0)?;
        let gap_s = Summary::of(&mut self.gaps_ns, 1e-9);
        Some(SessionStats { sessions: turns.count, turns, gap_s })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(at_s: u64, session: &str, id: &str, parent: &str) -> TraceRow {
        TraceRow {
            arrival: SimTime::from_ns(at_s * 1_000_000_000),
            session: session.into(),
            id: id.into(),
            parent: parent.into(),
            turn: session.is_empty().then_some(1),
            ..TraceRow::default()
        }
    }

    fn stats(rows: &[TraceRow]) -> Option<SessionStats> {
        let mut sessions = Sessions::default();
        for row in rows {
            sessions.add(row);
        }
        sessions.stats()
    }

    #[test]
    fn turns_are_counted_by_name_and_by_parent() {
        let named = stats(&[row(0, "a", "", ""), row(1, "b", "", ""), row(5, "a", "", "")]).unwrap();
        assert_eq!((named.sessions, named.turns.max, named.gap_s.unwrap().mean), (2, 2.0, 5.0));
        let chained = [row(0, "", "1", ""), row(1, "", "2", "1"), row(2, "", "3", "2"), row(2, "", "4", "")];
        let chained = stats(&chained).unwrap();
        assert_eq!((chained.sessions, chained.turns.max, chained.gap_s.unwrap().mean), (2, 3.0, 1.0));
        assert_eq!(stats(&[TraceRow::default()]), None);
    }
}
