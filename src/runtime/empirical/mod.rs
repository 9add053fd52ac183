//! The empirical runtime model: measured operators, put together to steps, plus what an engine adds.
//!
//! With T tokens in the step, n of them decoding, L layers, and the figures of an [`EngineRecord`]:
//!
//! ```text
//! decode   s_g·(G(T) + H) + s_a·A_d + E(T) + C(T) + t_step + L·t_layer + 2L·t_reduce + n·t_seq
//! mixed    s_p·(G(T) + E(T)) + s_g·H + A_p + s_a·A_d + C(T) + t_step + t_prompt + L·t_layer + 2L·t_reduce + n·t_seq
//! ```
//! G products with weights and routed experts, E elementwise kernels, C collectives, H the LM head over sequences that
//! sample with the gather of their logits, `A_d` and `A_p` attention: which operators a model has, how often and how
//! large, is as in the [analytical model](super::Analytical); what each takes is the [profile's](super::profile).
//!
//! All before `t_step` takes no less than `L·t_launch` in a mixed step, whose kernels the host launches one by one.
//!
//! A mixed step takes no less than its decoding sequences alone would, though an engine's prefill may be the faster
//! (`s_p` below `s_g`).
//!
//! No step takes less than the [physical bound](LowerBound), whatever is measured or given.
//!
//! Prompts are one launch, priced as so many of their root-mean-square length; what their cached prefixes add is added
//! piece by piece. Where the profile knows what prompts and decoding sequences take in one launch, `A_p`
//! + `A_d` is that instead.
//!
//! Weights that stay in the host's memory come over its link while products run, as in the analytical model.
//!
//! Where whole steps of the model were measured on the GPU with the engine, `steps` names the [file](WholeSteps) fitted
//! to them, which takes precedence over sums.
//!
//! Left out: what was never measured is priced analytically: latent attention, encoders, collectives of other numbers
//! of devices. Token counts that fill no tile in fp8 are priced as if they did. Number formats that the profile does
//! not have are refused.

mod basis;
mod compose;
mod contexts;
mod engine;
mod launch;
mod operators;
mod surface;
mod whole;

use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use compose::EmpiricalModel;
pub use engine::{Engine, EngineRecord};
pub(crate) use whole::keys;
pub use whole::{Deployed, WHOLE_STEPS_FORM, WholeStep, WholeSteps};

use super::profile::{Profile, Routing};
use super::{Analytical, LowerBound, RuntimeKind, StepModel, Target};
use crate::units::Span;

/// Measured operators of the accelerator, put together to steps, plus what an engine adds to them. Profiles for the
/// commonest accelerators ship with the program; `mist calibrate` makes others of measurements.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Empirical {
    /// The profile, a file, or a folder with one for each accelerator by its name, `H100-SXM5-80GB.ron`. Default: the
    /// one that ships for the accelerator.
    pub profile: Option<PathBuf>,
    /// Whole steps of the model on the accelerator with the engine as they were measured, a file written by
    /// `mist calibrate --whole-steps`, which are preferred to sums of operators. Default: none.
    pub steps: Option<PathBuf>,
    /// The engine: `vLLM`, `TensorRT`, `NIM` or `SGLang`. What the front end of `SGLang` took is no part of a step: give
    /// its client `front_end: (token: us(36), written_token: us(0.029))`. Default: `vLLM`.
    pub engine: Engine,
    /// Its version, such as `"0.15"`. One between those that overheads were fitted on has those of the one before it,
    /// which the report says. Default: the latest that is known.
    #[schemars(transform = engine::list_fitted)]
    pub version: Option<String>,
    /// Host time that every step waits for. Default: the engine's, 0.35 ms for vLLM.
    pub step_overhead: Option<Span>,
    /// Host time per decoding sequence. Default: the engine's, 10 µs for vLLM.
    pub sequence_overhead: Option<Span>,
    /// Host time of a step with prompts. Default: the engine's, none for vLLM.
    pub prompt_step_overhead: Option<Span>,
    /// Gaps between the kernels of a layer. Default: the engine's, none for vLLM.
    pub layer_overhead: Option<Span>,
    /// Least time of a layer in a step with prompts, where the host launches kernel by kernel. Default: the engine's, none
    /// for vLLM.
    pub launch_overhead: Option<Span>,
    /// What an all-reduce takes longer inside the engine. Default: the engine's, 0.9 µs for vLLM.
    pub reduce_overhead: Option<Span>,
    /// Decode attention, times the profile's. Default: the engine's, 1 for vLLM.
    pub decode_attention_scale: Option<f64>,
    /// Products of decode steps, times the profile's. Default: the engine's, 1 for vLLM.
    pub product_scale: Option<f64>,
    /// Products and elementwise kernels of steps with prompts, times the profile's. Default: the engine's, 1 for vLLM.
    pub prefill_scale: Option<f64>,
    /// Whether `fp8` weights have a scale a block of 128 × 128, as those of DeepSeek-V3 and Qwen3-FP8, and not one a tensor
    /// or channel: other kernels, which take longer. Default: false.
    pub fp8_blocks: bool,
}

