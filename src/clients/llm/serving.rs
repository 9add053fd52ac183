//! What it comes to that a client serves a model on its cluster.

use std::sync::Arc;

use super::cluster::Cluster;
use super::refusals::{multiplies_in_16_bit, offloads_too_much};
use super::sizing::{Limits, sizing};
use super::{HostKv, LlmClient, LlmSpec, Parked, rounds};
use crate::catalog::{HfConfig, Model};
use crate::clients::{Fact, Generates, Offer, Role, Site, model_problem};
use crate::memory::prefix::PrefixCaching;
use crate::memory::{KvCapacity, KvSizing, SizingError};
use crate::request::pipeline::Served;
use crate::runtime::{RuntimeRegistry, StepModel, Target};
use crate::scenario::Problem;
use crate::units::{ByteSize, GIB, SimSpan, Span};

/// A model on the cluster of a client.
pub(super) struct Serving {
    /// Its name in the catalog.
    pub name: String,
    pub capacity: KvCapacity,
    /// KV blocks in host memory, if it swaps.
    pub host: Option<HostKv>,
    pub generates: Generates,
    /// Most tokens of a prompt in a step.
    pub largest_chunk: u32,
    pub step_model: Arc<dyn StepModel>,
    /// How long it takes to load it, if that is known.
    pub swap: Option<SimSpan>,
    /// What is to be said of the `config.json` behind it, and of settings that cannot be.
    pub remarks: Vec<Fact>,
}

impl Serving {
    pub fn offer(&self) -> Offer {
        Offer { model: Some(self.name.clone()), generates: Some(self.generates) }
    }

    /// The model on a client of several; `client` serves it, unless it is its turn. `models` are those of
    /// the deployment.
    pub fn parked(&self, models: &[Served], client: Option<LlmClient>) -> Parked {
        let number = models.iter().position(|model| model.name == self.name);
        let number = number.expect("the deployment lists every model that is offered");
        Parked {
            model: number as u16,
            swap: self.swap.unwrap_or_default(),
            client,
            blocks: self.capacity.blocks,
        }
    }

    /// What `mist check` says about it.
    pub fn facts(&self, block_size: u32, max_num_seqs: u32) -> Vec<Fact> {
        let gib = |bytes: f64| format!("{:.1} GiB", bytes / GIB);
        let max_model_len = self.generates.max_model_len;
        let KvCapacity { budget, weights, activations, kv, blocks, tokens, .. } = self.capacity;
        let (copies, one) = (self.capacity.copies, self.capacity.of_one_copy());
        let in_copies = if copies > 1 { format!(" in {copies} copies") } else { String::new() };
        let mut facts = vec![
            Fact::new("memory per device", format!("{} usable, {} weights", gib(budget), gib(weights))),
            Fact::new("", format!("{} activations, {} KV cache", gib(activations), gib(kv))),
            Fact::new("KV cache", format!("{blocks} blocks of {block_size}, {tokens} tokens{in_copies}")),
            Fact::new("limits", format!("{max_num_seqs} sequences, {max_model_len} tokens each")),
        ];
        let groups = self.capacity.groups;
        if groups.windowed() > 0 {
            let (all, windowed, window) = (groups.count(), groups.windowed(), groups.window());
            let what =
                format!("{all} groups of layers share the blocks, {windowed} hold {window} tokens each");
            facts.push(Fact::new("", what));
        }
        if let Some(HostKv { blocks, seconds_per_block }) = self.host {
            let each = seconds_per_block * 1e6;
            facts.push(Fact::new("swaps to the host", format!("{blocks} blocks, {each:.1} µs each way")));
        }
        let needed = self.capacity.groups.most(max_model_len, Some(self.largest_chunk), block_size);
        if let Some(HostKv { blocks, .. }) = self.host
            && blocks / u64::from(copies) < needed.min(one)
        {
            let tokens = blocks / u64::from(copies) / u64::from(groups.count()) * u64::from(block_size);
            let warning = format!(
                "host_memory holds {tokens} tokens of KV: longer sequences that give way are computed again"
            );
            facts.push(Fact::new("warning", warning));
        }
        if needed > one {
            // vLLM checks this when it starts, in each copy; requests that do fit are served here all the same.
            let tokens = one / u64::from(groups.count()) * u64::from(block_size);
            let whose = if copies > 1 { "that of each copy" } else { "its KV cache" };
            let warning =
                format!("vLLM would not start: {whose} must hold max_model_len; set it to {tokens} or less");
            facts.push(Fact::new("warning", warning));
        }
        facts.extend(self.remarks.iter().cloned());
        facts
    }

    /// How long a change to it takes.
    pub fn swap_fact(swap: SimSpan) -> Fact {
        Fact::new("loaded in", format!("{:.3} s", swap.as_secs_f64()))
    }
}

