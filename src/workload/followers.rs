//! Requests that arrive when others are over: the turns of sessions, and what waits for them.
//!
//! ```text
//!  turn 1 ──turn──▶ turn 2 ──turn──▶ turn 3      a turn that is turned away ends its session: what is behind
//!     └────wait───▶ tool call ──wait───┘         it by turns never comes; what waits for it, or for those, comes
//! ```
//!
//! A request is due its delay after the last of those that it follows is over, completed or turned away.
//! Drawn sessions and recorded ones are followed here alike. Memory: about 200 bytes for each request that is
//! open or still to come and that something follows or may follow, and 24 for each label: see
//! [`Recording`](super::recording::Recording).

use std::collections::HashMap;

use smallvec::SmallVec;

use super::{Asks, Lengths};
use crate::request::Text;
use crate::units::{SimSpan, SimTime};

/// A request, as its source knows it before it arrives.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Coming {
    pub lengths: Lengths,
    pub asks: Asks,
    /// What its prompt shares with others, if it may.
    pub text: Option<Text>,
    /// Whether it is the first turn of a conversation.
    pub opens: bool,
}

/// How one request follows another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// As the next turn of its session.
    Turn,
    /// It waits for it.
    Wait,
}

/// What is known of whom a label stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// Still to come or not yet over, at this place.
    Open(u32),
    /// Over since then.
    Over(SimTime),
    /// Turned away then, or never sent since then.
    Broken(SimTime),
}

/// Requests of one source that follow others, and those that they follow.
#[derive(Debug, Default)]
pub(super) struct Followers {
    nodes: Vec<Node>,
    free: Vec<u32>,
    /// The places of requests that have come in, by their numbers. Never gone through in order.
    open: HashMap<u64, u32>,
    labels: Vec<Known>,
    /// Requests that never come, as the session they are a turn of has ended before.
    unsent: u64,
}

#[derive(Debug, Default)]
struct Node {
    coming: Option<Coming>,
    /// How many of those that it follows are not over.
    missing: u32,
    /// When the last of the others was over.
    after: SimTime,
    delay: SimSpan,
    then: SmallVec<[(u32, Link); 2]>,
    labels: SmallVec<[u32; 2]>,
    /// It never comes.
    cancelled: bool,
    /// What follows it knows that it is over.
    told: bool,
}

/// A request that is due.
pub(super) type Ready = (SimTime, u32);

impl Followers {
    /// A request that is due `delay` after all that it follows is over, or after `after` if that is later.
    /// Answers with its place.
    pub fn add(&mut self, coming: Option<Coming>, delay: SimSpan, after: SimTime) -> u32 {
        let node = Node { coming, after, delay, ..Node::default() };
        if let Some(at) = self.free.pop() {
            self.nodes[at as usize] = node;
            at
        } else {
            self.nodes.push(node);
            (self.nodes.len() - 1) as u32
        }
    }

    /// It comes no earlier than that, whatever it follows.
    pub fn not_before(&mut self, node: u32, at: SimTime) {
        let node = &mut self.nodes[node as usize];
        node.after = node.after.max(at);
    }

    /// A new label, which stands for a request that is over since `at`.
    pub fn label(&mut self, at: SimTime) -> u32 {
        self.labels.push(Known::Over(at));
        (self.labels.len() - 1) as u32
    }

    /// The label now stands for that request.
    pub fn stand_for(&mut self, label: u32, node: u32) {
        self.labels[label as usize] = Known::Open(node);
        self.nodes[node as usize].labels.push(label);
    }

    /// Puts `node` behind another.
    pub fn follow(&mut self, node: u32, other: u32, link: Link) {
        self.nodes[other as usize].then.push((node, link));
        self.nodes[node as usize].missing += 1;
    }

