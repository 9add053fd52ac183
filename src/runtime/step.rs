//! The shape of an LLM step, its cost, and the interface between the two.

use serde::Serialize;

use super::{Item, Part};

/// A piece of one prompt that a step computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// Prompt tokens computed in this step.
    pub tokens: u32,
    /// Tokens of the same sequence whose KV exists already.
    pub context: u32,
    /// Whether the prompt is complete after this step, which then samples a token; never so in an encoder.
    pub last: bool,
}

/// One forward pass, as the runtime model sees it.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepShape<'a> {
    /// The prompts, or pieces of prompts, in the step.
    pub prefill: &'a [Chunk],
    /// Sequences that decode one token each.
    pub decode_seqs: u32,
    /// Σ over decoding sequences of the tokens each attends to, its own included.
    pub decode_context: u64,
}

impl StepShape<'_> {
    /// Σ chunk: prompt tokens in the step.
    pub fn prefill_tokens(&self) -> u64 {
        self.prefill.iter().map(|chunk| u64::from(chunk.tokens)).sum()
    }

    /// Tokens in the step, prefill and decode.
    pub fn tokens(&self) -> u64 {
        self.prefill_tokens() + u64::from(self.decode_seqs)
    }

    /// Σ chunk·(context + (chunk + 1)/2): query-key pairs that causal prefill attention scores.
    pub fn prefill_pairs(&self) -> f64 {
        self.prefill
            .iter()
            .map(|chunk| {
                f64::from(chunk.tokens) * (f64::from(chunk.context) + (f64::from(chunk.tokens) + 1.0) / 2.0)
            })
            .sum()
    }

    /// Σ (context + chunk): KV entries that prefill attention reads.
    pub fn prefill_context(&self) -> u64 {
        self.prefill.iter().map(|chunk| u64::from(chunk.context) + u64::from(chunk.tokens)).sum()
    }

    /// Sequences that sample a token at the end of the step.
    pub fn sampled(&self) -> u64 {
        u64::from(self.decode_seqs) + self.prefill.iter().filter(|chunk| chunk.last).count() as u64
    }
}

/// What most of a step's time went into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Arithmetic at the accelerator's peak.
    #[default]
    Compute,
    /// Weights and KV cache coming from device memory.
    Memory,
    /// Collectives between the accelerators of the cluster.
    Communication,
    /// The engine on the host: scheduling, launching, sampling; models that it loads into device memory.
    Host,
}

impl Bound {
    /// Every bound, in the order reports list them; `bound as usize` indexes it.
    pub const ALL: [Self; 4] = [Self::Compute, Self::Memory, Self::Communication, Self::Host];
}

/// The price of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepCost {
    /// Duration (s).
    pub seconds: f64,
    /// What most of it went into.
    pub bound: Bound,
}

/// What of a step's price the layers of a model do not share alike.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Undivided {
    /// The LM head, the gather of its logits, and sampling: after the last layer (s).
    pub head: f64,
    /// What the devices wait for on the host in each step (s).
    pub host: f64,
    /// What the host does while the devices are busy (s); 0 if it never takes longer than they do.
    pub beside: f64,
}

impl Undivided {
    /// Of a step's bill.
    pub fn of(items: &[Item]) -> Self {
        let sum = |wanted: &dyn Fn(&Item) -> bool| {
            items.iter().filter(|item| wanted(item)).map(|item| item.seconds).sum::<f64>()
        };
        let host = sum(&|item| item.operator == "engine");
        let slower = items.iter().any(|item| item.operator == "engine: slower than the device");
        Self {
            head: sum(&|item| item.part == Part::Head || item.operator == "gather of the logits"),
            host,
            beside: if slower { sum(&|_| true) - host } else { 0.0 },
        }
    }
}

/// Prices the steps of one kind of client. Called once a step on the hot path: keep it cheap, and
/// do what depends only on the deployment when the model is built.
pub trait StepModel: Send + Sync + 'static {
    /// The cost of one step; never below FLOPs over peak or bytes over bandwidth.
    fn price(&self, shape: &StepShape<'_>) -> StepCost;

    /// The costs of consecutive steps in which the same `sequences` decode: the first attends to
    /// `context` tokens in all, each later one to `sequences` more. Fills all of `costs`.
    ///
    /// Must equal pricing the steps one by one, to the bit. Worth overriding where much of a step is
    /// the same in all of them.
    fn price_decodes(&self, sequences: u32, context: u64, costs: &mut [StepCost]) {
        let mut shape = StepShape { prefill: &[], decode_seqs: sequences, decode_context: context };
        for cost in costs {
            *cost = self.price(&shape);
            shape.decode_context += u64::from(sequences);
        }
    }

    /// What the figures rest on, for reports: measurements, versions, and what was not measured. Empty where the
    /// name of the model says it all.
    fn basis(&self) -> Vec<String> {
        Vec::new()
    }

    /// What of the price the layers do not share alike. Must not depend on the contexts of the sequences.
    ///
    /// Asked for every step where there are stages of a pipeline: worth overriding where a bill is dear.
    fn undivided(&self, shape: &StepShape<'_>) -> Undivided {
        Undivided::of(&self.itemise(&StepShape { decode_context: shape.decode_seqs.into(), ..*shape }))
    }

    /// What the price is made of, operator by operator; the seconds add up to it. Not for the hot path.
    fn itemise(&self, shape: &StepShape<'_>) -> Vec<Item> {
        let StepCost { seconds, bound } = self.price(shape);
        let part = if bound == Bound::Host { Part::Host } else { Part::Linear };
        vec![Item { operator: "step", part, calls: 1.0, seconds, bound, flops: 0.0, bytes: 0.0 }]
    }
}

impl<F: Fn(&StepShape<'_>) -> StepCost + Send + Sync + 'static> StepModel for F {
    fn price(&self, shape: &StepShape<'_>) -> StepCost {
        self(shape)
    }
}
