//! Log-normally distributed lengths.
//!
//! The logarithm of a length is normal with mean ln(median) and standard deviation σ; the mean is
//! median · exp(σ² / 2). Draws are rounded to whole tokens, 1 at least.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LengthSource;
use super::columns::{Column, Independent, whole, within};
use crate::engine::{Stream, standard_normal};

/// Log-normally distributed lengths, prompt and output independent, rounded to whole tokens: many
/// short, few very long.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogNormal {
    /// Prompt tokens; required.
    pub prompt: LogNormalTokens,
    /// Tokens generated; required.
    pub output: LogNormalTokens,
}

/// The median of a number of tokens, and its mean or its σ.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogNormalTokens {
    /// Half of the lengths are shorter, in tokens, 1 to 1e9; required.
    pub median: f64,
    /// Mean, in tokens, from the median to e^8 ≈ 2981 times the median. Give this or `sigma`.
    #[serde(default)]
    pub mean: Option<f64>,
    /// Standard deviation of the natural logarithm of the length, 0 to 4. Give this or `mean`.
    #[serde(default)]
    pub sigma: Option<f64>,
}

impl LogNormal {
    /// Checks medians, and means or deviations.
    ///
    /// # Errors
    /// A value is out of its range, or a column has both a mean and a deviation, or neither.
    pub fn build(self) -> Result<Box<dyn LengthSource>, String> {
        Independent::boxed(self.prompt, self.output, LogNormalTokens::law)
    }
}

impl LogNormalTokens {
    fn law(self) -> Result<Law, String> {
        let median = within("median", self.median, 1.0..=1e9, " tokens")?;
        let sigma = match (self.mean, self.sigma) {
            (None, Some(sigma)) => within("sigma", sigma, 0.0..=4.0, "")?,
            (Some(mean), None) if mean >= median && mean <= median * 2980.0 => {
                (2.0 * libm::log(mean / median)).sqrt()
            }
            (Some(mean), None) => {
                let most = median * 2980.0;
                return Err(format!(".mean: must be {median} (the median) to {most} tokens, found {mean}"));
            }
            (Some(_), Some(_)) => return Err(".sigma: follows from the mean; give one of them".to_owned()),
            (None, None) => return Err(": needs a `mean` or a `sigma` beside the median".to_owned()),
        };
        Ok(Law { median, sigma })
    }
}

struct Law {
    median: f64,
    sigma: f64,
}

impl Column for Law {
    fn draw(&self, rng: &mut Stream) -> u32 {
        whole(self.median * libm::exp(self.sigma * standard_normal(rng)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use proptest::prelude::*;

    fn build(text: &str) -> Result<Box<dyn LengthSource>, String> {
        ron::from_str::<LogNormal>(text).unwrap().build()
    }

    #[test]
    fn quantiles_and_mean_are_those_of_the_law() {
        let text = "(prompt: (median: 1020, mean: Some(1500)), output: (median: 129, sigma: Some(1)))";
        let columns = testing::columns(build(text).unwrap(), 73, 400_000);
        let prompt_sigma = (2.0 * libm::log(1500.0 / 1020.0)).sqrt();
        for (mut column, median, sigma) in
            columns.into_iter().zip([(1020.0, prompt_sigma), (129.0, 1.0)]).map(|(c, (m, s))| (c, m, s))
        {
            testing::assert_near(testing::mean(&column), median * libm::exp(sigma * sigma / 2.0));
            // Normal quantiles.
            for (share, z) in [(0.05, -1.644_854), (0.5, 0.0), (0.9, 1.281_552), (0.99, 2.326_348)] {
                let expected = median * libm::exp(sigma * z);
                testing::assert_near(testing::quantile(&mut column, share), expected);
            }
        }
    }

    #[test]
    fn a_column_takes_a_mean_or_a_sigma() {
        let refuse = |prompt: &str| {
            build(&format!("(prompt: ({prompt}), output: (median: 9, sigma: Some(1)))")).err().unwrap()
        };
        assert_eq!(refuse("median: 5"), "prompt: needs a `mean` or a `sigma` beside the median");
        let both = refuse("median: 5, mean: Some(6), sigma: Some(1)");
        assert_eq!(both, "prompt.sigma: follows from the mean; give one of them");
        let low = refuse("median: 5, mean: Some(4)");
        assert_eq!(low, "prompt.mean: must be 5 (the median) to 14900 tokens, found 4");
        assert!(refuse("median: 0.5, sigma: Some(1)").starts_with("prompt.median: must be 1 to 1e9 tokens"));
        assert!(refuse("median: 5, sigma: Some(5)").starts_with("prompt.sigma: must be 0 to 4, found 5"));
    }

    proptest! {
        #[test]
        fn no_parameters_break_it(
            median in testing::hostile(), mean in proptest::option::of(testing::hostile()),
            sigma in proptest::option::of(testing::hostile()),
        ) {
            let tokens = LogNormalTokens { median, mean, sigma };
            testing::assert_sound(LogNormal { prompt: tokens, output: tokens }.build());
        }
    }
}
