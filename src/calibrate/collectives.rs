//! Scores collectives: there is nothing to fit, but how far apart sizes are matters.

use super::errors::Errors;
use crate::runtime::profile::CollectiveTable;

/// Each size but the ends foretold from the others: a gap of four, where use meets gaps of two.
pub(super) fn sizes_left_out<'a>(tables: impl Iterator<Item = &'a CollectiveTable>) -> Errors {
    let mut pairs = Vec::new();
    for table in tables {
        let measured = table.pooled();
        let ends = measured.len().saturating_sub(1);
        for (out, us) in measured.iter().enumerate().take(ends).skip(1) {
            let mut rest = table.clone();
            let bytes = rest.bytes.remove(out);
            rest.us.remove(out);
            pairs.push((rest.seconds(&rest.pooled(), bytes), us * 1e-6));
        }
    }
    Errors::of(pairs)
}
