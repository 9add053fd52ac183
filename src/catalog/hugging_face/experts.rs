//! The experts of a mixture, under their many names.

use super::super::Experts;
use super::Config;
use super::attention::one_a_layer;
use super::keys::{Fault, Keys};

/// The experts, if the configuration has any.
pub(super) fn experts(config: &Config<'_>, layers: u32) -> Result<Option<Experts>, Fault> {
    let keys = &config.text;
    let mut routed = 0;
    for name in ["n_routed_experts", "num_experts", "num_local_experts"] {
        let more = keys.whole(name)?.unwrap_or(0);
        if routed > 0 && more > 0 && more != routed {
            return Err(keys.fault(name, format!("is {more}, but another key says {routed} experts")));
        }
        routed = routed.max(more);
    }
    if routed == 0 {
        let other = keys.names().find(|name| name.contains("expert") && keys.says(name).is_some());
        return match other {
            None => Ok(None),
            Some(name) => {
                let why = "speaks of experts, but none of n_routed_experts, num_experts and num_local_experts \
                           says how many there are";
                Err(keys.fault(name, why))
            }
        };
    }
    let active =
        config.size(&["num_experts_per_tok", "num_experts_per_token", "experts_per_token", "moe_topk"])?;
    keys.whole("experts_per_token")?; // gpt-oss says it twice
    let size = config.size(&["moe_intermediate_size", "intermediate_size"])?;
    let (shared, shared_size) = shared(config, size)?;
    let dense = (0..layers).zip(with_experts(keys, layers)?).filter(|(_, experts)| !experts).count();
    if dense == layers as usize {
        return Err(keys.fault("num_experts", format!("is {routed}, but no layer has experts")));
    }
    Ok(Some(Experts { routed, active, size, shared, shared_size, dense_layers: dense as u32 }))
}

/// How many experts every token visits, and their size.
fn shared(config: &Config<'_>, routed_size: u32) -> Result<(u32, u32), Fault> {
    let keys = &config.text;
    let size = keys.whole("shared_expert_intermediate_size")?.filter(|size| *size > 0);
    let mut count = None;
    for key in ["n_shared_experts", "num_shared_experts"] {
        count = count.or(keys.whole(key)?);
    }
    Ok(match (count, size) {
        (Some(0), _) => (0, 0),
        (Some(count), size) => (count, size.unwrap_or(routed_size)),
        (None, Some(size)) => (1, size),
        (None, None) if config.family.shares_one_expert => (1, routed_size),
        (None, None) => (0, 0),
    })
}

/// For each layer, whether it has experts.
fn with_experts(keys: &Keys<'_>, layers: u32) -> Result<Vec<bool>, Fault> {
    let first = keys.whole("first_k_dense_replace")?.unwrap_or(0);
    let step = keys.size(&["decoder_sparse_step", "interleave_moe_layer_step"])?.unwrap_or(1);
    let mut experts: Vec<bool> = (0..layers).map(|layer| layer >= first && (layer + 1) % step == 0).collect();
    if keys.is_list("moe_layer_freq") {
        let list = keys.wholes("moe_layer_freq")?.unwrap_or_default();
        let list = one_a_layer(keys, "moe_layer_freq", list, layers)?;
        experts = experts.into_iter().zip(list).map(|(before, now)| before && now).collect();
    } else if let Some(period) = keys.size(&["moe_layer_freq"])? {
        experts = (0..layers).zip(experts).map(|(layer, before)| before && layer % period == 0).collect();
    }
    if let Some(list) = keys.wholes("moe_layers")?.filter(|list| !list.is_empty()) {
        experts = vec![false; layers as usize];
        for layer in list {
            *at(keys, "moe_layers", &mut experts, layer)? = true;
        }
    }
    for layer in keys.wholes("mlp_only_layers")?.unwrap_or_default() {
        *at(keys, "mlp_only_layers", &mut experts, layer)? = false;
    }
    let names = ["moe_layer_freq", "moe_layers"];
    let other = keys.names().find(|name| name.starts_with("moe_layer") && !names.contains(name));
    match other.filter(|name| keys.says(name).is_some()) {
        None => Ok(experts),
        Some(name) => Err(keys.fault(name, "says which layers have experts in a way we do not know")),
    }
}

fn at<'e>(keys: &Keys<'_>, key: &str, layers: &'e mut [bool], layer: u32) -> Result<&'e mut bool, Fault> {
    let count = layers.len();
    let why = || keys.fault(key, format!("names layer {layer}, and layers count from 0 to {}", count - 1));
    layers.get_mut(layer as usize).ok_or_else(why)
}
