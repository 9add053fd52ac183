//! `KvStore(…)`: the client that keeps KV in tiers of memory.

use bevy_ecs::entity::Entity;
use bevy_ecs::world::World;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::KvRetrieval;
use crate::catalog::Catalog;
use crate::clients::tasks::{Discipline, Part, Task, TaskClient, TaskModel};
use crate::clients::{Fact, Site};
use crate::engine::Stream;
use crate::memory::tiers::{Hierarchy, MissedLookups, Mode, Retrieval, TierOf, TierSpec};
use crate::request::Payload;
use crate::runtime::Bound;
use crate::scenario::Problem;
use crate::units::{GIB, SimSpan};

/// A store of KV: tiers of memory that `KvRetrieval` stages ask one after another.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KvStore {
    /// The tiers, in the order in which they are asked; at least one.
    pub tiers: Vec<TierSpec>,
    /// How hits and misses become time. Default: `Expected`, the mean over both.
    #[serde(default)]
    pub mode: Mode,
    /// What a look-up costs that finds nothing. Default: `Free`.
    #[serde(default)]
    pub missed_lookups: MissedLookups,
    /// Most retrievals that begin together and share the bandwidth of the tiers, at least 1. Default: 256.
    #[serde(default = "default_max_batch")]
    pub max_batch: u32,
}

const fn default_max_batch() -> u32 {
    256
}

/// A store, ready to be asked.
pub struct KvStoreModel {
    hierarchy: Hierarchy,
    mode: Mode,
    max_batch: u32,
    tiers: Vec<TierSpec>,
}

impl TaskClient for KvStore {
    type Model = KvStoreModel;

    fn check(&self, _: &Catalog) -> Vec<Problem> {
        let mut problems = TierSpec::check(&self.tiers);
        if self.max_batch == 0 {
            problems.push(Problem::new("max_batch", "at least one retrieval must go at a time"));
        }
        problems
    }

    fn deploy(&self, site: &Site<'_>) -> Result<KvStoreModel, Vec<Problem>> {
        let wrong = self.check(site.catalog);
        if !wrong.is_empty() {
            return Err(wrong);
        }
        Ok(KvStoreModel {
            hierarchy: Hierarchy {
                tiers: self.tiers.iter().map(TierSpec::tier).collect(),
                missed: self.missed_lookups,
            },
            mode: self.mode,
            max_batch: self.max_batch,
            tiers: self.tiers.clone(),
        })
    }
}

impl TaskModel for KvStoreModel {
    type Stage = KvRetrieval;

    fn discipline(&self) -> Discipline {
        Discipline::Batched { max_batch: self.max_batch }
    }

