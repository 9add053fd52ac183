//! Normally distributed lengths (paper §III-B2: synthetic traces).
//!
//! A draw is rounded to the nearest token; a draw that rounds to less than 1 is drawn again, so the
//! law is the normal one, of mean μ and standard deviation σ, truncated below ½. With α = (½ − μ) / σ,
//! density φ and distribution Φ, that raises the mean by σ · φ(α) / (1 − Φ(α)): by 0.7 % at σ = μ / 2.5,
//! by nothing to speak of below μ / 4. Prompt and output are independent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LengthSource;
use super::columns::{Column, Independent, whole};
use crate::engine::{Stream, standard_normal};
use crate::units::Brief;

/// Normally distributed lengths, prompt and output independent, rounded to whole tokens; values
/// below 1 token are drawn again.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Normal {
    /// Prompt tokens; required. Its mean mirrors `vllm bench serve --random-input-len`.
    pub prompt: NormalTokens,
    /// Tokens generated; required. Its mean mirrors `vllm bench serve --random-output-len`.
    pub output: NormalTokens,
}

/// Mean and spread of a number of tokens: `(mean: 2000, std_dev: 300)` or `(mean: 2000, variance: 90000)`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NormalTokens {
    /// Mean before truncation, in tokens, 1 to 1e9; required.
    pub mean: f64,
    /// Standard deviation before truncation, in tokens, 0 to 1e9; this or `variance` is required.
    #[serde(default)]
    pub std_dev: Option<f64>,
    /// Variance before truncation, in tokens squared, 0 to 1e18; this or `std_dev` is required. The MIST
    /// paper (§III-B2) gives its synthetic traces a mean and a variance.
    #[serde(default)]
    pub variance: Option<f64>,
}

impl NormalTokens {
    fn law(self, field: &str) -> Result<Law, String> {
        let Self { mean, std_dev, variance } = self;
        if !(1.0..=1e9).contains(&mean) {
            return Err(format!("{field}.mean: must be 1 to 1e9 tokens, found {}", Brief(mean)));
        }
        let std_dev = match (std_dev, variance) {
            (Some(std_dev), None) if (0.0..=1e9).contains(&std_dev) => std_dev,
            (Some(found), None) => {
                return Err(format!("{field}.std_dev: must be 0 to 1e9 tokens, found {}", Brief(found)));
            }
            (None, Some(variance)) if (0.0..=1e18).contains(&variance) => variance.sqrt(),
            (None, Some(found)) => {
                return Err(format!(
                    "{field}.variance: must be 0 to 1e18 tokens squared, found {}",
                    Brief(found)
                ));
            }
            (Some(_), Some(_)) => {
                return Err(format!("{field}.variance: says again what `std_dev` says; leave one out"));
            }
            (None, None) => return Err(format!("{field}: needs a `std_dev` or a `variance`, has neither")),
        };
        Ok(Law { mean, std_dev })
    }
}

/// A normal law before truncation, in tokens.
#[derive(Clone, Copy)]
struct Law {
    mean: f64,
    std_dev: f64,
}

impl Normal {
    /// Checks means and deviations.
    ///
    /// # Errors
    /// A value is out of its range.
    pub fn build(self) -> Result<Box<dyn LengthSource>, String> {
        let (prompt, output) = (self.prompt.law("prompt")?, self.output.law("output")?);
        Ok(Box::new(Independent { prompt, output }))
    }
}

impl Column for Law {
    fn draw(&self, rng: &mut Stream) -> u32 {
        // The mean is 1 or more, so at least every second draw is kept.
        loop {
            let tokens = (self.mean + self.std_dev * standard_normal(rng) + 0.5).floor();
            if tokens >= 1.0 {
                return whole(tokens);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use crate::engine::Streams;
    use crate::workload::Lengths;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_parameters_break_it(
            mean in testing::hostile(),
            std_dev in proptest::option::of(testing::hostile()),
            variance in proptest::option::of(testing::hostile()),
        ) {
            let tokens = NormalTokens { mean, std_dev, variance };
            testing::assert_sound(Normal { prompt: tokens, output: tokens }.build());
        }
    }

    /// Mean and variance of 200,000 prompts and outputs.
    fn moments(source: Normal) -> [(f64, f64); 2] {
        let mut rng = Streams::new(11).stream("lengths", 0);
        let mut source = source.build().unwrap();
        let draws: Vec<_> = (0..200_000).map(|_| source.next(&mut rng).unwrap().unwrap()).collect();
        assert!(draws.iter().all(|draw| draw.prompt_tokens >= 1 && draw.output_tokens >= 1));
        let of = |pick: fn(&Lengths) -> u32| {
            let n = draws.len() as f64;
            let mean = draws.iter().map(|draw| f64::from(pick(draw))).sum::<f64>() / n;
            (mean, draws.iter().map(|draw| (f64::from(pick(draw)) - mean).powi(2)).sum::<f64>() / n)
        };
        [of(|draw| draw.prompt_tokens), of(|draw| draw.output_tokens)]
    }

    #[test]
    fn moments_are_those_asked_for() {
        let text = "(prompt: (mean: 2000, std_dev: Some(300)), output: (mean: 150, variance: Some(625)))";
        let [(prompt, prompt_var), (output, output_var)] = moments(ron::from_str(text).unwrap());
        // Four standard errors: σ / √n of the mean, √(2 / n) of the variance; rounding adds 1/12.
        assert!((prompt - 2000.0).abs() < 4.0 * 300.0 / 447.0, "{prompt}");
        assert!((output - 150.0).abs() < 4.0 * 25.0 / 447.0, "{output}");
        assert!((prompt_var / 90_000.0 - 1.0).abs() < 0.013, "{prompt_var}");
        assert!((output_var / 625.0 - 1.0).abs() < 0.013, "{output_var}");
    }

    #[test]
    fn truncation_follows_its_formula() {
        let tokens = NormalTokens { mean: 10.0, std_dev: Some(10.0), variance: None };
        let [(prompt, _), _] = moments(Normal { prompt: tokens, output: tokens });
        // α = −0.95: φ(α) = 0.25406, 1 − Φ(α) = 0.82894.
        let expected = 10.0 + 10.0 * 0.25406 / 0.82894;
        assert!((prompt - expected).abs() < 0.08, "{prompt} against {expected}");
    }

    #[test]
    fn bad_moments_are_named() {
        let good = NormalTokens { mean: 10.0, std_dev: Some(0.0), variance: None };
        let refuse = |output| Normal { prompt: good, output }.build().err().unwrap();
        assert_eq!(
            refuse(NormalTokens { mean: f64::NAN, ..good }),
            "output.mean: must be 1 to 1e9 tokens, found NaN"
        );
        assert_eq!(
            refuse(NormalTokens { std_dev: Some(-1.0), ..good }),
            "output.std_dev: must be 0 to 1e9 tokens, found -1"
        );
        assert_eq!(
            refuse(NormalTokens { std_dev: None, variance: Some(f64::INFINITY), ..good }),
            "output.variance: must be 0 to 1e18 tokens squared, found inf"
        );
        assert_eq!(
            refuse(NormalTokens { variance: Some(4.0), ..good }),
            "output.variance: says again what `std_dev` says; leave one out"
        );
        assert_eq!(
            refuse(NormalTokens { std_dev: None, ..good }),
            "output: needs a `std_dev` or a `variance`, has neither"
        );
    }
}
