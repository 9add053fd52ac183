//! What the figures of a compiled model rest on: what is refused because it was not measured, and what a report says
//! of the rest.

use super::{Empirical, EngineRecord, WholeSteps};
use crate::catalog::Precision;
use crate::runtime::Target;
use crate::runtime::profile::{AttentionShape, Profile, WeightKind};

/// Refuses number formats that the profile has no measurements of: they are not priced as others.
pub(super) fn refuse_unmeasured(
    profile: &Profile,
    target: &Target<'_>,
    fp8_blocks: bool,
) -> Result<(), String> {
    let help = "use another, calibrate a profile that has it, or use `Analytical`";
    let Some(kind) = stored(target, fp8_blocks) else {
        return Err(format!("weights: {} was never measured; {help}", target.weights));
    };
    if fp8_blocks && kind != WeightKind::Fp8Block {
        return Err(format!("fp8_blocks: has no effect: weights are {}; leave it out", target.weights));
    }
    if experts_alone(profile, target).is_none() {
        profile.gemm(1024, 1024, kind).map_err(|error| format!("weights: {error}; {help}"))?;
    }
    let (own, asked) = (target.weights.arithmetic(), target.arithmetic());
    if WeightKind::of(own) != WeightKind::of(asked) && kind != WeightKind::Mxfp4 {
        let weights = target.weights;
        return Err(format!(
            "activations: {weights} weights in {asked} products were never measured, only in {own} ones; {help}"
        ));
    }
    if target.shape().mla.is_some() || target.shape().bidirectional {
        return Ok(()); // attention is priced analytically, whatever the format
    }
    if target.kv_cache == Precision::Int8 {
        return Err(format!("kv_cache: int8 was never measured; {help}"));
    }
    let shape = AttentionShape {
        heads: 8,
        kv_heads: 8,
        head_dim: target.model.attention.head_dim,
        kv_cache: target.kv_cache,
        window: None,
    };
    profile.attention(&shape).map(|_| ()).map_err(|error| format!("kv_cache: {error}; {help}"))
}

/// How the weights are stored: 4-bit floats that are multiplied in 16 bit are `MXFP4`'s, and 8-bit ones may have a scale a
/// block.
pub(super) fn stored(target: &Target<'_>, fp8_blocks: bool) -> Option<WeightKind> {
    let wide = WeightKind::of(target.arithmetic()) == Some(WeightKind::Bf16);
    match WeightKind::of(target.weights)? {
        WeightKind::Fp8 if fp8_blocks => Some(WeightKind::Fp8Block),
        WeightKind::Nvfp4 if wide => Some(WeightKind::Mxfp4),
        kind => Some(kind),
    }
}

/// The kind of 4-bit weights of a mixture, where of that kind only experts were measured: then everything else is priced in 16
/// bit, as `gpt-oss` has it and mixtures whose experts alone are quantised.
pub(super) fn experts_alone(profile: &Profile, target: &Target<'_>) -> Option<WeightKind> {
    let kind = stored(target, false).filter(|kind| target.model.experts.is_some() && kind.bytes() < 1.0)?;
    let of_products = profile.gemm.iter().any(|table| table.kind == kind);
    let of_experts = profile.moe.iter().any(|table| table.kind == kind);
    (of_experts && !of_products).then_some(kind)
}

