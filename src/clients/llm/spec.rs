//! `Llm(…)`: the settings of an LLM client, and what they come to on a cluster.

use std::ops::RangeInclusive;

use bevy_ecs::entity::Entity;
use bevy_ecs::world::{Mut, World};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batching::{BatchingRegistry, MakeBatching};
use super::serving::Serving;
use super::{Llm, LlmClient, LlmPlugin, LlmSetup, Shared, Shelf};
use crate::catalog::{Accelerator, Catalog, HfConfig, Model, ModelKind, Precision};
use crate::clients::{
    Client, ClientKind, Delivered, Deployed, Fact, Generates, Offer, Role, Site, Usage, model_problem,
};
use crate::engine::SimBuilder;
use crate::memory::{BlockPool, KvSizing, SizingError};
use crate::request::pipeline::Programs;
use crate::runtime::{RuntimeRegistry, Target};
use crate::scenario::{Choice, Findings, Problem};
use crate::stats::TokenGaps;
use crate::units::{SimSpan, SimTime, Span};

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
    /// How many accelerators share every layer. Default: all of the cluster, and it must be all of
    /// them. vLLM `--tensor-parallel-size`, SGLang `--tp`.
    #[serde(default)]
    pub tensor_parallel: Option<u32>,
    /// Precision of weights and arithmetic: `bf16`, `fp16`, `fp8`, `int8` or `fp4`. Default: `bf16`.
    /// vLLM `--dtype`, `--quantization`.
    #[serde(default = "sixteen_bit")]
    pub weights: Precision,
    /// Precision of the KV cache: `bf16`, `fp16`, `fp8` or `int8`. Default: `bf16`.
    /// vLLM `--kv-cache-dtype`.
    #[serde(default = "sixteen_bit")]
    pub kv_cache: Precision,
    /// Fraction of device memory the server may fill, above 0 and at most 1. Default: 0.9.
    /// vLLM `--gpu-memory-utilization`, SGLang `--mem-fraction-static`.
    #[serde(default = "default_utilization")]
    pub gpu_memory_utilization: f64,
    /// Tokens in a KV block, 1 to 1024. Default: 16. vLLM `--block-size`, SGLang `--page-size`.
    #[serde(default = "default_block_size")]
    pub block_size: u32,
    /// Longest prompt and output together (tokens), at least 2; a longer request is rejected.
    /// Default: the model's context length. vLLM `--max-model-len`, SGLang `--context-length`.
    #[serde(default)]
    pub max_model_len: Option<u32>,
    /// Most sequences that run at once, at least 1. Default: 256.
    /// vLLM `--max-num-seqs`, SGLang `--max-running-requests`.
    #[serde(default = "default_max_num_seqs")]
    pub max_num_seqs: u32,
    /// Which part of generation it has: `Both`, or `Prefill` or `Decode` alone, where the KV of a request
    /// moves from one to the other as `coordinator.kv_transfer` says. Default: `Both`.
    /// vLLM `--kv-transfer-config` (`kv_producer`, `kv_consumer`), SGLang `--disaggregation-mode`.
    #[serde(default)]
    pub role: Role,
    /// How requests are batched into steps. Default: `Chunked`.
    #[serde(default = "default_batching")]
    #[schemars(extend("x-choice" = "batching policy"))]
    pub batching: Choice,
    /// What a step costs. Default: `Analytical`.
    #[serde(default = "default_runtime")]
    #[schemars(extend("x-choice" = "runtime model"))]
    pub runtime: Choice,
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

fn default_runtime() -> Choice {
    Choice::named("Analytical")
}

