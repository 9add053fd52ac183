//! A profile by formula: what it must do whatever was measured.

use proptest::prelude::*;

use super::*;

/// Residuals that go up and down, so that laws are not kept by the data.
fn wavy(count: usize, lines: usize) -> Residuals {
    Residuals::new((0..count).map(|at| 0.3 + 0.4 * libm::sin(at as f64 * 0.7)), lines)
}

fn powers(from: i32, to: i32) -> Vec<f64> {
    (from..=to).map(|power| libm::exp2(f64::from(power))).collect()
}

fn gemm_table(kind: WeightKind, hot: bool) -> GemmTable {
    let mut m = powers(0, 15);
    m.extend([17.0, 65.0, 257.0, 513.0, 1025.0, 4097.0]);
    m.sort_by(f64::total_cmp);
    let (n, k) = (powers(5, 16), powers(5, 16));
    let residual = wavy(m.len() * n.len() * k.len(), n.len());
    GemmTable { kind, table: "made up".to_owned(), floor_us: 2.5, cold: 0.8, hot, m, n, k, residual }
}

fn attention_table(phase: Phase, head_dim: u32, kv_cache: Precision, window: Option<u32>) -> AttentionTable {
    let (kv_heads, group, batch, length) = (powers(0, 3), powers(0, 4), powers(0, 8), powers(0, 15));
    let residual = wavy(kv_heads.len() * group.len() * batch.len() * length.len(), kv_heads.len());
    AttentionTable {
        phase,
        head_dim,
        kv_cache,
        window,
        table: "made up".to_owned(),
        floor_us: 9.0,
        cold: (phase == Phase::Decode).then_some(0.8),
        hot: true,
        kv_heads,
        group,
        batch,
        length,
        residual,
    }
}

pub(crate) fn profile() -> Profile {
    let shapes = vec![(4096, 14336, 2, 8, 1, 1), (2048, 768, 8, 128, 1, 1), (2048, 768, 8, 128, 2, 4)];
    let tokens = powers(0, 14);
    let form = MoeForm {
        floor_us: 30.0,
        memory: 0.9,
        compute: 0.6,
        rows: 0.4,
        overlap: 1.4,
        spread: 0.9,
        padding: 8.0,
        mapped_us: 0.0,
    };
    let all_reduce = |library, ranks, fastest: f64| CollectiveTable {
        library,
        operation: Operation::AllReduce,
        ranks,
        table: "made up".to_owned(),
        bytes: powers(8, 28),
        us: powers(8, 28).into_iter().map(|bytes| fastest + bytes / 3e5 + libm::sin(bytes)).collect(),
    };
    Profile {
        form: FORM,
        gpu: "H100-SXM5-80GB".to_owned(),
        silicon: Silicon {
            gb_per_s: 3350.0,
            bf16_tflops: 989.4,
            fp8_tflops: Some(1978.9),
            fp4_tflops: None,
            multiprocessors: 132,
            cache_mb: 50.0,
        },
        source: "a formula".to_owned(),
        licence: "CC0-1.0".to_owned(),
        command: "mist calibrate made-up --gpu H100-SXM5-80GB".to_owned(),
        gemm: vec![gemm_table(WeightKind::Bf16, true), gemm_table(WeightKind::Fp8, false)],
        attention: [Phase::Prefill, Phase::Decode]
            .into_iter()
            .flat_map(|phase| {
                [
                    attention_table(phase, 64, Precision::Bf16, Some(128)),
                    attention_table(phase, 64, Precision::Bf16, None),
                    attention_table(phase, 128, Precision::Bf16, None),
                    attention_table(phase, 128, Precision::Fp8, None),
                ]
            })
            .collect(),
        prefix: PrefixRule {
            tile: 64,
            ns_per_key: 6.0,
            free_keys: 0.0,
            later_waves: 1.0,
            fitted_to: "a formula".to_owned(),
        },
        mixed: MixedRule::Together {
            tile: 64,
            ns_per_key: 7.0,
            prefill_keys: 300.0,
            decode_keys: 200.0,
            exposed: 0.6,
            fitted_to: "a formula".to_owned(),
        },
        moe: vec![MoeTable {
            kind: WeightKind::Bf16,
            routing: Routing::Skewed,
            kernel: None,
            table: "made up".to_owned(),
            form,
            residual: wavy(tokens.len() * shapes.len(), shapes.len()),
            tokens,
            shapes,
        }],
        collectives: vec![all_reduce(Library::Custom, 2, 4.0), all_reduce(Library::Nccl, 2, 9.0)],
        elementwise: Elementwise { floor_us: 2.0, share: 0.75, fitted_to: "a formula".to_owned() },
    }
}

