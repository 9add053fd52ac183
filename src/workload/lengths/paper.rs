//! The workloads of the paper's Table III, as synthetic lengths.
//!
//! The table gives mean, median and P95 of prefill and decode tokens of three data sets; nothing
//! else of them is used here. [`Fitted`] says how a law is made of such figures and what it guesses.
//! For [`OpenThoughts`] the tokens generated include the reasoning.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LengthSource;
use super::fitted::{Fitted, FittedTokens};

/// Synthetic lengths of article retrieval and summarisation, fitted to the mean, median and P95 of
/// `NarrativeQA` in the paper's Table III: prompts of 19,260 tokens in the mean (P50 11,284, P95
/// 59,497), outputs of 218 (P50 232, P95 332).
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NarrativeQA {}

/// Synthetic lengths of mathematical reasoning, fitted to the mean, median and P95 of `OpenThoughts`
/// in the paper's Table III: prompts of 158 tokens in the mean (P50 93, P95 566), outputs of 6,818
/// (P50 5,237, P95 17,454), reasoning included.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenThoughts {}

/// Synthetic lengths of code generation, fitted to the mean, median and P95 of Github-Code in the
/// paper's Table III: prompts of 26,979 tokens in the mean (P50 16,204, P95 83,920), outputs of
/// 1,088 (P50 329, P95 2,753).
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GithubCode {}

const NARRATIVE_QA: Fitted = Fitted {
    prompt: FittedTokens { mean: 19_260.0, median: 11_284.0, p95: 59_497.0 },
    output: FittedTokens { mean: 218.0, median: 232.0, p95: 332.0 },
};

const OPEN_THOUGHTS: Fitted = Fitted {
    prompt: FittedTokens { mean: 158.0, median: 93.0, p95: 566.0 },
    output: FittedTokens { mean: 6_818.0, median: 5_237.0, p95: 17_454.0 },
};

const GITHUB_CODE: Fitted = Fitted {
    prompt: FittedTokens { mean: 26_979.0, median: 16_204.0, p95: 83_920.0 },
    output: FittedTokens { mean: 1_088.0, median: 329.0, p95: 2_753.0 },
};

impl NarrativeQA {
    /// Fits both columns.
    pub fn build(self) -> Result<Box<dyn LengthSource>, String> {
        NARRATIVE_QA.build()
    }
}

impl OpenThoughts {
    /// Fits both columns.
    pub fn build(self) -> Result<Box<dyn LengthSource>, String> {
        OPEN_THOUGHTS.build()
    }
}

impl GithubCode {
    /// Fits both columns.
    pub fn build(self) -> Result<Box<dyn LengthSource>, String> {
        GITHUB_CODE.build()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn table_iii_is_reproduced() {
        let rows = [
            (NarrativeQA {}.build(), NARRATIVE_QA),
            (OpenThoughts {}.build(), OPEN_THOUGHTS),
            (GithubCode {}.build(), GITHUB_CODE),
        ];
        for (source, Fitted { prompt, output }) in rows {
            let columns = testing::columns(source.unwrap(), 77, 1_000_000);
            for (mut column, figures) in columns.into_iter().zip([prompt, output]) {
                testing::assert_near(testing::mean(&column), figures.mean);
                testing::assert_near(testing::quantile(&mut column, 0.5), figures.median);
                testing::assert_near(testing::quantile(&mut column, 0.95), figures.p95);
                // A tail beyond what models take would only be rejected.
                assert!(*column.last().unwrap() < 300_000, "{:?}", column.last());
            }
        }
    }

    #[test]
    fn no_parameters_are_taken() {
        assert!(ron::from_str::<GithubCode>("()").is_ok());
        assert!(ron::from_str::<GithubCode>("(mean: 1)").is_err());
    }
}