    /// Each retrieval leaves when it is done, the slowest with the batch.
    fn serve(&self, batch: &mut [Task<'_, KvRetrieval>], draws: &mut Stream, parts: &mut Vec<Part>) {
        let tokens = |task: &Task<'_, KvRetrieval>| task.stage.prefix.reusable(task.payload.context_tokens);
        let bytes: SmallVec<[f64; 32]> =
            batch.iter().map(|task| f64::from(tokens(task)) * task.kv_bytes_per_token).collect();
        let mut slowest = Retrieval::default();
        for (task, done) in batch.iter_mut().zip(self.hierarchy.retrieve(&bytes, self.mode, draws)) {
            retrieve(task.payload, task.stage, done.hit);
            task.leaves = Some(done.seconds());
            if done.seconds() > slowest.seconds() {
                slowest = done;
            }
        }
        let part = |name, seconds| Part { name, seconds, bound: Bound::Memory };
        parts.extend([part("lookup", slowest.lookup_s), part("read", slowest.read_s)]);
    }

    /// An entity a tier.
    fn equip(&self, world: &mut World, client: Entity) {
        for (level, tier) in (0..).zip(&self.hierarchy.tiers) {
            world.spawn((*tier, TierOf { client, level }));
        }
    }

    fn facts(&self) -> Vec<Fact> {
        let expected = self.hierarchy.expected(GIB);
        let names: Vec<&str> = self.tiers.iter().map(|tier| tier.name.as_str()).collect();
        vec![
            Fact::new("tiers", names.join(", ")),
            Fact::new("1 GiB of KV", format!("{} on average", SimSpan::from_secs_f64(expected.seconds))),
            Fact::new("found nowhere", format!("{:.1}%", expected.miss_frac * 100.0)),
        ]
    }

    fn source(&self) -> String {
        let mode = match self.mode {
            Mode::Expected => "expected",
            Mode::Sampled => "sampled",
        };
        format!("the retrieval formula of the MIST paper, {mode}, over the tiers as given")
    }
}

/// What a retrieval makes of the request: a longer text where the prefix is an earlier context, and
/// tokens that the next prefill may skip where it was found.
fn retrieve(payload: &mut Payload, stage: &KvRetrieval, hit: bool) {
    let tokens = stage.prefix.reusable(payload.context_tokens);
    // What is put before a text ends the use of KV that was of its start.
    if stage.prefix.added() > 0 {
        payload.context_tokens = payload.context_tokens.saturating_add(stage.prefix.added());
        payload.cached_tokens = 0;
    }
    if hit {
        payload.cached_tokens = payload.cached_tokens.max(tokens);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::kv::Prefix;
    use crate::engine::Streams;
    use crate::memory::tiers::MemoryTier;

    /// Two tiers, the first of which has half of what is asked for.
    fn store(mode: Mode) -> KvStoreModel {
        let mut tiers = Vec::from(TierSpec::of_the_paper());
        tiers[0].hit_rate = ron::from_str("0.5").unwrap();
        tiers[1].hit_rate = ron::from_str("0.8").unwrap();
        let hierarchy =
            Hierarchy { tiers: tiers.iter().map(TierSpec::tier).collect(), missed: MissedLookups::Free };
        KvStoreModel { hierarchy, mode, max_batch: 8, tiers }
    }

    /// Serves stages that arrive together with prompts of 1,001 tokens, of 1 kB each.
    fn serve(store: &KvStoreModel, stages: &[KvRetrieval], seed: u64) -> (Vec<Payload>, Vec<f64>, f64) {
        let mut payloads = vec![Payload::new(1001, 10, 0); stages.len()];
        let both = stages.iter().zip(&mut payloads);
        let mut batch: Vec<Task<'_, KvRetrieval>> = both
            .map(|(stage, payload)| Task { stage, payload, kv_bytes_per_token: 1000.0, leaves: None })
            .collect();
        let mut parts = Vec::new();
        store.serve(&mut batch, &mut Streams::new(seed).stream("store", 0), &mut parts);
        let leaves = batch.iter().map(|task| task.leaves.unwrap()).collect();
        (payloads, leaves, parts.iter().map(|part| part.seconds).sum())
    }

    #[test]
    fn a_hit_spares_the_prefix_and_a_miss_takes_the_mean_time_too() {
        let store = store(Mode::Expected);
        let stage = KvRetrieval { prefix: Prefix::Tokens(1000) };
        let by_hand = 0.5 * (80e-9 + 1e6 / 150e9) + 0.5 * 0.8 * (50e-6 + 1e6 / 7e9);
        let mut cached = [0, 0];
        for seed in 0..200 {
            let (payloads, leaves, whole) = serve(&store, std::slice::from_ref(&stage), seed);
            assert!((leaves[0] - by_hand).abs() < 1e-12 * by_hand && leaves[0] == whole);
            assert_eq!(payloads[0].context_tokens, 1001);
            cached[usize::from(payloads[0].cached_tokens == 1000)] += 1;
        }
        // Nine in ten are found; 0.9 ± 5 standard errors.
        assert_eq!(cached[0] + cached[1], 200);
        assert!((160..=199).contains(&cached[1]), "{cached:?}");
    }

    #[test]
    fn sampled_retrievals_take_the_time_of_the_tier_that_has_them_or_none() {
        let store = store(Mode::Sampled);
        let stage = KvRetrieval { prefix: Prefix::Tokens(1000) };
        let mut seen = [0; 3];
        for seed in 0..200 {
            let (payloads, leaves, _) = serve(&store, std::slice::from_ref(&stage), seed);
            let times = [0.0, 80e-9 + 1e6 / 150e9, 50e-6 + 1e6 / 7e9];
            let tier = times.iter().position(|time| (leaves[0] - time).abs() < 1e-15).unwrap();
            assert_eq!(payloads[0].cached_tokens, if tier == 0 { 0 } else { 1000 });
            seen[tier] += 1;
        }
        assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
    }

    #[test]
    fn an_earlier_context_makes_the_text_longer_found_or_not() {
        let stage = KvRetrieval { prefix: Prefix::History(4096) };
        for seed in 0..50 {
            let (payloads, ..) = serve(&store(Mode::Sampled), std::slice::from_ref(&stage), seed);
            assert_eq!(payloads[0].context_tokens, 5097);
            assert!([0, 4096].contains(&payloads[0].cached_tokens));
        }
    }

    #[test]
    fn those_of_a_batch_leave_as_they_are_done() {
        let mut store = store(Mode::Sampled);
        store.hierarchy.tiers.truncate(1);
        store.hierarchy.tiers[0].hit_rate = 1.0;
        let stages = [1000, 500].map(|tokens| KvRetrieval { prefix: Prefix::Tokens(tokens) });
        let (_, leaves, whole) = serve(&store, &stages, 0);
        // 1 MB and 0.5 MB at 150 GB/s, shared until the smaller is through.
        assert!((leaves[0] - (80e-9 + 1.5e6 / 150e9)).abs() < 1e-15, "{leaves:?}");
        assert!((leaves[1] - (80e-9 + 1.0e6 / 150e9)).abs() < 1e-15, "{leaves:?}");
        assert_eq!(whole, leaves[0]);
    }

    #[test]
    fn its_tiers_are_entities() {
        let mut world = World::new();
        let client = world.spawn_empty().id();
        store(Mode::Expected).equip(&mut world, client);
        let mut tiers = world.query::<(&MemoryTier, &TierOf)>();
        let mut found: Vec<_> =
            tiers.iter(&world).map(|(tier, of)| (of.level, of.client, tier.bytes_per_s)).collect();
        found.sort_by_key(|tier| tier.0);
        assert_eq!(found, [(0, client, 150e9), (1, client, 7e9)]);
    }
}
