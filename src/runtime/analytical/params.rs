//! The parameters of the analytical model, as a scenario gives them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Span;

/// A roofline per operator, with overheads. Every efficiency is a fraction of the data sheet, above 0 and at most 1;
/// those that are not given are what devices of the accelerator's architecture were measured to reach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own, true or not")]
pub struct Analytical {
    /// Host time that every step waits for: scheduling, input preparation, launch. Default ms(0.2), with
    /// `sequence_overhead` what foretells vLLM 0.15 on H100 (15 stages, E2E +0.3 %) and vLLM 0.19 on RTX PRO 6000 (300
    /// requests, E2E +0.6 %) best over this model's kernels. TensorRT-LLM 1.0 shows 0.23 ms.
    pub step_overhead: Span,
    /// The same per decoding sequence and per prompt piece in a step. Default us(7), besides the sampling kernel.
    pub sequence_overhead: Span,
    /// Host time added to steps with prompts. Default: none, as vLLM shows; TensorRT-LLM 1.0 shows 6.1 ms.
    pub prompt_step_overhead: Span,
    /// Whether the host prepares a step while the accelerator computes the one before (vLLM `--async-scheduling`,
    /// its default from 0.14 on). Default: true.
    pub async_scheduling: bool,
    /// Host time per sequence that is hidden behind the accelerator with asynchronous scheduling, as long as the
    /// accelerator is the slower, and added without. Default us(19): vLLM 0.11, without, shows 25 µs (from batches
    /// of 8 at most).
    pub hidden_sequence_overhead: Span,
    /// Whether steps run from captured CUDA graphs (not vLLM `--enforce-eager`). Default: true.
    pub cuda_graphs: bool,
    /// What the launch of each kernel adds without CUDA graphs. Default us(9): the prefill of TensorRT-LLM 0.9 takes
    /// 67 to 141 µs a layer of 10 to 12 kernels more than they do.
    pub launch_overhead: Span,
    /// Whether attention is one kernel that keeps its scores to itself (`FlashAttention`), not two products and a
    /// softmax over scores in memory. Default: true.
    pub fused_attention: bool,
    /// Whether norms and activations cast what they hand to products below 16 bit themselves, as compiled graphs do
    /// (vLLM with `torch.compile`, `TensorRT`), rather than kernels of their own (SGLang, TensorRT-LLM 1.0 on
    /// `PyTorch`). Default: true.
    pub fused_casts: bool,
    /// Whether prompts and decoding sequences attend in one launch that splits no sequence, as `FlashAttention` 2 does in
    /// vLLM: with both, a step takes longer than with either. Default by architecture: Ampere, Ada and RTX PRO 6000.
    /// TensorRT-LLM launches two kernels.
    pub one_launch: Option<bool>,
    /// Sampling of a step, besides two passes over its logits. Default us(25): vLLM 0.19 on RTX PRO 6000.
    pub sampling_overhead: Span,
    /// How unevenly tokens visit routed experts: the exponent of a power law over experts by popularity, 0 to 2.
    /// Skewed routing reads fewer experts in a small step, and loads one rank more than the others where experts
    /// are spread whole. Default: 0, all alike.
    pub routing_skew: f64,
    /// Fraction of the arithmetic that is left when narrow weights are expanded before they are multiplied. Default
    /// 0.9 (assumed: within what AWQ and GPTQ kernels show on large batches).
    pub dequantise_efficiency: f64,
    /// Which simplifications to make. Default: `Engine`, none.
    pub counting: Counting,
    /// Fraction of peak FLOP/s that large matrix products reach in 16 bit. Default by architecture: Ampere 0.83,
    /// Ada 0.655, Hopper 0.82, Blackwell 0.75, RTX PRO 6000 0.845, others 0.78.
    pub compute_efficiency: Option<f64>,
    /// The same in 8 bit. Default by architecture: Ada 0.545, Hopper 0.70, Blackwell 0.34, RTX PRO 6000 0.78, others
    /// 0.60.
    pub compute_efficiency_8bit: Option<f64>,
    /// The same in 4 bit. Default by architecture: Blackwell 0.47, RTX PRO 6000 0.71, others 0.50.
    pub compute_efficiency_4bit: Option<f64>,
    /// Fraction of peak FLOP/s that prefill attention reaches. Default by architecture: Ampere 0.56, Ada 0.50, Hopper
    /// 0.67, Blackwell 0.51, RTX PRO 6000 0.56, others 0.56 (head size 128).
    pub attention_efficiency: Option<f64>,
    /// Fraction of peak FLOP/s that grouped expert products reach. Default by architecture: Ampere 0.34, Ada 0.69,
    /// Hopper 0.56, Blackwell 0.48, RTX PRO 6000 0.35, others 0.48.
    pub moe_efficiency: Option<f64>,
    /// Fraction of peak bandwidth at which weights and KV cache stream. Default by architecture and width: weights
    /// in 16 bit Ampere 0.75, Ada 0.78, Hopper 0.86, Blackwell 0.80, RTX PRO 6000 0.84, others 0.81; KV 0.70, 0.79,
    /// 0.83, 0.86, 0.81, 0.80.
    pub memory_efficiency: Option<f64>,
    /// The same for KV cache that decode attention reads alone. Default: as `memory_efficiency` says, by architecture.
    /// TensorRT-LLM of 2024 shows 0.46 on H100 and 0.38 on A100, with a cache in 8 bit 0.21.
    pub kv_efficiency: Option<f64>,
    /// Fraction of peak bandwidth at which elementwise kernels stream. Default: 0.75.
    pub elementwise_efficiency: f64,
    /// Time of a matrix product of no size. Default by architecture: 1.5 to 5.5 µs in 16 bit, 4 to 7 below.
    pub gemm_overhead: Option<Span>,
    /// Time of the attention of no token in one layer, once for prefill and once for decode. Default by
    /// architecture: 8 to 12 µs.
    pub attention_overhead: Option<Span>,
    /// Least time of one elementwise kernel. Default us(2): matches the per-layer profile of vLLM
    /// 0.19 on RTX PRO 6000 (five kernels, 10.2 µs a layer).
    pub kernel_overhead: Span,
    /// Time of the routed experts of one layer for no token. Default by architecture: 11 to 60 µs.
    pub moe_overhead: Option<Span>,
    /// Time of a collective of no bytes, instead of what was measured. Default: as measured; for links that were not
    /// us(5.5), over PCI Express 2(p-1) x 5.3 µs for p GPUs.
    pub allreduce_latency: Option<Span>,
    /// Fraction of the scale-up link's bandwidth per direction that a ring uses, instead of what was measured.
    /// Default: as measured; for links that were not 0.7, over PCI Express 0.57.
    pub link_efficiency: Option<f64>,
    /// What a collective takes longer inside an engine than alone. Default us(1): vLLM 0.15 on H100.
    pub collective_overhead: Span,
}