impl LlmSpec {
    /// What comes of serving the model of that name on the cluster, with so many tokens in a batch at most.
    pub(super) fn serving(
        &self,
        name: &str,
        site: &Site<'_>,
        Cluster { accelerator, tensor_parallel }: Cluster<'_>,
        batch_tokens: u32,
    ) -> Result<Serving, Problem> {
        let found = site.catalog.model_or_config(name).map_err(|error| model_problem("model", &error))?;
        let model: &Model = &found;
        let target = Target {
            tensor_parallel,
            pipeline_parallel: self.pipeline_parallel,
            data_parallel: self.data_parallel,
            expert_parallel: self.expert_parallel,
            weights: self.weights,
            activations: self.activations,
            kv_cache: self.kv_cache,
            max_step_tokens: batch_tokens,
            offloaded_bytes: self.cpu_offload.map_or(0.0, ByteSize::bytes),
            ..Target::new(model, accelerator)
        };
        let sizing = sizing(&target, &self.limits());
        if let Some(problem) = offloads_too_much(&sizing) {
            return Err(Problem { path: "cpu_offload".to_owned(), ..problem });
        }
        let capacity = sizing.capacity().map_err(|error| misfit(&error))?;
        let held = capacity.blocks;
        let capacity = match self.num_gpu_blocks {
            Some(blocks) => {
                fits(blocks, held, &sizing)?;
                capacity.with_blocks(blocks, self.block_size)
            }
            None => capacity,
        };
        let host = self.preemption.host(&capacity, accelerator)?;
        let registry = site.world.resource::<RuntimeRegistry>();
        let kind = registry.resolve(&self.runtime).map_err(|error| error.into_problem("runtime"))?.built;
        let step_model = kind.compile(&target).map_err(|message| {
            let help = multiplies_in_16_bit(&target, |wide| kind.compile(wide).is_ok());
            let problem = refused(&message);
            if help {
                problem.help("add `activations: bf16`: narrow in memory, multiplied in 16 bit")
            } else {
                problem
            }
        })?;
        let step_model = rounds::priced_by(step_model, &target);
        let mut remarks = found.config().map(|config| self.config_facts(config)).unwrap_or_default();
        if held < capacity.blocks {
            let share = self.gpu_memory_utilization;
            let warning = format!(
                "num_gpu_blocks is {}, more than the {held} that fit into {share} of device memory",
                capacity.blocks
            );
            remarks.push(Fact::new("warning", warning));
        }
        let link = accelerator.host_link_bandwidth().ok();
        let swap = self.swap.map(Span::to_sim);
        Ok(Serving {
            name: model.name.clone(),
            capacity,
            host,
            generates: Generates {
                role: self.role,
                lends: self.lends,
                reserved_tokens: self.num_reserved_decode_tokens,
                max_model_len: self.max_model_len.unwrap_or(model.max_context),
                kv_precision: self.kv_cache,
                kv_bytes_per_token: sizing.kv_bytes_per_token,
                kv_tokens: capacity.tokens,
            },
            largest_chunk: batch_tokens.saturating_mul(self.pipeline_parallel),
            step_model,
            swap: swap.or_else(|| link.map(|link| SimSpan::from_secs_f64(capacity.weights / link))),
            remarks,
        })
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

    fn limits(&self) -> Limits {
        Limits {
            utilization: self.gpu_memory_utilization,
            // Copies have their own.
            max_num_seqs: self.max_num_seqs.div_ceil(self.data_parallel.max(1)),
            block_size: self.block_size,
            // Prefixes of groups of layers are left out, as is handing on their KV: all layers count in full.
            in_full: self.prefix_caching != PrefixCaching::Off || self.role != Role::Both,
        }
    }
}

/// Why steps cannot be priced, at the setting that the message begins with.
fn refused(message: &str) -> Problem {
    const SETTINGS: [&str; 7] = [
        "tensor_parallel",
        "pipeline_parallel",
        "data_parallel",
        "expert_parallel",
        "weights",
        "activations",
        "kv_cache",
    ];
    match message.split_once(": ") {
        Some(("offloaded_bytes", what)) => Problem::new("cpu_offload", what),
        Some((setting, what)) if SETTINGS.contains(&setting) => Problem::new(setting, what),
        _ => Problem::new("runtime", message),
    }
}

/// Whether so many stated KV blocks fit into device memory, of which `held` are within the share that the engine
/// may use. vLLM lets its override go beyond that share and fails where memory itself ends.
fn fits(blocks: u64, held: u64, sizing: &KvSizing) -> Result<(), Problem> {
    let all = KvSizing { utilization: 1.0, ..*sizing }.capacity().map_err(|error| misfit(&error))?;
    if blocks <= all.blocks {
        return Ok(());
    }
    let message = format!(
        "{blocks} KV blocks do not fit: beside weights and activations device memory holds {} in all, and {held} \
         within gpu_memory_utilization",
        all.blocks
    );
    let help = format!("write `num_gpu_blocks: {held}` or less, or leave it out");
    Err(Problem::new("num_gpu_blocks", message).help(help))
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
