//! What benchmarks did that scenarios do not say by default: how the client sends, and how other engines batch.
//!
//! All of it enters the simulator through the doors for plugins.

use std::sync::Arc;

use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clients::llm::{BatchingExt, BatchingPolicy, Reserve, Scheduler};
use crate::engine::{SimBuilder, Stream};
use crate::runtime::{
    Chunk, RuntimeExt, RuntimeKind, RuntimeRegistry, StepCost, StepModel, StepShape, Target,
};
use crate::scenario::Choice;
use crate::units::{SimSpan, SimTime, Span};
use crate::workload::SourceError;
use crate::workload::arrivals::{ArrivalExt, ArrivalProcess};

/// Lets scenarios name `BenchClient`, `OnePrompt` and `Cached`.
pub(super) fn plugin(sim: &mut SimBuilder) {
    sim.arrival_process("BenchClient", BenchClient::build)
        .batching_policy::<OnePrompt>("OnePrompt")
        .runtime_model::<Cached>("Cached");
}

/// The client of a closed-loop benchmark.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BenchClient {
    /// Requests in flight, 1 or more. Some clients hold one more than the server has slots.
    pub in_flight: u32,
    /// From one of the first requests to the next; `s(0)` for a burst.
    #[serde(default = "none")]
    pub ramp: Span,
    /// Longest time from the end of a request to the next; each is drawn evenly between nothing and this. Without
    /// any, requests of equal lengths stay in step with each other, which real clients do not.
    #[serde(default = "none")]
    pub turn_round: Span,
    /// Least time from one request that it sends to the next: a client that sends one after another. What ends together
    /// is then followed one by one, which is what takes the requests of many slots out of step.
    #[serde(default = "none")]
    pub send: Span,
}

fn none() -> Span {
    Span::from_secs(0.0)
}

impl BenchClient {
    fn build(self) -> Result<Box<dyn ArrivalProcess>, String> {
        if self.in_flight == 0 {
            return Err("in_flight: must be 1 or more, found 0".to_owned());
        }
        Ok(Box::new(Users { client: self, started: 0, free: SimTime::ZERO }))
    }
}

struct Users {
    client: BenchClient,
    started: u32,
    /// When it can send next.
    free: SimTime,
}

impl Users {
    /// When a request leaves that is ready at `at`.
    fn leave(&mut self, at: SimTime) -> SimTime {
        let send = self.client.send.as_secs();
        if send == 0.0 {
            return at;
        }
        let leaves = at.max(self.free);
        self.free = leaves + SimSpan::from_secs_f64(send);
        leaves
    }
}

impl ArrivalProcess for Users {
    fn next(&mut self, _: &mut Stream) -> Result<Option<SimTime>, SourceError> {
        if self.started == self.client.in_flight {
            return Ok(None);
        }
        let at = f64::from(self.started) * self.client.ramp.as_secs();
        self.started += 1;
        Ok(Some(self.leave(SimTime::ZERO + SimSpan::from_secs_f64(at))))
    }

    fn on_departure(&mut self, now: SimTime, rng: &mut Stream) -> Option<SimTime> {
        let share: f64 = rng.random();
        Some(self.leave(now + SimSpan::from_secs_f64(share * self.client.turn_round.as_secs())))
    }

    fn is_closed(&self) -> bool {
        true
    }
}

/// In-flight batching without chunks, as TensorRT-LLM's guaranteed-no-evict scheduler does it: whole prompts beside
/// everything that decodes, so many a step, admitted when blocks for prompt and output are free.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OnePrompt {
    /// Most prompts in a step.
    pub prompts: u32,
    /// Most tokens in a step.
    pub max_num_tokens: u32,
}

impl BatchingPolicy for OnePrompt {
    fn form(&mut self, scheduler: &mut Scheduler) {
        if scheduler.decode_all() {
            return;
        }
        let mut admitted = 0;
        while admitted < self.prompts {
            let Some(prompt) = scheduler.next_waiting() else { break };
            // `Tokens(0)` holds what the request comes to in all, and no more.
            let room = self.max_num_tokens.saturating_sub(scheduler.step_tokens());
            if (prompt > room && scheduler.step_tokens() > 0) || !scheduler.admit(prompt, Reserve::Tokens(0))
            {
                break;
            }
            admitted += 1;
        }
        if admitted == 0 {
            scheduler.repeat_decodes();
        }
    }

    fn max_step_tokens(&self) -> u32 {
        self.max_num_tokens
    }
}

/// Steps as another runtime model prices them where all of a prompt but its last tokens is cached: what a benchmark of
/// few different prompts measures with prefix caching on. The tokens still count towards the budget of a step.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Cached {
    /// Tokens of a prompt that are computed.
    computed: u32,
    /// The other runtime model.
    #[schemars(extend("x-choice" = "runtime model"))]
    runtime: Choice,
}

impl RuntimeKind for Cached {
    fn compile(&self, target: &Target<'_>) -> Result<Arc<dyn StepModel>, String> {
        let mut sim = SimBuilder::new(0);
        crate::runtime::built_in(&mut sim);
        let registry = sim.world().resource::<RuntimeRegistry>();
        let kind =
            registry.resolve(&self.runtime).map_err(|error| error.into_problem("runtime").message)?.built;
        let (inner, computed) = (kind.compile(target)?, self.computed);
        Ok(Arc::new(move |shape: &StepShape<'_>| -> StepCost {
            let cut = |chunk: &Chunk| {
                let tokens = chunk.tokens.min(computed);
                Chunk { tokens, context: chunk.context + chunk.tokens - tokens, last: chunk.last }
            };
            let prefill: Vec<Chunk> = shape.prefill.iter().map(cut).collect();
            inner.price(&StepShape { prefill: &prefill, ..*shape })
        }))
    }
}
