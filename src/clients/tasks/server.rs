//! A client of tasks as plain Rust: its queue, and what it is at.

use std::collections::VecDeque;
use std::sync::Arc;

use bevy_ecs::component::Component;
use bevy_ecs::entity::Entity;

use super::{Discipline, Part, TaskModel};
use crate::clients::Usage;
use crate::engine::Stream;
use crate::runtime::Bound;
use crate::units::{SimSpan, SimTime};

/// A client of tasks.
#[derive(Component)]
pub struct TaskServer<M: TaskModel> {
    pub(super) model: Arc<M>,
    pub(super) draws: Stream,
    queue: VecDeque<Entity>,
    /// The batch under way, or the tasks on cores.
    running: Vec<Running>,
    /// Time by part, over all batches.
    parts: Vec<(&'static str, SimSpan)>,
    /// The batch under way: its parts, and when they began.
    batch: Vec<Part>,
    begun: SimTime,
}

/// A task under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    pub stage: Entity,
    pub end: SimTime,
    begun: SimTime,
    /// What most of it goes into.
    bound: Bound,
}

impl<M: TaskModel> TaskServer<M> {
    /// An idle client with random draws of its own.
    pub fn new(model: Arc<M>, draws: Stream) -> Self {
        Self {
            model,
            draws,
            queue: VecDeque::new(),
            running: Vec::new(),
            parts: Vec::new(),
            batch: Vec::new(),
            begun: SimTime::ZERO,
        }
    }

    /// Time spent by part, in the order in which parts first came.
    pub fn parts(&self) -> &[(&'static str, SimSpan)] {
        &self.parts
    }

    /// Tasks that wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn enqueue(&mut self, stage: Entity) {
        self.queue.push_back(stage);
    }

    /// The next task, where each is served by itself and a core is free.
    pub(super) fn next_task(&mut self) -> Option<Entity> {
        let Discipline::Sequential { cores } = self.model.discipline() else { return None };
        if self.running.len() < cores.max(1) as usize { self.queue.pop_front() } else { None }
    }

    /// The tasks that begin together, where they do and the client is idle.
    pub(super) fn next_batch(&mut self) -> impl Iterator<Item = Entity> {
        let most = match self.model.discipline() {
            Discipline::Batched { max_batch } if self.running.is_empty() => max_batch.max(1) as usize,
            _ => 0,
        };
        let count = most.min(self.queue.len());
        self.queue.drain(..count)
    }

    /// A task begins at `now` and takes `parts`: when it ends.
    pub(super) fn begin_task(&mut self, now: SimTime, stage: Entity, parts: &[Part]) -> Running {
        let longest = parts.iter().max_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let bound = longest.map_or(Bound::default(), |part| part.bound);
        let running = Running { stage, end: now + whole(parts), begun: now, bound };
        for part in parts {
            note(&mut self.parts, part.name, SimSpan::from_secs_f64(part.seconds));
        }
        self.running.push(running);
        running
    }

    /// `batch` begins at `now` and takes `parts`; each task ends after what it says, or with the batch.
    /// Answers with the ends.
    pub(super) fn begin_batch(
        &mut self,
        now: SimTime,
        batch: impl Iterator<Item = (Entity, Option<f64>)>,
        parts: &[Part],
    ) -> &[Running] {
        self.batch.clear();
        self.batch.extend_from_slice(parts);
        self.begun = now;
        let whole = whole(parts);
        let end = |leaves: Option<f64>| now + leaves.map_or(whole, |seconds| span(seconds).min(whole));
        let running =
            |(stage, leaves)| Running { stage, end: end(leaves), begun: now, bound: Bound::default() };
        self.running.extend(batch.map(running));
        &self.running
    }

    /// The task `stage` ends at `now`.
    pub(super) fn end(&mut self, stage: Entity, now: SimTime, usage: &mut Usage) {
        let at = self.running.iter().position(|running| running.stage == stage);
        let ended = self.running.remove(at.expect("what ends was begun"));
        usage.batch_seqs += 1;
        match self.model.discipline() {
            Discipline::Batched { .. } if self.running.is_empty() => self.account(now, usage),
            Discipline::Batched { .. } => {}
            Discipline::Sequential { cores } => {
                usage.steps += 1;
                account_task(&ended, cores, now, usage);
            }
        }
        usage.last_step_end = now;
    }

    /// Enters what is under way at `now` into the books, where the simulation stops.
    pub(super) fn settle(&mut self, now: SimTime, usage: &mut Usage) {
        match self.model.discipline() {
            Discipline::Sequential { cores } => {
                self.running.iter().for_each(|running| account_task(running, cores, now, usage));
            }
            Discipline::Batched { .. } if !self.running.is_empty() => self.account(now, usage),
            Discipline::Batched { .. } => {}
        }
    }

    /// Enters the batch that ends or stops at `now` into the books.
    fn account(&mut self, now: SimTime, usage: &mut Usage) {
        let whole: f64 = self.batch.iter().map(|part| part.seconds).sum();
        let total = now.since(self.begun).as_ns();
        let (mut seconds, mut from) = (0.0, 0);
        for part in &self.batch {
            seconds += part.seconds;
            let to = if whole > 0.0 { (total as f64 * (seconds / whole) + 0.5) as u64 } else { total };
            let span = SimSpan::from_ns(to.min(total) - from);
            from = to.min(total);
            usage.busy[part.bound as usize] += span;
            note(&mut self.parts, part.name, span);
        }
        usage.steps += 1;
    }
}

/// Enters a task that has had a core to itself until `now` into the books.
fn account_task(task: &Running, cores: u32, now: SimTime, usage: &mut Usage) {
    let span = now.since(task.begun).as_ns() / u64::from(cores.max(1));
    usage.busy[task.bound as usize] += SimSpan::from_ns(span);
}

/// Work takes at least a nanosecond.
fn span(seconds: f64) -> SimSpan {
    SimSpan::from_secs_f64(seconds).max(SimSpan::from_ns(1))
}

fn whole(parts: &[Part]) -> SimSpan {
    span(parts.iter().map(|part| part.seconds).sum())
}

fn note(parts: &mut Vec<(&'static str, SimSpan)>, name: &'static str, span: SimSpan) {
    match parts.iter_mut().find(|part| part.0 == name) {
        Some(part) => part.1 += span,
        None => parts.push((name, span)),
    }
}
