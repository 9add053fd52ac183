//! What the reference knows of all its instances and of the whole trace.

use std::collections::HashMap;

use bevy_ecs::entity::Entity;

use super::queues::Queues;
use super::router::Router;

/// A request of the trace; its number is its place there.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// When it arrives [s].
    pub arrival: f64,
    /// Tokens of the prompt.
    pub prompt: u32,
    /// Tokens of the answer.
    pub output: u32,
}

/// Memory of an instance.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// All of it [B].
    pub capacity: u64,
    /// What the weights take [B].
    pub weights: u64,
    /// What the KV of a token takes [B].
    pub token: u64,
}

impl Memory {
    /// Of so many tokens [B].
    pub const fn bytes(self, tokens: u32) -> u64 {
        self.token * tokens as u64
    }

    /// Tokens that fit beside the weights.
    pub const fn tokens(self) -> u64 {
        (self.capacity - self.weights) / self.token
    }
}

/// Limits of a `SplitwiseInstance`; an `ORCAInstance` has none but the number of its tasks.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Tasks in a batch.
    pub size: usize,
    /// Tokens in a batch.
    pub tokens: u64,
    /// Selections that a task may be passed over in.
    pub preemptions: u32,
}

/// A prompt, or a decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    pub request: u32,
    pub decode: bool,
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    #[default]
    None,
    Queued,
    Running,
    Blocked,
    Done,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct TaskBook {
    pub state: State,
    pub preemptions: u32,
}

/// All of it.
pub struct Cluster {
    pub(super) jobs: Vec<Job>,
    pub(super) memory: Memory,
    pub(super) limits: Option<Limits>,
    pub(super) orca_size: usize,
    pub(super) instances: Vec<Queues>,
    pub(super) router: Router,
    tasks: Vec<[TaskBook; 2]>,
    /// Who prefills and who decodes a request.
    places: Vec<(usize, usize)>,
    numbers: HashMap<Entity, u32>,
}

impl Cluster {
    /// An idle cluster that will be asked to serve `jobs`, routed by `router`.
    pub fn new(jobs: Vec<Job>, memory: Memory, limits: Option<Limits>, router: Router) -> Self {
        let idle = Queues::new(memory.weights);
        Self {
            tasks: vec![[TaskBook::default(); 2]; jobs.len()],
            places: vec![(0, 0); jobs.len()],
            instances: vec![idle; router.instances()],
            numbers: HashMap::new(),
            orca_size: 512,
            jobs,
            memory,
            limits,
            router,
        }
    }

    pub(super) fn task(&self, task: Task) -> TaskBook {
        self.tasks[task.request as usize][usize::from(task.decode)]
    }

    pub(super) fn task_mut(&mut self, task: Task) -> &mut TaskBook {
        &mut self.tasks[task.request as usize][usize::from(task.decode)]
    }

    /// Tokens that a step of the task computes.
    pub(super) fn tokens_of(&self, task: Task) -> u64 {
        if task.decode { 1 } else { u64::from(self.jobs[task.request as usize].prompt) }
    }

    /// Memory that a task takes when it begins [B].
    pub(super) fn memory_of(&self, task: Task) -> u64 {
        let Job { prompt, output, .. } = self.jobs[task.request as usize];
        self.memory.bytes(if task.decode { output - 1 } else { prompt + 1 })
    }

    /// Memory of the KV that moves, with a token to come [B].
    pub(super) fn moving(&self, request: u32) -> u64 {
        self.memory.bytes(self.jobs[request as usize].prompt + 1)
    }

    /// A request has its number and its places.
    pub(super) fn place(&mut self, entity: Entity, request: u32, places: (usize, usize)) {
        self.numbers.insert(entity, request);
        self.places[request as usize] = places;
    }

    pub(super) fn number(&self, entity: Entity) -> u32 {
        self.numbers[&entity]
    }

    pub(super) fn places(&self, request: u32) -> (usize, usize) {
        self.places[request as usize]
    }

    /// Whether one instance prefills and decodes a request.
    pub(super) fn is_together(&self, request: u32) -> bool {
        let (prefill, decode) = self.places(request);
        prefill == decode
    }
}
