//! The analytical runtime model: a roofline per operator, plus what the host adds.
//!
//! ```text
//! step = Σ operators + t_step + t_seq · (decoding sequences + prefill chunks)
//! ```
//! `operators.rs` holds the operators' equations and what they leave out, `collectives.rs` those of
//! tensor parallelism, `bound.rs` the physical lower bound ([`LowerBound`]) that no price undercuts.
//!
//! # How good it is
//! First version: one set of efficiencies for every GPU, read off operator tables (NVIDIA
//! aiconfigurator, Apache-2.0) and not fitted to any engine run; the overheads are vLLM's, from runs
//! of vLLM 0.15 on H100 and 0.19 on RTX PRO 6000. Mean absolute errors of dense models, to be
//! replaced by a validation command of the product:
//!
//! | against | error |
//! |---|---|
//! | sums of measured operators, 23 steps, 5 GPUs, TP 1–8 (no overheads) | 4.4 %, bias +1.1 % |
//! | vLLM 0.19, Llama-3.1-8B on RTX PRO 6000, 300 open-loop requests | TPOT 4.0 %, end to end 5.4 %, both low |
//! | TensorRT-LLM 1.0 on H100, 353 closed-loop TPOTs, Llama-3.1-8B and Qwen3-32B fp8 | 5–8 % on TP 1–2, 7–13 % on TP 4–8 |
//! | TensorRT-LLM 0.9, static batches of Llama-2-70B in 16 bit, decode steps | H100 11 %, A100 19 %, low |
//! | the same, prefill steps | 8 % on both |
//! | measured routed-expert operators in 16 bit, balanced and skewed (median) | H100, H200 9–13 %, others 10–22 % |
//!
//! The first and last rows are the tables the efficiencies were read off, the second the file the
//! overheads come from, in part; the closed loops are estimated from one decode step and the
//! prefills between two of them, not simulated. The model knows neither a GPU's kernels nor an
//! engine's version. Latent attention and sliding windows are checked against physics only.
//!
//! # Speed
//! What depends on the token count alone is tabulated when the model is built, so a decode step
//! costs one table row and two multiplications, and a mixed step a few short passes over its chunks.

mod bound;
mod collectives;
mod operators;
mod shape;
mod shares;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use bound::LowerBound;
pub use shape::{DecoderShape, Deployment, Device, Mla, Moe, Window};

use self::operators::{DecodeAttention, Operators};
use self::shares::Shares;
use super::{Bound, StepCost, StepModel, StepShape};
use crate::units::Span;

/// Most sequences and tokens that are tabulated; more are priced by the operators directly.
const TABULATED_SEQUENCES: u32 = 1024;
const TABULATED_TOKENS: u32 = 16_384;

