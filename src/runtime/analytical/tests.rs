//! Laws of the analytical model on random models, devices and steps, and what measurements say.

use proptest::prelude::*;

use super::*;
use crate::runtime::{Bound, Chunk, StepCost, StepModel, StepShape};

fn llama_8b() -> DecoderShape {
    DecoderShape {
        layers: 32,
        hidden: 4096,
        heads: 32,
        kv_heads: 8,
        head_dim: 128,
        ffn: 14336,
        gated: true,
        vocab: 128_256,
        moe: None,
        mla: None,
        window: None,
        bidirectional: false,
        query_norm: false,
        parallel: false,
    }
}

fn h100() -> Device {
    Device {
        peak_flops: 989.4e12,
        peak_flops_16bit: 989.4e12,
        memory_bandwidth: 3350e9,
        link_bandwidth: Some(450e9),
        host_bandwidth: Some(64e9),
        architecture: Architecture::Hopper,
        through_host: false,
        collectives: None,
    }
}

fn bf16(tensor_parallel: u32) -> Deployment {
    Deployment { tensor_parallel, ..Deployment::single(2048) }
}

fn decode(decode_seqs: u32, decode_context: u64) -> StepShape<'static> {
    StepShape { prefill: &[], decode_seqs, decode_context }
}

fn any_params() -> impl Strategy<Value = Analytical> {
    let eager = Analytical {
        cuda_graphs: false,
        async_scheduling: false,
        fused_attention: false,
        ..Analytical::default()
    };
    prop_oneof![Just(Analytical::default()), Just(Analytical::ideal()), Just(eager)]
}

prop_compose! {
    fn any_moe(layers: u32)(experts in 1u32..200, share in 0.0..1.0, moe_ffn in 16u32..4096,
                            shared_ffn in 0u32..4096, dense_layers in 0..=layers) -> Moe {
        let active = 1 + (share * f64::from(experts - 1)) as u32;
        Moe { experts, active, moe_ffn, shared_ffn, dense_layers }
    }
}

prop_compose! {
    fn any_mla()(q_lora in prop_oneof![Just(0u32), 64u32..2048], kv_lora in 32u32..1024, qk_nope in 16u32..256,
                 qk_rope in 8u32..128, v in 16u32..256) -> Mla {
        Mla { q_lora, kv_lora, qk_nope, qk_rope, v }
    }
}

fn any_shape() -> impl Strategy<Value = DecoderShape> {
    (
        2u32..100,
        64u32..16_384,
        0u32..4,
        0u32..4,
        16u32..256,
        64u32..60_000,
        any::<[bool; 2]>(),
        256u32..260_000,
    )
        .prop_flat_map(|(layers, hidden, kv, group, head_dim, ffn, [gated, bidirectional], vocab)| {
            let window = (1u32..10_000, 0..=layers).prop_map(|(tokens, layers)| Window { tokens, layers });
            (
                proptest::option::of(any_moe(layers)),
                proptest::option::weighted(0.3, any_mla()),
                proptest::option::of(window),
            )
                .prop_map(move |(moe, mla, window)| DecoderShape {
                    layers,
                    hidden,
                    heads: 8 << group,
                    kv_heads: 1 << kv,
                    head_dim,
                    ffn,
                    gated,
                    vocab,
                    moe,
                    mla,
                    window,
                    bidirectional,
                    query_norm: gated,
                    parallel: !gated,
                })
        })
}

fn any_device() -> impl Strategy<Value = Device> {
    let architectures =
        [Architecture::Ampere, Architecture::Ada, Architecture::Hopper, Architecture::Blackwell];
    let architectures = proptest::sample::select(architectures.to_vec());
    (1e12..1e16, 1.0..4.0, 1e11..2e13, 1e9..2e12, architectures, any::<bool>()).prop_map(
        |(peak_flops_16bit, faster, memory_bandwidth, link, architecture, through_host)| Device {
            peak_flops: peak_flops_16bit * faster,
            peak_flops_16bit,
            memory_bandwidth,
            link_bandwidth: Some(link),
            host_bandwidth: Some(link / 8.0),
            architecture,
            through_host,
            collectives: None,
        },
    )
}

prop_compose! {
    fn any_deployment()(tp in 0u32..4, pp in 0u32..2, weights in 0usize..3, wide in any::<bool>(), kv in 0usize..2,
                        offloaded_bytes in prop_oneof![Just(0.0), 1e6..1e12], max_tokens in 1u32..600) -> Deployment {
        let weight_bytes = [2.0, 1.0, 0.5625][weights];
        Deployment {
            tensor_parallel: 1 << tp,
            pipeline_parallel: 1 << pp,
            weight_bytes,
            activation_bytes: if wide { 2.0 } else { weight_bytes },
            kv_bytes: [2.0, 1.0][kv],
            offloaded_bytes,
            ..Deployment::single(max_tokens)
        }
    }
}

