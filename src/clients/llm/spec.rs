//! `Llm(…)`: the settings of an LLM client.

use std::num::NonZeroU32;

use bevy_ecs::world::World;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batching::BatchingRegistry;
use super::checks::{blame, place};
use super::deployed::LlmDeployed;
use super::front_end::FrontEnd;
use super::packing::PackingRegistry;
use super::preemption::Preemption;
use super::refusals;
use super::serving::Serving;
use crate::catalog::{Accelerator, Catalog, Precision};
use crate::clients::{ClientKind, Deployed, Role, Site, model_problem};
use crate::memory::prefix::PrefixCaching;
use crate::runtime::RuntimeRegistry;
use crate::scenario::{Choice, Findings, Problem};
use crate::units::{ByteSize, Span};

/// A server of one large language model, prefill and decode together: a vLLM or SGLang instance.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LlmSpec {
    /// The model it serves: a name in the model catalog, or the path of a Hugging Face `config.json`,
    /// relative to the scenario's own folder. vLLM `--model`.
    pub model: String,
    /// More models that it serves, with the same settings, one at a time in device memory and requests first
    /// come, first served across models; `model` is loaded at the start. KV kept for later stages is
    /// lost when another model is loaded. Default: none. vLLM's sleep mode (level 1) behind a proxy such
    /// as llama-swap; Ollama; Triton `--model-control-mode=explicit`.
    #[serde(default)]
    pub also: Vec<String>,
    /// How long it takes to load another model. Default: its weights on one accelerator over the
    /// catalogued bandwidth of the link to the host, from host memory; starting a server, compiling and
    /// capturing graphs are not in it.
    #[serde(default)]
    pub swap: Option<Span>,
    /// For how long after a model was loaded its requests go ahead of those of others, if there are any;
    /// then the client drains. Default: 0, first come, first served.
    #[serde(default)]
    pub stay: Option<Span>,
    /// How many accelerators share every layer, at least 1. Default: all of the cluster, over `pipeline_parallel` and
    /// `data_parallel`; the three multiplied must be all of it.
    /// vLLM `--tensor-parallel-size`, SGLang `--tp`.
    #[serde(default)]
    pub tensor_parallel: Option<u32>,
    /// Stages of consecutive layers, 1 to the layers of the model. As many batches are in flight, one in each stage,
    /// which `max_num_batched_tokens` limits one by one; a step is a round in which every sequence that runs gets its
    /// token. KV blocks are as many as the stage with least room has. Batching `Chunked` alone knows it. Default: 1.
    /// vLLM `--pipeline-parallel-size`, SGLang `--pp-size`.
    #[serde(default = "one")]
    pub pipeline_parallel: u32,
    /// Copies of the attention layers of a mixture of experts, at least 1: each has sequences and KV blocks of its own,
    /// and all share the routed experts and go in step. `max_num_batched_tokens` is of each copy, `max_num_seqs` and
    /// `num_gpu_blocks` are of all. Batching `Chunked` alone knows it. Default: 1.
    /// vLLM `--data-parallel-size`, SGLang `--dp-size` with `--enable-dp-attention`.
    #[serde(default = "one")]
    pub data_parallel: u32,
    /// Whether whole routed experts lie on the accelerators that share them, and not a slice of each; they are
    /// `tensor_parallel` × `data_parallel`, at least 2. `Analytical` prices both alike unless its `routing_skew` is
    /// above 0: visited evenly, whole experts are as much to read and to compute as slices of all, and rows are
    /// exchanged either way where there are copies of attention. `Empirical` has measurements of each. Where experts
    /// do not divide, whole ones take more memory. Default: false. vLLM `--enable-expert-parallel`, SGLang `--ep-size`.
    #[serde(default)]
    pub expert_parallel: bool,
    /// Precision of weights and arithmetic: `bf16`, `fp16`, `fp8`, `int8` or `fp4`, or `int4` for weights that are
    /// multiplied in 16 bit (AWQ, GPTQ). Default: `bf16`.
    /// vLLM `--dtype`, `--quantization`.
    #[serde(default = "sixteen_bit")]
    pub weights: Precision,
    /// Precision of the products, if not that of the weights: `bf16` for weights that are narrow in memory only, such as
    /// `fp4` where the hardware does not multiply it. Default: that of the weights, 16 bit for `int4`.
    /// vLLM's weight-only kernels (Marlin).
    #[serde(default)]
    pub activations: Option<Precision>,
    /// Precision of the KV cache: `bf16`, `fp16`, `fp8` or `int8`; the same where KV moves from client to client.
    /// Default: `bf16`.
    /// vLLM `--kv-cache-dtype`.
    #[serde(default = "sixteen_bit")]
    #[schemars(schema_with = "refusals::kv_precisions")]
    pub kv_cache: Precision,
    /// Fraction of device memory the server may fill, above 0 and at most 1. Default: 0.9.
    /// vLLM `--gpu-memory-utilization`, SGLang `--mem-fraction-static`.
    #[serde(default = "default_utilization")]
    pub gpu_memory_utilization: f64,
    /// Tokens in a KV block, 1 to 1024. Where KV moves, clients may differ in it, as vLLM's `NixlConnector` lets
    /// them from 0.12 on; SGLang and older vLLM want the same of all. Default: 16.
    /// vLLM `--block-size`, SGLang `--page-size`.
    #[serde(default = "default_block_size")]
    pub block_size: u32,
    /// Weights of each accelerator that stay in the host's memory and come over its link in every step. Default: none.
    /// vLLM `--cpu-offload-gb`.
    #[serde(default)]
    pub cpu_offload: Option<ByteSize>,
    /// KV blocks it has, at least 1 and no more than fit into device memory beside weights and activations.
    /// Default: as many as fit into `gpu_memory_utilization` of it.
    /// vLLM `--num-gpu-blocks-override`.
    #[serde(default)]
    pub num_gpu_blocks: Option<u64>,
    /// Whether KV blocks stay for later requests whose prompt begins the same, and how: `Off`, `BlockHash`
    /// as vLLM, or `Radix` as SGLang. It shows only where the workload says what prompts consist of.
    /// Default: `Off`, unlike the engines, which both have it on.
    /// vLLM `--enable-prefix-caching`, SGLang `--disable-radix-cache`.
    #[serde(default)]
    pub prefix_caching: PrefixCaching,
    /// What becomes of a running sequence that gives way for want of KV blocks: `Recompute`, or
    /// `Swap(host_memory: gib(4))`. Default: `Recompute`. vLLM v0 `--preemption-mode`.
    #[serde(default)]
    pub preemption: Preemption,
    /// Longest prompt and output together (tokens), at least 2; a longer request is rejected.
    /// Default: the model's context length. vLLM `--max-model-len`, SGLang `--context-length`.
    #[serde(default)]
    pub max_model_len: Option<u32>,
    /// Most sequences that run at once, at least 1. Default: 256.
    /// vLLM `--max-num-seqs`, SGLang `--max-running-requests`.
    #[serde(default = "default_max_num_seqs")]
    pub max_num_seqs: u32,
    /// Most prompts that a step computes, at least 1; those under way go on in any case. Default: no limit.
    /// SGLang `--prefill-max-requests`.
    #[serde(default)]
    pub prefill_max_requests: Option<NonZeroU32>,
    /// Which part of generation it has: `Both`, or `Prefill` or `Decode` alone, where the KV of a request
    /// moves from one to the other as `coordinator.kv_transfer` says. Default: `Both`.
    /// vLLM `--kv-transfer-config` (`kv_producer`, `kv_consumer`), SGLang `--disaggregation-mode`.
    #[serde(default)]
    pub role: Role,
    /// Whether a client of one part may be asked for the other, too: it is a guest in the other pool, where a
    /// routing policy that borrows, such as `MixedPool`, may send it work. Default: false.
    /// vLLM `kv_role: kv_both`.
    #[serde(default)]
    pub lends: bool,
    /// Tokens kept free for each sequence here, running or waiting, before KV of another sequence may come from
    /// elsewhere (tokens): room to grow. Where memory is short, 0 makes those who run lose their KV to newcomers
    /// again and again. Default: 0, as vLLM. SGLang `--num-reserved-decode-tokens`, there 512.
    #[serde(default)]
    pub num_reserved_decode_tokens: u32,
    /// How requests are batched into steps, such as `Chunked(max_num_batched_tokens: 8192)`. Default: `Chunked`.
    #[serde(default = "default_batching")]
    #[schemars(extend("x-choice" = "batching policy"))]
    pub batching: Choice,
    /// In which order requests are admitted. Default: `Fcfs`. vLLM `--scheduling-policy`,
    /// SGLang `--schedule-policy`.
    #[serde(default = "default_packing")]
    #[schemars(extend("x-choice" = "packing policy"))]
    pub packing: Choice,
    /// The process that streams its answers, where that may be slower than the engine. Default: none: tokens reach the
    /// client as the engine makes them.
    #[serde(default)]
    pub front_end: Option<FrontEnd>,
    /// What a step costs. Default: `Analytical`.
    #[serde(default = "default_runtime")]
    #[schemars(extend("x-choice" = "runtime model"))]
    pub runtime: Choice,
}

