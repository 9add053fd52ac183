//! Lengths by Zipf's law: a power of the number of tokens, within bounds.
//!
//! P(n) ∝ n⁻ˢ for n from min to max. Draws take a few random numbers whatever the range, by rejection
//! from the integral of the power (W. Hörmann and G. Derflinger, "Rejection-inversion to generate
//! variates from monotone discrete distributions", ACM TOMACS 6, 1996): the hat of n is the integral
//! from n − ½ to n + ½, which a convex law lies below. All is computed in units of min, where the
//! numbers stay near 1.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LengthSource;
use super::columns::{Column, Independent, MOST_TOKENS, within};
use crate::engine::{Stream, uniform};

/// Lengths by Zipf's law, prompt and output independent: n tokens are as likely as n to the power of
/// −exponent, from a shortest to a longest.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Zipf {
    /// Prompt tokens; required.
    pub prompt: ZipfTokens,
    /// Tokens generated; required.
    pub output: ZipfTokens,
}

/// A power law of tokens within bounds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ZipfTokens {
    /// How fast longer lengths get rarer, 0 (not at all) to 20; required.
    pub exponent: f64,
    /// Shortest, in tokens, 1 to `max`. Default: 1.
    #[serde(default = "one")]
    pub min: u32,
    /// Longest, in tokens, `min` to 1e9; required.
    pub max: u32,
}

const fn one() -> u32 {
    1
}

impl Zipf {
    /// Checks exponents and bounds.
    ///
    /// # Errors
    /// A value is out of its range.
    pub fn build(self) -> Result<Box<dyn LengthSource>, String> {
        Independent::boxed(self.prompt, self.output, ZipfTokens::law)
    }
}

impl ZipfTokens {
    fn law(self) -> Result<PowerLaw, String> {
        let exponent = within("exponent", self.exponent, 0.0..=20.0, "")?;
        if !(1..=MOST_TOKENS).contains(&self.max) {
            return Err(format!(".max: must be 1 to {MOST_TOKENS} tokens, found {}", self.max));
        }
        if !(1..=self.max).contains(&self.min) {
            return Err(format!(".min: must be 1 to {} (max) tokens, found {}", self.max, self.min));
        }
        Ok(PowerLaw::new(exponent, self.min, self.max))
    }
}

/// Whole numbers between two, each as likely as its power.
pub(in crate::workload) struct PowerLaw {
    exponent: f64,
    min: f64,
    max: f64,
    /// Where the integral of the hat begins: the shortest length needs no hat above it.
    from: f64,
    /// Where it ends.
    to: f64,
}

impl PowerLaw {
    /// From `min`, 1 or more, to `max`, both included; n is as likely as n to the power of −`exponent`.
    pub fn new(exponent: f64, min: u32, max: u32) -> Self {
        let mut law = Self { exponent, min: f64::from(min), max: f64::from(max), from: 0.0, to: 0.0 };
        law.from = law.integral(law.min + 0.5) - law.weight(law.min);
        law.to = law.integral(law.max + 0.5);
        law
    }

    /// A draw.
    pub fn rank(&self, rng: &mut Stream) -> u32 {
        loop {
            let area = self.from + uniform(rng) * (self.to - self.from);
            let number = (self.inverse(area) + 0.5).floor().clamp(self.min, self.max);
            // The last `weight` of the hat of each number is the number's own.
            if area >= self.integral(number + 0.5) - self.weight(number) {
                return number as u32;
            }
        }
    }

    /// How likely `tokens` is; the shortest is 1 / min.
    fn weight(&self, tokens: f64) -> f64 {
        libm::pow(tokens / self.min, -self.exponent) / self.min
    }

    /// ∫ y⁻ˢ dy from 1 to tokens / min, which is that of the weight.
    fn integral(&self, tokens: f64) -> f64 {
        let log = libm::log(tokens / self.min);
        let power = (1.0 - self.exponent) * log;
        if power.abs() < 1e-8 {
            log * (1.0 + power / 2.0)
        } else {
            libm::expm1(power) / (1.0 - self.exponent)
        }
    }

    /// Where the integral is `area`.
    fn inverse(&self, area: f64) -> f64 {
        let power = ((1.0 - self.exponent) * area).max(-1.0);
        let log = if power.abs() < 1e-8 {
            area * (1.0 - power / 2.0)
        } else {
            libm::log1p(power) / (1.0 - self.exponent)
        };
        self.min * libm::exp(log)
    }
}

impl Column for PowerLaw {
    fn draw(&self, rng: &mut Stream) -> u32 {
        self.rank(rng)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_follow_the_power_law() {
        const N: usize = 200_000;
        for (exponent, min, max) in
            [(0.0, 3, 40), (0.6, 1024, 4096), (1.0, 1, 1000), (1.4, 16, 100_000), (3.0, 1, 50)]
        {
            let tokens = ZipfTokens { exponent, min, max };
            let source = Zipf { prompt: tokens, output: tokens }.build().unwrap();
            let [column, _] = testing::columns(source, 74, N);
            let mut counts = vec![0.0; (max - min + 1) as usize];
            for tokens in &column {
                counts[(tokens - min) as usize] += 1.0;
            }
            let weight = |tokens: u32| libm::pow(f64::from(tokens), -exponent);
            let total: f64 = (min..=max).map(weight).sum();
            let (mut found, mut expected, mut worst) = (0.0, 0.0, 0.0_f64);
            for tokens in min..=max {
                found += counts[(tokens - min) as usize] / N as f64;
                expected += weight(tokens) / total;
                worst = worst.max((found - expected).abs());
            }
            // Kolmogorov and Smirnov, once in a thousand; stricter yet for a discrete law.
            assert!(worst < 1.95 / (N as f64).sqrt(), "distance {worst} at {exponent}");
        }
    }

    #[test]
    fn bad_values_are_named() {
        let refuse = |exponent, min, max| {
            let tokens = ZipfTokens { exponent, min, max };
            Zipf { prompt: tokens, output: tokens }.build().err().unwrap()
        };
        assert_eq!(refuse(-1.0, 1, 9), "prompt.exponent: must be 0 to 20, found -1");
        assert_eq!(refuse(1.0, 10, 9), "prompt.min: must be 1 to 9 (max) tokens, found 10");
        assert_eq!(refuse(1.0, 0, 9), "prompt.min: must be 1 to 9 (max) tokens, found 0");
        assert!(refuse(1.0, 1, 0).starts_with("prompt.max: must be 1 to"));
    }

    proptest! {
        #[test]
        fn no_parameters_break_it(
            exponent in prop_oneof![testing::hostile(), 0.0..20.0_f64],
            min in prop_oneof![0..10_u32, any::<u32>(), Just(MOST_TOKENS - 1)],
            max in prop_oneof![0..10_u32, any::<u32>(), Just(MOST_TOKENS)],
        ) {
            let tokens = ZipfTokens { exponent, min, max };
            testing::assert_sound(Zipf { prompt: tokens, output: tokens }.build());
        }
    }
}
