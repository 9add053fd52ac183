//! Whole steps of one deployment as they were measured: what `mist calibrate --whole-steps` writes and
//! [`Empirical`](super::Empirical) prefers to sums of operators.
//!
//! An estimator is of one model on so many of one GPU in one number format, served by one version of one engine, and
//! of one stage. For x tokens in the step and a mean length y, the keys each sequence attends to when it decodes, the
//! length of the prompts that would score as many pairs otherwise:
//!
//! ```text
//! t = (a + b·x + c·k) · exp r(x, y)      k = x·y decode, x·(y + 1)/2 prefill; a, b, c ≥ 0
//! ```
//! a is what a step takes at least (weights, launches, host), b what a token adds (products), c what a key adds
//! (attention); r is a Gaussian process over the logarithms of x and y, kept on a small grid. Outside the grid r stays
//! as it is at the edge, but nobody asks there: see [`surface`](super::surface).
//!
//! Left out: steps with prompts and decoding sequences both, which static batches never have, pipelines, data and
//! expert parallelism.

use serde::{Deserialize, Serialize};

use super::Engine;
use crate::catalog::Precision;
use crate::runtime::Target;
use crate::runtime::profile::grid::between;
use crate::runtime::profile::{Phase, Profile, Residuals};

/// The version of the form of these files that this program writes and reads.
pub const WHOLE_STEPS_FORM: u32 = 1;

/// Estimators of whole steps on one GPU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WholeSteps {
    /// The version of this form.
    pub form: u32,
    /// The GPU, by its name in the catalog.
    pub gpu: String,
    /// Where the measurements come from.
    pub source: String,
    /// Their licence.
    pub licence: String,
    /// The command that made the file.
    pub command: String,
    /// The estimators.
    pub steps: Vec<WholeStep>,
}

/// What whole steps take in one stage of one deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WholeStep {
    /// The deployment.
    pub of: Deployed,
    /// The stage.
    pub phase: Phase,
    /// Steps that it was fitted to.
    pub rows: usize,
    /// Mean and median of the absolute error on steps that were held out (%).
    pub held_out: (f64, f64),
    /// What a step takes at least (µs).
    pub step_us: f64,
    /// What a token adds (µs).
    pub token_us: f64,
    /// What a key adds (ns).
    pub key_ns: f64,
    /// Tokens in a step, as measured.
    pub tokens: Vec<f64>,
    /// Mean lengths, as measured.
    pub length: Vec<f64>,
    /// r, by tokens, then by length.
    pub residual: Residuals,
}

/// A deployment whose steps were measured.
#[derive(Clone, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployed {
    /// The model, by its name in the catalog.
    pub model: String,
    /// The engine.
    pub engine: Engine,
    /// The first two numbers of its version.
    pub version: (u32, u32),
    /// GPUs that share every layer.
    pub tensor_parallel: u32,
    /// Precision of the weights.
    pub weights: Precision,
    /// Precision of the KV cache.
    pub kv_cache: Precision,
}

impl Deployed {
    fn is_of(&self, target: &Target<'_>, engine: Engine) -> bool {
        let wide = |precision| if precision == Precision::Fp16 { Precision::Bf16 } else { precision };
        self.model == target.model.name
            && self.engine == engine
            && self.tensor_parallel == target.tensor_parallel
            && wide(self.weights) == wide(target.weights)
            && wide(self.kv_cache) == wide(target.kv_cache)
    }
}

impl std::fmt::Display for Deployed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { model, engine, version: (major, minor), tensor_parallel, weights, kv_cache } = self;
        write!(f, "{model} on {tensor_parallel}, {weights} with {kv_cache} KV, {engine} {major}.{minor}")
    }
}

impl WholeStep {
    /// How long a step takes (s).
    pub fn seconds(&self, tokens: f64, length: f64) -> f64 {
        let law = self.step_us * 1e-6
            + self.token_us * 1e-6 * tokens
            + self.key_ns * 1e-9 * keys(self.phase, tokens, length);
        let mut residual = 0.0;
        for (row, one) in between(&self.tokens, tokens) {
            for (column, other) in between(&self.length, length) {
                if one * other > 0.0 {
                    residual += one * other * self.residual.at(row * self.length.len() + column);
                }
            }
        }
        law * libm::exp(residual)
    }

    /// Those tokens and that length, as far as they were measured.
    pub(crate) fn clamp(&self, tokens: f64, length: f64) -> (f64, f64) {
        let ends = |axis: &[f64]| (axis[0], axis[axis.len() - 1]);
        let ((fewest, most), (shortest, longest)) = (ends(&self.tokens), ends(&self.length));
        (tokens.clamp(fewest, most), length.clamp(shortest, longest))
    }

