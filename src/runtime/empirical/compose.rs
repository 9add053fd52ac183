//! An empirical model compiled for one deployment.
//!
//! What depends on the token count alone is tabulated when the model is built. Decode attention is tabulated by batch
//! over contexts two to an octave, and read by straight lines between them, so that a decode step costs a row, a
//! division and a multiplication.

use super::EngineRecord;
use super::contexts::{Row, knot};
use super::launch::Pieces;
use super::operators::Operators;
use super::surface::{self, Composed, PromptSurface};
use super::whole::WholeStep;
use crate::runtime::profile::{Phase, Profile, Routing};
use crate::runtime::{
    AnalyticalModel, Bound, Chunk, Item, LowerBound, Part, StepCost, StepModel, StepShape, Target,
    TokenBound, Undivided,
};

/// Most sequences and tokens that are tabulated.
const TABULATED_SEQUENCES: u32 = 1024;
const TABULATED_TOKENS: u32 = 16_384;

/// An [`Empirical`](super::Empirical) model compiled for one deployment.
#[derive(Clone, Debug)]
pub struct EmpiricalModel {
    /// What bounds a step, and what was never measured.
    analytical: AnalyticalModel,
    operators: Operators,
    engine: EngineRecord,
    ranks: u32,
    /// Everything but attention and LM head, indexed by tokens: of decode steps, and of steps with prompts (s).
    per_token: Box<[[f64; 2]]>,
    /// LM head and gather, indexed by sequences that sample (s).
    head: Box<[f64]>,
    /// Decode attention by batch.
    decode: Box<[Row]>,
    /// Steps of sequences that only decode, as they were measured whole.
    whole_decode: Option<(WholeStep, Box<[Row]>)>,
    /// Steps of prompts alone.
    whole_prompts: Option<PromptSurface>,
    /// What no step undercuts, and of it what depends on tokens alone, indexed by tokens.
    bound: LowerBound,
    bound_of_tokens: Box<[TokenBound]>,
    /// What its figures rest on.
    basis: Vec<String>,
}

impl EmpiricalModel {
    pub(super) fn new(
        profile: &Profile,
        target: &Target<'_>,
        analytical: AnalyticalModel,
        bound: LowerBound,
        engine: EngineRecord,
        (routing, fp8_blocks): (Routing, bool),
    ) -> Result<Self, String> {
        let mut operators = Operators::new(profile, target, &analytical, routing, fp8_blocks)
            .map_err(|error| error.to_string())?;
        if !engine.engine.attends_in_one_launch() {
            operators.mixed.clear();
        }
        let sequences = target.max_step_tokens.min(TABULATED_SEQUENCES);
        let tokens = target.max_step_tokens.min(TABULATED_TOKENS);
        let mut model = Self {
            analytical,
            operators,
            engine,
            ranks: target.tensor_parallel,
            per_token: Box::default(),
            head: Box::default(),
            decode: Box::default(),
            whole_decode: None,
            whole_prompts: None,
            bound_of_tokens: (0..=tokens).map(|tokens| bound.of_tokens(tokens.into())).collect(),
            bound,
            basis: Vec::new(),
        };
        model.per_token = (0..=tokens).map(|tokens| model.tokens(u64::from(tokens))).collect();
        model.head = (0..=sequences).map(|sampled| model.sampled(u64::from(sampled))).collect();
        model.decode = (0..=sequences).map(|sequences| model.decode_row(sequences)).collect();
        Ok(model)
    }

    /// The same, with what its figures rest on.
    pub(super) fn resting_on(self, basis: Vec<String>) -> Self {
        Self { basis, ..self }
    }