    /// Puts `node` behind whom the label stands for.
    pub fn follow_label(&mut self, node: u32, label: u32, link: Link) {
        let (over, broken) = match self.labels[label as usize] {
            Known::Open(other) => return self.follow(node, other, link),
            Known::Over(at) => (at, false),
            Known::Broken(at) => (at, true),
        };
        let node = &mut self.nodes[node as usize];
        node.after = node.after.max(over);
        if broken && link == Link::Turn && !node.cancelled {
            node.cancelled = true;
            self.unsent += 1;
        }
    }

    /// To be called once all that `node` follows is known: it may be due already.
    pub fn settle(&mut self, node: u32, ready: &mut Vec<Ready>) {
        let Node { missing, after, delay, cancelled, .. } = self.nodes[node as usize];
        if cancelled {
            self.end(node, after, true, ready);
        } else if missing == 0 {
            ready.push((after + delay, node));
        }
    }

    /// The request at that place comes in, with the number `id`.
    pub fn come_in(&mut self, node: u32, id: u64) -> Option<Coming> {
        let Node { coming, then, labels, .. } = &mut self.nodes[node as usize];
        let coming = coming.take();
        if then.is_empty() && labels.is_empty() {
            self.free.push(node);
        } else {
            self.open.insert(id, node);
        }
        coming
    }

    /// The request with the number `id` has come in, and these turns follow it, each after its time of thinking.
    pub fn open_session(&mut self, id: u64, turns: impl Iterator<Item = (SimSpan, Coming)>) {
        let mut last = None;
        for (think, coming) in turns {
            let other = last.unwrap_or_else(|| {
                let first = self.add(None, SimSpan::ZERO, SimTime::ZERO);
                self.open.insert(id, first);
                first
            });
            let node = self.add(Some(coming), think, SimTime::ZERO);
            self.follow(node, other, Link::Turn);
            last = Some(node);
        }
    }

    /// The request with the number `id` is over, and what follows it may be due. Tells whether its
    /// session goes on.
    pub fn leave(&mut self, id: u64, now: SimTime, turned_away: bool, ready: &mut Vec<Ready>) -> bool {
        if self.open.is_empty() {
            return false;
        }
        self.open.remove(&id).is_some_and(|node| self.end(node, now, turned_away, ready))
    }

    /// A request, and all that never comes without it, is over.
    fn end(&mut self, node: u32, now: SimTime, broken: bool, ready: &mut Vec<Ready>) -> bool {
        let mut goes_on = false;
        let mut over = vec![(node, broken)];
        while let Some((at, broken)) = over.pop() {
            let node = &mut self.nodes[at as usize];
            let (then, labels) = (std::mem::take(&mut node.then), std::mem::take(&mut node.labels));
            for label in labels {
                let known = &mut self.labels[label as usize];
                if *known == Known::Open(at) {
                    *known = if broken { Known::Broken(now) } else { Known::Over(now) };
                }
            }
            for (at, link) in then {
                let follower = &mut self.nodes[at as usize];
                follower.missing -= 1;
                follower.after = follower.after.max(now);
                if broken && link == Link::Turn && !follower.cancelled {
                    follower.cancelled = true;
                    self.unsent += 1;
                    over.push((at, true));
                } else if follower.cancelled {
                    if follower.missing == 0 && follower.told {
                        self.free.push(at);
                    }
                } else {
                    goes_on |= link == Link::Turn;
                    if follower.missing == 0 {
                        ready.push((follower.after + follower.delay, at));
                    }
                }
            }
            let node = &mut self.nodes[at as usize];
            node.told = true;
            if node.missing == 0 {
                self.free.push(at);
            }
        }
        goes_on
    }