impl ClientKind for LlmSpec {
    fn complete(&self, settings: &mut Choice, world: &World, findings: &mut Findings) {
        world.resource::<BatchingRegistry>().fill(settings, "batching", &self.batching, findings);
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
        let (accelerator, tensor_parallel) = self.cluster(site.nodes).map_err(one)?;
        let wrong = self.check(site.catalog);
        if !wrong.is_empty() {
            return Err(wrong);
        }

        let registry = site.world.resource::<BatchingRegistry>();
        let make_policy =
            registry.resolve(&self.batching).map_err(|error| one(error.into_problem("batching")))?.built;
        let policy = make_policy();
        let max_step_tokens = policy.max_step_tokens();
        if max_step_tokens < self.max_num_seqs {
            let message = format!(
                "max_num_seqs is {}, but a step computes {max_step_tokens} tokens at most, one a running sequence",
                self.max_num_seqs
            );
            let help = format!("lower max_num_seqs to {max_step_tokens} or raise max_num_batched_tokens");
            return Err(one(Problem::new("max_num_seqs", message).help(help)));
        }
        let models = self.models().enumerate().map(|(at, name)| {
            let cluster = (accelerator, tensor_parallel);
            self.serving(name, site, cluster, max_step_tokens).map_err(|problem| blame(at, problem))
        });
        let models = models.collect::<Result<Vec<_>, _>>().map_err(one)?;
        if let [first, second, ..] = &models[..]
            && self.swap.is_none()
            && first.swap.is_none()
        {
            let message = format!(
                "how long it takes to load {} is not known: the catalog has no host link bandwidth for {}",
                second.name, accelerator.name
            );
            return Err(one(Problem::new("swap", message).help("say it, such as `swap: s(5)`")));
        }
        Ok(Box::new(LlmDeployed {
            hardware: format!("{tensor_parallel} × {}", accelerator.name),
            block_size: self.block_size,
            max_num_seqs: self.max_num_seqs,
            make_policy,
            stay: self.stay.map(Span::to_sim).unwrap_or_default(),
            latency: format!("{} for {} on {}", self.runtime.name, names(&models), accelerator.name),
            models,
        }))
    }
}

/// The setting that names the `at`-th model.
fn place(at: usize) -> String {
    at.checked_sub(1).map_or_else(|| "model".to_owned(), |at| format!("also[{at}]"))
}

/// A problem of the `at`-th model at the setting that names it.
fn blame(at: usize, problem: Problem) -> Problem {
    if problem.path == "model" { Problem { path: place(at), ..problem } } else { problem }
}