fn shape(
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    kv_cache: Precision,
    window: Option<u32>,
) -> AttentionShape {
    AttentionShape { heads, kv_heads, head_dim, kv_cache, window }
}

fn any_shape() -> impl Strategy<Value = AttentionShape> {
    let heads = prop::sample::select(vec![(1, 1), (5, 1), (32, 8), (40, 40), (64, 8), (128, 128)]);
    let window = prop::sample::select(vec![None, Some(128), Some(4096)]);
    let kv_cache = prop::sample::select(vec![Precision::Bf16, Precision::Fp16, Precision::Fp8]);
    let head_dim = prop::sample::select(vec![64, 80, 128, 192]);
    (heads, head_dim, kv_cache, window).prop_map(|((heads, kv_heads), head_dim, kv_cache, window)| {
        shape(heads, kv_heads, head_dim, kv_cache, window)
    })
}

#[test]
fn a_profile_survives_its_text() {
    let made = profile();
    let text = made.write();
    assert!(text.starts_with("// What operators cost on H100-SXM5-80GB"), "{}", &text[..200]);
    assert_eq!(Profile::read(&text).unwrap(), made);
}

#[test]
fn profiles_that_ship_are_of_their_device_and_price_its_models() {
    for gpu in Profile::shipped() {
        let text = Profile::embedded(gpu).unwrap();
        let made = Profile::read(text).unwrap();
        assert!(made.expect_gpu(gpu).is_ok() && text.len() < 800_000, "{gpu}: {} bytes", text.len());
        assert!(made.command.starts_with("mist calibrate"), "{gpu}");
        let gemm = made.gemm(6144, 4096, WeightKind::Bf16).unwrap();
        let bound = made.silicon.gemm(WeightKind::Bf16, 1.0, 6144.0, 4096.0);
        assert!((bound..20.0 * bound).contains(&gemm.seconds(1.0)), "{gpu}");
        let attention = made.attention(&shape(32, 8, 128, Precision::Bf16, None)).unwrap();
        assert!(attention.decode.seconds(64.0, 2048.0) < 2e-3, "{gpu}");
        assert!(attention.prefill.seconds(1.0, 2048.0, 8192.0) > attention.prefill.seconds(1.0, 2048.0, 0.0));
        assert!(made.all_reduce(2).is_ok(), "{gpu}");
    }
    assert!(Profile::embedded("MI300X").is_none());
}

#[test]
fn a_text_that_is_no_profile_says_what_is_wrong() {
    let text = profile().write();
    let error = |text: &str| Profile::read(text).unwrap_err().to_string();
    let other = "this is not a profile that `mist calibrate` writes (line ";
    assert_eq!(error("("), format!("{other}1, column 1)"));
    assert!(error(&text.replacen("form: 1", "form: 7", 1)).contains("form 7"));
    let short = error(&text.replacen("    m: [", "    m: [0.5,", 1));
    assert!(short.contains("gemm of bf16") && short.contains("expected"), "{short}");
    let edited = error(&text.replacen("gpu:", "gpus:", 1));
    assert!(edited.starts_with(other) && !edited.contains("line 1,"), "{edited}");
}

#[test]
fn what_was_not_measured_is_refused_by_name() {
    let made = profile();
    let gemm = made.gemm(4096, 4096, WeightKind::Nvfp4).unwrap_err().to_string();
    assert_eq!(gemm, "the profile of H100-SXM5-80GB has no products with nvfp4 weights: it has bf16, fp8");
    let ranks = made.all_reduce(16).unwrap_err().to_string();
    assert!(ranks.contains("between 16 devices: it has 2"), "{ranks}");
    assert!(made.attention(&shape(32, 8, 128, Precision::Fp4, None)).is_err());
    let experts = MoeShape { hidden: 1, inter: 1, top_k: 1, experts: 1, tp: 1, ep: 1 };
    assert!(made.moe(&experts, WeightKind::Fp8, Routing::Skewed, false).is_err());
    assert!(made.expect_gpu("H100-SXM5-80GB").is_ok());
    let other = made.expect_gpu("L40S").unwrap_err().to_string();
    assert_eq!(other, "the profile is of H100-SXM5-80GB and does not say what anything costs on L40S");
}

