//! The sequences that wait, in the order of the packing policy.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;

use crate::clients::llm::packing::{Order, PackingPolicy, Waiting};
use crate::clients::llm::sequence::SeqId;
use crate::units::SimTime;

/// Where a sequence that was preempted goes in a queue without keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Back {
    /// It is next (vLLM).
    Head,
    /// It comes after all that wait (SGLang).
    Tail,
}

/// The queue of one client.
pub(super) struct Queue {
    packing: Box<dyn PackingPolicy>,
    line: Line,
    /// What is known of each sequence here, waiting or running; empty where the order is that of arrival.
    facts: Vec<Facts>,
}

/// What a key is made of and a sequence does not hold.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    pub priority: i16,
    pub arrived: SimTime,
    /// The key that it had last.
    key: i128,
}

#[derive(Debug)]
enum Line {
    Arrival(VecDeque<SeqId>),
    /// Key, number of arrival.
    Keyed(BTreeSet<(i128, u64, SeqId)>),
    Changing(Changing),
}

/// Sequences with tickets in the order of their places in line.
#[derive(Debug, Default)]
struct Changing {
    most: usize,
    line: VecDeque<(i64, SeqId)>,
    /// The tickets that come next before and after all others.
    head: i64,
    tail: i64,
}

impl Changing {
    fn put(&mut self, id: SeqId, back: Back) {
        match back {
            Back::Head => {
                self.head -= 1;
                self.line.push_front((self.head, id));
            }
            Back::Tail => {
                self.line.push_back((self.tail, id));
                self.tail += 1;
            }
        }
    }
}

impl Queue {
    pub fn new(packing: Box<dyn PackingPolicy>) -> Self {
        let line = match packing.order() {
            Order::Arrival => Line::Arrival(VecDeque::new()),
            Order::Key => Line::Keyed(BTreeSet::new()),
            Order::Changing { most } => Line::Changing(Changing { most, ..Changing::default() }),
        };
        Self { packing, line, facts: Vec::new() }
    }

