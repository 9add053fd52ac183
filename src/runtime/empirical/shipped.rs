//! Laws of the profiles that ship, over every decoder of the catalog: more never costs less, and what was not measured
//! is refused by the setting that asks for it.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::catalog::{Accelerator, Catalog, Model, ModelKind, Precision};
use crate::runtime::{Bound, Chunk, Part, StepShape};

static PROFILES: LazyLock<Vec<(&'static Accelerator, Profile)>> = LazyLock::new(|| {
    let read = |gpu| {
        let profile = Profile::read(Profile::embedded(gpu).unwrap()).unwrap();
        (Catalog::embedded().accelerator(gpu).unwrap(), profile)
    };
    Profile::shipped().map(read).collect()
});

fn decoders() -> Vec<&'static Model> {
    let models = Catalog::embedded().models().iter();
    models.filter(|model| matches!(model.kind, ModelKind::Decoder | ModelKind::Reward)).collect()
}

fn target(model: &'static Model, gpu: &'static Accelerator, ranks: u32) -> Target<'static> {
    // Few rows of tables, so that what lies beyond them is asked for, too.
    Target { tensor_parallel: ranks, max_step_tokens: 16, ..Target::new(model, gpu) }
}

/// A step, and what is asked for on top of it.
#[derive(Clone, Debug)]
struct Asked {
    prefill: Vec<Chunk>,
    sequences: u32,
    mean: u64,
    more: u32,
}

impl Asked {
    fn shape<'a>(&self, prefill: &'a [Chunk]) -> StepShape<'a> {
        let decode_context = u64::from(self.sequences) * self.mean;
        StepShape { prefill, decode_seqs: self.sequences, decode_context }
    }

    /// Everything that may be more than in the step itself.
    fn grown(&self, prices: impl Fn(&StepShape<'_>) -> f64) -> Vec<(&'static str, f64)> {
        let (step, more) = (self.shape(&self.prefill), self.more);
        let mut found = Vec::new();
        let wider = StepShape {
            decode_seqs: step.decode_seqs + more,
            decode_context: step.decode_context + u64::from(more) * self.mean,
            ..step
        };
        found.push(("more sequences", prices(&wider)));
        if self.sequences > 0 {
            let longer = StepShape { decode_context: step.decode_context + u64::from(more), ..step };
            found.push(("longer contexts", prices(&longer)));
        }
        let mut another = self.prefill.clone();
        another.push(Chunk { tokens: more, context: 0, last: true });
        found.push(("another prompt", prices(&self.shape(&another))));
        for (what, tokens, context) in [("a longer prompt", more, 0), ("a longer prefix", 0, more)] {
            let mut longer = self.prefill.clone();
            let Some(first) = longer.first_mut() else { continue };
            first.tokens += tokens;
            first.context += context;
            found.push((what, prices(&self.shape(&longer))));
        }
        found
    }
}