#[test]
fn what_stands_in_for_something_else_says_so() {
    let made = profile();
    let borrowed = |head_dim| {
        made.decode_attention(&shape(32, 8, head_dim, Precision::Bf16, None)).unwrap().borrowed_head_dim
    };
    assert_eq!([64, 80, 128, 256].map(borrowed), [None, Some(128), None, Some(128)]);
    let experts = |hidden| MoeShape { hidden, inter: 768, top_k: 8, experts: 128, tp: 1, ep: 1 };
    let measured =
        |hidden| made.moe(&experts(hidden), WeightKind::Bf16, Routing::Skewed, false).unwrap().measured;
    assert!(measured(2048) && !measured(3072));
}

#[test]
fn cold_weights_cost_what_they_stream() {
    let curve = profile().gemm(4096, 2048, WeightKind::Bf16).unwrap();
    let streamed = 2.5e-6 + 2.0 * 4096.0 * 2048.0 / (3350e9 * 0.8);
    assert!(curve.seconds(1.0) >= streamed);
}

#[test]
fn a_ragged_product_costs_no_less_than_an_aligned_one() {
    let curve = profile().gemm(4096, 4096, WeightKind::Fp8).unwrap();
    for tokens in 1..3000 {
        assert!(curve.seconds_of(tokens) >= curve.seconds(f64::from(tokens)), "{tokens}");
    }
    assert!(curve.seconds_of(528) == curve.seconds(528.0));
}

