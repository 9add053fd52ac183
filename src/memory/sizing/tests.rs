//! How many KV blocks there are, beside what was measured, and what does not fit.

use proptest::prelude::*;

use super::*;
use crate::catalog::{Catalog, Precision};

/// As vLLM 0.6.4 ran it: 256 sequences, 8,192 tokens.
fn llama_8b() -> KvSizing {
    KvSizing {
        device_memory: 79.22 * GIB,
        utilization: 0.9,
        tensor_parallel: 1,
        spread: Spread::NONE,
        parameters: 8.0303e9,
        weight_bytes: 2.0,
        offloaded_bytes: 0.0,
        kv_bytes_per_token: 131_072.0,
        groups: KvGroups::ONE,
        heads: 32,
        kv_heads: 8,
        hidden: 4096,
        ffn: 14336,
        vocab: 128_256,
        max_num_batched_tokens: 8192,
        max_num_seqs: 256,
        block_size: 16,
    }
}

fn llama_70b() -> KvSizing {
    KvSizing {
        device_memory: 79.6 * GIB,
        parameters: 70.5537e9,
        kv_bytes_per_token: 327_680.0,
        heads: 64,
        hidden: 8192,
        ffn: 28672,
        ..llama_8b()
    }
}

#[test]
fn vllm_measured_nearly_the_same() {
    let capacity = llama_8b().capacity().unwrap();
    assert!((capacity.weights / GIB - 14.96).abs() < 0.01);
    assert!((capacity.activations / GIB - 1.26).abs() < 0.15, "{}", capacity.activations / GIB);
    assert!((capacity.kv / GIB / 53.29 - 1.0).abs() < 0.03, "{}", capacity.kv / GIB);
    assert_eq!(capacity.tokens, capacity.blocks * 16);
}

#[test]
fn what_does_not_fit_says_by_how_much_and_what_would() {
    let Err(SizingError::DoesNotFit(error)) = llama_70b().capacity() else { panic!("it fits") };
    assert_eq!(error.tensor_parallel, Some(2));
    assert_eq!(error.weight_bytes, Some(1.0));
    assert_eq!(
        error.to_string(),
        "the model does not fit: 131.4 GiB of weights and 1.9 GiB of activations and runtime on each \
         accelerator leave no KV block in the 71.6 of 79.6 GiB it may use; short by 61.6 GiB; \
         tensor_parallel: 2 or 8-bit weights would fit"
    );
    let huge = KvSizing { parameters: 1e13, ..llama_70b() };
    assert!(huge.capacity().unwrap_err().to_string().contains("no tensor_parallel up to 16"));
}

#[test]
fn llama_70b_on_two_h100_is_tight() {
    let capacity = KvSizing { tensor_parallel: 2, ..llama_70b() }.capacity().unwrap();
    assert!((20_000..32_000).contains(&capacity.tokens), "{}", capacity.tokens);
}

#[test]
fn kv_heads_are_replicated_rather_than_split() {
    let block = |tensor_parallel, kv_heads| {
        KvSizing { tensor_parallel, kv_heads, ..llama_8b() }.capacity().unwrap().block_bytes
    };
    assert_eq!(block(8, 8), block(16, 8));
    assert_eq!(block(1, 8), 8.0 * block(8, 8));
    assert_eq!(block(1, 1), block(8, 1));
}

