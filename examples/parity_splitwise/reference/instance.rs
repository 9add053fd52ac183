//! An instance of the reference as a batching policy: its selections, on MIST's scheduler.

use std::collections::BTreeMap;

use bevy_ecs::entity::Entity;
use mist::clients::llm::{BatchingPolicy, Receive, Reserve, Scheduler, SeqId};
use mist::units::SimSpan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Book;
use super::cluster::{Cluster, State, Task};
use super::queues::Selection;

/// `SplitwiseInstance` or `ORCAInstance` of the reference.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReferenceInstance {
    /// Its number in the cluster.
    pub instance: usize,
}

/// Transfers that find no room ask again after so long.
const RETRY: SimSpan = SimSpan::from_ns(1_000_000_000);

pub struct Instance {
    at: usize,
    book: Book,
    /// The requests of visits, in the order in which they arrived here.
    arrivals: Vec<u32>,
    /// Whose visit it is that arrives now.
    newcomer: u32,
    /// Whether prompts were in the last step.
    had_prompts: bool,
}

impl Instance {
    pub const fn new(at: usize, book: Book) -> Self {
        Self { at, book, arrivals: Vec::new(), newcomer: 0, had_prompts: false }
    }

    fn request(&self, id: SeqId, scheduler: &Scheduler) -> u32 {
        self.arrivals[scheduler.arrival(id) as usize]
    }

    /// The sequences in some state, by request.
    fn by_request(&self, ids: impl Iterator<Item = SeqId>, scheduler: &Scheduler) -> BTreeMap<u32, SeqId> {
        ids.map(|id| (self.request(id, scheduler), id)).collect()
    }

    /// Tasks of the batch that are done.
    fn done(&self, cluster: &Cluster, here: &BTreeMap<u32, SeqId>) -> Vec<Task> {
        let over = |task: &&Task| !task.decode || !here.contains_key(&task.request);
        cluster.instances[self.at].batch.iter().filter(over).copied().collect()
    }

    /// Puts a selection into effect.
    fn apply(&self, selection: &Selection, cluster: &Cluster, scheduler: &mut Scheduler) {
        let batch = &cluster.instances[self.at].batch;
        let runs = |request: u32| batch.contains(&Task { request, decode: true });
        for (request, id) in self.by_request(scheduler.paused(), scheduler) {
            if runs(request) {
                scheduler.resume(id);
            }
        }
        for (request, id) in self.by_request(scheduler.decodes(), scheduler) {
            if !runs(request) {
                scheduler.pause(id);
            }
        }
        let waiting = self.by_request(scheduler.queue(), scheduler);
        for task in &selection.joined {
            if let Some(id) = waiting.get(&task.request) {
                scheduler.put_first(*id);
                let tokens = scheduler.next_waiting().unwrap_or_default();
                let admitted = scheduler.admit(tokens, Reserve::Prompt);
                debug_assert!(admitted, "the reference keeps at least as much memory");
            }
        }
    }
}

impl BatchingPolicy for Instance {
    fn form(&mut self, scheduler: &mut Scheduler) {
        let book = self.book.clone();
        let mut cluster = book.open();
        let here = self.by_request(scheduler.decodes().chain(scheduler.paused()), scheduler);
        let batch = &cluster.instances[self.at].batch;
        let done = self.done(&cluster, &here);
        let runs = !batch.is_empty();
        let finished = done.iter().any(|task| task.decode);
        let over = runs && (self.had_prompts || finished || cluster.instances[self.at].paused);
        if over {
            cluster.complete(self.at, &done);
        }
        if over || !runs && cluster.instances[self.at].wakes {
            let selection = cluster.start(self.at);
            self.apply(&selection, &cluster, scheduler);
        }
        if cluster.instances[self.at].batch.is_empty() {
            return;
        }
        scheduler.decode_all();
        scheduler.repeat_decodes();
        self.had_prompts = cluster.instances[self.at].batch.iter().any(|task| !task.decode);
    }

    fn idle(&mut self) {
        let mut cluster = self.book.open();
        if !cluster.instances[self.at].batch.is_empty() {
            let done = self.done(&cluster, &BTreeMap::new());
            cluster.complete(self.at, &done);
            cluster.start(self.at);
        }
    }

    fn max_step_tokens(&self) -> u32 {
        2048
    }

    fn arrives(&mut self, request: Entity) {
        self.newcomer = self.book.open().number(request);
        self.arrivals.push(self.newcomer);
    }

    fn arrival_interrupts(&mut self, _: u32, _: &Scheduler) -> bool {
        let mut cluster = self.book.open();
        let request = self.newcomer;
        let (prefills, decodes) = cluster.places(request);
        let comes_with_kv = cluster.task(Task { request, decode: false }).state == State::Done;
        if comes_with_kv {
            debug_assert_eq!(decodes, self.at);
            return cluster.arrives(self.at, Task { request, decode: true });
        }
        debug_assert_eq!(prefills, self.at);
        let mut asks = cluster.arrives(self.at, Task { request, decode: false });
        if prefills == decodes {
            asks |= cluster.arrives(self.at, Task { request, decode: true });
        }
        asks
    }

    fn receive(&mut self, request: Entity, _: u32, _: &Scheduler) -> Receive {
        let mut cluster = self.book.open();
        let bytes = cluster.moving(cluster.number(request));
        let capacity = cluster.memory.capacity;
        let queues = &mut cluster.instances[self.at];
        if queues.memory + bytes > capacity {
            return Receive::Retry(RETRY);
        }
        queues.memory += bytes;
        Receive::IfRoom
    }

    fn kv_left(&mut self, request: Entity) {
        let mut cluster = self.book.open();
        let bytes = cluster.moving(cluster.number(request));
        let queues = &mut cluster.instances[self.at];
        queues.memory -= bytes;
        queues.promised -= bytes.cast_signed();
        cluster.kv_left(self.at);
    }
}