#[test]
fn the_faster_library_moves_the_data() {
    let made = profile();
    let both = made.all_reduce(2).unwrap();
    let nccl_alone = Profile {
        collectives: made
            .collectives
            .iter()
            .filter(|table| table.library == Library::Nccl)
            .cloned()
            .collect(),
        ..made
    };
    assert!(both.seconds(4096.0) < nccl_alone.all_reduce(2).unwrap().seconds(4096.0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn products_rise_and_stay_above_physics(
        n in 1_u32..200_000, k in 1_u32..60_000, fp8: bool,
        sizes in prop::collection::vec(1.0..3e5_f64, 40),
    ) {
        let made = profile();
        let kind = if fp8 { WeightKind::Fp8 } else { WeightKind::Bf16 };
        let curve = made.gemm(n, k, kind).unwrap();
        let mut sizes = sizes;
        sizes.sort_by(f64::total_cmp);
        for pair in sizes.windows(2) {
            prop_assert!(curve.seconds(pair[0]) <= curve.seconds(pair[1]));
            prop_assert!(curve.seconds_ragged(pair[0]) <= curve.seconds_ragged(pair[1]));
            let bound = made.silicon.gemm(kind, pair[0], f64::from(n), f64::from(k));
            prop_assert!(curve.seconds(pair[0]) >= bound * (1.0 - 1e-9));
        }
    }

    #[test]
    fn attention_rises_and_stays_above_physics(
        shape in any_shape(),
        rows in prop::collection::vec((1_u32..600, 1_u32..40_000, 0_u32..200_000), 12),
        more in (1_u32..300, 1_u32..5_000, 1_u32..50_000),
    ) {
        let made = profile();
        let curve = made.attention(&shape).unwrap();
        for (batch, tokens, context) in rows {
            let [b, t, c] = [batch, tokens, context].map(f64::from);
            let [db, dt, dc] = [more.0, more.1, more.2].map(f64::from);
            let here = curve.prefill.seconds(b, t, c);
            let below = made.silicon.prefill(&shape, b, t, c) * (1.0 - 1e-9);
            // Where a window was not measured, the whole prompt's bound does not apply.
            prop_assert!(shape.window.is_some() || here >= below, "{here} {below}");
            for larger in [(b + db, t, c), (b, t + dt, c), (b, t, c + dc)] {
                let there = curve.prefill.seconds(larger.0, larger.1, larger.2);
                prop_assert!(here <= there * (1.0 + 1e-12), "{shape:?} {b} {t} {c} {larger:?} {here} {there}");
            }
            let here = curve.decode.seconds(b, c.max(1.0));
            prop_assert!(here >= made.silicon.decode(&shape, b, c.max(1.0)) * (1.0 - 1e-9));
            prop_assert!(here <= curve.decode.seconds(b + db, c.max(1.0)));
            prop_assert!(here <= curve.decode.seconds(b, c + dc));
            let mixed = |tokens: f64, context: f64, batch: f64, keys: f64| {
                curve.seconds(std::iter::once((tokens, context)), batch, keys)
            };
            let here = mixed(t, c, b, 700.0);
            prop_assert!(here >= curve.decode.seconds(b, 700.0) && here >= curve.prefill.seconds(1.0, t, c));
            let grown = [mixed(t + dt, c, b, 700.0), mixed(t, c + dc, b, 700.0), mixed(t, c, b + db, 700.0), mixed(t, c, b, 700.0 + dc)];
            for there in grown {
                prop_assert!(here <= there * (1.0 + 1e-12));
            }
        }
    }

    #[test]
    fn experts_and_collectives_rise(
        hidden in 64_u32..9000, inter in 64_u32..20_000, spread in prop::sample::select(vec![1_u32, 2, 8]),
        sizes in prop::collection::vec(1.0..1e6_f64, 40),
    ) {
        let made = profile();
        let shape = MoeShape { hidden, inter, top_k: 4, experts: 64, tp: spread, ep: 8 / spread };
        let curve = made.moe(&shape, WeightKind::Bf16, Routing::Skewed, false).unwrap();
        let reduce = made.all_reduce(2).unwrap();
        let mut sizes = sizes;
        sizes.sort_by(f64::total_cmp);
        for pair in sizes.windows(2) {
            prop_assert!(curve.seconds(pair[0]) <= curve.seconds(pair[1]));
            prop_assert!(reduce.seconds(pair[0] * 1e3) <= reduce.seconds(pair[1] * 1e3));
        }
    }
}

/// Without dispatch a device writes the rows of all groups; with it, of its own.
#[test]
fn dispatched_rows_are_written_once() {
    let made = profile();
    let shape = MoeShape { hidden: 4096, inter: 1024, top_k: 4, experts: 64, tp: 1, ep: 8 };
    let seconds = |dispatched| {
        made.moe(&shape, WeightKind::Bf16, Routing::Skewed, dispatched).unwrap().seconds(65_536.0)
    };
    let all = 4.0 * 65_536.0 * 4.0 * 4096.0 / made.silicon.bandwidth();
    assert!(seconds(false) - seconds(true) > 7.0 / 8.0 * all, "{} {}", seconds(false), seconds(true));
    let alone = MoeShape { ep: 1, ..shape };
    let price =
        |dispatched| made.moe(&alone, WeightKind::Bf16, Routing::Skewed, dispatched).unwrap().seconds(300.0);
    assert_eq!(price(false), price(true));
}

#[test]
fn rules_that_make_no_sense_are_refused() {
    let refused = |change: &dyn Fn(&mut Profile)| {
        let mut made_up = profile();
        change(&mut made_up);
        made_up.check().map_or_else(|error| error.to_string(), |()| "in order".to_owned())
    };
    assert_eq!(refused(&|_| ()), "in order");
    let says = "silicon: `gb_per_s` must be above 0, found -1";
    assert_eq!(refused(&|profile| profile.silicon.gb_per_s = -1.0), says);
    assert!(refused(&|profile| profile.silicon.fp8_tflops = Some(0.0)).contains("`fp8_tflops`"));
    assert!(refused(&|profile| profile.silicon.multiprocessors = 0).contains("`multiprocessors`"));
    assert_eq!(refused(&|profile| profile.prefix.tile = 0), "prefix: `tile` must be above 0, found 0");
    assert!(refused(&|profile| profile.prefix.ns_per_key = f64::NAN).contains("`ns_per_key` must not be"));
    assert!(refused(&|profile| profile.elementwise.share = 0.0).starts_with("elementwise: `share`"));
    assert!(
        refused(&|profile| profile.moe[0].form.memory = 0.0).ends_with("`memory` must be above 0, found 0")
    );
    assert!(
        refused(&|profile| profile.moe[0].shapes[1].4 = 0).contains("`shapes` must have numbers above 0")
    );
    let together = |tile, exposed| MixedRule::Together {
        tile,
        ns_per_key: 20.0,
        prefill_keys: 300.0,
        decode_keys: 200.0,
        exposed,
        fitted_to: String::new(),
    };
    assert!(refused(&|profile| profile.mixed = together(0, 0.5)).starts_with("mixed: `tile`"));
    assert!(
        refused(&|profile| profile.mixed = together(64, -0.5)).starts_with("mixed: `exposed` must not be")
    );
}
