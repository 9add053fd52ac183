//! Uniformly distributed lengths, as the random data set of `vllm bench serve` has them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LengthSource;
use super::columns::{Column, Independent, MOST_TOKENS};
use crate::engine::{Stream, uniform};

/// Uniformly distributed lengths, prompt and output independent: every whole number of tokens
/// around a mean is as likely as the next.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Uniform {
    /// Prompt tokens; required. Its mean mirrors `vllm bench serve --random-input-len`.
    pub prompt: UniformTokens,
    /// Tokens generated; required. Its mean mirrors `vllm bench serve --random-output-len`.
    pub output: UniformTokens,
}

/// The middle of a range of tokens and how wide it is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UniformTokens {
    /// Middle of the range, in tokens, 1 to 5e8; required.
    pub mean: u32,
    /// Half the width of the range as a fraction of its middle, 0 to below 1; with 0 it is always the
    /// mean. Lengths are mean · (1 − ratio), rounded down, 1 at least, to mean · (1 + ratio),
    /// rounded up, both included. Default: 0. Mirrors `vllm bench serve --random-range-ratio`.
    #[serde(default)]
    pub range_ratio: f64,
}

impl Uniform {
    /// Checks means and ratios.
    ///
    /// # Errors
    /// A value is out of its range.
    pub fn build(self) -> Result<Box<dyn LengthSource>, String> {
        Independent::boxed(self.prompt, self.output, |UniformTokens { mean, range_ratio }| {
            if !(1..=MOST_TOKENS / 2).contains(&mean) {
                return Err(format!(".mean: must be 1 to {} tokens, found {mean}", MOST_TOKENS / 2));
            }
            if !(0.0..1.0).contains(&range_ratio) {
                return Err(format!(".range_ratio: must be 0 to below 1, found {range_ratio}"));
            }
            let (mean, half) = (f64::from(mean), f64::from(mean) * range_ratio);
            let (least, most) = ((mean - half).floor().max(1.0), (mean + half).ceil());
            Ok(Range { least, count: most - least + 1.0 })
        })
    }
}

struct Range {
    least: f64,
    count: f64,
}

impl Column for Range {
    fn draw(&self, rng: &mut Stream) -> u32 {
        // A draw is at most 1 − 2⁻⁵³, whose product rounds below the count.
        (self.least + (uniform(rng) * self.count).floor()) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use proptest::prelude::*;

    fn build(text: &str) -> Result<Box<dyn LengthSource>, String> {
        ron::from_str::<Uniform>(text).unwrap().build()
    }

    #[test]
    fn every_length_of_vllms_range_is_as_likely() {
        // ⌊10 · 0.75⌋ = 7 to ⌈10 · 1.25⌉ = 13; ⌊1 · 0.1⌋ = 0, so 1, to ⌈1 · 1.9⌉ = 2.
        let source = build("(prompt: (mean: 10, range_ratio: 0.25), output: (mean: 1, range_ratio: 0.9))");
        let [prompts, outputs] = testing::columns(source.unwrap(), 71, 70_000);
        for (column, range) in [(prompts, 7..=13), (outputs, 1..=2)] {
            let expected = 70_000.0 / range.clone().count() as f64;
            for tokens in range.clone() {
                let found = column.iter().filter(|found| **found == tokens).count() as f64;
                assert!((found - expected).abs() < 4.0 * expected.sqrt(), "{tokens}: {found}");
            }
            assert!(column.iter().all(|tokens| range.contains(tokens)));
        }
    }

    #[test]
    fn without_a_ratio_every_length_is_the_mean() {
        let source = build("(prompt: (mean: 1024), output: (mean: 128))").unwrap();
        let [prompts, outputs] = testing::columns(source, 72, 100);
        assert!(prompts.iter().all(|tokens| *tokens == 1024) && outputs.iter().all(|tokens| *tokens == 128));
    }

    #[test]
    fn bad_values_are_named() {
        let refuse = |text| build(text).err().unwrap();
        let message = refuse("(prompt: (mean: 0), output: (mean: 1))");
        assert_eq!(message, "prompt.mean: must be 1 to 500000000 tokens, found 0");
        let message = refuse("(prompt: (mean: 1), output: (mean: 1, range_ratio: 1))");
        assert_eq!(message, "output.range_ratio: must be 0 to below 1, found 1");
    }

    proptest! {
        #[test]
        fn no_parameters_break_it(mean: u32, range_ratio in testing::hostile()) {
            let tokens = UniformTokens { mean, range_ratio };
            testing::assert_sound(Uniform { prompt: tokens, output: tokens }.build());
        }
    }
}
