//! Laws of the composition on a profile of plain rooflines, over models of the catalog.

use proptest::prelude::*;

use super::*;
use crate::catalog::{Catalog, Precision};
use crate::runtime::profile::{
    AttentionTable, CollectiveTable, Elementwise, GemmTable, Library, MixedRule, MoeForm, MoeTable,
    Operation, Phase, PrefixRule, Residuals, Silicon, WeightKind,
};
use crate::runtime::{Chunk, StepCost, StepShape};

/// Every residual 0.2: a little slower than its roofline, everywhere.
pub(super) fn profile() -> Profile {
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
        mapped_us: 0.0,
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
        prefix: PrefixRule {
            tile: 128,
            ns_per_key: 6.0,
            free_keys: 0.0,
            later_waves: 1.0,
            fitted_to: "made up".to_owned(),
        },
        mixed: MixedRule::Apart { because: "made up".to_owned() },
        moe: vec![MoeTable {
            kind: WeightKind::Bf16,
            routing: Routing::Skewed,
            kernel: None,
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

pub(super) fn target(model: &str, tensor_parallel: u32) -> Target<'static> {
    let catalog = Catalog::embedded();
    let gpu = catalog.accelerator("H100-SXM5-80GB").unwrap();
    Target { tensor_parallel, max_step_tokens: 300, ..Target::new(catalog.model(model).unwrap(), gpu) }
}

fn model(name: &str, tensor_parallel: u32) -> EmpiricalModel {
    Empirical::default().build(&profile(), &target(name, tensor_parallel)).unwrap()
}

fn bound(target: &Target<'_>) -> LowerBound {
    LowerBound::new(&target.shape(), &target.device().unwrap(), &target.deployment())
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
        let bound = bound(&target).seconds(&step);
        prop_assert!(now >= bound, "{now} s is below {bound} s");
    }

    #[test]
    fn no_scale_beats_physics(
        name in proptest::sample::select(MODELS.to_vec()), scale in 0.001f64..1.0, sequences in 0u32..400,
        mean in 1u64..40_000, chunks in proptest::collection::vec((1u32..3000, 0u32..9000), 0..4), more in 1u32..400,
    ) {
        let target = target(name, 1);
        let scaled = Empirical {
            prefill_scale: Some(scale), product_scale: Some(scale), decode_attention_scale: Some(scale),
            ..Empirical::kernels()
        };
        let priced = scaled.build(&profile(), &target).unwrap();
        let mut prefill: Vec<Chunk> =
            chunks.iter().map(|&(tokens, context)| Chunk { tokens, context, last: true }).collect();
        let decode_context = u64::from(sequences) * mean;
        let step = StepShape { prefill: &prefill, decode_seqs: sequences, decode_context };
        let (now, bound) = (priced.price(&step).seconds, bound(&target).seconds(&step));
        prop_assert!(now >= bound, "{now} s is below {bound} s");
        let items: f64 = priced.itemise(&step).iter().map(|item| item.seconds).sum();
        prop_assert!((items - now).abs() <= 1e-9 * now, "{items} {now}");
        prefill.push(Chunk { tokens: more, context: 0, last: true });
        let grown = priced.price(&StepShape { prefill: &prefill, decode_seqs: sequences, decode_context }).seconds;
        prop_assert!(grown >= now * (1.0 - 1e-9), "more prompts: {grown} {now}");
    }

    #[test]
    fn more_work_is_never_cheaper_where_steps_were_measured(
        slower in 0.7f64..2.0, sequences in 0u32..400, mean in 1u64..40_000,
        chunks in proptest::collection::vec((1u32..3000, 0u32..9000), 0..4), more in 1u32..400,
    ) {
        let preferred = preferring(slower);
        let prefill: Vec<Chunk> =
            chunks.iter().map(|&(tokens, context)| Chunk { tokens, context, last: true }).collect();
        let context = u64::from(sequences) * mean;
        let step = StepShape { prefill: &prefill, decode_seqs: sequences, decode_context: context };
        let now = preferred.price(&step).seconds;
        let items: f64 = preferred.itemise(&step).iter().map(|item| item.seconds).sum();
        prop_assert!((items - now).abs() <= 1e-9 * now, "{items} {now}");
        let mut wider = vec![StepShape {
            decode_seqs: sequences + more, decode_context: context + u64::from(more) * mean, ..step
        }];
        if sequences > 0 {
            wider.push(StepShape { decode_context: context + u64::from(more), ..step });
        }
        let mut grown = prefill.clone();
        grown.push(Chunk { tokens: more, context: 0, last: true });
        wider.push(StepShape { prefill: &grown, ..step });
        let mut longer = prefill.clone();
        if let Some(first) = longer.first_mut() {
            first.context += more;
            wider.push(StepShape { prefill: &longer, ..step });
        }
        for wider in wider {
            let then = preferred.price(&wider).seconds;
            prop_assert!(then >= now * (1.0 - 1e-9), "{wider:?}: {then} {now}");
        }
        let bound = bound(&target("Llama-3.1-8B", 1)).seconds(&step);
        prop_assert!(now >= bound * (1.0 - 1e-9), "{now} s is below {bound} s");
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

/// Steps measured at batches of 4 to 256 and contexts of 200 to 3,000, `slower` times the composition or so.
fn whole(phase: Phase, slower: f64) -> WholeStep {
    let composed = model("Llama-3.1-8B", 1);
    let (tokens, length) = match phase {
        Phase::Decode => (vec![4.0, 32.0, 256.0], vec![200.0, 3000.0]),
        Phase::Prefill => (vec![2048.0, 8192.0, 16_384.0], vec![128.0, 2048.0]),
    };
    let step = WholeStep {
        of: Deployed {
            model: "Llama-3.1-8B".to_owned(),
            engine: Engine::Vllm,
            version: (0, 15),
            tensor_parallel: 1,
            weights: Precision::Bf16,
            kv_cache: Precision::Bf16,
        },
        phase,
        rows: 6,
        held_out: (0.0, 0.0),
        step_us: 1.0,
        token_us: 0.0,
        key_ns: 0.0,
        residual: Residuals::new([0.0; 6], 1),
        tokens,
        length,
    };
    let seconds = |tokens: f64, length: f64| {
        let chunks: Vec<Chunk> = match phase {
            Phase::Decode => Vec::new(),
            Phase::Prefill => {
                vec![
                    Chunk { tokens: length as u32, context: 0, last: true };
                    (tokens / length).max(1.0) as usize
                ]
            }
        };
        let decode_seqs = if phase == Phase::Decode { tokens as u32 } else { 0 };
        let decode_context = (f64::from(decode_seqs) * length) as u64;
        composed.price(&StepShape { prefill: &chunks, decode_seqs, decode_context }).seconds
    };
    let (tokens, length) = (step.tokens.clone(), step.length.clone());
    let knots = tokens
        .iter()
        .flat_map(|tokens| length.iter().map(|length| seconds(*tokens, *length)).collect::<Vec<_>>());
    WholeStep { residual: Residuals::new(knots.map(|seconds| libm::log(slower * seconds * 1e6)), 1), ..step }
}

fn whole_steps(slower: f64) -> WholeSteps {
    WholeSteps {
        form: WHOLE_STEPS_FORM,
        gpu: "H100-SXM5-80GB".to_owned(),
        source: "made up".to_owned(),
        licence: "none".to_owned(),
        command: "none".to_owned(),
        steps: vec![whole(Phase::Decode, slower), whole(Phase::Prefill, slower)],
    }
}

fn preferring(slower: f64) -> EmpiricalModel {
    Empirical::default().build_with(&profile(), &whole_steps(slower), &target("Llama-3.1-8B", 1)).unwrap()
}

#[test]
fn measured_steps_come_back_and_far_away_the_composition_does() {
    let composed = model("Llama-3.1-8B", 1);
    for slower in [0.9, 1.3] {
        let preferred = preferring(slower);
        for (decode_seqs, mean) in [(4, 200), (32, 3000), (256, 3000)] {
            let step = StepShape { prefill: &[], decode_seqs, decode_context: u64::from(decode_seqs) * mean };
            let ratio = preferred.price(&step).seconds / composed.price(&step).seconds;
            assert!((ratio / slower - 1.0).abs() < 0.01, "{decode_seqs} × {mean}: {ratio} for {slower}");
        }
        for (count, tokens) in [(16, 128), (64, 128), (128, 128), (1, 2048), (8, 2048)] {
            let prefill = vec![Chunk { tokens, context: 0, last: true }; count];
            let step = StepShape { prefill: &prefill, ..StepShape::default() };
            let ratio = preferred.price(&step).seconds / composed.price(&step).seconds;
            assert!((ratio / slower - 1.0).abs() < 0.03, "{count} × {tokens}: {ratio} for {slower}");
        }
        let far = StepShape { prefill: &[], decode_seqs: 256, decode_context: 256 * 200_000 };
        let ratio = preferred.price(&far).seconds / composed.price(&far).seconds;
        assert!((ratio - 1.0).abs() < 0.05, "{ratio} for {slower}");
    }
}

#[test]
fn whole_steps_of_something_else_are_refused() {
    let steps = whole_steps(1.1);
    let refusal =
        |kind: &Empirical, target: &Target<'_>| kind.build_with(&profile(), &steps, target).err().unwrap();
    let vllm = Empirical::default();
    let two = refusal(&vllm, &target("Llama-3.1-8B", 2));
    assert_eq!(
        two,
        "none is of Llama-3.1-8B on 2, bf16 with bf16 KV, vLLM: they are of Llama-3.1-8B on 1, bf16 with bf16 KV, vLLM 0.15"
    );
    let older = Empirical { version: Some("0.11".to_owned()), ..Empirical::default() };
    assert!(refusal(&older, &target("Llama-3.1-8B", 1)).starts_with("none is of"));
    let other = Empirical { engine: Engine::Sglang, ..Empirical::default() };
    assert!(refusal(&other, &target("Llama-3.1-8B", 1)).contains("SGLang: they are of"));
    let gpu = Catalog::embedded().accelerator("H200-SXM-141GB").unwrap();
    let wrong = steps.of(&Target { accelerator: gpu, ..target("Llama-3.1-8B", 1) }, Engine::Vllm, None);
    assert_eq!(wrong.err().unwrap(), "they are of H100-SXM5-80GB, not of H200-SXM-141GB");
}

#[test]
fn whole_steps_survive_their_file() {
    let steps = whole_steps(1.1);
    assert_eq!(WholeSteps::read(&steps.write()).unwrap(), steps);
    let broken = steps.write().replace("step_us: 1.0", "step_us: -1.0");
    assert!(WholeSteps::read(&broken).err().unwrap().starts_with("Decode of Llama-3.1-8B on 1, bf16"));
    assert!(
        WholeSteps::read(&steps.write().replace("form: 1", "form: 9"))
            .err()
            .unwrap()
            .contains("calibrate it anew")
    );
}