    pub fn len(&self) -> usize {
        match &self.line {
            Line::Arrival(line) => line.len(),
            Line::Keyed(line) => line.len(),
            Line::Changing(Changing { line, .. }) => line.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Who is next.
    pub fn front(&self) -> Option<SeqId> {
        match &self.line {
            Line::Arrival(line) => line.front().copied(),
            Line::Keyed(line) => line.first().map(|(.., id)| *id),
            Line::Changing(Changing { line, .. }) => line.front().map(|(_, id)| *id),
        }
    }

    /// All in line.
    pub fn iter(&self) -> impl Iterator<Item = SeqId> {
        let (arrival, keyed, changing) = match &self.line {
            Line::Arrival(line) => (Some(line), None, None),
            Line::Keyed(line) => (None, Some(line), None),
            Line::Changing(Changing { line, .. }) => (None, None, Some(line)),
        };
        let arrival = arrival.into_iter().flatten().copied();
        let keyed = keyed.into_iter().flatten().map(|(.., id)| *id);
        arrival.chain(keyed).chain(changing.into_iter().flatten().map(|(_, id)| *id))
    }

    /// Puts `id` at the head of the line, if that is in the order of arrival.
    pub fn put_first(&mut self, id: SeqId) -> bool {
        let Line::Arrival(line) = &mut self.line else { return false };
        let at = line.iter().position(|other| *other == id);
        debug_assert!(at.is_some(), "not waiting");
        if at.and_then(|at| line.remove(at)).is_some() {
            line.push_front(id);
        }
        true
    }

    pub fn pop_front(&mut self) {
        match &mut self.line {
            Line::Arrival(line) => drop(line.pop_front()),
            Line::Keyed(line) => drop(line.pop_first()),
            Line::Changing(Changing { line, .. }) => drop(line.pop_front()),
        }
    }

    /// Whether anything but the order of arrival counts.
    pub fn has_keys(&self) -> bool {
        !matches!(self.line, Line::Arrival(_))
    }

    /// What is known of `id` for its key, where that matters; to be called before it joins.
    pub fn know(&mut self, id: SeqId, priority: i16, arrived: SimTime) {
        if !self.has_keys() {
            return;
        }
        let at = id.0 as usize;
        if self.facts.len() <= at {
            self.facts.resize(at + 1, Facts::default());
        }
        self.facts[at] = Facts { priority, arrived, key: 0 };
    }

    /// What is known of `id`, where anything but the order of arrival counts.
    pub fn facts(&self, id: SeqId) -> Facts {
        self.facts.get(id.0 as usize).copied().unwrap_or_default()
    }

    /// Puts `id` in line; `waiting` is asked for where keys count. Tells whether others that waited may
    /// now come after it.
    pub fn join(&mut self, id: SeqId, arrival: u64, back: Back, waiting: Option<Waiting>) -> bool {
        match &mut self.line {
            Line::Arrival(line) => {
                match back {
                    Back::Head => line.push_front(id),
                    Back::Tail => line.push_back(id),
                }
                false
            }
            Line::Keyed(line) => {
                let key = waiting.map_or(0, |waiting| self.packing.key(&waiting));
                if let Some(facts) = self.facts.get_mut(id.0 as usize) {
                    facts.key = key;
                }
                let ahead = line.first().is_some_and(|(head, first, _)| (key, arrival) < (*head, *first));
                line.insert((key, arrival, id));
                ahead
            }
            Line::Changing(line) => {
                line.put(id, back);
                true
            }
        }
    }

    /// What is known of `id`, which waits, is another now: so may be its place, where keys count.
    pub fn reconsider(&mut self, id: SeqId, arrival: u64, waiting: &Waiting) {
        let Line::Keyed(line) = &mut self.line else { return };
        let Some(facts) = self.facts.get_mut(id.0 as usize) else { return };
        if line.remove(&(facts.key, arrival, id)) {
            facts.key = self.packing.key(waiting);
            line.insert((facts.key, arrival, id));
        }
    }

    /// Whether the order changes while sequences wait.
    pub const fn changes(&self) -> bool {
        matches!(self.line, Line::Changing(_))
    }

    /// Sorts those that wait by what is known of each now, in the order of [`iter`](Self::iter).
    pub fn sort(&mut self, known: &[Waiting]) {
        let Line::Changing(Changing { most, line, .. }) = &mut self.line else { return };
        let by_key = line.len() <= *most;
        let key = |waiting: &Waiting| if by_key { self.packing.key(waiting) } else { 0 };
        let mut sorted: Vec<_> =
            line.iter().zip(known).map(|(place, waiting)| (key(waiting), *place)).collect();
        sorted.sort_unstable();
        line.clear();
        line.extend(sorted.into_iter().map(|(_, place)| place));
    }

    /// Whether the running sequence with the largest key is the one to be preempted.
    pub fn preempts_largest(&self) -> bool {
        self.packing.preempts_largest()
    }

    /// The key that `id` had when it last joined the queue.
    pub fn key(&self, id: SeqId) -> i128 {
        self.facts(id).key
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("line", &self.line).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::llm::packing::{Fcfs, LongestPrefixMatch, Priority};

    fn waiting(cached_tokens: u32, priority: i16, arrived: u64) -> Waiting {
        let arrived = SimTime::from_ns(arrived);
        Waiting {
            prompt_tokens: 100,
            left_tokens: 100,
            cached_tokens,
            generated_tokens: 0,
            priority,
            arrived,
        }
    }

    fn emptied(mut queue: Queue) -> Vec<u32> {
        let mut ids = Vec::new();
        while let Some(SeqId(id)) = queue.front() {
            queue.pop_front();
            ids.push(id);
        }
        ids
    }

    #[test]
    fn who_comes_back_goes_to_the_head_or_the_tail_where_there_are_no_keys() {
        let mut queue = Queue::new(Box::new(Fcfs {}));
        for id in 0..3 {
            assert!(!queue.join(SeqId(id), id.into(), Back::Tail, None));
        }
        queue.join(SeqId(3), 3, Back::Head, None);
        queue.join(SeqId(4), 4, Back::Tail, None);
        assert_eq!(emptied(queue), [3, 0, 1, 2, 4]);
    }

    #[test]
    fn keys_decide_and_then_arrivals_and_it_is_told_who_goes_ahead() {
        let mut queue = Queue::new(Box::new(Priority { ageing: None }));
        let mut join = |id: u32, priority: i16, arrived: u64| {
            queue.know(SeqId(id), priority, SimTime::from_ns(arrived));
            queue.join(SeqId(id), id.into(), Back::Tail, Some(waiting(0, priority, arrived)))
        };
        let ahead = [join(0, 0, 10), join(1, 0, 10), join(2, 1, 0), join(3, -1, 20), join(4, -1, 15)];
        assert_eq!(ahead, [false, false, false, true, true]);
        assert_eq!(queue.len(), 5);
        assert!(queue.key(SeqId(3)) > queue.key(SeqId(4)));
        assert_eq!(emptied(queue), [4, 3, 0, 1, 2]);
    }

    #[test]
    fn the_longest_cached_prefix_is_first_unless_too_many_wait() {
        for count in [128_u32, 129] {
            let mut queue = Queue::new(Box::new(LongestPrefixMatch {}));
            for id in 0..count {
                assert!(queue.join(SeqId(id), id.into(), Back::Tail, None));
            }
            // Three prefixes, the longest of the last.
            let known: Vec<_> = queue.iter().map(|SeqId(id)| waiting(id * 3 / count, 0, 0)).collect();
            queue.sort(&known);
            let mut expected: Vec<u32> = (0..count).collect();
            if count == 128 {
                expected.sort_by_key(|id| std::cmp::Reverse(id * 3 / count));
            }
            assert_eq!(emptied(queue), expected);
        }
    }
}