const fn one() -> u32 {
    1
}

const fn sixteen_bit() -> Precision {
    Precision::Bf16
}

const fn default_utilization() -> f64 {
    0.9
}

const fn default_block_size() -> u32 {
    16
}

const fn default_max_num_seqs() -> u32 {
    256
}

fn default_batching() -> Choice {
    Choice::named("Chunked")
}

fn default_packing() -> Choice {
    Choice::named("Fcfs")
}

fn default_runtime() -> Choice {
    Choice::named("Analytical")
}

impl ClientKind for LlmSpec {
    fn complete(&self, settings: &mut Choice, world: &World, findings: &mut Findings) {
        world.resource::<BatchingRegistry>().fill(settings, "batching", &self.batching, findings);
        world.resource::<PackingRegistry>().fill(settings, "packing", &self.packing, findings);
        world.resource::<RuntimeRegistry>().fill(settings, "runtime", &self.runtime, findings);
    }

    fn check(&self, catalog: &Catalog) -> Vec<Problem> {
        let mut problems = self.wrong_with_sharing();
        for (at, name) in self.models().enumerate() {
            match catalog.model_or_config(name) {
                Ok(model) => problems.extend(self.wrong_with_one(at, &model)),
                Err(error) => problems.push(model_problem(&place(at), &error)),
            }
        }
        problems
    }

