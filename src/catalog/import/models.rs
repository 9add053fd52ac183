//! `models.csv` → `models.ron`.

use std::io::Read;

use super::super::{Attention, Bias, Expected, Experts, Ffn, Latent, Model, ModelKind, Origin, Window};
use super::hardware::verified;
use super::table::{ImportError, Row, import};

const COLUMNS: [&str; 34] = [
    "name",
    "hf_id",
    "type",
    "layers",
    "hidden",
    "heads",
    "kv_heads",
    "head_dim",
    "ffn",
    "gated_ffn",
    "vocab",
    "tied_emb",
    "bias",
    "experts",
    "active_experts",
    "moe_ffn",
    "shared_experts",
    "shared_ffn",
    "first_dense_layers",
    "mla_q_lora",
    "mla_kv_lora",
    "mla_qk_nope",
    "mla_qk_rope",
    "mla_v",
    "sliding_window",
    "window_pattern",
    "max_ctx",
    "params_total_B_calc",
    "params_active_B_calc",
    "params_published_B",
    "kv_bytes_per_token_bf16",
    "verified",
    "source",
    "note",
];

const COMMENT: &str = "\
Models by their shape.
Origin: a table of published Hugging Face configurations; each entry names its source, and `verified` says how
well it is known. `expected` holds the published parameter count, or else one calculated from the configuration.
Written by `mist derive models models.csv`: change the table, or lay a folder of your own over this file.";

/// The text of `models.ron` from a table of models.
///
/// Columns: `name, hf_id, type, layers, hidden, heads, kv_heads, head_dim, ffn, gated_ffn, vocab,
/// tied_emb, bias, experts, active_experts, moe_ffn, shared_experts, shared_ffn, first_dense_layers,
/// mla_q_lora, mla_kv_lora, mla_qk_nope, mla_qk_rope, mla_v, sliding_window, window_pattern, max_ctx,
/// params_total_B_calc, params_active_B_calc, params_published_B, kv_bytes_per_token_bf16, verified,
/// source, note`. A model without KV bytes is an encoder.
///
/// # Errors
/// The table has other columns, a row does not fit, or a shape does not add up to its parameter count
/// (within 0.3 %) and KV bytes (exactly).
pub fn models_from_csv(reader: impl Read) -> Result<String, ImportError> {
    import(reader, &COLUMNS, &[], COMMENT, model)
}

fn model(row: &Row<'_>) -> Result<Model, ImportError> {
    let bidirectional = row.text("kv_bytes_per_token_bf16").is_empty();
    Ok(Model {
        name: row.filled("name")?.to_owned(),
        hf_id: Some(row.filled("hf_id")?).filter(|id| *id != "(unreleased)").map(str::to_owned),
        kind: row.one_of(
            "type",
            &[
                ("decoder", ModelKind::Decoder),
                ("embedding", ModelKind::Embedding),
                ("reranker", ModelKind::Reranker),
                ("reward", ModelKind::Reward),
            ],
        )?,
        layers: row.number("layers")?,
        hidden: row.number("hidden")?,
        vocab: row.number("vocab")?,
        max_context: row.number("max_ctx")?,
        tied_embeddings: row.flag("tied_emb")?,
        learned_positions: learned_positions(row, bidirectional)?,
        bidirectional,
        parallel: false,
        bias: row.one_of(
            "bias",
            &[("none", Bias::Absent), ("qkv", Bias::Qkv), ("qkvo", Bias::Qkvo), ("all", Bias::All)],
        )?,
        attention: Attention {
            heads: row.number("heads")?,
            kv_heads: row.number("kv_heads")?,
            head_dim: row.number("head_dim")?,
            query_norm: query_norm(row.text("name")),
            latent: latent(row)?,
            window: window(row)?,
        },
        ffn: Ffn { size: row.number("ffn")?, gated: row.flag("gated_ffn")? },
        experts: experts(row)?,
        expected: Some(expected(row)?),
        verified: verified(row)?,
        source: row.filled("source")?.to_owned(),
        note: row.text("note").to_owned(),
    })
}

/// The table has no column for it. Encoders here are of the BERT family (vocabulary 30,522), whose two
/// segment embeddings we count as positions, or XLM-RoBERTa, with one segment and two reserved positions;
/// OPT reserves two positions as well, and GPT-3 none. All others rotate, or bias by distance (BLOOM).
fn learned_positions(row: &Row<'_>, bidirectional: bool) -> Result<u32, ImportError> {
    let context: u32 = row.number("max_ctx")?;
    let name = row.text("name");
    Ok(match () {
        () if bidirectional && row.text("vocab") == "30522" => context + 2,
        () if bidirectional => context + 3,
        () if name.starts_with("OPT-") => context + 2,
        () if name.starts_with("GPT-3-") => context,
        () => 0,
    })
}

