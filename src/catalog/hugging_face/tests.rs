//! Published configurations against the catalog, refusals, and arbitrary input.

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{Catalog, ModelKind, Precision, Window};
use super::{HfConfig, StoredWeights};

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("fixtures/", $name, ".json"))
    };
}

/// Configurations, shortened to what matters and some of what does not, and the entries they must equal.
const FIXTURES: [(&str, &str); 16] = [
    (fixture!("llama-3.1-8b"), "Llama-3.1-8B"),
    (fixture!("qwen3-30b-a3b"), "Qwen3-30B-A3B"),
    (fixture!("deepseek-v3"), "DeepSeek-V3"),
    (fixture!("mixtral-8x7b"), "Mixtral-8x7B"),
    (fixture!("gemma-3-27b"), "Gemma-3-27B"),
    (fixture!("gemma-3-4b"), "Gemma-3-4B"),
    (fixture!("gpt-oss-120b"), "gpt-oss-120b"),
    (fixture!("bert-base"), "DPR"),
    (fixture!("bge-reranker-v2-m3"), "bge-reranker-v2-m3"),
    (fixture!("llama-4-scout"), "Llama-4-Scout"),
    (fixture!("falcon-180b"), "Falcon-180B"),
    (fixture!("gpt-j-6b"), "GPT-J"),
    (fixture!("opt-6.7b"), "OPT-6.7B"),
    (fixture!("qwen2.5-7b"), "Qwen2.5-7B"),
    (fixture!("mistral-7b-v0.1"), "Mistral-7B-v0.1"),
    (fixture!("bloom"), "Bloom-176B"),
];

fn parse(text: &str) -> Result<HfConfig, String> {
    HfConfig::parse(text, Path::new("config.json")).map_err(|error| error.to_string())
}

/// A configuration of a small model, with `changes` laid over it; `null` takes a key away.
fn small(changes: Value) -> Result<HfConfig, String> {
    let mut config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": 64,
        "intermediate_size": 128, "max_position_embeddings": 1024, "num_attention_heads": 4,
        "num_hidden_layers": 4, "vocab_size": 1000,
    });
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    parse(&config.to_string())
}

#[test]
fn published_configurations_are_the_models_of_the_catalog() {
    for (text, name) in FIXTURES {
        let ours = Catalog::embedded().model(name).unwrap();
        let theirs = parse(text).unwrap().model;
        let close = |what: &str, theirs: f64, ours: f64| {
            assert!((theirs - ours).abs() <= 0.003 * ours, "{name}: {what} {theirs}, we have {ours}");
        };
        close("parameters", theirs.parameters() as f64, ours.parameters() as f64);
        close("active parameters", theirs.active_parameters() as f64, ours.active_parameters() as f64);
        let kv = |model: &super::Model| model.kv_bytes_per_token(Precision::Bf16);
        assert_eq!(kv(&theirs), kv(ours), "{name}");
        assert_eq!(theirs.attention, ours.attention, "{name}");
        assert_eq!(theirs.experts, ours.experts, "{name}");
        assert_eq!(theirs.ffn, ours.ffn, "{name}");
        assert_eq!((theirs.bias, theirs.bidirectional), (ours.bias, ours.bidirectional), "{name}");
        assert_eq!(theirs.parallel, ours.parallel, "{name}");
        assert_eq!(theirs.max_context, ours.max_context, "{name}");
        assert_eq!(theirs.learned_positions, ours.learned_positions, "{name}");
        assert_eq!(theirs.kind, ours.kind, "{name}");
    }
}

#[test]
fn what_played_no_part_is_listed() {
    let ignored = |text| parse(text).unwrap().ignored;
    assert_eq!(ignored(fixture!("llama-3.1-8b")), ["rope_scaling", "rope_theta", "use_cache"]);
    assert_eq!(
        ignored(fixture!("deepseek-v3")),
        [
            "n_group",
            "num_nextn_predict_layers",
            "quantization_config.fmt",
            "quantization_config.weight_block_size"
        ]
    );
    assert_eq!(
        ignored(fixture!("gemma-3-27b")),
        ["mm_tokens_per_image", "text_config.query_pre_attn_scalar", "vision_config"]
    );
}

