//! An LLM client that fits its cluster: what it offers, says of itself, and becomes.

use std::num::NonZeroU32;

use bevy_ecs::entity::Entity;
use bevy_ecs::world::{Mut, World};

use super::batching::MakeBatching;
use super::front_end::FrontEnd;
use super::packing::MakePacking;
use super::serving::Serving;
use super::{Llm, LlmClient, LlmPlugin, LlmSetup, Shared, Shelf};
use crate::clients::{Client, Delivered, Deployed, Fact, Offer, Usage};
use crate::engine::SimBuilder;
use crate::memory::BlockPool;
use crate::memory::prefix::PrefixCaching;
use crate::request::pipeline::Programs;
use crate::stats::TokenGaps;
use crate::units::{SimSpan, SimTime};

/// An LLM client that fits its cluster, ready to be spawned as often as its entry says.
pub(super) struct LlmDeployed {
    /// At least one, the first loaded at the start.
    pub models: Vec<Serving>,
    pub hardware: String,
    /// How models are split over it, if not by tensor parallelism alone.
    pub split: Option<String>,
    pub block_size: u32,
    pub prefix_caching: PrefixCaching,
    pub max_num_seqs: u32,
    pub max_prompts: Option<NonZeroU32>,
    pub reserved_tokens: u32,
    pub make_policy: MakeBatching,
    pub make_packing: MakePacking,
    pub front_end: Option<FrontEnd>,
    pub stay: SimSpan,
    pub latency: String,
}

impl LlmDeployed {
    fn client(&self, model: &Serving, index: u32, strides: bool) -> LlmClient {
        let client = LlmClient::new(LlmSetup {
            index,
            kv: BlockPool::new(model.capacity.blocks, self.block_size)
                .grouped(model.capacity.groups)
                .of_copies(model.capacity.copies),
            host: model.host,
            prefix_caching: self.prefix_caching,
            max_num_seqs: self.max_num_seqs,
            max_prompts: self.max_prompts,
            reserved_tokens: self.reserved_tokens,
            max_model_len: model.generates.max_model_len,
            policy: (self.make_policy)(),
            packing: (self.make_packing)(),
            model: model.step_model.clone(),
            strides,
        });
        match self.front_end {
            Some(front_end) => client.streamed(front_end),
            None => client,
        }
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
            facts.extend(self.split.iter().map(|split| Fact::new("split", split.clone())));
            facts.extend(model.facts(self.block_size, self.max_num_seqs));
            facts.extend(model.swap.filter(|_| self.is_shared()).map(Serving::swap_fact));
        }
        match self.prefix_caching {
            PrefixCaching::Off => {}
            PrefixCaching::BlockHash => facts.push(Fact::new("keeps prefixes", "blocks by hash, as vLLM")),
            PrefixCaching::Radix => facts.push(Fact::new("keeps prefixes", "a radix tree, as SGLang")),
        }
        facts
    }

    fn install(&self, sim: &mut SimBuilder) {
        sim.add_once(LlmPlugin);
    }

    fn spawn(&self, sim: &mut SimBuilder, index: u32, strides: bool) -> Entity {
        let first = &self.models[0];
        let client = self.client(first, index, strides);
        let prefix = client.scheduler().prefix_tally();
        let usage = Usage { kv_blocks: first.capacity.blocks, prefix, ..Usage::default() };
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

    fn reads_priority(&self) -> bool {
        (self.make_packing)().reads_priority()
    }

    fn caches_prefixes(&self) -> bool {
        self.prefix_caching != PrefixCaching::Off
    }

    fn wants_kv_that_is_there(&self) -> bool {
        (self.make_packing)().reads_cached_tokens() && !self.caches_prefixes()
    }

    fn source_of_latency(&self) -> String {
        self.latency.clone()
    }
}
