//! Lengths from a few quantiles, given in the scenario.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LengthSource;
use super::columns::{Column, Independent, MOST_TOKENS, whole};
use crate::engine::{Stream, uniform};

/// Lengths from quantiles given here, prompt and output independent, straight lines between them.
/// For thousands of quantiles, and prompts and outputs that go together, see `Table`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quantiles {
    /// Prompt tokens as (share, tokens): that share of the prompts is that long or shorter. Shares
    /// rise from 0.0 (the shortest) to 1.0 (the longest), tokens from 1 to 1e9 without falling.
    /// Required, such as `[(0.0, 2), (0.5, 1020), (0.99, 4142), (1.0, 14050)]`.
    pub prompt: Vec<(f64, u32)>,
    /// Tokens generated, in the same form; required.
    pub output: Vec<(f64, u32)>,
}

impl Quantiles {
    /// Checks the quantiles.
    ///
    /// # Errors
    /// Shares do not rise from 0 to 1, or tokens fall or are out of range.
    pub fn build(self) -> Result<Box<dyn LengthSource>, String> {
        Independent::boxed(self.prompt, self.output, |quantiles| {
            check(&quantiles).map(|()| Polyline { quantiles })
        })
    }
}

fn check(quantiles: &[(f64, u32)]) -> Result<(), String> {
    if quantiles.first().is_none_or(|first| first.0 != 0.0)
        || quantiles.last().is_none_or(|last| last.0 != 1.0)
    {
        return Err(": must start at the share 0.0 and end at 1.0".to_owned());
    }
    for (at, &(_, tokens)) in quantiles.iter().enumerate() {
        if !(1..=MOST_TOKENS).contains(&tokens) {
            return Err(format!("[{at}]: must be 1 to {MOST_TOKENS} tokens, found {tokens}"));
        }
    }
    for (at, pair) in quantiles.windows(2).enumerate() {
        // Not written as `<=`, so that a share that is no number is caught.
        if !(pair[1].0 > pair[0].0 && pair[1].1 >= pair[0].1) {
            return Err(format!(
                "[{}]: shares must rise and tokens must not fall, but {:?} follows {:?}",
                at + 1,
                pair[1],
                pair[0]
            ));
        }
    }
    Ok(())
}

struct Polyline {
    quantiles: Vec<(f64, u32)>,
}

impl Column for Polyline {
    fn draw(&self, rng: &mut Stream) -> u32 {
        let share = uniform(rng);
        // The first share is 0 and the last is 1, so there is one at or below and one above.
        let above = self.quantiles.partition_point(|quantile| quantile.0 <= share);
        let ((from, least), (to, most)) = (self.quantiles[above - 1], self.quantiles[above]);
        whole(f64::from(least) + f64::from(most - least) * (share - from) / (to - from))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn draws_have_the_quantiles_given() {
        let prompt = vec![(0.0, 2), (0.5, 1020), (0.9, 2735), (0.99, 4142), (1.0, 14_050)];
        let output = vec![(0.0, 7), (0.25, 7), (0.5, 129), (0.99, 601), (1.0, 1000)];
        let source = Quantiles { prompt: prompt.clone(), output: output.clone() }.build().unwrap();
        let columns = testing::columns(source, 75, 400_000);
        for (mut column, quantiles) in columns.into_iter().zip([prompt, output]) {
            for (share, tokens) in quantiles.iter().filter(|quantile| quantile.0 > 0.25) {
                testing::assert_near(testing::quantile(&mut column, *share), f64::from(*tokens));
            }
            let mean: f64 = quantiles
                .windows(2)
                .map(|pair| (pair[1].0 - pair[0].0) * f64::from(pair[0].1 + pair[1].1) / 2.0)
                .sum();
            testing::assert_near(testing::mean(&column), mean);
            assert_eq!(column[0], quantiles[0].1);
        }
    }

    #[test]
    fn what_is_no_distribution_is_refused() {
        let refuse = |prompt: &[(f64, u32)]| {
            let output = vec![(0.0, 1), (1.0, 1)];
            Quantiles { prompt: prompt.to_vec(), output }.build().err().unwrap()
        };
        for ends in [&[][..], &[(0.0, 1)], &[(0.1, 1), (1.0, 2)], &[(0.0, 1), (0.9, 2)]] {
            assert_eq!(refuse(ends), "prompt: must start at the share 0.0 and end at 1.0");
        }
        assert!(refuse(&[(0.0, 0), (1.0, 2)]).starts_with("prompt[0]: must be 1 to 1000000000 tokens"));
        let falls = refuse(&[(0.0, 5), (0.5, 4), (1.0, 6)]);
        assert!(falls.ends_with("tokens must not fall, but (0.5, 4) follows (0.0, 5)"), "{falls}");
        for bad in [f64::NAN, 0.0, 1.0] {
            assert!(refuse(&[(0.0, 1), (bad, 1), (1.0, 6)]).contains("shares must rise"));
        }
    }

    proptest! {
        #[test]
        fn no_parameters_break_it(
            inner in proptest::collection::vec((testing::hostile(), any::<u32>()), 0..4), least: u32, most: u32,
        ) {
            let mut quantiles = vec![(0.0, least)];
            quantiles.extend(inner);
            quantiles.push((1.0, most));
            testing::assert_sound(Quantiles { prompt: quantiles.clone(), output: quantiles }.build());
        }
    }
}