    /// Prefers whole steps as they were measured to what is composed.
    pub(super) fn prefer(&mut self, step: &WholeStep) {
        let bound = &self.bound;
        match step.phase {
            Phase::Decode => {
                let sequences = self.head.len() as u32 - 1;
                let rows = surface::decode_rows(step, bound, sequences, |n, mean| self.decode_step(n, mean));
                self.whole_decode = Some((step.clone(), rows));
            }
            Phase::Prefill => {
                fn of(prefill: &[Chunk]) -> StepShape<'_> {
                    StepShape { prefill, ..StepShape::default() }
                }
                let composed = Composed {
                    tokens: &|tokens| self.tokens(tokens as u64)[1],
                    step: &|chunks| self.composed(&of(chunks)),
                    attention: &|chunks| self.prefill_attention(&of(chunks)),
                };
                self.whole_prompts = Some(PromptSurface::new(step, bound, &composed));
            }
        }
    }

    /// A step of sequences that only decode, composed (s).
    fn decode_step(&self, sequences: u32, mean: f64) -> f64 {
        let decode_context = (f64::from(sequences) * mean) as u64;
        self.composed(&StepShape { prefill: &[], decode_seqs: sequences, decode_context })
    }

    /// The same as it was measured (s).
    fn whole_decode(&self, sequences: u32, context: u64) -> Option<f64> {
        let (step, rows) = self.whole_decode.as_ref()?;
        let mean = (context as f64 / f64::from(sequences)).max(1.0);
        if let Some(row) = rows.get(sequences as usize) {
            return Some(row.at(mean));
        }
        let composed = |n, mean| self.decode_step(n, mean);
        Some(surface::decode_row(step, &self.bound, sequences, rows.last(), composed).at(mean))
    }

    /// Everything but attention and LM head: of a decode step, and of a step with prompts (s).
    fn tokens(&self, tokens: u64) -> [f64; 2] {
        if let Some(seconds) = self.per_token.get(tokens as usize) {
            return *seconds;
        }
        let mut sums = [0.0; 3];
        self.operators.add_per_token(tokens as f64, &self.engine, &mut |item| {
            let at = match item.part {
                Part::Linear | Part::Experts => 0,
                Part::Elementwise => 1,
                _ => 2,
            };
            sums[at] += item.seconds;
        });
        let [products, elementwise, between] = sums;
        let layers = self.operators.list.layers * self.engine.layer;
        let decode = self.engine.products * products + elementwise + between + layers;
        let prompts = self.engine.prefill * (products + elementwise) + between + layers;
        let fetched = |scale| self.operators.fetched(tokens as f64, scale);
        [decode + fetched(self.engine.products), prompts + fetched(self.engine.prefill)]
    }

    fn sampled(&self, sampled: u64) -> f64 {
        if let Some(seconds) = self.head.get(sampled as usize) {
            return *seconds;
        }
        let (product, gather) = self.operators.head(sampled as f64);
        self.engine.products * product + gather
    }

    fn decode_row(&self, sequences: u32) -> Row {
        let mut longest = 0.0_f64;
        Row::through(&std::array::from_fn(|index| {
            longest = longest.max(self.decode_attention(sequences, knot(index)));
            longest
        }))
    }

    /// All layers of decode attention at a mean context (s).
    fn decode_attention(&self, sequences: u32, context: f64) -> f64 {
        if sequences == 0 {
            return 0.0;
        }
        if self.operators.attention.is_empty() {
            let decode_context = (f64::from(sequences) * context) as u64;
            let shape = StepShape { prefill: &[], decode_seqs: sequences, decode_context };
            return self.analytical.attention_seconds(&shape);
        }
        let batch = f64::from(sequences);
        let each = self.operators.attention.iter();
        each.map(|(layers, _, decode)| layers * decode.seconds(batch, context)).sum()
    }

    /// The same from the table.
    fn tabulated_attention(&self, sequences: u32, context: u64) -> f64 {
        if sequences == 0 {
            return 0.0;
        }
        let mean = (context as f64 / f64::from(sequences)).max(1.0);
        match self.decode.get(sequences as usize) {
            Some(row) => row.at(mean),
            None => self.decode_row(sequences).at(mean),
        }
    }

    fn prefill_attention(&self, shape: &StepShape<'_>) -> f64 {
        if self.operators.attention.is_empty() {
            return self.analytical.attention_seconds(&StepShape {
                decode_seqs: 0,
                decode_context: 0,
                ..*shape
            });
        }
        let pieces = Pieces::of(shape.prefill);
        let each = self.operators.attention.iter();
        each.map(|(layers, prefill, _)| layers * pieces.seconds(prefill)).sum()
    }

    /// Attention of a step with prompts, where that of its decoding sequences alone takes `decode` (s).
    fn mixed_attention(&self, shape: &StepShape<'_>, decode: f64) -> f64 {
        let apart = self.prefill_attention(shape);
        if shape.decode_seqs == 0 || self.operators.mixed.is_empty() {
            return apart + decode;
        }
        let batch = f64::from(shape.decode_seqs);
        let context = shape.decode_context as f64 / batch;
        let chunks = shape.prefill.iter().map(|chunk| (f64::from(chunk.tokens), f64::from(chunk.context)));
        let each = self.operators.mixed.iter();
        let one: f64 =
            each.map(|(layers, curve)| layers * curve.seconds(chunks.clone(), batch, context)).sum();
        one.max(apart).max(decode)
    }

    fn host(&self, sequences: u32, prefill: bool) -> f64 {
        let engine = &self.engine;
        let prompts = if prefill { engine.prompt_step } else { 0.0 };
        engine.step + prompts + f64::from(sequences) * engine.sequence_on(self.ranks)
    }

    fn seconds(&self, shape: &StepShape<'_>) -> f64 {
        self.found(shape).max(self.least(shape))
    }

    /// The physical bound (s).
    fn least(&self, shape: &StepShape<'_>) -> f64 {
        let tokens = shape.tokens();
        let of_tokens = self.bound_of_tokens.get(tokens as usize).copied();
        self.bound.seconds_over(of_tokens.unwrap_or_else(|| self.bound.of_tokens(tokens)), shape)
    }

    /// A step as it was measured or composed (s).
    fn found(&self, shape: &StepShape<'_>) -> f64 {
        let decodes = shape.decode_seqs > 0;
        let decode = if decodes { self.whole_decode(shape.decode_seqs, shape.decode_context) } else { None };
        if shape.prefill.is_empty() {
            return decode.unwrap_or_else(|| self.composed(shape));
        }
        let composed = self.composed(shape);
        let Some(prompts) = &self.whole_prompts else {
            return decode.map_or(composed, |decode| composed.max(decode));
        };
        if !decodes {
            return prompts.price(shape, composed);
        }
        // Both together were not measured.
        let alone = prompts.price(&StepShape { decode_seqs: 0, decode_context: 0, ..*shape }, 0.0);
        composed.max(alone).max(decode.unwrap_or(0.0))
    }

    /// A step as the sum of its operators (s).
    fn composed(&self, shape: &StepShape<'_>) -> f64 {
        let prefill = !shape.prefill.is_empty();
        let kernels = self.kernels(shape).max(self.launching(prefill));
        let step = kernels + self.host(shape.decode_seqs, prefill);
        step.max(self.decoding_within(shape))
    }

    /// The kernels of a step (s).
    fn kernels(&self, shape: &StepShape<'_>) -> f64 {
        let prefill = !shape.prefill.is_empty();
        let tokens = self.tokens(shape.tokens())[usize::from(prefill)];
        let decode = self.tabulated_attention(shape.decode_seqs, shape.decode_context);
        let decode = self.engine.decode_attention * decode;
        let attention = if prefill { self.mixed_attention(shape, decode) } else { decode };
        tokens + self.sampled(shape.sampled()) + attention
    }

    /// Whether kernels wait for their launches, and the host takes most of the step so.
    fn waits_for_launches(&self, shape: &StepShape<'_>, seconds: f64) -> bool {
        let launching = self.launching(!shape.prefill.is_empty());
        if launching == 0.0 {
            return false;
        }
        let waits = launching - self.kernels(shape);
        waits > 0.0 && 2.0 * (waits + self.host(shape.decode_seqs, true)) > seconds
    }

    /// Least time of the kernels of a step, where the host launches them one by one (s).
    fn launching(&self, prefill: bool) -> f64 {
        if prefill { self.operators.list.layers * self.engine.launch } else { 0.0 }
    }

    /// The decoding sequences of a step with prompts alone (s), where an engine's products are faster in such a step
    /// than in one without: no prompt that joins makes it shorter.
    fn decoding_within(&self, shape: &StepShape<'_>) -> f64 {
        let faster = self.engine.prefill < self.engine.products;
        if !faster || shape.prefill.is_empty() || shape.decode_seqs == 0 {
            return 0.0;
        }
        self.composed(&StepShape { prefill: &[], ..*shape })
    }
}