prop_compose! {
    fn any_step()(prefill in proptest::collection::vec((1u32..3000, 0u32..50_000, any::<bool>()), 0..4),
                  decode_seqs in 0u32..1200, mean in 1u64..20_000) -> (Vec<Chunk>, u32, u64) {
        let prefill = prefill.into_iter().map(|(tokens, context, last)| Chunk { tokens, context, last }).collect();
        (prefill, decode_seqs, u64::from(decode_seqs) * mean)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_step_is_priced_below_physics(params in any_params(), shape in any_shape(), device in any_device(),
                                       deployment in any_deployment(), step in any_step()) {
        let model = params.build(&shape, &device, &deployment).unwrap();
        let (prefill, decode_seqs, decode_context) = &step;
        let step = StepShape { prefill, decode_seqs: *decode_seqs, decode_context: *decode_context };
        let bound = LowerBound::new(&shape, &device, &deployment).seconds(&step);
        let price = model.price(&step).seconds;
        prop_assert!(price.is_finite());
        prop_assert!(price >= bound * (1.0 - 1e-12), "{price} s is below {bound} s");
    }

    #[test]
    fn more_work_is_never_cheaper(params in any_params(), shape in any_shape(), device in any_device(),
                                  deployment in any_deployment(), step in any_step(), more in 1u32..500) {
        let model = params.build(&shape, &device, &deployment).unwrap();
        let (prefill, decode_seqs, decode_context) = step;
        let step = StepShape { prefill: &prefill, decode_seqs, decode_context };
        let price = model.price(&step).seconds;
        let no_cheaper = |other: &StepShape<'_>| {
            let more = model.price(other).seconds;
            prop_assert!(more >= price * (1.0 - 1e-12), "{more} s for {other:?} after {price} s");
            Ok(())
        };
        no_cheaper(&StepShape { decode_context: decode_context + u64::from(more), ..step })?;
        no_cheaper(&StepShape {
            decode_seqs: decode_seqs + more, decode_context: decode_context + u64::from(more), ..step
        })?;
        let mut longer = prefill.clone();
        longer.push(Chunk { tokens: more, context: 0, last: false });
        no_cheaper(&StepShape { prefill: &longer, ..step })?;
        for i in 0..prefill.len() {
            let mut grown = prefill.clone();
            grown[i].tokens += more;
            no_cheaper(&StepShape { prefill: &grown, ..step })?;
            let mut behind = prefill.clone();
            behind[i].context += more;
            no_cheaper(&StepShape { prefill: &behind, ..step })?;
            let mut finished = prefill.clone();
            finished[i].last = true;
            no_cheaper(&StepShape { prefill: &finished, ..step })?;
        }
    }

    #[test]
    fn faster_hardware_is_never_slower(shape in any_shape(), device in any_device(),
                                       deployment in any_deployment(), step in any_step()) {
        let (prefill, decode_seqs, decode_context) = &step;
        let step = StepShape { prefill, decode_seqs: *decode_seqs, decode_context: *decode_context };
        let price = |device: &Device| {
            Analytical::default().build(&shape, device, &deployment).unwrap().price(&step).seconds
        };
        let now = price(&device);
        let link = device.link_bandwidth.map(|link| 2.0 * link);
        for faster in [
            Device {
                peak_flops: 2.0 * device.peak_flops, peak_flops_16bit: 2.0 * device.peak_flops_16bit, ..device
            },
            Device { memory_bandwidth: 2.0 * device.memory_bandwidth, ..device },
            Device { link_bandwidth: link, ..device },
        ] {
            prop_assert!(price(&faster) <= now);
        }
    }

    #[test]
    fn a_stride_equals_its_steps_to_the_bit(shape in any_shape(), deployment in any_deployment(),
                                            sequences in 0u32..1200, mean in 1u64..5000) {
        let model = Analytical::default().build(&shape, &h100(), &deployment).unwrap();
        let context = u64::from(sequences) * mean;
        let mut stride = [StepCost::default(); 50];
        model.price_decodes(sequences, context, &mut stride);
        for (step, cost) in stride.iter().enumerate() {
            let alone = model.price(&decode(sequences, context + step as u64 * u64::from(sequences)));
            prop_assert_eq!(alone.seconds.to_bits(), cost.seconds.to_bits());
            prop_assert_eq!(alone.bound, cost.bound);
        }
    }

    #[test]
    fn the_items_of_a_step_add_up_to_its_price(params in any_params(), shape in any_shape(), device in any_device(),
                                               deployment in any_deployment(), step in any_step()) {
        let model = params.build(&shape, &device, &deployment).unwrap();
        let (prefill, decode_seqs, decode_context) = &step;
        let step = StepShape { prefill, decode_seqs: *decode_seqs, decode_context: *decode_context };
        let sum: f64 = model.itemise(&step).iter().map(|item| item.seconds).sum();
        let price = model.price(&step).seconds;
        prop_assert!((sum - price).abs() <= 1e-9 * price, "{sum} {price}");
    }

    #[test]
    fn tables_change_nothing(shape in any_shape(), deployment in any_deployment(), step in any_step()) {
        let (prefill, decode_seqs, decode_context) = &step;
        let step = StepShape { prefill, decode_seqs: *decode_seqs, decode_context: *decode_context };
        let price = |max_tokens| {
            let deployment = Deployment { max_tokens, ..deployment };
            Analytical::default().build(&shape, &h100(), &deployment).unwrap().price(&step)
        };
        prop_assert_eq!(price(1), price(4096));
    }
}