/// The names of models, in words.
fn names(models: &[Serving]) -> String {
    models.iter().map(|model| model.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Why steps cannot be priced, at the setting that the message begins with.
fn refused(message: &str) -> Problem {
    const SETTINGS: [&str; 3] = ["tensor_parallel", "weights", "kv_cache"];
    match message.split_once(": ").filter(|(setting, _)| SETTINGS.contains(setting)) {
        Some((setting, what)) => Problem::new(setting, what),
        None => Problem::new("runtime", message),
    }
}

/// Why there is no room for KV, at the setting to blame.
fn misfit(error: &SizingError) -> Problem {
    let message = error.to_string();
    let blamed = match error {
        SizingError::Invalid(_) if message.starts_with("gpu_memory_utilization") => "gpu_memory_utilization",
        _ => "model",
    };
    Problem::new(blamed, message)
}

impl LlmSpec {
    /// The models it serves, by name.
    fn models(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.model).chain(&self.also)
    }

    /// What is wrong with serving several models, or none but one.
    fn wrong_with_sharing(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (at, name) in self.models().enumerate().skip(1) {
            if self.models().take(at).any(|before| before == name) {
                problems.push(Problem::new(place(at), format!("`{name}` is named twice")));
            }
        }
        for (path, span) in [("swap", self.swap), ("stay", self.stay)] {
            if span.is_some() && self.also.is_empty() {
                let message = "has no effect: the client serves one model";
                let help = "leave it out, or name more models in `also`";
                problems.push(Problem::new(path, message).help(help));
            }
        }
        problems
    }

    /// What is wrong with the settings for the `at`-th model; what is wrong for all is said of the first.
    fn wrong_with_one(&self, at: usize, model: &Model) -> Vec<Problem> {
        let of_model = |problem: &Problem| at == 0 || ["model", "max_model_len"].contains(&&*problem.path);
        let wrong = self.wrong_with(model).into_iter().filter(of_model);
        wrong.map(|problem| blame(at, problem)).collect()
    }

    /// What comes of serving the model of that name on so many accelerators.
    fn serving(
        &self,
        name: &str,
        site: &Site<'_>,
        (accelerator, tensor_parallel): (&Accelerator, u32),
        max_step_tokens: u32,
    ) -> Result<Serving, Problem> {
        let found = site.catalog.model_or_config(name).map_err(|error| model_problem("model", &error))?;
        let model: &Model = &found;
        let sizing = self.sizing(model, accelerator, tensor_parallel, max_step_tokens);
        let capacity = sizing.capacity().map_err(|error| misfit(&error))?;
        let target = Target {
            model,
            accelerator,
            tensor_parallel,
            weights: self.weights,
            kv_cache: self.kv_cache,
            max_step_tokens,
        };
        let registry = site.world.resource::<RuntimeRegistry>();
        let kind = registry.resolve(&self.runtime).map_err(|error| error.into_problem("runtime"))?.built;
        let step_model = kind.compile(&target).map_err(|message| refused(&message))?;
        let link = accelerator.host_link_bandwidth().ok();
        let swap = self.swap.map(Span::to_sim);
        Ok(Serving {
            name: model.name.clone(),
            capacity,
            generates: Generates {
                role: self.role,
                max_model_len: self.max_model_len.unwrap_or(model.max_context),
                kv_bytes_per_token: sizing.kv_bytes_per_token,
            },
            step_model,
            swap: swap.or_else(|| link.map(|link| SimSpan::from_secs_f64(capacity.weights / link))),
            config: found.config().map(|config| self.config_facts(config)).unwrap_or_default(),
        })
    }

    /// The accelerator of the cluster, all of one kind, and how many share a layer.
    fn cluster<'a>(&self, nodes: &[&'a Accelerator]) -> Result<(&'a Accelerator, u32), Problem> {
        let mut accelerators = nodes.iter().filter(|node| node.is_accelerator());
        let Some(first) = accelerators.next() else {
            return Err(Problem::new("", "an LLM client needs an accelerator, and its cluster has none"));
        };
        let mut count = 1;
        for other in accelerators {
            if other.name != first.name {
                let message = format!("the cluster mixes {} and {}", first.name, other.name);
                return Err(Problem::new("", message).help("give an LLM client accelerators of one kind"));
            }
            count += 1;
        }
        match self.tensor_parallel {
            Some(tp) if tp != count => {
                let message =
                    format!("tensor_parallel is {tp}, but the cluster has {count} × {}", first.name);
                let help = "give each client as many accelerators as tensor_parallel says, or leave it out";
                Err(Problem::new("tensor_parallel", message).help(help))
            }
            _ => Ok((first, count)),
        }
    }

    /// What is wrong with the settings for `model`, wherever it runs.
    fn wrong_with(&self, model: &Model) -> Vec<Problem> {
        let mut problems = Vec::new();
        let share = self.gpu_memory_utilization;
        if !(share > 0.0 && share <= 1.0) {
            let path = "gpu_memory_utilization";
            problems.push(Problem::new(path, format!("{path} must be above 0 and at most 1, found {share}")));
        }
        let mut whole = |path: &str, value: u32, range: RangeInclusive<u32>| {
            if !range.contains(&value) {
                let message = format!("{path} must be {} to {}, found {value}", range.start(), range.end());
                problems.push(Problem::new(path, message));
            }
        };
        whole("block_size", self.block_size, 1..=1024);
        whole("max_num_seqs", self.max_num_seqs, 1..=1_000_000);
        whole("max_model_len", self.max_model_len.unwrap_or(model.max_context), 2..=model.max_context);
        if !matches!(model.kind, ModelKind::Decoder | ModelKind::Reward) {
            let message = format!("{} does not generate text", model.name);
            let help = "an LLM client serves decoder models, and reward models that score";
            problems.push(Problem::new("model", message).help(help));
        }
        if self.kv_cache == Precision::Fp4 {
            let help = "use bf16, fp16, fp8 or int8";
            problems.push(Problem::new("kv_cache", "no engine keeps its KV cache in fp4").help(help));
        }
        problems
    }

    /// What a reader of a `config.json` wants to know of how it was read.
    fn config_facts(&self, config: &HfConfig) -> Vec<Fact> {
        let HfConfig { model, stored, ignored, .. } = config;
        let mut facts =
            vec![Fact::new("config.json", format!("{:.2} B parameters", model.parameters() as f64 / 1e9))];
        if let Some(stored) = stored.as_ref().filter(|stored| stored.precision != Some(self.weights)) {
            let written = &stored.written;
            facts.push(Fact::new(
                "warning",
                format!("stored as {written}, served with weights: {}", self.weights),
            ));
        }
        if !ignored.is_empty() {
            facts.push(Fact::new("", format!("keys without effect: {}", ignored.join(", "))));
        }
        facts
    }

    fn sizing(&self, model: &Model, accelerator: &Accelerator, tensor_parallel: u32, step: u32) -> KvSizing {
        let experts = model.experts.as_ref();
        KvSizing {
            device_memory: accelerator.memory_bytes(),
            utilization: self.gpu_memory_utilization,
            tensor_parallel,
            parameters: model.parameters() as f64,
            weight_bytes: self.weights.bytes(),
            kv_bytes_per_token: model.kv_bytes_per_token(self.kv_cache),
            heads: model.attention.heads,
            kv_heads: if model.attention.latent.is_some() { 1 } else { model.attention.kv_heads },
            hidden: model.hidden,
            ffn: experts.map_or(model.ffn.size, |moe| moe.active * moe.size + moe.shared * moe.shared_size),
            vocab: model.vocab,
            max_num_batched_tokens: step,
            max_num_seqs: self.max_num_seqs,
            block_size: self.block_size,
        }
    }
}