/// KV of a token as the models' makers publish it: DeepSeek-V3 70.272 kB, Qwen2.5-72B 327.680 kB and Llama-3.1-405B
/// 516.096 kB in 16 bit (table 1 of "Insights into DeepSeek-V3", <https://arxiv.org/abs/2505.09343>); half of that
/// in FP8. Latent KV is on every accelerator, heads are split.
#[test]
fn blocks_are_as_large_as_published() {
    let block = |name: &str, precision, tensor_parallel| {
        let model = Catalog::embedded().model(name).unwrap();
        let latent = model.attention.latent.is_some();
        let sizing = KvSizing {
            device_memory: 1e13,
            parameters: 1e9,
            tensor_parallel,
            kv_bytes_per_token: model.kv_bytes_per_token(precision),
            groups: KvGroups::of_model(model),
            kv_heads: if latent { 1 } else { model.attention.kv_heads },
            ..llama_8b()
        };
        sizing.capacity().unwrap().block_bytes / 16.0
    };
    for (name, bytes) in
        [("DeepSeek-V3", 70_272.0), ("Qwen2.5-72B", 327_680.0), ("Llama-3.1-405B", 516_096.0)]
    {
        assert_eq!(block(name, Precision::Bf16, 1), bytes, "{name}");
        assert_eq!(block(name, Precision::Fp8, 1), bytes / 2.0, "{name}");
    }
    assert_eq!(block("DeepSeek-V3", Precision::Bf16, 8), 70_272.0);
    assert_eq!(block("Llama-3.1-405B", Precision::Fp8, 8), 516_096.0 / 16.0);
    // Ten layers of 62 with 16 heads of 128 a block.
    assert_eq!(block("Gemma-3-27B", Precision::Bf16, 1), 10.0 * 2.0 * 16.0 * 128.0 * 2.0);
}

#[test]
fn windowed_layers_share_the_pool_in_groups() {
    let model = Catalog::embedded().model("gpt-oss-120b").unwrap();
    let kv_bytes_per_token = model.kv_bytes_per_token(Precision::Bf16);
    let sizing = |groups| KvSizing { kv_bytes_per_token, groups, ..llama_8b() }.capacity().unwrap();
    let (full, grouped) = (sizing(KvGroups::ONE), sizing(KvGroups::of_model(model)));
    assert!(grouped.blocks.abs_diff(2 * full.blocks) <= 1, "half of the layers a block");
    assert_eq!(grouped.tokens, grouped.blocks / 2 * 16, "as vLLM reports it, windows or not");
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    let message = |sizing: KvSizing| sizing.capacity().unwrap_err().to_string();
    assert_eq!(
        message(KvSizing { utilization: 1.1, ..llama_8b() }),
        "gpu_memory_utilization must be above 0 and at most 1, found 1.1"
    );
    assert_eq!(message(KvSizing { block_size: 0, ..llama_8b() }), "block_size must be above 0, found 0");
    assert!(message(KvSizing { parameters: f64::NAN, ..llama_8b() }).contains("parameters"));
}

/// Llama-3.1-405B in fp8 by hand: 126 layers of 3.17 G parameters, 2.1 G of embedding and as many of head.
#[test]
fn stages_hold_their_layers_and_the_ends_of_the_model() {
    let spread = |stages| Spread {
        layers: 126,
        stages,
        embedding: 16_384.0 * 128_256.0,
        head: 16_384.0 * 128_256.0,
        tied: false,
        ..Spread::NONE
    };
    let sizing = |stages| KvSizing {
        spread: spread(stages),
        parameters: 405.85e9,
        weight_bytes: 1.0,
        offloaded_bytes: 0.0,
        kv_bytes_per_token: 516_096.0,
        heads: 128,
        hidden: 16_384,
        ffn: 53_248,
        tensor_parallel: 8,
        ..llama_8b()
    };
    let layers = |stages| spread(stages).layers_of_stages().collect::<Vec<_>>();
    assert_eq!((layers(1), layers(2), layers(4)), (vec![126], vec![63, 63], vec![31, 32, 32, 31]));
    assert_eq!(layers(8).iter().sum::<u32>(), 126);
    assert_eq!((layers(8)[0], layers(8)[1], layers(8)[7]), (15, 16, 15));
    let edges = 2.0 * 16_384.0 * 128_256.0;
    let half = sizing(2).capacity().unwrap();
    // The last stage samples, and so has least room.
    assert!((half.weights * 8.0 - ((405.85e9 - edges) / 2.0 + edges / 2.0)).abs() < 1.0);
    assert_eq!(half.block_bytes, 16.0 * 516_096.0 / 2.0 / 8.0);
    let quarter = sizing(4).capacity().unwrap();
    assert!(quarter.blocks > half.blocks);
    // Both ends or a stage with a layer more: 31 layers and a matrix, or 32 layers.
    let (end, middle) = (31.0 / 126.0, 32.0 / 126.0);
    let weights = [end * (405.85e9 - edges) + edges / 2.0, middle * (405.85e9 - edges)];
    assert!(weights.iter().any(|weights| (quarter.weights * 8.0 - weights).abs() < 1.0), "{quarter:?}");
    let tied = |stages| Spread { tied: true, head: 1e9, embedding: 1e9, layers: 2, stages, ..Spread::NONE };
    let weights = |stages| KvSizing { spread: tied(stages), ..llama_8b() }.capacity().unwrap().weights;
    assert_eq!(weights(1), 2.0 * 8.0303e9);
    assert!((weights(2) - (8.0303e9 - 1e9 + 2e9)).abs() < 1.0, "a copy on either end: {}", weights(2));
}

