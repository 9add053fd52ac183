//! The lengths of the Azure LLM inference traces of 2023, embedded: nothing to download.
//!
//! The tables in `assets/lengths/` are derived by `mist derive lengths` from the conversation trace
//! (19,366 requests) and the code trace (8,819 requests) that Microsoft published under CC-BY-4.0 at
//! <https://github.com/Azure/AzurePublicDataset>; the paper's workloads of the same names
//! (§III-B2) are these.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::joint::Shipped;
use super::{JointQuantiles, LengthSource};

/// The conversation table as `mist derive lengths` wrote it.
const CONVERSATION: &str = include_str!("../../../assets/lengths/AzureConv.ron");
/// The code table as `mist derive lengths` wrote it.
const CODE: &str = include_str!("../../../assets/lengths/AzureCode.ron");

static SHIPPED_CONVERSATION: Shipped = Shipped::new(|| JointQuantiles::parse(CONVERSATION));
static SHIPPED_CODE: Shipped = Shipped::new(|| JointQuantiles::parse(CODE));

/// Lengths as in the Azure conversation trace of 2023: prompts of 1,155 tokens in the mean (P50
/// 1,020, P99 4,142), outputs of 211 (P50 129, P99 601), drawn together as they go together.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AzureConv {}

/// Lengths as in the Azure code trace of 2023: prompts of 2,048 tokens in the mean (P50 1,469, P99
/// 7,436), outputs of 28 (P50 13, P99 251), drawn together as they go together.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AzureCode {}

impl AzureConv {
    /// Unfolds the embedded table.
    pub fn build(self) -> Result<Box<dyn LengthSource>, String> {
        SHIPPED_CONVERSATION.source()
    }
}

impl AzureCode {
    /// Unfolds the embedded table.
    pub fn build(self) -> Result<Box<dyn LengthSource>, String> {
        SHIPPED_CODE.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Streams;
    use crate::workload::derive::rank_correlation;
    use crate::workload::lengths::LengthTable;

    const DRAWS: usize = 1_000_000;

    /// Mean, P50, P90, P95 and P99 (numpy's linear percentiles) as published in the statistics of
    /// `AzurePublicDataset/data/AzureLLMInferenceTrace_{conv,code}.csv`: prompt, then output.
    const CONVERSATION_STATS: [[f64; 5]; 2] =
        [[1154.7, 1020.0, 2734.5, 4083.0, 4142.0], [211.1, 129.0, 424.0, 451.0, 601.0]];
    const CODE_STATS: [[f64; 5]; 2] =
        [[2047.8, 1469.0, 5187.6, 7303.3, 7436.0], [27.9, 13.0, 55.0, 90.0, 251.46]];

    fn stats(column: &mut [u32]) -> [f64; 5] {
        column.sort_unstable();
        let mean = column.iter().map(|tokens| f64::from(*tokens)).sum::<f64>() / column.len() as f64;
        let at = |share: f64| f64::from(column[(share * (column.len() - 1) as f64) as usize]);
        [mean, at(0.5), at(0.9), at(0.95), at(0.99)]
    }

    fn assert_like_the_trace(mut source: Box<dyn LengthSource>, text: &str, published: [[f64; 5]; 2]) {
        let mut rng = Streams::new(2023).stream("lengths", 0);
        let draws = (0..DRAWS).map(|_| source.next(&mut rng).unwrap().unwrap());
        let (mut prompts, mut outputs): (Vec<_>, Vec<_>) =
            draws.map(|draw| (draw.prompt_tokens, draw.output_tokens)).unzip();
        let table: LengthTable = ron::from_str(text).unwrap();
        let correlation = rank_correlation(&prompts, &outputs);
        // Four standard errors of a correlation near zero.
        assert!(
            (correlation - table.rank_correlation).abs() < 4.0 / (DRAWS as f64).sqrt() + 1e-3,
            "rank correlation {correlation}, the trace's is {}",
            table.rank_correlation
        );
        for (column, published) in [&mut prompts, &mut outputs].into_iter().zip(published) {
            assert!(column.iter().all(|tokens| *tokens >= 1));
            for (found, expected) in stats(column).into_iter().zip(published) {
                assert!((found / expected - 1.0).abs() < 0.02, "{found}, published {expected}");
            }
        }
    }

    #[test]
    fn conversation_reproduces_the_published_statistics() {
        assert_like_the_trace(AzureConv {}.build().unwrap(), CONVERSATION, CONVERSATION_STATS);
    }

    #[test]
    fn code_reproduces_the_published_statistics() {
        assert_like_the_trace(AzureCode {}.build().unwrap(), CODE, CODE_STATS);
    }

    #[test]
    fn tables_name_their_source_and_are_small() {
        for (text, rows, prompt_tokens, output_tokens) in
            [(CONVERSATION, 19_366, 22_361_870, 4_088_665), (CODE, 8_819, 18_059_974, 245_896)]
        {
            let table: LengthTable = ron::from_str(text).unwrap();
            assert!(table.source.contains("https://github.com/Azure/AzurePublicDataset"));
            assert_eq!(table.licence, "CC-BY-4.0");
            assert_eq!(
                (table.rows, table.prompt_tokens, table.output_tokens),
                (rows, prompt_tokens, output_tokens)
            );
            assert!(text.len() < 24_000, "{} bytes", text.len());
        }
    }

    #[test]
    fn no_parameters_are_needed_or_taken() {
        assert!(ron::from_str::<AzureConv>("()").is_ok());
        assert!(ron::from_str::<AzureCode>("(scale: 2)").is_err());
    }
}