#[test]
fn an_empty_prefill_and_none_cost_the_same() {
    let model = Analytical::default().build(&llama_8b(), &h100(), &bf16(1)).unwrap();
    let alone = model.price(&decode(64, 64 * 1024));
    let mixed = model.price_mixed(&decode(64, 64 * 1024));
    assert!((alone.seconds / mixed.seconds - 1.0).abs() < 1e-12);
    assert_eq!(alone.bound, mixed.bound);
}

#[test]
fn the_bound_of_a_step_is_what_engineers_expect() {
    let model = Analytical::default().build(&llama_8b(), &h100(), &bf16(1)).unwrap();
    assert_eq!(model.price(&decode(1, 1000)).bound, Bound::Memory);
    assert_eq!(model.price(&decode(256, 256 * 1000)).bound, Bound::Memory);
    let chunk = [Chunk { tokens: 2048, context: 0, last: true }];
    assert_eq!(model.price(&StepShape { prefill: &chunk, ..StepShape::default() }).bound, Bound::Compute);
    let slow_link = Device { link_bandwidth: Some(1e9), ..h100() };
    let model = Analytical::default().build(&llama_8b(), &slow_link, &bf16(8)).unwrap();
    assert_eq!(model.price(&decode(64, 64_000)).bound, Bound::Communication);
    let tiny = DecoderShape { layers: 1, hidden: 64, ffn: 64, vocab: 256, ..llama_8b() };
    let model = Analytical::default().build(&tiny, &h100(), &bf16(1)).unwrap();
    assert_eq!(model.price(&decode(1, 10)).bound, Bound::Host);
}

#[test]
fn what_cannot_be_deployed_is_refused_with_the_reason() {
    let build = |shape: &DecoderShape, device: &Device, deployment: &Deployment| {
        Analytical::default().build(shape, device, deployment).unwrap_err()
    };
    let three = bf16(3);
    assert_eq!(
        build(&llama_8b(), &h100(), &three),
        "tensor_parallel: 32 attention heads do not divide over 3 accelerators"
    );
    let alone = Device { link_bandwidth: None, ..h100() };
    assert!(build(&llama_8b(), &alone, &bf16(2)).contains("scale-up bandwidth"));
    let stages = Deployment { pipeline_parallel: 4, ..bf16(1) };
    assert!(build(&llama_8b(), &alone, &stages).starts_with("pipeline_parallel: needs the accelerator's"));
    let odd = DecoderShape { kv_heads: 6, heads: 24, ..llama_8b() };
    assert!(build(&odd, &h100(), &bf16(4)).contains("6 KV heads"));
    let eager = Analytical { memory_efficiency: Some(1.2), ..Analytical::default() };
    assert_eq!(
        eager.build(&llama_8b(), &h100(), &bf16(1)).unwrap_err(),
        "memory_efficiency must be above 0 and at most 1, found 1.2"
    );
    assert!(
        build(&llama_8b(), &h100(), &Deployment { weight_bytes: f64::NAN, ..bf16(1) }).contains("weight")
    );
}