    fn deploy(&self, site: &Site<'_>) -> Result<Box<dyn Deployed>, Vec<Problem>> {
        let one = |problem: Problem| vec![problem];
        let cluster = self.cluster(site.nodes).map_err(one)?;
        let wrong = self.check(site.catalog);
        if !wrong.is_empty() {
            return Err(wrong);
        }
        if self.expert_parallel
            && let Some(problem) = refusals::shares_no_experts(cluster.tensor_parallel * self.data_parallel)
        {
            return Err(one(problem));
        }

        let registry = site.world.resource::<BatchingRegistry>();
        let make_policy =
            registry.resolve(&self.batching).map_err(|error| one(error.into_problem("batching")))?.built;
        let packing = site.world.resource::<PackingRegistry>().resolve(&self.packing);
        let make_packing = packing.map_err(|error| one(error.into_problem("packing")))?.built;
        let (make_policy, batch_tokens) = self.rounds(make_policy).map_err(one)?;
        let policy = make_policy();
        if self.preemption != Preemption::Recompute && !policy.preempts() {
            let message = format!("has no effect: batching {} never preempts", self.batching.name);
            let help = "leave it out: KV is reserved for all of a request";
            return Err(one(Problem::new("preemption", message).help(help)));
        }
        let max_step_tokens = policy.max_step_tokens();
        if max_step_tokens < self.max_num_seqs {
            let message = format!(
                "max_num_seqs is {}, but a step computes {max_step_tokens} tokens at most, one a running sequence",
                self.max_num_seqs
            );
            let help =
                format!("lower max_num_seqs to {max_step_tokens} or let `batching` put more into a step");
            return Err(one(Problem::new("max_num_seqs", message).help(help)));
        }
        let models = self.models().enumerate().map(|(at, name)| {
            self.serving(name, site, cluster, batch_tokens).map_err(|problem| blame(at, problem))
        });
        let models = models.collect::<Result<Vec<_>, _>>().map_err(one)?;
        if let [first, second, ..] = &models[..]
            && self.swap.is_none()
            && first.swap.is_none()
        {
            let message = format!(
                "how long it takes to load {} is not known: the catalog has no host link bandwidth for {}",
                second.name, cluster.accelerator.name
            );
            return Err(one(Problem::new("swap", message).help("say it, such as `swap: s(5)`")));
        }
        Ok(Box::new(LlmDeployed {
            hardware: self.hardware(&cluster),
            split: self.split(&cluster),
            block_size: self.block_size,
            prefix_caching: self.prefix_caching,
            max_num_seqs: self.max_num_seqs,
            max_prompts: self.prefill_max_requests,
            reserved_tokens: self.num_reserved_decode_tokens,
            make_policy,
            make_packing,
            front_end: self.front_end,
            stay: self.stay.map(Span::to_sim).unwrap_or_default(),
            latency: self.latency(&models, cluster.accelerator),
            models,
        }))
    }
}

/// The names of models, in words.
fn names(models: &[Serving]) -> String {
    models.iter().map(|model| model.name.as_str()).collect::<Vec<_>>().join(", ")
}

impl LlmSpec {
    /// The models it serves, by name.
    pub(super) fn models(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.model).chain(&self.also)
    }

    /// Where the figures that price its steps come from.
    fn latency(&self, models: &[Serving], accelerator: &Accelerator) -> String {
        let mut text = format!("{} for {} on {}", self.runtime.name, names(models), accelerator.name);
        for line in models.first().map(|model| model.step_model.basis()).unwrap_or_default() {
            text.push_str("; ");
            text.push_str(&line);
        }
        text
    }
}
