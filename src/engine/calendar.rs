//! The calendar: everything that is going to happen, in order.

use std::any::TypeId;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

use bevy_ecs::resource::Resource;

use crate::units::{SimSpan, SimTime};

/// A kind of wake-up: a small message to the future, delivered into its port when it is due.
///
/// It is packed into two words, so that calendar entries stay plain data.
///
/// ```
/// # use mist::engine::Wake;
/// #[derive(Clone, Copy)]
/// struct Tick(u32);
/// impl Wake for Tick {
///     fn pack(self) -> [u64; 2] {
///         [u64::from(self.0), 0]
///     }
///     fn unpack(words: [u64; 2]) -> Self {
///         Tick(words[0] as u32)
///     }
/// }
/// ```
pub trait Wake: Copy + Send + Sync + 'static {
    /// Among wake-ups of the same instant lower priorities are delivered first; equal ones in the
    /// order in which they were scheduled.
    const PRIORITY: u8 = 128;
    /// The message as two words.
    fn pack(self) -> [u64; 2];
    /// The message back from its two words.
    fn unpack(words: [u64; 2]) -> Self;
}

/// A wake-up kind chosen at run time: how a sender addresses a receiver whose type it does not know.
///
/// Made by [`SimBuilder::wake`](super::SimBuilder::wake), used with [`Calendar::post`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inbox {
    pub(super) kind: u8,
    priority: u8,
}

/// Pending wake-ups, ordered by (time, priority, sequence number): first in, first out on ties.
#[derive(Resource, Default)]
pub struct Calendar {
    heap: BinaryHeap<Entry>,
    /// What is due at the current instant, scheduled since it began: most of what is scheduled without
    /// delay need not go through the heap.
    soon: Vec<Entry>,
    kinds: Vec<(TypeId, Inbox)>,
    scheduled: u64,
    now: SimTime,
    /// Ticks at the current instant so far, this one included.
    visits: u32,
    stopped: bool,
}

/// Small, for most of what a heap costs is moving its entries.
pub(super) struct Entry {
    time: SimTime,
    /// Priority in the top byte, sequence number below, kind in the lowest byte.
    order: u64,
    pub(super) words: [u64; 2],
}

impl Entry {
    /// What entries are ordered by, as one number: the heap compares it without a branch.
    #[inline]
    const fn key(&self) -> u128 {
        (self.time.as_ns() as u128) << 64 | self.order as u128
    }

    pub(super) const fn kind(&self) -> usize {
        (self.order & 0xff) as usize
    }
}

impl Calendar {
    /// The current instant.
    #[inline]
    pub const fn now(&self) -> SimTime {
        self.now
    }

    /// Whether this is the first tick of the current instant: the one that delivers all that was
    /// scheduled before it. Later ones deliver what it brought about without delay.
    #[inline]
    pub const fn is_first_tick(&self) -> bool {
        self.visits <= 1
    }

    /// Ticks at the current instant so far.
    pub(super) const fn visits(&self) -> u32 {
        self.visits
    }

    /// Schedules `wake` at `time`; a time in the past means now.
    #[inline]
    pub fn at<W: Wake>(&mut self, time: SimTime, wake: W) {
        let id = TypeId::of::<W>();
        let (_, inbox) = *self.kinds.iter().find(|(kind, _)| *kind == id).unwrap_or_else(|| {
            panic!(
                "wake-up {0} is not registered: call `sim.wake::<{0}>()` in the plugin",
                std::any::type_name::<W>()
            )
        });
        self.post(time, inbox, wake.pack());
    }

    /// Schedules `wake` after `delay`.
    #[inline]
    pub fn after<W: Wake>(&mut self, delay: SimSpan, wake: W) {
        self.at(self.now + delay, wake);
    }

    /// Schedules a packed wake-up of the kind behind `inbox`.
    #[inline]
    pub fn post(&mut self, time: SimTime, inbox: Inbox, words: [u64; 2]) {
        self.scheduled += 1;
        let order = u64::from(inbox.priority) << 56 | self.scheduled << 8 | u64::from(inbox.kind);
        let entry = Entry { time: time.max(self.now), order, words };
        if entry.time == self.now && self.visits > 0 {
            self.soon.push(entry);
        } else {
            self.heap.push(entry);
        }
    }

    /// Lets nothing happen after this instant, whatever is still pending.
    pub const fn stop(&mut self) {
        self.stopped = true;
    }

    /// Registers a kind; asking again gives the same answer.
    pub(super) fn register<W: Wake>(&mut self) -> Inbox {
        let id = TypeId::of::<W>();
        if let Some((_, inbox)) = self.kinds.iter().find(|(kind, _)| *kind == id) {
            return *inbox;
        }
        let inbox = Inbox { kind: u8::try_from(self.kinds.len()).unwrap_or(u8::MAX), priority: W::PRIORITY };
        self.kinds.push((id, inbox));
        inbox
    }

    pub(super) fn next_time(&self) -> Option<SimTime> {
        if !self.soon.is_empty() {
            return Some(self.now);
        }
        let next = self.heap.peek().map(|entry| entry.time)?;
        (!self.stopped || next == self.now).then_some(next)
    }

    /// Moves the clock to the earliest instant and everything due then into `due`; `None`, and nothing
    /// done, when nothing is pending up to and including `until`.
    pub(super) fn advance(&mut self, until: SimTime, due: &mut Vec<Entry>) -> Option<SimTime> {
        let now = self.next_time().filter(|next| *next <= until)?;
        self.visits = if now == self.now { self.visits.saturating_add(1) } else { 1 };
        self.now = now;
        due.append(&mut self.soon);
        due.sort_unstable_by_key(|entry| entry.order);
        while self.heap.peek().is_some_and(|entry| entry.time == now) {
            due.extend(self.heap.pop());
        }
        Some(now)
    }

    /// Moves the clock to `time`, which nothing pending may precede.
    pub(super) fn rest_at(&mut self, time: SimTime) {
        debug_assert!(self.next_time().is_none_or(|next| next >= time));
        if time > self.now {
            self.now = time;
            // Everything due then has had its tick.
            self.visits = 1;
        }
    }
}

impl Ord for Entry {
    /// Reversed, for a max-heap that yields the earliest first; the payload takes no part.
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}