/// An LLM client that fits its cluster, ready to be spawned as often as its entry says.
struct LlmDeployed {
    /// At least one, the first loaded at the start.
    models: Vec<Serving>,
    hardware: String,
    block_size: u32,
    max_num_seqs: u32,
    make_policy: MakeBatching,
    stay: SimSpan,
    latency: String,
}

impl LlmDeployed {
    fn client(&self, model: &Serving, index: u32, strides: bool) -> LlmClient {
        LlmClient::new(LlmSetup {
            index,
            kv: BlockPool::new(model.capacity.blocks, self.block_size),
            max_num_seqs: self.max_num_seqs,
            max_model_len: model.generates.max_model_len,
            policy: (self.make_policy)(),
            model: model.step_model.clone(),
            strides,
        })
    }

    fn is_shared(&self) -> bool {
        self.models.len() > 1
    }
}

impl Deployed for LlmDeployed {
    fn offers(&self) -> Vec<Offer> {
        self.models.iter().map(Serving::offer).collect()
    }

    fn facts(&self) -> Vec<Fact> {
        let mut facts = Vec::new();
        for (at, model) in self.models.iter().enumerate() {
            let serves = if at == 0 { "serves" } else { "and, by turns," };
            facts.push(Fact::new(serves, format!("{} on {}", model.name, self.hardware)));
            facts.extend(model.facts(self.block_size, self.max_num_seqs));
            facts.extend(model.swap.filter(|_| self.is_shared()).map(Serving::swap_fact));
        }
        facts
    }

    fn install(&self, sim: &mut SimBuilder) {
        sim.add_once(LlmPlugin);
    }

    fn spawn(&self, sim: &mut SimBuilder, index: u32, strides: bool) -> Entity {
        let first = &self.models[0];
        let client = self.client(first, index, strides);
        let usage = Usage { kv_blocks: first.capacity.blocks, ..Usage::default() };
        if !self.is_shared() {
            let inbox = sim.wake::<Delivered<Llm>>();
            return sim.world().spawn((Client { index, inbox }, usage, client)).id();
        }
        let programs = sim.world().resource::<Programs>();
        let park = |(at, model): (usize, &Serving)| {
            let client = (at > 0).then(|| self.client(model, index, strides).shared());
            model.parked(programs.models(), client)
        };
        let shelf = Shelf::new(self.models.iter().enumerate().map(park).collect(), self.stay);
        let inbox = sim.wake::<Delivered<Shared>>();
        let usage = Usage { shared: true, ..usage };
        sim.world().spawn((Client { index, inbox }, usage, client.shared(), shelf)).id()
    }

    fn settle(&self, world: &mut World, client: Entity, now: SimTime) {
        world.resource_scope(|world, mut gaps: Mut<TokenGaps>| {
            let mut clients = world.query::<(&mut LlmClient, &mut Usage, Option<&mut Shelf>)>();
            if let Ok((mut llm, mut usage, shelf)) = clients.get_mut(world, client) {
                llm.settle(now, &mut usage, &mut gaps);
                if let Some(mut shelf) = shelf {
                    shelf.settle(now, &mut usage);
                }
            }
        });
    }

    fn source_of_latency(&self) -> String {
        self.latency.clone()
    }
}