    fn check(&self) -> Result<(), String> {
        let rising = |axis: &[f64]| {
            axis.first().is_some_and(|first| *first > 0.0 && first.is_finite())
                && axis.windows(2).all(|pair| pair[0] < pair[1] && pair[1].is_finite())
        };
        let sound = |number: f64| number.is_finite() && number >= 0.0;
        if !rising(&self.tokens) || !rising(&self.length) {
            return Err("`tokens` and `length` must be positive and rise".to_owned());
        }
        if self.residual.len() != self.tokens.len() * self.length.len() {
            return Err(format!(
                "{} residuals for {} × {} knots",
                self.residual.len(),
                self.tokens.len(),
                self.length.len()
            ));
        }
        if ![self.step_us, self.token_us, self.key_ns].into_iter().all(sound) || self.step_us <= 0.0 {
            return Err("`step_us` must be above zero, `token_us` and `key_ns` not below".to_owned());
        }
        Ok(())
    }
}

/// Keys that the tokens of a step attend to, at a mean length.
pub(crate) fn keys(phase: Phase, tokens: f64, length: f64) -> f64 {
    match phase {
        Phase::Decode => tokens * length,
        Phase::Prefill => tokens * (length + 1.0) / 2.0,
    }
}

impl WholeSteps {
    /// Reads a file's text.
    ///
    /// # Errors
    /// It is not one, or an estimator is not whole.
    pub fn read(text: &str) -> Result<Self, String> {
        let options =
            ron::Options::default().with_default_extension(ron::extensions::Extensions::IMPLICIT_SOME);
        let found: Self = options.from_str(text).map_err(|error| {
            let other = if Profile::read(text).is_ok() { ": it is a profile of operators, for `profile`" } else { "" };
            let place = error.span.start;
            format!(
                "this is not a file of whole steps that `mist calibrate --whole-steps` writes (line {}, column \
                 {}){other}",
                place.line, place.col
            )
        })?;
        if found.form != WHOLE_STEPS_FORM {
            return Err(format!(
                "the file has form {}; this program reads form {WHOLE_STEPS_FORM}: calibrate it anew",
                found.form
            ));
        }
        for step in &found.steps {
            step.check().map_err(|problem| format!("{:?} of {}: {problem}", step.phase, step.of))?;
        }
        Ok(found)
    }

    /// The file's text.
    pub fn write(&self) -> String {
        let style = ron::ser::PrettyConfig::new().depth_limit(3).new_line("\n").compact_arrays(true);
        let text = ron::ser::to_string_pretty(self, style)
            .expect("it holds only numbers, strings and plain enums, which RON can write");
        format!(
            "// What whole steps take on {}, fitted to measurements.\n// Source: {}\n// Licence of the measurements: {}\n// Written by `{}`\n{text}\n",
            self.gpu, self.source, self.licence, self.command
        )
    }

    /// The estimators for a target: of this version of the engine, or of the newest there is.
    ///
    /// # Errors
    /// There are none: they are of another GPU, model, format or engine.
    pub fn of(
        &self,
        target: &Target<'_>,
        engine: Engine,
        version: Option<(u32, u32)>,
    ) -> Result<Vec<&WholeStep>, String> {
        if self.gpu != target.accelerator.name {
            return Err(format!("they are of {}, not of {}", self.gpu, target.accelerator.name));
        }
        let plain = target.devices() == target.tensor_parallel
            && !target.expert_parallel
            && target.offloaded_bytes == 0.0;
        if !plain {
            return Err("they are of tensor parallelism alone".to_owned());
        }
        let fits = |step: &&WholeStep| {
            step.of.is_of(target, engine) && version.is_none_or(|version| version == step.of.version)
        };
        let newest = self.steps.iter().filter(fits).map(|step| step.of.version).max();
        let found: Vec<&WholeStep> =
            self.steps.iter().filter(fits).filter(|step| Some(step.of.version) == newest).collect();
        if found.is_empty() {
            let mut known: Vec<String> = self.steps.iter().map(|step| step.of.to_string()).collect();
            known.dedup();
            return Err(format!(
                "none is of {} on {}, {} with {} KV, {engine}: they are of {}",
                target.model.name,
                target.tensor_parallel,
                target.weights,
                target.kv_cache,
                known.join("; ")
            ));
        }
        Ok(found)
    }
}