    /// Requests that never come, as the session they are a turn of has ended before.
    pub const fn unsent(&self) -> u64 {
        self.unsent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn coming() -> Coming {
        let lengths = Lengths { prompt_tokens: 1, output_tokens: 1 };
        Coming { lengths, asks: Asks::default(), text: None, opens: false }
    }

    const fn at(ns: u64) -> SimTime {
        SimTime::from_ns(ns)
    }

    #[test]
    fn a_rejection_ends_the_session_and_lets_go_of_what_waits() {
        let mut followers = Followers::default();
        let mut ready = Vec::new();
        let [first, second, third, tool] =
            [0, 5, 5, 7].map(|delay| followers.add(Some(coming()), SimSpan::from_ns(delay), SimTime::ZERO));
        followers.follow(second, first, Link::Turn);
        followers.follow(second, first, Link::Wait);
        followers.follow(third, second, Link::Turn);
        followers.follow(tool, third, Link::Wait);
        followers.come_in(first, 40);
        assert!(!followers.leave(40, at(100), true, &mut ready));
        assert_eq!(ready, [(at(107), tool)]);
        assert_eq!(followers.unsent(), 2);
        followers.come_in(tool, 41);
        assert_eq!(followers.free.len(), 4, "all places are free again");
    }

    #[test]
    fn a_label_is_known_when_whom_it_stood_for_is_gone() {
        let mut followers = Followers::default();
        let mut ready = Vec::new();
        let label = followers.label(at(3));
        let first = followers.add(Some(coming()), SimSpan::ZERO, at(0));
        followers.follow_label(first, label, Link::Wait);
        followers.settle(first, &mut ready);
        assert_eq!(ready.pop(), Some((at(3), first)));
        followers.stand_for(label, first);
        followers.come_in(first, 0);
        assert!(!followers.leave(0, at(9), true, &mut ready));
        for (link, due) in [(Link::Wait, Some(at(10))), (Link::Turn, None)] {
            let next = followers.add(Some(coming()), SimSpan::from_ns(1), at(0));
            followers.follow_label(next, label, link);
            followers.settle(next, &mut ready);
            assert_eq!(ready.pop().map(|(at, _)| at), due);
        }
        assert_eq!(followers.unsent(), 1);
    }

    proptest! {
        /// Any graph, its requests over one by one in any order that it allows: each is due its delay after the
        /// last that it follows, once and only then.
        #[test]
        fn everyone_comes_once_after_all_that_it_follows(
            links in proptest::collection::vec(proptest::collection::vec((0..20_usize, any::<bool>()), 0..4), 1..20),
            turned_away in proptest::collection::vec(any::<bool>(), 20),
        ) {
            let mut followers = Followers::default();
            let nodes: Vec<u32> =
                links.iter().map(|_| followers.add(Some(coming()), SimSpan::from_ns(3), at(0))).collect();
            let before = |of: usize| links[of].iter().filter(move |(other, _)| *other < of);
            let mut ready = Vec::new();
            for (of, node) in nodes.iter().enumerate() {
                for (other, turn) in before(of) {
                    followers.follow(*node, nodes[*other], if *turn { Link::Turn } else { Link::Wait });
                }
                followers.settle(*node, &mut ready);
            }
            let mut over: Vec<Option<SimTime>> = vec![None; nodes.len()];
            let mut now = at(10);
            while !ready.is_empty() {
                let (due, node) = ready.remove(ready.len() / 2);
                let of = nodes.iter().position(|at| *at == node).unwrap();
                prop_assert_eq!(over[of], None);
                let last = before(of).map(|(other, _)| over[*other].unwrap_or(now)).max();
                prop_assert!(due <= last.unwrap_or(at(0)) + SimSpan::from_ns(3));
                now = now.max(due) + SimSpan::from_ns(1);
                prop_assert!(followers.come_in(node, of as u64).is_some());
                // Places of its own, so that none is given again.
                over[of] = Some(now);
                followers.leave(of as u64, now, turned_away[of], &mut ready);
            }
            // Who is not over had a turn before it turned away, or one that was not over.
            let mut lost = 0;
            for of in 0..nodes.len() {
                let broken = before(of)
                    .any(|(other, turn)| *turn && (over[*other].is_none() || turned_away[*other]));
                prop_assert_eq!(over[of].is_none(), broken);
                lost += u64::from(broken);
            }
            prop_assert_eq!(followers.unsent(), lost);
            prop_assert_eq!(followers.free.len(), nodes.len());
        }
    }
}