/// The table has no column for it either.
fn query_norm(name: &str) -> bool {
    ["Qwen3", "Gemma-3"].iter().any(|family| name.starts_with(family))
}

fn latent(row: &Row<'_>) -> Result<Option<Latent>, ImportError> {
    let Some(kv_rank) = row.number_if_any("mla_kv_lora")? else { return Ok(None) };
    Ok(Some(Latent {
        query_rank: row.number_or_zero("mla_q_lora")?,
        kv_rank,
        nope_dim: row.number("mla_qk_nope")?,
        rope_dim: row.number("mla_qk_rope")?,
        value_dim: row.number("mla_v")?,
    }))
}

fn window(row: &Row<'_>) -> Result<Option<Window>, ImportError> {
    let Some(tokens) = row.number_if_any("sliding_window")? else { return Ok(None) };
    let (local, global) = row.one_of(
        "window_pattern",
        &[
            ("all layers", (1, 0)),
            ("all layers (4k ver.)", (1, 0)),
            ("alternate local/full", (1, 1)),
            ("alternate local/global", (1, 1)),
            ("5 local : 1 global", (5, 1)),
        ],
    )?;
    Ok(Some(Window { tokens, local, global }))
}

fn experts(row: &Row<'_>) -> Result<Option<Experts>, ImportError> {
    let Some(routed) = row.number_if_any("experts")? else { return Ok(None) };
    Ok(Some(Experts {
        routed,
        active: row.number("active_experts")?,
        size: row.number("moe_ffn")?,
        shared: row.number_or_zero("shared_experts")?,
        shared_size: row.number_or_zero("shared_ffn")?,
        dense_layers: row.number_or_zero("first_dense_layers")?,
    }))
}

fn expected(row: &Row<'_>) -> Result<Expected, ImportError> {
    let (parameters_b, origin) = match row.number_if_any("params_published_B")? {
        Some(published) => (published, Origin::Published),
        None => (row.number("params_total_B_calc")?, Origin::Calculated),
    };
    let mixture = !row.text("experts").is_empty();
    Ok(Expected {
        parameters_b,
        origin,
        active_parameters_b: if mixture { Some(row.number("params_active_B_calc")?) } else { None },
        kv_bytes_per_token_bf16: row.number_if_any("kv_bytes_per_token_bf16")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derive(cells: &[(&str, &str)]) -> Result<String, ImportError> {
        let llama = [
            ("name", "Llama-3.1-8B"),
            ("hf_id", "meta-llama/Llama-3.1-8B"),
            ("type", "decoder"),
            ("layers", "32"),
            ("hidden", "4096"),
            ("heads", "32"),
            ("kv_heads", "8"),
            ("head_dim", "128"),
            ("ffn", "14336"),
            ("gated_ffn", "1"),
            ("vocab", "128256"),
            ("tied_emb", "0"),
            ("bias", "none"),
            ("max_ctx", "131072"),
            ("params_published_B", "8.03"),
            ("kv_bytes_per_token_bf16", "131072"),
            ("verified", "V"),
            ("source", "its configuration"),
        ];
        let cell = |column| {
            let given = cells.iter().chain(&llama).find(|(name, _)| *name == column);
            given.map_or("", |(_, value)| value)
        };
        let values: Vec<&str> = COLUMNS.iter().map(|column| cell(*column)).collect();
        models_from_csv(format!("{}\n{}\n", COLUMNS.join(","), values.join(",")).as_bytes())
    }

    #[test]
    fn a_row_becomes_a_paragraph() {
        let text = derive(&[]).unwrap();
        assert_eq!(
            text.split_once("[\n").unwrap().1,
            r#"    (
        name: "Llama-3.1-8B",
        hf_id: "meta-llama/Llama-3.1-8B",
        kind: Decoder,
        layers: 32,
        hidden: 4096,
        vocab: 128256,
        max_context: 131072,
        attention: (heads: 32, kv_heads: 8, head_dim: 128),
        ffn: (size: 14336, gated: true),
        expected: (parameters_b: 8.03, origin: Published, kv_bytes_per_token_bf16: 131072),
        verified: Vendor,
        source: "its configuration",
    ),
]
"#
        );
    }

    #[test]
    fn a_shape_that_does_not_add_up_is_refused() {
        let problem = |cells| derive(cells).unwrap_err().problem;
        assert!(problem(&[("layers", "31")]).contains("`expected` says 8.03"));
        assert!(problem(&[("kv_bytes_per_token_bf16", "131073")]).contains("`expected` says 131073"));
        assert!(problem(&[("kv_heads", "5")]).contains("must divide the 32 heads"));
        assert!(problem(&[("sliding_window", "128"), ("window_pattern", "odd")]).contains("found `odd`"));
        assert!(problem(&[("bias", "some")]).contains("expected one of none, qkv, qkvo, all"));
    }
}
