//! The lengths of Mooncake's conversation trace, embedded: nothing to download.
//!
//! The table in `assets/lengths/` is derived by `mist derive lengths` from the conversation trace
//! (12,031 requests) that Moonshot AI published with "Mooncake: Trading More Storage for Less
//! Computation" (FAST 2025) under Apache-2.0 at <https://github.com/kvcache-ai/Mooncake>, folder
//! `FAST25-release/traces`. The table holds lengths only: prefixes that requests share are the
//! trace's own, and are replayed from it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::joint::Shipped;
use super::{JointQuantiles, LengthSource};

/// The table as `mist derive lengths` wrote it.
const CONVERSATION: &str = include_str!("../../../assets/lengths/MooncakeConversation.ron");

static SHIPPED: Shipped = Shipped::new(|| JointQuantiles::parse(CONVERSATION));

/// Lengths as in Mooncake's conversation trace of 2025: prompts of 12,035 tokens in the mean (P50
/// 6,909, P99 85,400), outputs of 343 (P50 350, P99 1,119), drawn together as they go together.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MooncakeConversation {}

impl MooncakeConversation {
    /// Unfolds the embedded table.
    pub fn build(self) -> Result<Box<dyn LengthSource>, String> {
        SHIPPED.source()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use crate::workload::derive::rank_correlation;
    use crate::workload::lengths::LengthTable;

    /// Mean, P50, P90, P95 and P99 (numpy's linear percentiles) of the trace: prompt, then output.
    const STATS: [[f64; 5]; 2] =
        [[12_035.1, 6_909.0, 27_367.0, 39_550.5, 85_400.4], [342.6, 350.0, 597.0, 698.0, 1_118.5]];

    #[test]
    fn the_trace_is_reproduced() {
        let source = MooncakeConversation {}.build().unwrap();
        let columns = testing::columns(source, 2025, 1_000_000);
        let table: LengthTable = ron::from_str(CONVERSATION).unwrap();
        let correlation = rank_correlation(&columns[0], &columns[1]);
        // Four standard errors of a correlation near zero, and what the groups blur.
        assert!((correlation - table.rank_correlation).abs() < 6e-3, "{correlation}");
        for (mut column, [mean, quantiles @ ..]) in columns.into_iter().zip(STATS) {
            testing::assert_near(testing::mean(&column), mean);
            for (share, expected) in [0.5, 0.9, 0.95, 0.99].into_iter().zip(quantiles) {
                testing::assert_near(testing::quantile(&mut column, share), expected);
            }
        }
    }

    #[test]
    fn the_table_names_its_source() {
        let table: LengthTable = ron::from_str(CONVERSATION).unwrap();
        assert_eq!((table.rows, table.licence.as_str()), (12_031, "Apache-2.0"));
        assert!(table.source.contains("https://github.com/kvcache-ai/Mooncake"));
        assert!(CONVERSATION.contains("mist derive lengths"));
    }
}
