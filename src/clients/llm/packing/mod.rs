//! Packing policies: in which order a client admits the sequences that wait.
//!
//! A [batching policy](super::BatchingPolicy) admits from the head of the queue and stops where the head
//! does not fit; who stands at the head is decided here (§III-E of the paper). A policy turns what a server
//! knows of a request into a key, and the smallest key is first. No policy sees how long an output will be.
//!
//! ```text
//!  Arrival   a plain queue; who is preempted goes back to the head     O(1)
//!  Key       a key for as long as a sequence waits, ties by arrival    O(log n) a sequence
//!  Changing  keys that change meanwhile, looked at before each step    O(n log n) a step
//! ```
//!
//! To add one: a struct with its parameters in a file of its own, `impl PackingPolicy`, and a line in
//! [`built_in`].

mod fcfs;
mod least_work_left;
mod longest_prefix_match;
mod priority;
mod shortest_prompt;

pub use fcfs::Fcfs;
pub use least_work_left::LeastWorkLeft;
pub use longest_prefix_match::LongestPrefixMatch;
pub use priority::Priority;
pub use shortest_prompt::ShortestPrompt;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::SimBuilder;
use crate::scenario::Registry;
use crate::units::SimTime;

/// What a packing policy may know of a sequence that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens that must be computed before the next one is generated: the prompt, and after a preemption
    /// what was generated, without [`cached_tokens`](Self::cached_tokens).
    pub left_tokens: u32,
    /// Tokens from the start of the text whose KV is there.
    pub cached_tokens: u32,
    /// Tokens generated so far: none, unless it was preempted.
    pub generated_tokens: u32,
    /// The request's own: lower values are more urgent.
    pub priority: i16,
    /// When it reached the client.
    pub arrived: SimTime,
}

/// When the order of a queue is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By arrival; keys are not asked for.
    Arrival,
    /// By the key that a sequence has when it joins the queue.
    Key,
    /// By the keys that sequences have when a step is composed; by arrival while more than `most` wait.
    Changing {
        /// Most that are sorted.
        most: usize,
    },
}

/// Decides in which order sequences are admitted.
pub trait PackingPolicy: Send + Sync + 'static {
    /// When the order is decided.
    fn order(&self) -> Order {
        Order::Key
    }

    /// The place of a sequence in the queue: the smallest is first, ties go by arrival.
    fn key(&self, waiting: &Waiting) -> i128;

    /// Whether, where memory is short, the running sequence with the largest key is preempted instead of the
    /// one that was admitted last. For keys that stay the same while a sequence runs.
    fn preempts_largest(&self) -> bool {
        false
    }

    /// Whether priorities of requests have an effect.
    fn reads_priority(&self) -> bool {
        false
    }

    /// Whether it goes by [`cached_tokens`](Waiting::cached_tokens) and nothing else.
    fn reads_cached_tokens(&self) -> bool {
        false
    }
}

/// Makes a policy for each client of an entry.
pub type MakePacking = Box<dyn Fn() -> Box<dyn PackingPolicy> + Send + Sync>;

/// The packing policies a scenario may name.
pub type PackingRegistry = Registry<MakePacking>;

/// Adds packing policies by name.
pub trait PackingExt {
    /// Lets scenarios name the packing policy `P`, whose fields are its parameters.
    fn packing_policy<P>(&mut self, name: &'static str) -> &mut Self
    where
        P: PackingPolicy + Clone + DeserializeOwned + Serialize + JsonSchema;
}

impl PackingExt for SimBuilder {
    fn packing_policy<P>(&mut self, name: &'static str) -> &mut Self
    where
        P: PackingPolicy + Clone + DeserializeOwned + Serialize + JsonSchema,
    {
        let mut registry =
            self.world().get_resource_or_insert_with(|| PackingRegistry::new("packing policy"));
        registry.register(name, |policy: P| {
            Ok(Box::new(move || Box::new(policy.clone()) as Box<dyn PackingPolicy>) as MakePacking)
        });
        self
    }
}

/// The built-in packing policies.
pub fn built_in(sim: &mut SimBuilder) {
    sim.packing_policy::<Fcfs>("Fcfs")
        .packing_policy::<LeastWorkLeft>("LeastWorkLeft")
        .packing_policy::<LongestPrefixMatch>("LongestPrefixMatch")
        .packing_policy::<Priority>("Priority")
        .packing_policy::<ShortestPrompt>("ShortestPrompt");
}