prop_compose! {
    fn asked()(chunks in proptest::collection::vec((1u32..5000, prop_oneof![Just(0u32), 1u32..60_000]), 0..4),
               sequences in 0u32..700, mean in 1u64..100_000, more in 1u32..500) -> Asked {
        let chunk = |(tokens, context)| Chunk { tokens, context, last: true };
        Asked { prefill: chunks.into_iter().map(chunk).collect(), sequences, mean, more }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn more_never_costs_less(model in proptest::sample::select(decoders()), at in 0usize..6, ranks in 0u32..4,
                             engine in proptest::sample::select(Engine::ALL.to_vec()),
                             weights in proptest::sample::select(vec![
                                 Precision::Bf16, Precision::Fp8, Precision::Fp4, Precision::Int4,
                             ]),
                             kv_cache in proptest::sample::select(vec![Precision::Bf16, Precision::Fp8]),
                             asked in asked()) {
        let (gpu, profile) = &PROFILES[at];
        // Weights in 4 bit, products in 16.
        let activations = (weights == Precision::Fp4).then_some(Precision::Bf16);
        let target = Target { weights, activations, kv_cache, ..target(model, gpu, 1 << ranks) };
        let kind = Empirical { engine, ..Empirical::default() };
        // What cannot be deployed, or was not measured, is refused.
        prop_assume!(kind.build(profile, &target).is_ok());
        let priced = kind.build(profile, &target).unwrap();
        let prices = |step: &StepShape<'_>| priced.price(step).seconds;
        let now = prices(&asked.shape(&asked.prefill));
        for (what, then) in asked.grown(prices) {
            prop_assert!(then >= now * (1.0 - 1e-9), "{} on {}: {what}: {then} {now}", model.name, gpu.name);
        }
    }
}

/// Every decoder on every device, at the least parallelism that its heads divide over and 8 GPUs hold.
#[test]
fn the_whole_catalog_has_prices_that_rise() {
    for model in decoders() {
        for (gpu, profile) in PROFILES.iter() {
            let price = |target: &Target<'_>| Empirical::default().build(profile, target);
            let priced = price(&target(model, gpu, 1));
            let priced = priced.unwrap_or_else(|why| panic!("{} on {}: {why}", model.name, gpu.name));
            let mut last = 0.0;
            for tokens in [1_u32, 2, 3, 8, 16, 17, 64, 200, 256, 257, 1000, 4096, 8192] {
                let step =
                    StepShape { decode_seqs: tokens, decode_context: 2000 * u64::from(tokens), prefill: &[] };
                let now = priced.price(&step).seconds;
                assert!(now >= last, "{} on {}: {tokens} sequences {now} after {last}", model.name, gpu.name);
                last = now;
            }
            last = 0.0;
            for tokens in [1_u32, 2, 16, 100, 128, 500, 512, 2048, 5000, 16_384, 100_000] {
                let prefill = [Chunk { tokens, context: 0, last: true }];
                let now = priced.price(&StepShape { prefill: &prefill, ..StepShape::default() }).seconds;
                assert!(now >= last, "{} on {}: {tokens} tokens {now} after {last}", model.name, gpu.name);
                last = now;
            }
            last = 0.0;
            for context in [1_u64, 10, 100, 1000, 3000, 20_000, 100_000, 1 << 20] {
                let step = StepShape { decode_seqs: 8, decode_context: 8 * context, prefill: &[] };
                let now = priced.price(&step).seconds;
                assert!(now >= last, "{} on {}: {context} keys {now} after {last}", model.name, gpu.name);
                last = now;
            }
        }
    }
}

#[test]
fn formats_that_were_not_measured_are_refused_at_their_setting() {
    let catalog = Catalog::embedded();
    let llama = catalog.model("Llama-3.1-8B").unwrap();
    for (gpu, profile) in PROFILES.iter() {
        for weights in Precision::ALL {
            for kv_cache in Precision::ALL {
                let target = Target { weights, kv_cache, ..target(llama, gpu, 1) };
                let Err(why) = Empirical::default().build(profile, &target) else {
                    let known = profile.gemm.iter().map(|table| table.kind);
                    let asked = crate::runtime::profile::WeightKind::of(weights).unwrap();
                    assert!(known.clone().any(|kind| kind == asked), "{weights} on {}", gpu.name);
                    let wide = if kv_cache == Precision::Fp16 { Precision::Bf16 } else { kv_cache };
                    assert!(profile.attention.iter().any(|table| table.kv_cache == wide), "{kv_cache}");
                    continue;
                };
                let at = why.split_once(": ").unwrap().0;
                assert!(
                    ["weights", "kv_cache"].contains(&at),
                    "{weights}, {kv_cache} on {}: {why}",
                    gpu.name
                );
            }
        }
    }
    let a100 = catalog.accelerator("A100-80GB-SXM4").unwrap();
    let refused = |target: Target<'_>| Empirical::default().compile(&target).err().unwrap();
    let kv = refused(Target { kv_cache: Precision::Fp8, ..target(llama, a100, 1) });
    assert!(
        kv.starts_with(
            "kv_cache: the profile of A100-80GB-SXM4 has no attention with a KV cache of fp8: it has bf16"
        ),
        "{kv}"
    );
    let weights = refused(Target { weights: Precision::Int4, ..target(llama, a100, 1) });
    assert!(
        weights.starts_with("weights: the profile of A100-80GB-SXM4 has no products with int4 weights"),
        "{weights}"
    );
}

/// Of weights in 4 bit that are multiplied in 16, experts were measured alone: mixtures are priced, and say so.
#[test]
fn experts_alone_may_have_4_bits() {
    let catalog = Catalog::embedded();
    let step = StepShape { prefill: &[], decode_seqs: 16, decode_context: 16 * 1000 };
    for gpu in ["H100-SXM5-80GB", "H200-SXM-141GB", "B200-SXM", "L40S", "RTX-PRO-6000-Server"] {
        let gpu = catalog.accelerator(gpu).unwrap();
        let (wide, activations) = (Precision::Bf16, Some(Precision::Bf16));
        for (model, weights, kind) in
            [("gpt-oss-120b", Precision::Fp4, "mxfp4"), ("Qwen3-30B-A3B", Precision::Int4, "int4")]
        {
            let model = catalog.model(model).unwrap();
            let price = |weights, activations| {
                let target = Target { weights, activations, ..target(model, gpu, 1) };
                let priced = Empirical::default().compile(&target).unwrap();
                let products = |part| -> f64 {
                    let items = priced.itemise(&step).into_iter().filter(|item| item.part == part);
                    items.map(|item| item.seconds).sum()
                };
                (products(Part::Experts), products(Part::Linear), priced.basis())
            };
            let (experts, others, said) = price(weights, activations);
            let (wide_experts, wide_others, before) = price(wide, None);
            // A quarter of the bytes; on B200 Marlin reaches less than half of the bandwidth.
            assert!(
                experts < 0.98 * wide_experts,
                "{} on {}: {experts} {wide_experts}",
                model.name,
                gpu.name
            );
            assert_eq!(others, wide_others);
            let line = format!(
                "experts in {kind}, other products in 16 bit, as of {kind} only experts were measured"
            );
            assert!(said.contains(&line) && !before.contains(&line), "{said:?}");
        }
        let dense =
            Target { weights: Precision::Int4, ..target(catalog.model("Llama-3.1-8B").unwrap(), gpu, 1) };
        assert!(Empirical::default().compile(&dense).is_err());
    }
}

#[test]
fn a_profile_of_another_device_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.ron");
    std::fs::write(&path, Profile::embedded("H100-SXM5-80GB").unwrap()).unwrap();
    let catalog = Catalog::embedded();
    let llama = catalog.model("Llama-3.1-8B").unwrap();
    let kind = Empirical { profile: Some(path), ..Empirical::default() };
    let compile = |gpu: &str| kind.compile(&target(llama, catalog.accelerator(gpu).unwrap(), 1));
    assert!(compile("H100-SXM5-80GB").is_ok());
    let why = compile("H200-SXM-141GB").err().unwrap();
    assert!(why.ends_with(
        "the profile is of H100-SXM5-80GB and does not say what anything costs on H200-SXM-141GB"
    ));
}