/// A roofline per operator, with overheads. Every efficiency is a fraction of the data sheet, above
/// 0 and at most 1. Defaults suit vLLM 0.15 and later on NVIDIA data-centre GPUs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Analytical {
    /// Host time added to every step: scheduling, input preparation, launch, sampling. Default
    /// ms(0.6): vLLM 0.15 on H100 shows 0.50 and vLLM 0.19 on RTX PRO 6000 0.66 ms over the sum of
    /// their kernels, with asynchronous scheduling. TensorRT-LLM 1.0 shows 0.23 ms.
    pub step_overhead: Span,
    /// Host time added per decoding sequence and per prompt piece in a step. Default us(6): vLLM
    /// 0.15 on H100 shows 8.2 µs and vLLM 0.19 on RTX PRO 6000 5.2 µs.
    pub sequence_overhead: Span,
    /// Fraction of peak FLOP/s that large matrix products reach in 16 bit. Default 0.80: the best
    /// common value for the aiconfigurator GEMM tables of H100, H200, B200, A100, L40S and RTX PRO
    /// 6000 (single GPUs: 0.65 on L40S to 0.85 on RTX PRO 6000).
    pub compute_efficiency: f64,
    /// The same where weights take a byte or less. Default 0.60: between what the fp8 GEMM tables
    /// give (0.50 to 0.70) and a Qwen3-32B prefill on H100 (0.61).
    pub compute_efficiency_8bit: f64,
    /// Fraction of peak FLOP/s that attention reaches. Default 0.60: aiconfigurator's context
    /// attention tables give 0.75 on H100, 0.70 on H200, 0.65 on RTX PRO 6000, 0.60 on A100, 0.55 on
    /// L40S, 0.50 on B200 (head size 128).
    pub attention_efficiency: f64,
    /// Fraction of peak FLOP/s that grouped expert products reach. Default 0.56: aiconfigurator's
    /// expert tables of H100 and H200 (A100 0.34, B200 0.48, L40S 0.69).
    pub moe_efficiency: f64,
    /// Fraction of peak bandwidth at which weights, KV cache and activations stream. Default 0.82:
    /// weights reach 0.81 to 0.85 on all tabulated GPUs but A100 (0.72), KV 0.79 to 0.89 but on A100
    /// (0.68).
    pub memory_efficiency: f64,
    /// Ramp of one matrix product. Default us(4): same tables and fit as `compute_efficiency`.
    pub gemm_overhead: Span,
    /// Ramp of the attention of one layer, once for prefill and once for decode. Default us(10):
    /// aiconfigurator's attention tables (8 to 15 µs).
    pub attention_overhead: Span,
    /// Least time of one elementwise kernel. Default us(2): matches the per-layer profile of vLLM
    /// 0.19 on RTX PRO 6000 (five kernels, 10.2 µs a layer).
    pub kernel_overhead: Span,
    /// Ramp of the routed experts of one layer, which are several kernels. Default us(30):
    /// aiconfigurator's expert tables (31 to 38 µs on H100, H200 and B200, 64 on A100, 11 on L40S).
    pub moe_overhead: Span,
    /// Time of an all-reduce of no bytes. Default us(5.5): vLLM's all-reduce kernel inside an HGX node in a
    /// CUDA graph (4.4 µs) plus 1 µs seen in vLLM 0.15. Over PCI Express without peer-to-peer rather
    /// 2(p-1) x 5.3 µs for p GPUs.
    pub allreduce_latency: Span,
    /// Fraction of the scale-up link's bandwidth per direction that a ring uses. Default 0.60: H100
    /// all-reduces of 16 MB reach 0.48 on 2, 0.59 on 4 and 0.74 on 8 GPUs; L40S over PCI Express 0.57.
    pub link_efficiency: f64,
}

impl Default for Analytical {
    fn default() -> Self {
        Self {
            step_overhead: Span::from_secs(0.6e-3),
            sequence_overhead: Span::from_secs(6e-6),
            compute_efficiency: 0.80,
            compute_efficiency_8bit: 0.60,
            attention_efficiency: 0.60,
            moe_efficiency: 0.56,
            memory_efficiency: 0.82,
            gemm_overhead: Span::from_secs(4e-6),
            attention_overhead: Span::from_secs(10e-6),
            kernel_overhead: Span::from_secs(2e-6),
            moe_overhead: Span::from_secs(30e-6),
            allreduce_latency: Span::from_secs(5.5e-6),
            link_efficiency: 0.60,
        }
    }
}

impl Analytical {
    /// Compiles the model of `shape` on `device`s deployed so.
    ///
    /// # Errors
    /// What does not make sense, for the user: an efficiency outside (0, 1], heads that do not divide
    /// over the accelerators, a missing link bandwidth.
    pub fn build(
        &self,
        shape: &DecoderShape,
        device: &Device,
        deployment: &Deployment,
    ) -> Result<AnalyticalModel, String> {
        let efficiencies = [
            ("compute_efficiency", self.compute_efficiency),
            ("compute_efficiency_8bit", self.compute_efficiency_8bit),
            ("attention_efficiency", self.attention_efficiency),
            ("moe_efficiency", self.moe_efficiency),
            ("memory_efficiency", self.memory_efficiency),
            ("link_efficiency", self.link_efficiency),
        ];
        for (name, value) in efficiencies {
            if !(value > 0.0 && value <= 1.0) {
                return Err(format!("{name} must be above 0 and at most 1, found {value}"));
            }
        }
        for (name, bytes) in [("weight", deployment.weight_bytes), ("KV element", deployment.kv_bytes)] {
            if !(bytes.is_finite() && bytes > 0.0) {
                return Err(format!("a {name} must take more than 0 bytes, found {bytes}"));
            }
        }
        shape.check(deployment.tensor_parallel)?;
        device.check(deployment.tensor_parallel)?;
        let operators = Operators::new(self, shape, device, deployment);
        Ok(AnalyticalModel::tabulate(self, operators, deployment.max_tokens))
    }
}