impl Empirical {
    /// Operators alone, without an engine.
    pub fn kernels() -> Self {
        let none = Some(Span::from_secs(0.0));
        Self {
            step_overhead: none,
            sequence_overhead: none,
            prompt_step_overhead: none,
            layer_overhead: none,
            launch_overhead: none,
            reduce_overhead: none,
            decode_attention_scale: Some(1.0),
            product_scale: Some(1.0),
            prefill_scale: Some(1.0),
            ..Self::default()
        }
    }

    fn given_version(&self) -> Result<Option<(u32, u32)>, String> {
        let Some(text) = self.version.as_deref() else { return Ok(None) };
        let given = version(text).map_err(|problem| format!("version: {problem}"))?;
        self.engine.expect_version(given).map_err(|problem| format!("version: {problem}"))?;
        Ok(Some(given))
    }

    /// The engine's record with what is given instead.
    fn record(&self, target: &Target<'_>) -> Result<EngineRecord, String> {
        let version = self.given_version()?;
        let mut record = EngineRecord::of(self.engine, version, target.arithmetic().bytes() < 2.0);
        let set = |to: &mut f64, given: Option<Span>| *to = given.map_or(*to, Span::as_secs);
        set(&mut record.step, self.step_overhead);
        set(&mut record.prompt_step, self.prompt_step_overhead);
        set(&mut record.layer, self.layer_overhead);
        set(&mut record.launch, self.launch_overhead);
        set(&mut record.reduce, self.reduce_overhead);
        if let Some(sequence) = self.sequence_overhead {
            record.sequence = sequence.as_secs();
            record.sequence_by_ranks = 0.0;
        }
        let scales = [
            ("decode_attention_scale", self.decode_attention_scale, &mut record.decode_attention),
            ("product_scale", self.product_scale, &mut record.products),
            ("prefill_scale", self.prefill_scale, &mut record.prefill),
        ];
        for (name, given, to) in scales {
            let scale = given.unwrap_or(*to);
            if !(scale > 0.0 && scale <= 100.0) {
                return Err(format!("{name} must be above 0 and at most 100, found {scale}"));
            }
            *to = scale;
        }
        Ok(record)
    }

