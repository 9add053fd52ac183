//! Heads, latent attention and windows; and the refusal of what is none of these.

use super::super::{Attention, Latent, Window};
use super::Config;
use super::family::Windows;
use super::keys::{Fault, Keys, shown};

/// Keys, or their beginnings, that stand for attention we do not know.
const FOREIGN: [(&str, &str); 28] = [
    ("mamba", "state-space layers"),
    ("ssm_", "state-space layers"),
    ("state_size", "state-space layers"),
    ("hybrid_", "a hybrid of attention and other layers"),
    ("attn_layer_", "a hybrid of attention and other layers"),
    ("full_attention_interval", "a hybrid of attention and other layers"),
    ("full_attn_", "a hybrid of attention and other layers"),
    ("layers_block_type", "a hybrid of attention and other layers"),
    ("block_types", "a hybrid of attention and other layers"),
    ("block_configs", "layers that differ from each other"),
    ("attn_type", "attention that differs from layer to layer"),
    ("linear_", "linear attention"),
    ("lin_attn", "linear attention"),
    ("lightning_", "linear attention"),
    ("kda_", "linear attention"),
    ("conv_", "convolutional layers"),
    ("rwkv", "recurrent layers"),
    ("lru_width", "recurrent layers"),
    ("time_mix", "recurrent layers"),
    ("lambda_", "differential attention"),
    ("index_topk", "sparse attention"),
    ("index_n_heads", "sparse attention"),
    ("nsa_", "sparse attention"),
    ("moba_", "sparse attention"),
    ("sparse_attention", "sparse attention"),
    ("num_kv_shared_layers", "layers that share their KV cache"),
    ("use_cla", "layers that share their KV cache"),
    ("cross_attention_layers", "cross-attention"),
];

/// Refuses a configuration with attention we do not know.
pub(super) fn refuse_unknown(keys: &Keys<'_>) -> Result<(), Fault> {
    for name in keys.names() {
        let foreign = FOREIGN.iter().find(|(start, _)| name.starts_with(start));
        if let (Some((_, what)), Some(value)) = (foreign, keys.says(name)) {
            return Err(keys.fault(name, format!("is {}: {what} cannot be simulated", shown(value))));
        }
    }
    match keys.text("position_embedding_type")? {
        None | Some("absolute" | "rope" | "rotary" | "alibi") => Ok(()),
        Some(other) => Err(keys.fault(
            "position_embedding_type",
            format!("is `{other}`, which we do not know; known are absolute, rope, rotary and alibi"),
        )),
    }
}

/// How the tokens of a configuration attend.
pub(super) fn attention(
    config: &Config<'_>,
    layers: u32,
    hidden: u32,
    context: u32,
    notes: &mut Vec<String>,
) -> Result<Attention, Fault> {
    let keys = &config.text;
    let heads = config.size(&["num_attention_heads", "n_head", "n_heads"])?;
    let window = match windowed_layers(config, layers)? {
        Some((tokens, windowed)) if tokens < context => repeating(tokens, &windowed, notes),
        _ => None,
    };
    if let Some(kv_rank) = keys.size(&["kv_lora_rank"])? {
        let part = |key: &str| keys.whole(key)?.ok_or_else(|| keys.fault(key, "is missing"));
        let (nope_dim, rope_dim) = (part("qk_nope_head_dim")?, part("qk_rope_head_dim")?);
        let latent = Latent {
            query_rank: keys.whole("q_lora_rank")?.unwrap_or(0),
            kv_rank,
            nope_dim,
            rope_dim,
            value_dim: config.size(&["v_head_dim"])?,
        };
        // What the cache holds is shared by all heads, whatever the configuration calls its KV heads.
        keys.whole("num_key_value_heads")?;
        let head_dim = nope_dim.saturating_add(rope_dim);
        let (kv_heads, latent) = (heads, Some(latent));
        return Ok(Attention { heads, kv_heads, head_dim, query_norm: false, latent, window });
    }
    let kv_heads = kv_heads(config, heads)?;
    let head_dim = match keys.size(&["head_dim"])?.or(config.family.default(&["head_dim"])) {
        Some(head_dim) => head_dim,
        None if hidden.is_multiple_of(heads) => hidden / heads,
        None => {
            let why = format!("is missing, and {heads} heads do not divide a width of {hidden}");
            return Err(keys.fault("head_dim", why));
        }
    };
    let given = keys.flag("use_qk_norm")?.or(keys.flag("qk_layernorm")?);
    let query_norm = given.unwrap_or(config.family.query_norm);
    Ok(Attention { heads, kv_heads, head_dim, query_norm, latent: None, window })
}

fn kv_heads(config: &Config<'_>, heads: u32) -> Result<u32, Fault> {
    let keys = &config.text;
    let (grouped, single) = (keys.flag("new_decoder_architecture")?, keys.flag("multi_query")?);
    let names = ["num_key_value_heads", "num_kv_heads", "n_head_kv"];
    let given = keys.size(&names)?;
    // The first Falcon models name KV heads and have one.
    if config.family.name() == "falcon" && grouped != Some(true) {
        return Ok(if single == Some(false) { heads } else { 1 });
    }
    let kv_heads = given.or(config.family.default(&names)).unwrap_or(heads);
    if heads.is_multiple_of(kv_heads) {
        Ok(kv_heads)
    } else {
        Err(keys.fault("num_key_value_heads", format!("must divide the {heads} heads, found {kv_heads}")))
    }
}