/// DeepSeek-V3 in fp8 on sixteen: attention on each pair of tensor ranks, 256 experts over all of them.
#[test]
fn copies_share_the_experts_and_have_blocks_each() {
    let sizing = |copies, tensor_parallel, whole_experts| {
        let spread = Spread { copies, routed: 650e9, whole_experts, ..Spread::NONE };
        KvSizing {
            spread,
            parameters: 671e9,
            weight_bytes: 1.0,
            offloaded_bytes: 0.0,
            device_memory: 179.0 * GIB,
            tensor_parallel,
            kv_bytes_per_token: 70_272.0,
            heads: 128,
            kv_heads: 1,
            ..llama_8b()
        }
    };
    let found = |copies, ranks, whole| sizing(copies, ranks, whole).capacity().unwrap();
    for whole in [None, Some(256)] {
        let eight = found(8, 1, whole);
        assert_eq!(eight.weights, 21e9 + 650e9 / 8.0);
        let alone = found(1, 8, whole);
        assert_eq!(alone.weights, 671e9 / 8.0);
        assert_eq!(eight.blocks % 8, 0);
        assert!(eight.blocks > 6 * alone.blocks, "{} and {}", eight.blocks, alone.blocks);
        assert_eq!(eight.with_blocks(800, 16).kv, 100.0 * eight.block_bytes);
    }
    let uneven = found(12, 1, Some(256));
    assert_eq!(uneven.weights, 21e9 + 650e9 * 22.0 / 256.0);
}

proptest! {
    #[test]
    fn the_parts_fill_the_budget(memory in 1.0..400.0, utilization in 0.05..1.0, billions in 0.1..500.0,
                                 tp in 0u32..5, weights in 0usize..3, kv in 1e3..1e6, tokens in 1u32..20_000,
                                 seqs in 1u32..2000, block_size in 1u32..128) {
        let sizing = KvSizing {
            device_memory: memory * GIB,
            utilization,
            tensor_parallel: 1 << tp,
            parameters: billions * 1e9,
            weight_bytes: [2.0, 1.0, 0.5625][weights],
            kv_bytes_per_token: kv,
            max_num_batched_tokens: tokens,
            max_num_seqs: seqs,
            block_size,
            ..llama_8b()
        };
        match sizing.capacity() {
            Ok(fit) => {
                let fixed = fit.weights + fit.activations + fit.runtime;
                let used = fixed + fit.blocks as f64 * fit.block_bytes;
                prop_assert!(used <= fit.budget * (1.0 + 1e-12));
                prop_assert!(used + fit.block_bytes > fit.budget * (1.0 - 1e-12));
            }
            Err(SizingError::DoesNotFit(error)) => {
                prop_assert!(error.short_by > 0.0);
                // What it suggests does fit, and exactly what it lacks would do.
                if let Some(tensor_parallel) = error.tensor_parallel {
                    let capacity = KvSizing { tensor_parallel, ..sizing }.capacity();
                    prop_assert!(capacity.is_ok());
                }
                if let Some(weight_bytes) = error.weight_bytes {
                    let capacity = KvSizing { weight_bytes, ..sizing }.capacity();
                    prop_assert!(capacity.is_ok());
                }
                let enough = error.short_by / utilization * (1.0 + 1e-9) + 1.0;
                let device_memory = sizing.device_memory + enough;
                let larger = KvSizing { device_memory, ..sizing };
                prop_assert!(larger.capacity().is_ok());
            }
            Err(invalid) => prop_assert!(false, "{invalid}"),
        }
    }
}