#[test]
fn parameters_read_from_ron_default_to_the_documented_ones() {
    assert_eq!(ron::from_str::<Analytical>("()").unwrap(), Analytical::default());
    let params: Analytical = ron::from_str("(step_overhead: ms(1.2))").unwrap();
    assert_eq!(params.step_overhead.as_secs(), 1.2e-3);
    assert!(ron::from_str::<Analytical>("(step_overheads: ms(1.2))").is_err());
}

/// Every token of an encoder's text sees all of it: twice the pairs of a decoder's, but for the diagonal.
#[test]
fn an_encoder_scores_all_pairs_of_a_text_and_none_of_another() {
    let decoder = LowerBound::new(&llama_8b(), &h100(), &bf16(1));
    let encoder = LowerBound::new(&DecoderShape { bidirectional: true, ..llama_8b() }, &h100(), &bf16(1));
    let flops =
        |bound: &LowerBound, prefill: &[Chunk]| bound.flops(&StepShape { prefill, ..StepShape::default() });
    let text = Chunk { tokens: 512, context: 0, last: false };
    let more = flops(&encoder, &[text]) - flops(&decoder, &[text]);
    let per_pair = 4.0 * 32.0 * 128.0 * 32.0;
    assert!((more / per_pair / (512.0 * 511.0 / 2.0) - 1.0).abs() < 1e-9);
    assert!((flops(&encoder, &[text; 3]) / flops(&encoder, &[text]) - 3.0).abs() < 1e-12);
}

/// How often an operator runs in a step, how long it takes in all (s), and what it moves (bytes).
fn of(model: &AnalyticalModel, step: &StepShape<'_>, operator: &str) -> (f64, f64, f64) {
    let items = model.itemise(step).into_iter().filter(|item| item.operator == operator);
    items.fold((0.0, 0.0, 0.0), |sum, item| (sum.0 + item.calls, sum.1 + item.seconds, sum.2 + item.bytes))
}

/// Two blocks of one input need one norm before them and one sum behind them, and multiply as much.
#[test]
fn blocks_side_by_side_halve_norms_and_all_reduces_and_nothing_else() {
    let chunk = [Chunk { tokens: 4096, context: 0, last: true }];
    for step in [StepShape { prefill: &chunk, ..StepShape::default() }, decode(32, 32_000)] {
        let price = |parallel| {
            let shape = DecoderShape { parallel, ..llama_8b() };
            Analytical::default().build(&shape, &h100(), &bf16(4)).unwrap()
        };
        let (after, beside) = (price(false), price(true));
        assert_eq!(of(&after, &step, "all-reduce").0, 64.0);
        assert_eq!(of(&beside, &step, "all-reduce").1, 0.5 * of(&after, &step, "all-reduce").1);
        // Five streams where two norms read and write eight.
        let norms = |model: &AnalyticalModel| of(model, &step, "residual and norm");
        assert_eq!((norms(&beside).0, norms(&beside).2), (32.0, norms(&after).2 * 5.0 / 8.0));
        let rest = |model: &AnalyticalModel| {
            model.price(&step).seconds - of(model, &step, "all-reduce").1 - norms(model).1
        };
        assert!((rest(&beside) / rest(&after) - 1.0).abs() < 1e-9);
    }
}

/// A norm or an activation that casts writes one byte an element instead of two, and spares reading two and writing one.
#[test]
fn casts_that_are_fused_spare_four_bytes_of_what_products_take() {
    let deployment = Deployment { weight_bytes: 1.0, activation_bytes: 1.0, ..bf16(1) };
    let chunk = [Chunk { tokens: 2048, context: 0, last: true }];
    let step = StepShape { prefill: &chunk, ..StepShape::default() };
    let model = |fused_casts| {
        Analytical { fused_casts, ..Analytical::default() }.build(&llama_8b(), &h100(), &deployment).unwrap()
    };
    let (fused, apart) = (model(true), model(false));
    let moved = |model: &AnalyticalModel| {
        ["residual and norm", "activation", "cast of inputs"].map(|operator| of(model, &step, operator).2)
    };
    let spared = moved(&apart).iter().sum::<f64>() - moved(&fused).iter().sum::<f64>();
    assert_eq!(spared, 4.0 * 2048.0 * 32.0 * (4096.0 + 4096.0 + 14336.0));
    assert_eq!([of(&fused, &step, "cast of inputs").0, of(&apart, &step, "cast of inputs").0], [32.0, 128.0]);
    // In 16 bit there is nothing to cast.
    let wide = |fused_casts| {
        Analytical { fused_casts, ..Analytical::default() }.build(&llama_8b(), &h100(), &bf16(1)).unwrap()
    };
    assert_eq!(wide(true).price(&step), wide(false).price(&step));
}