/// The tokens of the window, and which layers have it; `None` without one.
fn windowed_layers(config: &Config<'_>, layers: u32) -> Result<Option<(u32, Vec<bool>)>, Fault> {
    let keys = &config.text;
    if config.family.encoder {
        return Ok(None);
    }
    let switched_off = keys.flag("use_sliding_window")? == Some(false);
    if let Some(types) = keys.texts("layer_types")? {
        return by_type(config, &types, layers);
    }
    let windowed: Vec<bool> = match config.family.windows {
        Windows::Never => return Ok(None),
        Windows::Chunks => {
            let every = keys.size(&["no_rope_layer_interval"])?.unwrap_or(4);
            let rotary = keys.wholes("no_rope_layers")?.filter(|list| !list.is_empty());
            match rotary {
                Some(rotary) => one_a_layer(keys, "no_rope_layers", rotary, layers)?,
                None => (1..=layers).map(|layer| layer % every != 0).collect(),
            }
        }
        Windows::Every => vec![true; layers as usize],
        Windows::AllButEvery(period) => {
            let period = keys.size(&["sliding_window_pattern", "_sliding_window_pattern"])?.unwrap_or(period);
            (1..=layers).map(|layer| layer % period != 0).collect()
        }
        Windows::FromLayer => {
            let first = keys.whole("max_window_layers")?.unwrap_or(layers);
            let on = keys.flag("use_sliding_window")? == Some(true);
            (0..layers).map(|layer| on && layer >= first).collect()
        }
        Windows::Unknown if switched_off => return Ok(None),
        Windows::Unknown if keys.whole("sliding_window")?.is_none() => return Ok(None),
        Windows::Unknown => {
            let why = "is given, but not which layers have it: say so in `layer_types`";
            return Err(keys.fault("sliding_window", why));
        }
    };
    if switched_off {
        return Ok(None);
    }
    let key = match config.family.windows {
        Windows::Chunks => "attention_chunk_size",
        _ => "sliding_window",
    };
    let tokens = keys.size(&[key])?.or(config.family.default(&[key]));
    Ok(tokens.map(|tokens| (tokens, windowed)))
}

/// The layers as `layer_types` names them.
fn by_type(config: &Config<'_>, types: &[&str], layers: u32) -> Result<Option<(u32, Vec<bool>)>, Fault> {
    let keys = &config.text;
    let mut window = None;
    let mut windowed = Vec::with_capacity(types.len());
    for (at, kind) in types.iter().enumerate() {
        let key = match *kind {
            "full_attention" | "attention" => None,
            "sliding_attention" => Some("sliding_window"),
            "chunked_attention" => Some("attention_chunk_size"),
            other => {
                let why = format!(
                    "is `{}`, attention we do not know; known are full_attention, sliding_attention and \
                     chunked_attention",
                    other.chars().take(60).collect::<String>()
                );
                return Err(keys.fault(&format!("layer_types[{at}]"), why));
            }
        };
        if key.is_some() && window.is_some() && window != key {
            return Err(
                keys.fault("layer_types", "mixes sliding and chunked attention, which we do not know")
            );
        }
        window = window.or(key);
        windowed.push(key.is_some());
    }
    one_a_layer(keys, "layer_types", windowed.iter().map(|on| u32::from(*on)).collect(), layers)?;
    let Some(key) = window else { return Ok(None) };
    let tokens = keys.size(&[key])?.or(config.family.default(&[key]));
    let tokens =
        tokens.ok_or_else(|| keys.fault(key, "is missing, and `layer_types` has layers with a window"))?;
    Ok(Some((tokens, windowed)))
}

/// A list with an entry for each layer, as truth values.
pub(super) fn one_a_layer(
    keys: &Keys<'_>,
    key: &str,
    list: Vec<u32>,
    layers: u32,
) -> Result<Vec<bool>, Fault> {
    if list.len() == layers as usize {
        Ok(list.into_iter().map(|entry| entry != 0).collect())
    } else {
        Err(keys
            .fault(key, format!("must have an entry for each of the {layers} layers, found {}", list.len())))
    }
}

/// The windowed layers as a repeating pattern: exactly where they have one, and else as many of them.
fn repeating(tokens: u32, windowed: &[bool], notes: &mut Vec<String>) -> Option<Window> {
    let count = windowed.iter().filter(|windowed| **windowed).count();
    if count == 0 {
        return None;
    }
    if count == windowed.len() {
        return Some(Window { tokens, local: 1, global: 0 });
    }
    let local = windowed.iter().take_while(|windowed| **windowed).count();
    let global = windowed[local..].iter().take_while(|windowed| !**windowed).count();
    let follows = |(at, windowed): (usize, &bool)| *windowed == (at % (local + global) < local);
    if local > 0 && windowed.iter().enumerate().all(follows) {
        return Some(Window { tokens, local: local as u32, global: global as u32 });
    }
    notes.push("windowed and full layers alternate in no simple pattern: counted, not placed".to_owned());
    Some(Window { tokens, local: count as u32, global: (windowed.len() - count) as u32 })
}
