//! What no LLM client does, whatever else it is told: scenarios and `mist price` refuse it in the same words.

use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema};

use crate::catalog::{Model, ModelKind, Precision};
use crate::memory::KvSizing;
use crate::runtime::Target;
use crate::scenario::Problem;
use crate::units::GIB;

/// Why a model is not one of an LLM client, if it is not.
pub(crate) fn generates_no_text(model: &Model) -> Option<Problem> {
    if matches!(model.kind, ModelKind::Decoder | ModelKind::Reward) {
        return None;
    }
    let help = "an LLM client serves decoder models, and reward models that score";
    Some(Problem::new("model", format!("{} does not generate text", model.name)).help(help))
}

/// Why a KV cache is not kept in `precision`, if it is not.
pub(crate) fn keeps_no_kv(precision: Precision) -> Option<Problem> {
    if Precision::KV_CACHES.contains(&precision) {
        return None;
    }
    let message = format!("no engine keeps its KV cache in {precision}");
    Some(Problem::new("kv_cache", message).help("use bf16, fp16, fp8 or int8"))
}

/// Why products are not narrower than their weights, if they are to be.
pub(crate) fn multiplies_narrower(weights: Precision, activations: Option<Precision>) -> Option<Problem> {
    let asked = activations.filter(|asked| asked.bytes() < weights.bytes())?;
    let message =
        format!("{weights} weights are not multiplied in {asked}: no engine narrows weights as it goes");
    Some(Problem::new("activations", message).help(format!("leave it out, or have the weights in {asked}")))
}

/// Why whole experts on each of so many accelerators come to nothing, if they do.
pub(crate) fn shares_no_experts(ranks: u32) -> Option<Problem> {
    if ranks > 1 {
        return None;
    }
    let message = "has no effect: one accelerator has all experts of its layers";
    let help = "leave it out; `tensor_parallel` × `data_parallel` accelerators share the experts of a layer";
    Some(Problem::new("expert_parallel", message).help(help))
}

/// Why no more weights stay in the host's memory, if more are to than there are.
pub(crate) fn offloads_too_much(sizing: &KvSizing) -> Option<Problem> {
    let most = sizing.most_weights();
    // As it is printed, it may be a little more than there is.
    if sizing.offloaded_bytes <= 1.01 * most {
        return None;
    }
    let [asked, most] = [sizing.offloaded_bytes / GIB, most / GIB];
    let message =
        format!("{asked:.2} GiB are more than the {most:.2} GiB of weights that each accelerator has");
    Some(Problem::new("", message).help(format!("write {most:.2} GiB or less")))
}

/// Whether it is for want of a rate that there is no price, and products in 16 bit have one.
pub(crate) fn multiplies_in_16_bit(target: &Target<'_>, priced: impl Fn(&Target<'_>) -> bool) -> bool {
    let wide = Target { activations: Some(Precision::Bf16), ..*target };
    target.accelerator.flops(target.arithmetic()).is_err() && priced(&wide)
}

/// The precisions of a KV cache, for [`explain`](crate::scenario::explain).
pub(super) fn kv_precisions(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = Precision::json_schema(generator);
    if let Some(forms) = schema.get_mut("oneOf").and_then(|forms| forms.as_array_mut()) {
        forms.retain(|form| Precision::KV_CACHES.iter().any(|kept| form["const"] == kept.name()));
    }
    schema
}