/// What the figures of a model rest on, in words.
pub(super) fn basis(
    kind: &Empirical,
    record: &EngineRecord,
    profile: &Profile,
    steps: Option<&WholeSteps>,
    target: &Target<'_>,
) -> Vec<String> {
    let asked = kind.version.as_deref().map_or_else(String::new, |version| format!(" {version}"));
    let mut lines = vec![format!("{}{asked}, overheads {}", record.engine, record.holds())];
    let place = kind.profile.as_ref().map_or("the profile that ships".to_owned(), |path| {
        path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    });
    lines.push(format!("operators measured on {} ({place}: {})", profile.gpu, profile.source));
    let [token, written] = record.stream.map(|seconds| seconds * 1e6);
    if token > 0.0 {
        lines.push(format!(
            "behind a front end of `front_end: (token: us({token}), written_token: us({written}))`, which is the client's"
        ));
    }
    if let Some(kind) = experts_alone(profile, target) {
        lines.push(format!(
            "experts in {kind}, other products in 16 bit, as of {kind} only experts were measured"
        ));
    }
    if let Some(steps) = steps {
        let version = kind.given_version().ok().flatten();
        let found = steps.of(target, kind.engine, version).ok();
        let of = found.and_then(|found| found.first().map(|step| step.of.to_string())).unwrap_or_default();
        lines.push(format!("whole steps as measured where there are any: {of} ({})", steps.source));
    }
    let mut analytical = Vec::new();
    if target.shape().mla.is_some() {
        analytical.push("latent attention".to_owned());
    }
    let ranks = target.tensor_parallel;
    if ranks > 1 && !super::operators::reduces_as_measured(profile, target) {
        analytical.push(format!("collectives between {ranks} devices"));
    }
    if target.data_parallel > 1 {
        let sent = if target.expert_parallel {
            "dispatch and combine of"
        } else {
            "gather and scatter of tokens for"
        };
        analytical.push(format!("{sent} experts"));
    }
    if target.pipeline_parallel > 1 {
        analytical.push("what stages of a pipeline send".to_owned());
    }
    if target.offloaded_bytes > 0.0 {
        analytical.push("weights from the host".to_owned());
    }
    if !analytical.is_empty() {
        lines.push(format!("analytically, as never measured: {}", analytical.join(", ")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::tests::{profile, target};
    use super::*;
    use crate::runtime::{StepModel, StepShape};

    /// What stays in the host's memory comes over its link in every step.
    #[test]
    fn offloaded_weights_take_their_time() {
        for (name, gb) in [("Llama-3.1-8B", 10.0), ("Mixtral-8x7B", 60.0)] {
            let near = Target { tensor_parallel: 2, ..target(name, 1) };
            let far = Target { offloaded_bytes: gb * 1e9 / 2.0, ..near };
            let device = near.device().unwrap();
            let (link, bandwidth) = (device.host_bandwidth.unwrap(), device.memory_bandwidth);
            let price = |target: &Target<'_>, tokens| {
                let priced = Empirical::default().build(&profile(), target).unwrap();
                let step =
                    StepShape { prefill: &[], decode_seqs: tokens, decode_context: 100 * u64::from(tokens) };
                let items: f64 = priced.itemise(&step).iter().map(|item| item.seconds).sum();
                let seconds = priced.price(&step).seconds;
                assert!((items / seconds - 1.0).abs() < 1e-9);
                seconds
            };
            let most = far.offloaded_bytes;
            // So many tokens visit every expert.
            let added = price(&far, 200) - price(&near, 200);
            assert!(added > most / link - 3.0 * most / bandwidth, "{name}: {added} s for {most} bytes");
            assert!(added < 1.3 * most / link, "{name}: {added} s for {most} bytes");
        }
    }

    /// Narrow weights that are widened run another kernel than what was measured.
    #[test]
    fn weights_are_priced_in_the_products_they_were_measured_in() {
        let priced = |weights, activations| {
            let target = Target { weights, activations: Some(activations), ..target("Llama-3.1-8B", 1) };
            Empirical::default().build(&profile(), &target).map(|_| ())
        };
        assert_eq!(
            priced(Precision::Fp8, Precision::Bf16).unwrap_err(),
            "activations: fp8 weights in bf16 products were never measured, only in fp8 ones; use another, calibrate a \
             profile that has it, or use `Analytical`"
        );
        assert_eq!(priced(Precision::Fp8, Precision::Fp8), Ok(()));
        assert_eq!(priced(Precision::Bf16, Precision::Fp16), Ok(()));
        assert_eq!(priced(Precision::Bf16, Precision::Fp8), Ok(()));
    }
}
