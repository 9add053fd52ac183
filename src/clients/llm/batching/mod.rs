//! Batching policies: what goes into a client's next step.
//!
//! A policy is asked whenever its client is idle and has work. It looks at the [`Scheduler`] and
//! composes the step with its verbs: [`decode_all`](Scheduler::decode_all),
//! [`continue_prefill`](Scheduler::continue_prefill), [`admit`](Scheduler::admit). It sees prompt
//! lengths, never how long an output will be.
//!
//! To add one: a struct with its parameters in a file of its own, `impl BatchingPolicy`, and a line
//! in [`register`].

mod chunked;
mod continuous;

pub use chunked::Chunked;
pub use continuous::Continuous;

use super::scheduler::Scheduler;

/// Decides what a client's next step computes.
pub trait BatchingPolicy: Send + Sync + 'static {
    /// Composes the next step. Leaving it empty lets the client idle until something reaches it.
    fn form(&mut self, scheduler: &mut Scheduler);

    /// Most tokens a step may compute, prefill and decode together; sizes the activations.
    fn max_step_tokens(&self) -> u32;

    /// The longest prompt it can ever admit, if that is limited; longer ones are rejected.
    fn longest_prompt(&self) -> Option<u32> {
        None
    }

    /// Whether a sequence that arrives in mid-stride may change the next step. `waiting` is the
    /// length of the queue before it. First-come-first-served policies look only at the head.
    fn arrival_interrupts(&self, waiting: usize) -> bool {
        waiting == 0
    }
}