/// An [`Analytical`] model compiled for one deployment.
#[derive(Clone, Debug)]
pub struct AnalyticalModel {
    step_overhead: f64,
    sequence_overhead: f64,
    operators: Operators,
    attention: DecodeAttention,
    /// Indexed by tokens in the step.
    per_token: Box<[Shares]>,
    /// Indexed by sequences that sample.
    head: Box<[Shares]>,
    /// Indexed by decoding sequences.
    decode: Box<[DecodeRow]>,
}

/// A decode step but for the attention that grows with the context.
#[derive(Clone, Copy, Debug)]
struct DecodeRow {
    /// All of it (s).
    seconds: f64,
    /// The share under the bound that decode attention adds to (s).
    attention_share: f64,
    /// The largest of the other shares (s).
    rival_share: f64,
    /// The bound of that share.
    rival: Bound,
}

impl AnalyticalModel {
    fn tabulate(params: &Analytical, operators: Operators, max_tokens: u32) -> Self {
        let sequences = max_tokens.min(TABULATED_SEQUENCES);
        let tokens = u64::from(max_tokens.min(TABULATED_TOKENS));
        let mut model = Self {
            step_overhead: params.step_overhead.as_secs(),
            sequence_overhead: params.sequence_overhead.as_secs(),
            attention: operators.decode_attention(),
            per_token: (0..=tokens).map(|tokens| operators.per_token(tokens)).collect(),
            head: (0..=u64::from(sequences)).map(|sampled| operators.head(sampled)).collect(),
            decode: Box::default(),
            operators,
        };
        model.decode = (0..=sequences).map(|sequences| model.decode_row(sequences)).collect();
        model
    }

    /// Shares of everything but attention over keys and values.
    fn fixed(&self, tokens: u64, sampled: u64, decodes: u32, sequences: u64) -> Shares {
        let per_token = match self.per_token.get(tokens as usize) {
            Some(shares) => *shares,
            None => self.operators.per_token(tokens),
        };
        let head = match self.head.get(sampled as usize) {
            Some(shares) => *shares,
            None => self.operators.head(sampled),
        };
        let host = self.step_overhead + sequences as f64 * self.sequence_overhead;
        per_token + head + self.operators.decode_queries(decodes) + Shares::of(Bound::Host, host)
    }

    fn decode_row(&self, sequences: u32) -> DecodeRow {
        let tokens = u64::from(sequences);
        let shares = self.fixed(tokens, tokens, sequences, tokens);
        let attention_share = shares.under(self.attention.bound);
        let mut rival = if self.attention.bound == Bound::Host { Bound::Compute } else { Bound::Host };
        for bound in Bound::ALL {
            if bound != self.attention.bound && shares.under(bound) > shares.under(rival) {
                rival = bound;
            }
        }
        DecodeRow { seconds: shares.seconds(), attention_share, rival_share: shares.under(rival), rival }
    }

    fn row(&self, sequences: u32) -> DecodeRow {
        match self.decode.get(sequences as usize) {
            Some(row) => *row,
            None => self.decode_row(sequences),
        }
    }

    fn price_row(&self, row: &DecodeRow, sequences: u32, context: u64) -> StepCost {
        let attention = self.attention.seconds(sequences, context);
        let attention_bound = row.attention_share + attention >= row.rival_share;
        StepCost {
            seconds: row.seconds + attention,
            bound: if attention_bound { self.attention.bound } else { row.rival },
        }
    }

    fn price_mixed(&self, shape: &StepShape<'_>) -> StepCost {
        let sequences = u64::from(shape.decode_seqs) + shape.prefill.len() as u64;
        let decode_attention = self.attention.seconds(shape.decode_seqs, shape.decode_context);
        let shares = self.fixed(shape.tokens(), shape.sampled(), shape.decode_seqs, sequences)
            + Shares::of(self.attention.bound, decode_attention)
            + self.operators.prefill_attention(shape);
        StepCost { seconds: shares.seconds(), bound: shares.largest() }
    }
}

impl StepModel for AnalyticalModel {
    fn price(&self, shape: &StepShape<'_>) -> StepCost {
        if shape.prefill.is_empty() {
            self.price_row(&self.row(shape.decode_seqs), shape.decode_seqs, shape.decode_context)
        } else {
            self.price_mixed(shape)
        }
    }

    fn price_decodes(&self, sequences: u32, context: u64, costs: &mut [StepCost]) {
        let row = self.row(sequences);
        let mut context = context;
        for cost in costs {
            *cost = self.price_row(&row, sequences, context);
            context += u64::from(sequences);
        }
    }
}

#[cfg(test)]
mod tests;