/// Simplifications that other tools make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Counting {
    /// None: what an engine computes.
    #[default]
    Engine,
    /// Those of `GenZ`, to compare: attention without a causal mask, in decode activations at no cost of device memory,
    /// in prefill the embedding a matrix product and the LM head over all tokens, nothing elementwise, no overheads,
    /// arithmetic and memory overlapping perfectly. Give the efficiencies as 1 with it.
    GenZ,
}

impl Default for Analytical {
    fn default() -> Self {
        Self {
            step_overhead: Span::from_secs(0.2e-3),
            sequence_overhead: Span::from_secs(7e-6),
            prompt_step_overhead: Span::from_secs(0.0),
            async_scheduling: true,
            hidden_sequence_overhead: Span::from_secs(19e-6),
            cuda_graphs: true,
            launch_overhead: Span::from_secs(9e-6),
            fused_attention: true,
            fused_casts: true,
            one_launch: None,
            sampling_overhead: Span::from_secs(25e-6),
            routing_skew: 0.0,
            dequantise_efficiency: 0.9,
            counting: Counting::Engine,
            compute_efficiency: None,
            compute_efficiency_8bit: None,
            compute_efficiency_4bit: None,
            attention_efficiency: None,
            moe_efficiency: None,
            memory_efficiency: None,
            kv_efficiency: None,
            elementwise_efficiency: 0.75,
            gemm_overhead: None,
            attention_overhead: None,
            kernel_overhead: Span::from_secs(2e-6),
            moe_overhead: None,
            allreduce_latency: None,
            link_efficiency: None,
            collective_overhead: Span::from_secs(1e-6),
        }
    }
}

impl Analytical {
    /// Every efficiency 1 and every overhead 0: the data sheet itself.
    pub fn ideal() -> Self {
        let (all, none) = (Some(1.0), Some(Span::from_secs(0.0)));
        Self {
            step_overhead: Span::from_secs(0.0),
            sequence_overhead: Span::from_secs(0.0),
            hidden_sequence_overhead: Span::from_secs(0.0),
            launch_overhead: Span::from_secs(0.0),
            sampling_overhead: Span::from_secs(0.0),
            dequantise_efficiency: 1.0,
            compute_efficiency: all,
            compute_efficiency_8bit: all,
            compute_efficiency_4bit: all,
            attention_efficiency: all,
            moe_efficiency: all,
            memory_efficiency: all,
            kv_efficiency: all,
            elementwise_efficiency: 1.0,
            gemm_overhead: none,
            attention_overhead: none,
            kernel_overhead: Span::from_secs(0.0),
            moe_overhead: none,
            allreduce_latency: none,
            link_efficiency: all,
            collective_overhead: Span::from_secs(0.0),
            ..Self::default()
        }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// What is wrong, for the user.
    pub(super) fn check(&self) -> Result<(), String> {
        let efficiencies = [
            ("compute_efficiency", self.compute_efficiency),
            ("compute_efficiency_8bit", self.compute_efficiency_8bit),
            ("compute_efficiency_4bit", self.compute_efficiency_4bit),
            ("attention_efficiency", self.attention_efficiency),
            ("moe_efficiency", self.moe_efficiency),
            ("memory_efficiency", self.memory_efficiency),
            ("kv_efficiency", self.kv_efficiency),
            ("elementwise_efficiency", Some(self.elementwise_efficiency)),
            ("dequantise_efficiency", Some(self.dequantise_efficiency)),
            ("link_efficiency", self.link_efficiency),
        ];
        for (name, value) in efficiencies {
            if let Some(value) = value.filter(|value| !(*value > 0.0 && *value <= 1.0)) {
                return Err(format!("{name} must be above 0 and at most 1, found {value}"));
            }
        }
        if !(0.0..=2.0).contains(&self.routing_skew) {
            return Err(format!("routing_skew must be 0 to 2, found {}", self.routing_skew));
        }
        Ok(())
    }
}
