//! Several models on one client, one at a time in device memory.
//!
//! ```text
//!                       ┌─ the model's turn, nobody of another waits ─▶ LlmClient (queue, KV, steps)
//!  Delivered<Shared> ─▶ ┤                                                    ▲ when it is drained:
//!                       └─ else ─▶ queue of all models, in order of arrival ─┴─ swap, then the head
//! ```
//!
//! Each model has an [`LlmClient`] of its own: scheduler, KV blocks, batching, step prices. The one whose
//! turn it is stands in the client's entity, where the systems of clients of one model find it; the others
//! are parked here. Requests are taken first come, first served across models: once one waits for another
//! model, later ones wait behind it, the sequences that are there run to their end (the client *drains*),
//! and the model at the head of the queue is loaded. With `stay` the requests of a model go ahead of those
//! of others for so long after it was loaded, as long as there are any.
//!
//! A swap takes the weights of the model over the host link of every device at once: bytes a device /
//! bandwidth [s]; what leaves is dropped, as the host has it still. KV that was kept for later stages or
//! prompts is lost and computed again.
//!
//! In real systems this is vLLM's sleep mode at level 1 (weights wait in host memory, KV is dropped)
//! with a proxy such as llama-swap before it, Ollama where memory holds one model at a time (it takes
//! requests in order of arrival; `keep_alive` unloads a model that idles, which here costs nothing and is
//! left out), or Triton with explicit model control.
//! Left out: starting a server process, reading weights from disk, compiling and capturing graphs, which
//! a stated `swap` may stand for; loading while the other model drains; models that fit side by side,
//! which are two clients with a part of the memory each.

use std::collections::VecDeque;

use bevy_ecs::component::Component;
use bevy_ecs::entity::Entity;

use super::{LlmClient, StrideEnd};
use crate::clients::Usage;
use crate::request::pipeline::Work;
use crate::request::{Rejection, Text};
use crate::runtime::Bound;
use crate::units::{SimSpan, SimTime};

/// The models of a client that serves several, and the requests that wait for a change.
#[derive(Component)]
pub struct Shelf {
    models: Vec<Parked>,
    /// The one whose turn it is.
    turn: usize,
    loading: Option<Loading>,
    /// In the order of arrival, of all models.
    queue: VecDeque<Waiting>,
    stay: SimSpan,
    stays_until: SimTime,
    /// What the client's usage had when the turn began, in blocks of the first model.
    mark: Mark,
}

/// A model of a client that serves several.
pub struct Parked {
    /// Its number in the deployment.
    pub model: u16,
    /// How long it takes to load.
    pub swap: SimSpan,
    /// What serves it, unless it is its turn.
    pub client: Option<LlmClient>,
    /// Its KV blocks.
    pub blocks: u64,
}

/// A model on its way into device memory.
#[derive(Clone, Copy)]
struct Loading {
    model: usize,
    since: SimTime,
}

/// A stage that waits for a change of models.
struct Waiting {
    stage: Entity,
    work: Work,
    base: Option<u32>,
    text: Option<Text>,
    model: usize,
}

#[derive(Clone, Copy, Default)]
struct Mark {
    block_ns: u128,
    peak: u64,
}

impl Shelf {
    /// `models` of a client, the first of them loaded: what serves that one stands in the client's entity.
    pub fn new(models: Vec<Parked>, stay: SimSpan) -> Self {
        Self {
            models,
            turn: 0,
            loading: None,
            queue: VecDeque::new(),
            stay,
            stays_until: SimTime::ZERO + stay,
            mark: Mark::default(),
        }
    }

    /// The number in the deployment of the model whose turn it is, unless another is being loaded.
    pub fn loaded(&self) -> Option<u16> {
        self.loading.is_none().then(|| self.models[self.turn].model)
    }