#[test]
fn what_the_figures_rest_on_is_said() {
    let catalog = Catalog::embedded();
    let (gpu, profile) = &PROFILES[0];
    let basis = |model: &str, version: Option<&str>, ranks| {
        let kind = Empirical { version: version.map(str::to_owned), ..Empirical::default() };
        let target = target(catalog.model(model).unwrap(), gpu, ranks);
        kind.build(profile, &target).map(|model| crate::runtime::StepModel::basis(&model).join("; "))
    };
    let between = basis("Llama-3.1-8B", Some("0.16"), 1).unwrap();
    assert!(between.starts_with("vLLM 0.16, overheads of versions from 0.14 to before 0.19; "), "{between}");
    assert!(between.contains("(the profile that ships: NVIDIA aiconfigurator)"), "{between}");
    assert!(!between.contains("never measured"), "{between}");
    let odd = basis("DeepSeek-V2-Lite", None, 16).unwrap();
    assert!(odd.contains("vLLM, overheads of version 0.20 on"), "{odd}");
    assert!(odd.contains("never measured: latent attention, collectives between 16 devices"), "{odd}");
    assert!(basis("Llama-3.1-8B", Some("9.9"), 1).unwrap_err().starts_with("version: vLLM 9.9 is not known"));
}

/// A prompt with a prefix shares the launch of those without.
#[test]
fn a_prefix_never_makes_a_step_shorter() {
    let llama = Catalog::embedded().model("Llama-3.1-8B").unwrap();
    for (gpu, profile) in PROFILES.iter() {
        let priced = Empirical::default().build(profile, &target(llama, gpu, 1)).unwrap();
        for (tokens, pieces) in [(16, 1), (16, 5), (300, 20), (4096, 2)] {
            let mut last = 0.0;
            for context in [0, 1, 64, 4096] {
                let mut prefill = vec![Chunk { tokens: 4096, context: 0, last: true }; pieces];
                prefill.push(Chunk { tokens, context, last: true });
                let now = priced.price(&StepShape { prefill: &prefill, ..StepShape::default() }).seconds;
                assert!(now >= last, "{pieces} + {tokens}@{context} on {}: {now} after {last}", gpu.name);
                last = now;
            }
        }
    }
}

#[test]
fn the_host_bounds_steps_of_which_the_engine_takes_most() {
    let (gpu, profile) = PROFILES.iter().find(|(gpu, _)| gpu.name == "H100-SXM5-80GB").unwrap();
    let model = Catalog::embedded().model("Qwen3-0.6B").unwrap();
    let target = Target { tensor_parallel: 8, ..Target::new(model, gpu) };
    let priced =
        Empirical { engine: Engine::TensorRt, ..Empirical::default() }.build(profile, &target).unwrap();
    let bound = |tokens: u32, sequences: u32| {
        let prefill = [Chunk { tokens, context: 0, last: true }];
        let decode_context = u64::from(sequences) * 50;
        let shape = StepShape { prefill: &prefill, decode_seqs: sequences, decode_context };
        let host: f64 = priced
            .itemise(&shape)
            .iter()
            .filter(|item| item.part == Part::Host)
            .map(|item| item.seconds)
            .sum();
        let cost = priced.price(&shape);
        (host / cost.seconds, cost.bound)
    };
    let (share, small) = bound(233, 127);
    assert!(share > 0.5 && small == Bound::Host, "{share} {small:?}");
    let (share, large) = bound(32_768, 0);
    assert!(share < 0.2 && large != Bound::Host, "{share} {large:?}");
}