    fn read(&self, target: &Target<'_>) -> Result<Profile, String> {
        let gpu = target.accelerator.name.as_str();
        let Some(path) = &self.profile else {
            let text = Profile::embedded(gpu).ok_or_else(|| {
                let shipped: Vec<&str> = Profile::shipped().collect();
                format!(
                    "no profile ships for {gpu}, only for {}; give the path of one as `profile`, or use `Analytical`",
                    shipped.join(", ")
                )
            })?;
            return Profile::read(text).map_err(|error| error.to_string());
        };
        let named;
        let path = if path.is_dir() {
            named = path.join(format!("{gpu}.ron"));
            &named
        } else {
            path
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read the profile {}: {error}", path.display()))?;
        let profile = Profile::read(&text).map_err(|error| {
            let other =
                if WholeSteps::read(&text).is_ok() { ": it has whole steps, for `steps`" } else { "" };
            format!("{}: {error}{other}", path.display())
        })?;
        profile.expect_gpu(gpu).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(profile)
    }

    /// Compiles the model of `target` from this profile.
    ///
    /// # Errors
    /// The profile does not hold what the target needs, or the target makes no sense.
    pub fn build(&self, profile: &Profile, target: &Target<'_>) -> Result<EmpiricalModel, String> {
        let record = self.record(target)?;
        basis::refuse_unmeasured(profile, target, self.fp8_blocks)?;
        let basis = basis::basis(self, &record, profile, None, target);
        let analytical = Analytical {
            sampling_overhead: Span::from_secs(0.0),
            fused_casts: record.fused_casts,
            // It says what bounds a step, the engine of this record included.
            step_overhead: Span::from_secs(record.step + f64::from(target.model.layers) * record.layer),
            sequence_overhead: Span::from_secs(record.sequence_on(target.tensor_parallel)),
            prompt_step_overhead: Span::from_secs(record.prompt_step),
            hidden_sequence_overhead: Span::from_secs(0.0),
            ..Analytical::default()
        };
        let (shape, device, deployment) = (target.shape(), target.device()?, target.deployment());
        let analytical = analytical.build(&shape, &device, &deployment)?;
        let bound = LowerBound::new(&shape, &device, &deployment);
        let model = EmpiricalModel::new(
            profile,
            target,
            analytical,
            bound,
            record,
            (Routing::Skewed, self.fp8_blocks),
        )?;
        Ok(model.resting_on(basis))
    }

    /// The same, with whole steps as they were measured preferred.
    ///
    /// # Errors
    /// As of [`build`](Self::build), or the steps are of something else.
    pub fn build_with(
        &self,
        profile: &Profile,
        steps: &WholeSteps,
        target: &Target<'_>,
    ) -> Result<EmpiricalModel, String> {
        if self.fp8_blocks {
            return Err("steps: whole steps of weights with a scale a block are not told from others; leave out `steps` or \
                        `fp8_blocks`"
                .to_owned());
        }
        let version = self.given_version()?;
        let mut model = self.build(profile, target)?;
        for step in steps.of(target, self.engine, version)? {
            model.prefer(step);
        }
        let basis = basis::basis(self, &self.record(target)?, profile, Some(steps), target);
        Ok(model.resting_on(basis))
    }
}

impl RuntimeKind for Empirical {
    fn compile(&self, target: &Target<'_>) -> Result<Arc<dyn StepModel>, String> {
        let profile = self.read(target)?;
        let Some(path) = &self.steps else {
            return Ok(Arc::new(self.build(&profile, target)?));
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read the whole steps {}: {error}", path.display()))?;
        let found = WholeSteps::read(&text).and_then(|steps| self.build_with(&profile, &steps, target));
        Ok(Arc::new(found.map_err(|error| format!("{}: {error}", path.display()))?))
    }
}

/// The first two numbers of a version.
pub(crate) fn version(text: &str) -> Result<(u32, u32), String> {
    let mut parts = text.trim_start_matches('v').split('.').map(|part| part.parse::<u32>().ok());
    match (parts.next().flatten(), parts.next()) {
        (Some(major), None) => Ok((major, 0)),
        (Some(major), Some(Some(minor))) => Ok((major, minor)),
        _ => Err(format!("expected numbers such as \"0.15\", found \"{text}\"")),
    }
}

#[cfg(test)]
mod shipped;
#[cfg(test)]
mod tests;
