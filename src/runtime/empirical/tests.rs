//! Laws of the composition on a profile of plain rooflines, over models of the catalog.

use proptest::prelude::*;

use super::*;
use crate::catalog::Catalog;
use crate::runtime::profile::{
    AttentionTable, CollectiveTable, Elementwise, GemmTable, Library, MixedRule, MoeForm, MoeTable,
    Operation, Phase, PrefixRule, Residuals, Silicon, WeightKind,
};
use crate::runtime::{Chunk, StepCost, StepShape};

/// Every residual 0.2: a little slower than its roofline, everywhere.
fn profile() -> Profile {
    let flat = |count: usize| Residuals::new(std::iter::repeat_n(0.2, count), 1);
    let gemm = |kind| GemmTable {
        kind,
        table: "made up".to_owned(),
        floor_us: 3.0,
        cold: 0.85,
        hot: false,
        m: vec![1.0, 32_768.0],
        n: vec![64.0, 65_536.0],
        k: vec![64.0, 65_536.0],
        residual: flat(8),
    };
    let attention = |phase, kv_cache| AttentionTable {
        phase,
        head_dim: 128,
        kv_cache,
        window: None,
        table: "made up".to_owned(),
        floor_us: 10.0,
        cold: Some(0.85),
        hot: false,
        kv_heads: vec![1.0, 16.0],
        group: vec![1.0, 16.0],
        batch: vec![1.0, 1024.0],
        length: vec![1.0, 131_072.0],
        residual: flat(16),
    };
    let reduce = |ranks| CollectiveTable {
        library: Library::Nccl,
        operation: Operation::AllReduce,
        ranks,
        table: "made up".to_owned(),
        bytes: vec![256.0, 1e9],
        us: vec![5.0, 3000.0],
    };
    let form = MoeForm {
        floor_us: 30.0,
        memory: 0.9,
        compute: 0.6,
        rows: 0.3,
        overlap: 2.0,
        spread: 0.9,
        padding: 8.0,
    };
    Profile {
        form: crate::runtime::profile::FORM,
        gpu: "H100-SXM5-80GB".to_owned(),
        silicon: Silicon {
            gb_per_s: 3350.0,
            bf16_tflops: 989.4,
            fp8_tflops: Some(1978.9),
            fp4_tflops: None,
            multiprocessors: 132,
            cache_mb: 50.0,
        },
        source: "made up".to_owned(),
        licence: "none".to_owned(),
        command: "none".to_owned(),
        gemm: vec![gemm(WeightKind::Bf16), gemm(WeightKind::Fp8)],
        attention: [Precision::Bf16, Precision::Fp8]
            .into_iter()
            .flat_map(|kv| [attention(Phase::Prefill, kv), attention(Phase::Decode, kv)])
            .collect(),
        prefix: PrefixRule { tile: 128, ns_per_key: 6.0, fitted_to: "made up".to_owned() },
        mixed: MixedRule::Apart { because: "made up".to_owned() },
        moe: vec![MoeTable {
            kind: WeightKind::Bf16,
            routing: Routing::Skewed,
            table: "made up".to_owned(),
            form,
            tokens: vec![1.0, 16_384.0],
            shapes: vec![(4096, 14_336, 2, 8, 1, 1)],
            residual: flat(2),
        }],
        collectives: vec![reduce(2), reduce(4), reduce(8)],
        elementwise: Elementwise { floor_us: 2.0, share: 0.75, fitted_to: "made up".to_owned() },
    }
}

fn target(model: &str, tensor_parallel: u32) -> Target<'static> {
    let catalog = Catalog::embedded();
    let gpu = catalog.accelerator("H100-SXM5-80GB").unwrap();
    Target { tensor_parallel, max_step_tokens: 300, ..Target::new(catalog.model(model).unwrap(), gpu) }
}

fn model(name: &str, tensor_parallel: u32) -> EmpiricalModel {
    Empirical::default().build(&profile(), &target(name, tensor_parallel)).unwrap()
}