impl StepModel for EmpiricalModel {
    fn price(&self, shape: &StepShape<'_>) -> StepCost {
        let (seconds, bound) = (self.seconds(shape), self.analytical.price(shape).bound);
        let bound = if self.waits_for_launches(shape, seconds) { Bound::Host } else { bound };
        StepCost { seconds, bound }
    }

    fn price_decodes(&self, sequences: u32, context: u64, costs: &mut [StepCost]) {
        self.analytical.price_decodes(sequences, context, costs);
        let mut shape = StepShape { prefill: &[], decode_seqs: sequences, decode_context: context };
        for cost in costs {
            cost.seconds = self.seconds(&shape);
            shape.decode_context += u64::from(sequences);
        }
    }

    fn basis(&self) -> Vec<String> {
        self.basis.clone()
    }

    fn undivided(&self, shape: &StepShape<'_>) -> Undivided {
        let (head, host) =
            (self.sampled(shape.sampled()), self.host(shape.decode_seqs, !shape.prefill.is_empty()));
        Undivided { head, host, beside: 0.0 }
    }

    fn itemise(&self, shape: &StepShape<'_>) -> Vec<Item> {
        let mut items: Vec<Item> = Vec::new();
        let (prefill, engine) = (!shape.prefill.is_empty(), &self.engine);
        let counted = self.analytical.itemise(shape);
        self.operators.add_per_token(shape.tokens() as f64, engine, &mut |item| {
            let scale = match (item.part, prefill) {
                (Part::Linear | Part::Experts, false) => engine.products,
                (Part::Linear | Part::Experts | Part::Elementwise, true) => engine.prefill,
                _ => 1.0,
            };
            items.push(Item { seconds: item.seconds * scale, ..item });
        });
        let mut push = |operator, part, calls, seconds, bound| {
            if seconds > 0.0 {
                items.push(Item { operator, part, calls, seconds, bound, flops: 0.0, bytes: 0.0 });
            }
        };
        let scale = if prefill { engine.prefill } else { engine.products };
        let fetched = self.operators.fetched(shape.tokens() as f64, scale);
        push("weights from the host", Part::Communication, 1.0, fetched, Bound::Communication);
        let layers = self.operators.list.layers;
        let attention = Part::Attention;
        if prefill {
            push("prefill attention", attention, layers, self.prefill_attention(shape), Bound::Compute);
        }
        let decode =
            engine.decode_attention * self.tabulated_attention(shape.decode_seqs, shape.decode_context);
        let together = if prefill { self.mixed_attention(shape, decode) } else { decode };
        let beside = if prefill { together - self.prefill_attention(shape) } else { decode };
        push("decode attention", attention, layers, beside, Bound::Memory);
        let sampled = shape.sampled();
        if sampled > 0 {
            let (product, gather) = self.operators.head(sampled as f64);
            push("LM head", Part::Head, 1.0, engine.products * product, Bound::Memory);
            push("gather of the logits", Part::Communication, 1.0, gather, Bound::Communication);
        }
        push("gaps between kernels", Part::Host, layers, layers * engine.layer, Bound::Host);
        let kernels: f64 = items.iter().map(|item| item.seconds).sum();
        let mut push = |operator, part, calls, seconds, bound| {
            if seconds > 0.0 {
                items.push(Item { operator, part, calls, seconds, bound, flops: 0.0, bytes: 0.0 });
            }
        };
        push("waiting for launches", Part::Host, layers, self.launching(prefill) - kernels, Bound::Host);
        push("engine", Part::Host, 1.0, self.host(shape.decode_seqs, prefill), Bound::Host);
        let sum: f64 = items.iter().map(|item| item.seconds).sum();
        let short = self.decoding_within(shape) - sum;
        if short > 0.0 {
            let (operator, part, bound) = ("decoding at its own pace", Part::Linear, Bound::Memory);
            items.push(Item { operator, part, calls: 1.0, seconds: short, bound, flops: 0.0, bytes: 0.0 });
        }
        let mut beyond = |operator, part, seconds, bound| {
            items.push(Item { operator, part, calls: 1.0, seconds, bound, flops: 0.0, bytes: 0.0 });
        };
        let (found, composed) = (self.found(shape), self.composed(shape));
        if self.whole_decode.is_some() || self.whole_prompts.is_some() {
            // What a measured step takes longer than its operators, or shorter.
            beyond("measured beyond", Part::Host, found - composed, Bound::Host);
        }
        let short = self.least(shape) - found;
        if short > 0.0 {
            beyond("up to the data sheet's least", Part::Linear, short, self.analytical.price(shape).bound);
        }
        // What is computed and moved is counted as in the analytical model.
        for item in &mut items {
            if let Some(same) = counted.iter().find(|other| other.operator == item.operator) {
                (item.flops, item.bytes, item.bound) = (same.flops, same.bytes, same.bound);
            }
        }
        items
    }
}