#[test]
fn the_format_of_the_weights_is_told() {
    let stored = |text: &str| parse(text).unwrap().stored.and_then(|stored| stored.precision);
    assert_eq!(stored(fixture!("llama-3.1-8b")), Some(Precision::Bf16));
    assert_eq!(stored(fixture!("deepseek-v3")), Some(Precision::Fp8));
    assert_eq!(stored(fixture!("gpt-oss-120b")), Some(Precision::Fp4));
    assert_eq!(stored(fixture!("bert-base")), None);
    assert_eq!(parse(fixture!("gpt-j-6b")).unwrap().stored, None);
    let quantized = |config: Value| small(json!({"quantization_config": config})).unwrap();
    let awq = quantized(json!({"quant_method": "awq", "bits": 4, "group_size": 128}));
    let written = "quant_method `awq`, 4 bits".to_owned();
    assert_eq!(awq.stored, Some(StoredWeights { precision: None, written }));
    assert!(awq.model.note.contains("`awq`, 4 bits"), "{}", awq.model.note);
    for (config, precision) in [
        (json!({"quant_method": "gptq", "bits": 8}), Precision::Int8),
        (json!({"quant_method": "modelopt", "quant_algo": "NVFP4"}), Precision::Fp4),
        (json!({"quant_method": "bitsandbytes", "load_in_8bit": true}), Precision::Int8),
        (
            json!({"quant_method": "compressed-tensors",
                   "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "float"}}}}),
            Precision::Fp8,
        ),
    ] {
        assert_eq!(quantized(config).stored.unwrap().precision, Some(precision));
    }
}

#[test]
fn attention_we_do_not_know_is_refused_by_name() {
    let problem = |changes| small(changes).unwrap_err();
    for (changes, starts, holds) in [
        (
            json!({"layer_types": ["full_attention", "linear_attention", "a", "b"]}),
            "`layer_types[1]`",
            "linear_attention",
        ),
        (json!({"model_type": "mamba2"}), "`model_type`", "mamba2"),
        (json!({"model_type": "rwkv"}), "`model_type`", "rwkv"),
        (json!({"model_type": "diffllama"}), "`model_type`", "diffllama"),
        (json!({"hybrid_override_pattern": "M-M*"}), "`hybrid_override_pattern`", "hybrid"),
        (json!({"linear_num_key_heads": 16}), "`linear_num_key_heads`", "linear attention"),
        (json!({"index_topk": 2048}), "`index_topk`", "sparse attention"),
        (json!({"attn_layer_period": 8}), "`attn_layer_period`", "hybrid"),
        (json!({"is_encoder_decoder": true}), "`is_encoder_decoder`", "not both"),
        (json!({"position_embedding_type": "relative_key"}), "`position_embedding_type`", "relative_key"),
        (json!({"model_type": "novel", "architectures": ["NovelModel"]}), "`model_type`", "novel"),
        (json!({"model_type": "novel", "sliding_window": 128}), "`sliding_window`", "`layer_types`"),
        (json!({"model_type": "bert", "is_decoder": true}), "`is_decoder`", "bert"),
    ] {
        let message = problem(changes);
        assert!(message.starts_with(&format!("config.json: {starts}")), "{message}");
        assert!(message.contains(holds), "{message}");
    }
    assert!(small(json!({"linear_bias": false, "num_kv_shared_layers": 0})).is_ok());
}

#[test]
fn a_wrong_value_is_refused_with_its_key() {
    let problem = |changes| small(changes).unwrap_err();
    assert_eq!(problem(json!({"vocab_size": null})), "config.json: `vocab_size` is missing");
    assert_eq!(
        problem(json!({"hidden_size": "64"})),
        "config.json: `hidden_size` must be a whole number from 1 to 2³² − 1, found `\"64\"`"
    );
    assert!(problem(json!({"num_hidden_layers": 4_000_000_000u32})).contains("must be 1 to 4096"));
    assert!(problem(json!({"num_attention_heads": 3})).contains("`head_dim` is missing, and 3 heads"));
    assert!(problem(json!({"num_key_value_heads": 3})).contains("must divide the 4 heads, found 3"));
    assert!(problem(json!({"layer_types": ["full_attention"]})).contains("each of the 4 layers, found 1"));
    assert!(problem(json!({"num_experts": 8})).contains("`num_experts_per_tok` is missing"));
    assert!(problem(json!({"moe_num_experts": 64})).contains("`moe_num_experts` speaks of experts"));
    let many = json!({"num_experts": 8, "num_experts_per_tok": 9});
    assert!(problem(many).contains("`experts.active` must be 1 to 8, found 9"));
    let layer = json!({"num_experts": 8, "num_experts_per_tok": 2, "mlp_only_layers": [4]});
    assert!(problem(layer).contains("`mlp_only_layers` names layer 4, and layers count from 0 to 3"));
    let nested =
        json!({"text_config": {"hidden_size": -1, "num_hidden_layers": 4, "num_attention_heads": 4}});
    assert!(problem(nested).starts_with("config.json: `text_config.hidden_size` must be"));
    assert!(parse("[]").unwrap_err().starts_with("config.json: invalid type"));
    assert!(parse("{\"a\":").unwrap_err().contains("line 1 column 5"));
}

#[test]
fn layers_with_experts_are_counted_by_every_rule() {
    let dense = |changes: Value| {
        let mut all = json!({"num_hidden_layers": 12, "num_local_experts": 8, "num_experts_per_tok": 2});
        all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        small(all).unwrap().model.dense_layers()
    };
    assert_eq!(dense(json!({})), 0);
    assert_eq!(dense(json!({"decoder_sparse_step": 2})), 6);
    assert_eq!(dense(json!({"interleave_moe_layer_step": 3})), 8);
    assert_eq!(dense(json!({"first_k_dense_replace": 3, "moe_layer_freq": 1})), 3);
    assert_eq!(dense(json!({"moe_layer_freq": [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]})), 1);
    assert_eq!(dense(json!({"mlp_only_layers": [0, 5]})), 2);
    assert_eq!(dense(json!({"moe_layers": [1, 3, 5]})), 9);
}

#[test]
fn windows_keep_their_count_where_they_have_no_pattern() {
    let model = |types: &str| {
        let kind = |c| if c == 's' { "sliding_attention" } else { "full_attention" };
        let types: Vec<&str> = types.chars().map(kind).collect();
        let layers = types.len();
        small(json!({"layer_types": types, "num_hidden_layers": layers, "sliding_window": 128}))
            .unwrap()
            .model
    };
    assert_eq!(model("ffff").attention.window, None);
    assert_eq!(model("ssss").attention.window, Some(Window { tokens: 128, local: 1, global: 0 }));
    assert_eq!(model("ssfss").attention.window, Some(Window { tokens: 128, local: 2, global: 1 }));
    let odd = model("fssfs");
    assert_eq!(odd.windowed_layers(), 3);
    assert!(odd.note.contains("counted, not placed"), "{}", odd.note);
    // A window as long as the context is none.
    assert_eq!(
        small(json!({"model_type": "mistral", "sliding_window": 1024})).unwrap().model.windowed_layers(),
        0
    );
}

#[test]
fn the_class_that_loads_a_model_tells_what_it_is_for() {
    let kind = |class: &str| small(json!({"architectures": [class]})).unwrap().model.kind;
    assert_eq!(kind("LlamaForCausalLM"), ModelKind::Decoder);
    assert_eq!(kind("LlamaModel"), ModelKind::Embedding);
    assert_eq!(kind("LlamaForSequenceClassification"), ModelKind::Reranker);
    assert_eq!(kind("Qwen2ForProcessRewardModel"), ModelKind::Reward);
}

#[test]
fn a_family_we_do_not_know_is_told() {
    let model = small(json!({"model_type": "novel", "attention_bias": true})).unwrap().model;
    assert_eq!(model.bias, super::Bias::Qkvo);
    assert!(model.note.starts_with("model_type `novel` is not known"), "{}", model.note);
    assert!(model.note.contains("with `silu` the feed-forward is taken to be gated"), "{}", model.note);
    assert_eq!(small(json!({})).unwrap().model.note, "");
}

/// Any JSON value, some of it nested and some of it huge.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0u64..300).prop_map(Value::from),
        Just(Value::from(u32::MAX)),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        proptest::sample::select(vec![
            "llama",
            "gemma3_text",
            "falcon",
            "bert",
            "llama4",
            "full_attention",
            "sliding_attention",
            "fp8",
            "silu"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map("[a-z_]{1,12}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(2000)))]

    /// Any key of any configuration may hold anything: the answer is a model in bounds, or an error.
    #[test]
    fn no_value_of_any_key_is_fatal(
        which in 0..FIXTURES.len(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any_json(), any::<bool>()), 1..6),
    ) {
        let mut config: Value = serde_json::from_str(FIXTURES[which].0).unwrap();
        for (at, value, nested) in changes {
            let object = match config.get_mut("text_config") {
                Some(Value::Object(inside)) if nested && !inside.is_empty() => inside,
                _ => config.as_object_mut().unwrap(),
            };
            let key = object.keys().nth(at.index(object.len())).unwrap().clone();
            object.insert(key, value);
        }
        if let Ok(found) = parse(&config.to_string()) {
            prop_assert!(found.model.parameters() > 0);
            prop_assert!(found.model.active_parameters() <= found.model.parameters());
            prop_assert!(found.model.windowed_layers() <= found.model.layers);
        }
    }

    /// A file may be cut off or damaged anywhere, or be no configuration at all.
    #[test]
    fn no_text_is_fatal(which in 0..FIXTURES.len(), at in any::<prop::sample::Index>(), noise in ".{0,40}") {
        let text = FIXTURES[which].0;
        let at = at.index(text.len());
        let _ = parse(&text[..at]);
        let _ = parse(&format!("{}{noise}{}", &text[..at], &text[at..]));
        let _ = parse(&noise);
    }
}

#[test]
fn hostile_files_end_in_errors() {
    assert!(parse(&"[".repeat(1_000_000)).is_err());
    assert!(parse(&format!("{{\"a\":{}", "{\"a\":".repeat(1_000_000))).is_err());
    assert!(parse(&format!("{{\"hidden_size\": {}}}", "9".repeat(1_000_000))).is_err());
    assert!(small(json!({"vocab_size": 1e300})).is_err());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    std::fs::File::create(&file).unwrap().set_len((16 << 20) + 1).unwrap();
    assert!(HfConfig::read(&file).unwrap_err().to_string().contains("longer than 16 MiB"));
    std::fs::write(&file, [0xff, 0xfe]).unwrap();
    assert!(HfConfig::read(&file).unwrap_err().to_string().contains("UTF-8"));
}
