//! The queues of one instance of the reference, and how it selects a batch from them.

use super::cluster::{Cluster, Limits, State, Task};

/// One instance.
#[derive(Clone, Debug, Default)]
pub struct Queues {
    /// Tasks that wait, in the order of a sort by keys that have changed since.
    pub pending: Vec<Task>,
    /// Prompts among them, first come, first served.
    prompts: Vec<Task>,
    /// Decodes that were squeezed out, in that order.
    blocked: Vec<Task>,
    /// What runs.
    pub batch: Vec<Task>,
    /// Requests here, by arrival.
    pub requests: Vec<u32>,
    /// Tokens of the batch when it was selected.
    batch_tokens: u64,
    /// Bytes of memory in use.
    pub memory: u64,
    /// Bytes that the scheduler has promised.
    pub promised: i64,
    /// Tokens that the scheduler believes pending.
    pub pending_tokens: i64,
    /// Whether the batch is to be selected anew at the next step boundary.
    pub paused: bool,
    /// Whether something is to be selected while nothing runs.
    pub wakes: bool,
}

impl Queues {
    /// None, with memory for weights in use.
    pub fn new(weights: u64) -> Self {
        Self { memory: weights, promised: weights.cast_signed(), ..Self::default() }
    }
}

/// What a selection changes.
pub struct Selection {
    /// Decodes that stop for now.
    pub preempted: Vec<Task>,
    /// Tasks that begin or go on.
    pub joined: Vec<Task>,
}

impl Cluster {
    /// A task arrives at an instance; whether it wants the batch selected anew at the next step boundary.
    pub(super) fn arrives(&mut self, at: usize, task: Task) -> bool {
        self.task_mut(task).state = State::Queued;
        let queues = &mut self.instances[at];
        if let Err(place) = queues.requests.binary_search(&task.request) {
            queues.requests.insert(place, task.request); // requests are numbered as they arrive
        }
        self.add_pending(at, task);
        let queues = &self.instances[at];
        if queues.batch.is_empty() {
            let fits = queues.memory + self.memory_of(task) <= self.memory.capacity;
            self.instances[at].wakes |= fits;
            return fits;
        }
        self.asks(at, task)
    }

    fn asks(&mut self, at: usize, task: Task) -> bool {
        let Some(Limits { tokens, size, .. }) = self.limits else {
            return self.instances[at].batch.len() < self.orca_size && self.pause(at);
        };
        let queues = &self.instances[at];
        let mine = self.tokens_of(task);
        if queues.batch.len() < size && queues.batch_tokens + mine <= tokens {
            return self.pause(at);
        }
        let decodes = queues.batch.iter().filter(|task| task.decode).count() as u64;
        let squeezes = !task.decode && decodes > 0 && queues.batch_tokens - decodes + mine <= tokens;
        squeezes && self.pause(at)
    }

    /// KV of a request has left the instance for another.
    pub(super) fn kv_left(&mut self, at: usize) {
        let queues = &self.instances[at];
        let Some(first) = queues.pending.first().copied() else { return };
        if queues.batch.is_empty() {
            let fits = queues.memory + self.memory_of(first) <= self.memory.capacity;
            self.instances[at].wakes |= fits;
            return;
        }
        let room = match self.limits {
            Some(Limits { tokens, size, .. }) => queues.batch.len() < size && queues.batch_tokens < tokens,
            None => queues.batch.len() < self.orca_size,
        };
        if room {
            self.pause(at);
        }
    }

    fn pause(&mut self, at: usize) -> bool {
        let queues = &mut self.instances[at];
        let can = !queues.paused && queues.batch.iter().all(|task| task.decode);
        queues.paused |= can;
        can
    }

    /// What ran is over for these tasks of the batch.
    pub(super) fn complete(&mut self, at: usize, done: &[Task]) {
        for task in done {
            self.task_mut(*task).state = State::Done;
            let job = self.jobs[task.request as usize];
            let whole = self.memory.bytes(job.prompt + job.output);
            let queues = &mut self.instances[at];
            if task.decode {
                queues.pending_tokens -= 1;
                queues.memory -= whole;
                queues.promised -= whole.cast_signed();
            } else {
                queues.pending_tokens -= i64::from(job.prompt);
            }
            queues.batch.retain(|other| other != task);
            let stays = !task.decode && self.is_together(task.request);
            if !stays {
                self.instances[at].requests.retain(|request| *request != task.request);
            }
        }
        self.instances[at].paused = false;
    }

