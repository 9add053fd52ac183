//! Batching policies: what goes into a client's next step.
//!
//! A policy is asked whenever its client is idle and has work. It looks at the [`Scheduler`] and
//! composes the step with its verbs: [`decode_all`](Scheduler::decode_all),
//! [`continue_prefill`](Scheduler::continue_prefill), [`admit`](Scheduler::admit), and where it
//! must be [`preempt_last`](Scheduler::preempt_last) or [`pause`](Scheduler::pause); where the next step would
//! be composed the same, it says so with [`repeat_decodes`](Scheduler::repeat_decodes). It sees prompt lengths,
//! never how long an output will be.
//!
//! To add one: a struct with its parameters in a file of its own, `impl BatchingPolicy`, and a line
//! in [`built_in`].

mod chunked;
mod continuous;
mod mixed;
mod orca;
mod sglang;
mod static_batches;

pub use chunked::{Blocks, Chunked};
pub use continuous::Continuous;
pub use mixed::Mixed;
pub use orca::Orca;
pub use sglang::Sglang;
pub use static_batches::Static;

use bevy_ecs::entity::Entity;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::scheduler::Scheduler;
use crate::engine::SimBuilder;
use crate::memory::BlockPool;
use crate::request::Rejection;
use crate::scenario::Registry;
use crate::units::SimSpan;

/// What becomes of KV that is to move to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receive {
    /// It sets out if there is room for it, or waits in line until there is.
    IfRoom,
    /// It waits in line.
    Later,
    /// It is asked for again after so long, whatever happens until then.
    Retry(SimSpan),
}

/// Decides what a client's next step computes.
pub trait BatchingPolicy: Send + Sync + 'static {
    /// Composes the next step. Leaving it empty lets the client idle until something reaches it.
    fn form(&mut self, scheduler: &mut Scheduler);

    /// Most tokens a step may compute, prefill and decode together; sizes the activations.
    fn max_step_tokens(&self) -> u32;

    /// A step is to be a round of several batches at once, those in so many `stages` of a pipeline, times so many
    /// `copies` of attention; limits of a batch hold for each of them. Whether the policy can do that; asked before
    /// anything else, if there is more than one.
    fn compose_rounds(&mut self, stages: u32, copies: u32) -> bool {
        let _ = (stages, copies);
        false
    }

    /// The longest prompt it can ever admit, if that is limited; longer ones are rejected.
    fn longest_prompt(&self) -> Option<u32> {
        None
    }

    /// A visit of `request` reaches the client; asked before
    /// [`arrival_interrupts`](Self::arrival_interrupts), in the same order as sequences [arrive](Scheduler::arrival).
    /// For policies that tell requests apart.
    fn arrives(&mut self, request: Entity) {
        let _ = request;
    }

    /// Whether KV of `tokens` tokens of `request` may set out for this client now.
    fn receive(&mut self, request: Entity, tokens: u32, scheduler: &Scheduler) -> Receive {
        let _ = (request, tokens, scheduler);
        Receive::IfRoom
    }

    /// KV of `request` has moved from here to another client. The policy is asked for the next step anew.
    fn kv_left(&mut self, request: Entity) {
        let _ = request;
    }

    /// Why a prompt with so many tokens to compute can never be served with these KV blocks, if it cannot:
    /// it is turned away when it comes.
    fn refuses(&self, prompt: u32, kv: &BlockPool) -> Option<Rejection> {
        let _ = kv;
        self.longest_prompt().is_some_and(|longest| prompt > longest).then_some(Rejection::PromptTooLong)
    }

    /// Most tokens of a prompt that a step computes, where blocks are taken for them alone; `None` where
    /// blocks are taken for the whole prompt.
    fn largest_chunk(&self) -> Option<u32> {
        None
    }

    /// Blocks that stay free when a sequence that was swapped out comes back, while others run.
    fn watermark(&self, kv: &BlockPool) -> u64 {
        let _ = kv;
        0
    }

    /// Whether sequences may have to give way for want of KV blocks.
    fn preempts(&self) -> bool {
        true
    }

    /// The client has nothing to do: no sequence waits or runs. Called at least once each time that is so.
    fn idle(&mut self) {}

    /// Whether a request with `prompt` tokens to compute that now reaches the client, and is not in the queue yet,
    /// may change the next step. If not, and steps [repeat](Scheduler::repeat_decodes), the policy is
    /// not asked again before one of the running sequences completes. Asked at every arrival, also
    /// when nothing repeats. Most policies look only at the head of the queue; where the
    /// [packing policy](super::PackingPolicy) puts the newcomer ahead of others, the stride is cut whatever is
    /// said here.
    fn arrival_interrupts(&mut self, prompt: u32, scheduler: &Scheduler) -> bool {
        let _ = prompt;
        scheduler.waiting() == 0
    }
}

/// Makes a policy for each client of an entry.
pub type MakeBatching = Box<dyn Fn() -> Box<dyn BatchingPolicy> + Send + Sync>;

/// The batching policies a scenario may name.
pub type BatchingRegistry = Registry<MakeBatching>;

/// Adds batching policies by name.
pub trait BatchingExt {
    /// Lets scenarios name the batching policy `P`, whose fields are its parameters.
    fn batching_policy<P>(&mut self, name: &'static str) -> &mut Self
    where
        P: BatchingPolicy + Clone + DeserializeOwned + Serialize + JsonSchema;
}

impl BatchingExt for SimBuilder {
    fn batching_policy<P>(&mut self, name: &'static str) -> &mut Self
    where
        P: BatchingPolicy + Clone + DeserializeOwned + Serialize + JsonSchema,
    {
        let mut registry =
            self.world().get_resource_or_insert_with(|| BatchingRegistry::new("batching policy"));
        registry.register(name, |policy: P| {
            Ok(Box::new(move || Box::new(policy.clone()) as Box<dyn BatchingPolicy>) as MakeBatching)
        });
        self
    }
}

/// The built-in batching policies.
pub fn built_in(sim: &mut SimBuilder) {
    sim.batching_policy::<Chunked>("Chunked")
        .batching_policy::<Continuous>("Continuous")
        .batching_policy::<Mixed>("Mixed")
        .batching_policy::<Orca>("Orca")
        .batching_policy::<Sglang>("SGLang")
        .batching_policy::<Static>("Static");
}

/// Reads the tokens of a step, at least one: with none nothing would ever be computed.
fn budget<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        0 => Err(de::Error::custom("must be at least 1, found 0")),
        tokens => Ok(tokens),
    }
}

/// Reads a number from 0 to below 1: with all blocks kept free nobody could join those who run.
fn watermark<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    if (0.0..1.0).contains(&value) {
        Ok(value)
    } else {
        Err(de::Error::custom(format!("watermark must be 0 to below 1, found {value}")))
    }
}
