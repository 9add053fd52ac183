//! Finds where a table of attention changes kernels in a way that work cannot explain: most lines of the
//! table take less than half of the time with *more* to do.
//!
//! Prices never fall with work, so such rows cannot be priced as they were measured. Seen at head size 512 on Hopper
//! (vLLM 0.22 and 0.24, `FlashAttention` 4): one query a sequence is attended to in so many pieces, and their results
//! are so many, that 512 sequences of one key take 1.7 ms; from 1,024 sequences on nothing is split, and it takes
//! 0.17 ms. A prompt of one token takes the first of these paths, one of 16 takes 12 to 140 µs.

use std::collections::BTreeMap;

use super::measurements::{AttentionRow, AttentionSet};
use crate::runtime::profile::Phase;

/// A time below this share of that of less work is of another kernel.
const FALL: f64 = 0.5;

/// The fewest decoding sequences that most lines of a table show taking another kernel, by less time than fewer.
pub(super) fn unsplit_from(set: &AttentionSet) -> Option<f64> {
    if set.phase == Phase::Prefill {
        return None;
    }
    let mut most: BTreeMap<[u64; 3], f64> = BTreeMap::new();
    let mut lines: BTreeMap<u64, (usize, usize)> = BTreeMap::new();
    for row in sorted(&set.rows, |row| row.batch) {
        let line = [row.heads as u64, row.kv_heads as u64, row.length as u64];
        let fewer = most.entry(line).or_default();
        let (falls, all) = lines.entry(row.batch as u64).or_default();
        *falls += usize::from(row.seconds < FALL * *fewer);
        *all += 1;
        *fewer = fewer.max(row.seconds);
    }
    lines.into_iter().find(|(_, (falls, all))| 2 * falls > *all).map(|(batch, _)| batch as f64)
}

/// Leaves out prompts of one token where most lines of the table show that they take the path of decoding, by
/// more time than longer ones; how many.
pub(super) fn leave_out_single_tokens(set: &mut AttentionSet) -> usize {
    let mut lines: BTreeMap<[u64; 3], Vec<f64>> = BTreeMap::new();
    for row in sorted(&set.rows, |row| row.length) {
        let line = [row.heads as u64, row.kv_heads as u64, row.batch as u64];
        if row.length == 1.0 || lines.contains_key(&line) {
            lines.entry(line).or_default().push(row.seconds);
        }
    }
    lines.retain(|_, times| times.len() > 1);
    let falls = lines.values().filter(|times| times[1] < FALL * times[0]).count();
    if set.phase == Phase::Decode || 2 * falls <= lines.len() {
        return 0;
    }
    let before = set.rows.len();
    set.rows.retain(|row| row.length > 1.0);
    before - set.rows.len()
}

fn sorted(rows: &[AttentionRow], by: fn(&AttentionRow) -> f64) -> Vec<&AttentionRow> {
    let mut rows: Vec<&AttentionRow> = rows.iter().collect();
    rows.sort_by(|a, b| by(a).total_cmp(&by(b)));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::measurements::{Origin, Times};
    use crate::catalog::Precision;

    fn set(phase: Phase, time: impl Fn(f64, f64) -> f64) -> AttentionSet {
        let mut rows = Vec::new();
        for batch in [1.0, 256.0, 1024.0, 2048.0] {
            for length in [1.0, 16.0, 4096.0] {
                let seconds = time(batch, length);
                rows.push(AttentionRow { batch, length, heads: 8.0, kv_heads: 1.0, seconds });
            }
        }
        let origin = Origin { table: "t".to_owned(), file: "t".into(), times: Times::LATENCY };
        AttentionSet { origin, phase, head_dim: 512, kv_cache: Precision::Bf16, window: None, rows }
    }

    #[test]
    fn a_kernel_that_stops_splitting_is_seen() {
        let splits =
            |batch: f64, length: f64| 1e-6 * (if batch < 1e3 { 100.0 } else { 1.0 } + 1e-6 * batch * length);
        assert_eq!(unsplit_from(&set(Phase::Decode, splits)), Some(1024.0));
        assert_eq!(unsplit_from(&set(Phase::Decode, |batch, length| 1e-6 + 1e-9 * batch * length)), None);
        assert_eq!(unsplit_from(&set(Phase::Prefill, splits)), None);
    }

    #[test]
    fn prompts_of_one_token_that_take_longest_are_left_out() {
        let time = |batch: f64, length: f64| {
            1e-6 * if length == 1.0 { 10.0 + batch } else { 1.0 + 1e-3 * batch * length }
        };
        let mut prompts = set(Phase::Prefill, time);
        assert_eq!(leave_out_single_tokens(&mut prompts), 4);
        assert_eq!((prompts.rows.len(), leave_out_single_tokens(&mut prompts)), (8, 0));
        assert_eq!(leave_out_single_tokens(&mut set(Phase::Decode, time)), 0);
    }
}