    /// Selects the next batch.
    pub(super) fn start(&mut self, at: usize) -> Selection {
        self.instances[at].wakes = false;
        let selection = match self.limits {
            Some(limits) => self.select(at, limits),
            None => Selection { preempted: Vec::new(), joined: self.select_orca(at) },
        };
        for task in &selection.preempted {
            self.task_mut(*task).state = State::Blocked;
            self.instances[at].batch.retain(|other| other != task);
            self.add_pending(at, *task);
            self.instances[at].blocked.push(*task);
        }
        for task in &selection.joined {
            let queues = &mut self.instances[at];
            for queue in [&mut queues.pending, &mut queues.prompts, &mut queues.blocked] {
                queue.retain(|other| other != task);
            }
            queues.batch.push(*task);
        }
        for request in self.instances[at].requests.clone() {
            let head = self.head(request);
            if !self.instances[at].batch.contains(&head) {
                self.task_mut(head).preemptions += 1;
            }
        }
        let queues = &self.instances[at];
        if queues.batch.is_empty() && queues.requests.is_empty() {
            self.goes_home(at);
        }
        for task in &selection.joined {
            if self.task(*task).state == State::Queued {
                self.instances[at].memory += self.memory_of(*task);
            }
            self.task_mut(*task).state = State::Running;
        }
        selection
    }

    /// The task of a request at its instance that is first to be done.
    fn head(&self, request: u32) -> Task {
        let prompt = Task { request, decode: false };
        if self.task(prompt).state == State::Done { Task { request, decode: true } } else { prompt }
    }

    fn add_pending(&mut self, at: usize, task: Task) {
        let key = |task: Task| (self.task(task).preemptions, task.request);
        // As `bisect.insort` does, whether the list is sorted or not.
        let (mut low, mut high) = (0, self.instances[at].pending.len());
        while low < high && self.limits.is_some() {
            let middle = usize::midpoint(low, high);
            let before = key(task) < key(self.instances[at].pending[middle]);
            if before {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        let place = if self.limits.is_some() { low } else { high };
        let queues = &mut self.instances[at];
        queues.pending.insert(place, task);
        if !task.decode {
            queues.prompts.push(task);
        }
    }

    fn select_orca(&self, at: usize) -> Vec<Task> {
        let queues = &self.instances[at];
        let (mut joined, mut memory) = (Vec::new(), queues.memory);
        for request in &queues.requests {
            if queues.batch.len() + joined.len() == self.orca_size {
                break;
            }
            let head = self.head(*request);
            if queues.batch.contains(&head) {
                continue;
            }
            memory += self.memory_of(head);
            if memory > self.memory.capacity {
                break;
            }
            joined.push(head);
        }
        joined
    }

    fn select(&mut self, at: usize, limits: Limits) -> Selection {
        let queues = &self.instances[at];
        let mut choice = Choice {
            cluster: self,
            limits,
            memory: queues.memory,
            tokens: 0,
            tasks: Vec::new(),
            requests: Vec::new(),
        };
        for task in &queues.pending {
            if choice.cluster.task(*task).preemptions < limits.preemptions || choice.is_full(*task) {
                break;
            }
            choice.add_if_fits(*task); // who does not fit is passed over
        }
        for task in &queues.prompts {
            if choice.is_full(*task) || !choice.add_if_fits(*task) {
                break;
            }
        }
        for task in queues.blocked.iter().chain(&queues.batch) {
            if choice.is_full(*task) {
                break;
            }
            choice.add_if_fits(*task);
        }
        for request in &queues.requests {
            let head = choice.cluster.head(*request);
            let chosen = choice.requests.binary_search(request).is_ok();
            if choice.tasks.len() == limits.size || !chosen && choice.is_full(head) {
                break;
            }
            if !choice.add_if_fits(head) {
                break;
            }
        }
        let Choice { tokens, tasks, .. } = choice;
        let old = &self.instances[at].batch;
        let preempted = old.iter().filter(|task| !tasks.contains(task)).copied().collect();
        let joined = tasks.iter().filter(|task| !old.contains(task)).copied().collect();
        self.instances[at].batch_tokens = tokens;
        Selection { preempted, joined }
    }
}

/// A batch in the making.
struct Choice<'a> {
    cluster: &'a Cluster,
    limits: Limits,
    memory: u64,
    tokens: u64,
    tasks: Vec<Task>,
    /// Sorted.
    requests: Vec<u32>,
}

impl Choice<'_> {
    /// Whether there is no room for `task`; the first one always has.
    fn is_full(&self, task: Task) -> bool {
        let more = self.tokens + self.cluster.tokens_of(task);
        self.tasks.len() == self.limits.size || !self.tasks.is_empty() && more > self.limits.tokens
    }

    /// Adds `task`, unless its request is in already or its memory is short; `false` in that case.
    fn add_if_fits(&mut self, task: Task) -> bool {
        let Err(place) = self.requests.binary_search(&task.request) else { return true };
        if self.cluster.task(task).state == State::Queued {
            let memory = self.memory + self.cluster.memory_of(task);
            if memory > self.cluster.memory.capacity {
                return false;
            }
            self.memory = memory;
        }
        self.requests.insert(place, task.request);
        self.tokens += self.cluster.tokens_of(task);
        self.tasks.push(task);
        true
    }
}