const MODELS: [&str; 5] = ["Llama-3.1-8B", "Qwen3-32B", "Mixtral-8x7B", "Gemma-2-9B", "DeepSeek-V2-Lite"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn more_work_is_never_cheaper_and_nothing_beats_physics(
        name in proptest::sample::select(MODELS.to_vec()), tp in 0u32..2, sequences in 0u32..400,
        mean in 1u64..40_000, chunks in proptest::collection::vec((1u32..3000, 0u32..9000), 0..4), more in 1u32..400,
    ) {
        let target = target(name, 1 << tp);
        let priced = Empirical::default().build(&profile(), &target).unwrap();
        let prefill: Vec<Chunk> =
            chunks.iter().map(|&(tokens, context)| Chunk { tokens, context, last: true }).collect();
        let context = u64::from(sequences) * mean;
        let step = StepShape { prefill: &prefill, decode_seqs: sequences, decode_context: context };
        let now = priced.price(&step).seconds;
        let items: f64 = priced.itemise(&step).iter().map(|item| item.seconds).sum();
        prop_assert!((items - now).abs() <= 1e-9 * now, "{items} {now}");
        if sequences > 0 {
            let longer = priced.price(&StepShape { decode_context: context + u64::from(more), ..step }).seconds;
            prop_assert!(longer >= now * (1.0 - 1e-9), "longer contexts: {longer} {now}");
        }
        let wider = StepShape {
            decode_seqs: sequences + more, decode_context: context + u64::from(more) * mean, ..step
        };
        let wider = priced.price(&wider).seconds;
        prop_assert!(wider >= now * (1.0 - 1e-9), "more sequences: {wider} {now}");
        let mut grown = prefill.clone();
        grown.push(Chunk { tokens: more, context: 0, last: true });
        let grown = priced.price(&StepShape { prefill: &grown, ..step }).seconds;
        prop_assert!(grown >= now * (1.0 - 1e-9), "more prompts: {grown} {now}");
        if target.model.experts.is_none() {
            let bound = crate::runtime::LowerBound::new(
                &target.shape(), &target.device().unwrap(), &target.deployment(),
            ).seconds(&step);
            prop_assert!(now >= bound, "{now} s is below {bound} s");
        }
    }

    #[test]
    fn a_stride_equals_its_steps_to_the_bit(sequences in 1u32..400, mean in 1u64..20_000) {
        let model = model("Llama-3.1-8B", 1);
        let context = u64::from(sequences) * mean;
        let mut stride = [StepCost::default(); 20];
        model.price_decodes(sequences, context, &mut stride);
        for (step, cost) in stride.iter().enumerate() {
            let decode_context = context + step as u64 * u64::from(sequences);
            let alone = model.price(&StepShape { prefill: &[], decode_seqs: sequences, decode_context });
            prop_assert_eq!(alone, *cost);
        }
    }
}

#[test]
fn an_engine_adds_what_its_record_says() {
    let target = target("Llama-3.1-8B", 4);
    let price =
        |kind: &Empirical, step: &StepShape<'_>| kind.build(&profile(), &target).unwrap().price(step).seconds;
    let step = StepShape { prefill: &[], decode_seqs: 64, decode_context: 64 * 1000 };
    let alone = price(&Empirical::kernels(), &step);
    let vllm = price(&Empirical { version: Some("0.15".to_owned()), ..Empirical::default() }, &step);
    let added = 0.5e-3 + 64.0 * 8.2e-6 + 2.0 * 32.0 * 0.9e-6;
    assert!((vllm - alone - added).abs() < 1e-9, "{}", vllm - alone);
    let own = Empirical { step_overhead: Some(Span::from_secs(1e-3)), ..Empirical::kernels() };
    assert!((price(&own, &step) - alone - 1e-3).abs() < 1e-12);
}

#[test]
fn what_was_never_measured_is_refused_or_said() {
    let catalog = Catalog::embedded();
    let llama = catalog.model("Llama-3.1-8B").unwrap();
    let none = Empirical::default().compile(&Target::new(llama, catalog.accelerator("MI300X").unwrap()));
    assert!(none.err().unwrap().starts_with("no profile ships for MI300X"));
    let version = Empirical { version: Some("new".to_owned()), ..Empirical::default() };
    let refused = version.build(&profile(), &target("Llama-3.1-8B", 1)).err().unwrap();
    assert_eq!(refused, "version: expected numbers such as \"0.15\", found \"new\"");
    let scale = Empirical { prefill_scale: Some(0.0), ..Empirical::default() };
    assert!(scale.build(&profile(), &target("Llama-3.1-8B", 1)).err().unwrap().contains("prefill_scale"));
    let int8 = Target { weights: Precision::Int8, ..target("Llama-3.1-8B", 1) };
    assert!(Empirical::default().build(&profile(), &int8).err().unwrap().starts_with("weights: int8"));
}