    /// Stages that wait for a change of models.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Takes in a stage, or says why it cannot be served here. When that cuts the stride under way
    /// short, tells its new end. Stages that come to a step boundary must have had
    /// [`catch_up`](LlmClient::catch_up) before.
    ///
    /// # Errors
    /// It cannot be served.
    pub fn accept(
        &mut self,
        llm: &mut LlmClient,
        stage: Entity,
        (work, base): (Work, Option<u32>),
        text: Option<&Text>,
        now: SimTime,
    ) -> Result<Option<StrideEnd>, Rejection> {
        let model = self.position(work.model);
        let serves = self.models[model].client.as_ref().unwrap_or(llm);
        if let Some(rejection) = serves.refuses(&work, base) {
            return Err(rejection);
        }
        let first = self.queue.is_empty() || now < self.stays_until && !llm.scheduler().is_empty();
        if self.loading.is_none() && model == self.turn && first {
            return Ok(llm.enqueue(stage, &work, base, text, now));
        }
        self.queue.push_back(Waiting { stage, work, base, text: text.cloned(), model });
        Ok(None)
    }

    /// Begins to load the model at the head of the queue, if there is one and `llm` is drained; tells
    /// when it is there.
    pub fn begin(&mut self, llm: &LlmClient, now: SimTime) -> Option<SimTime> {
        if self.loading.is_some() || llm.is_busy() || !llm.scheduler().is_empty() {
            return None;
        }
        let model = self.queue.front()?.model;
        debug_assert!(model != self.turn, "those of the model whose turn it is have been let in");
        self.loading = Some(Loading { model, since: now });
        Some(now + self.models[model].swap)
    }

    /// The model that was being loaded is there: takes the place of `llm` and lets in who waits for it.
    pub fn end(&mut self, llm: &mut LlmClient, now: SimTime, usage: &mut Usage) {
        llm.settle_idle(now, usage);
        self.settle(now, usage);
        usage.kv_blocks_peak = 0;
        usage.swaps += 1;
        let Some(Loading { model, .. }) = self.loading.take() else { return };
        let Some(mut next) = self.models[model].client.take() else { return };
        llm.give_way(&mut next, now);
        self.models[self.turn].client = Some(next);
        self.turn = model;
        self.stays_until = now + self.stay;
        self.let_in(llm, now);
    }

    /// Lets in who waits for the model whose turn it is: up to the first of another model, or all of them
    /// if it stays for some time.
    fn let_in(&mut self, llm: &mut LlmClient, now: SimTime) {
        let mut at = 0;
        while let Some(waiting) = self.queue.get(at) {
            if waiting.model != self.turn {
                if self.stay == SimSpan::ZERO {
                    break;
                }
                at += 1;
            } else if let Some(Waiting { stage, work, base, text, .. }) = self.queue.remove(at) {
                let cut = llm.enqueue(stage, &work, base, text.as_ref(), now);
                debug_assert!(cut.is_none(), "nothing is under way when a model has just been loaded");
            }
        }
    }

    /// KV of a model that is parked is no longer needed; `false` if it is that model's turn.
    pub fn release(&mut self, model: u16, id: u32) -> bool {
        let at = self.position(model);
        let parked = self.models[at].client.as_mut();
        parked.map(|parked| parked.release_parked(id)).is_some()
    }

    /// Brings `usage` up to `now`, at the end of a turn or of the run: time of a swap under way, and KV in
    /// blocks of the first model.
    pub fn settle(&mut self, now: SimTime, usage: &mut Usage) {
        if let Some(loading) = &mut self.loading {
            let span = now.since(loading.since);
            loading.since = now;
            usage.busy[Bound::Host as usize] += span;
            usage.swapping += span;
        }
        let (to, from) = (self.models[0].blocks, self.models[self.turn].blocks.max(1));
        let Mark { block_ns, peak } = self.mark;
        let since = usage.kv_block_ns - block_ns;
        usage.kv_block_ns = block_ns + since * u128::from(to) / u128::from(from);
        let scaled = u128::from(usage.kv_blocks_peak) * u128::from(to) / u128::from(from);
        usage.kv_blocks_peak = peak.max(scaled as u64);
        self.mark = Mark { block_ns: usage.kv_block_ns, peak: usage.kv_blocks_peak };
    }

    fn position(&self, model: u16) -> usize {
        let at = self.models.iter().position(|parked| parked.model == model);
        at.unwrap_or_default() // stages are routed to clients that serve their model
    }
}
