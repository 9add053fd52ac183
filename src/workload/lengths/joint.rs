//! A table of lengths and how it is drawn from.
//!
//! The table holds what n recorded requests look like in little space:
//!
//! - `prompt` and `output`: the sorted values of a column as knots (rank, tokens), ranks 0 to n − 1,
//!   straight lines between them, rounded to whole tokens;
//! - `joint`: how ranks go together. Both columns are cut into B groups of equal size by rank;
//!   `joint[i][j]` counts the requests whose prompt is in group i and whose output is in group j.
//!
//! A draw picks a rank of the prompt, every one alike, which gives its group; the group of the
//! output in proportion to that row of `joint`; then a rank in that group, every one alike (a
//! checkerboard copula). So each column keeps its own distribution whatever the dependence, and
//! the dependence is kept down to a B-th of the ranks. What is lost: repeats, sequence, and
//! dependence finer than that.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::{LengthSource, Lengths};
use crate::engine::{Stream, uniform};
use crate::workload::SourceError;

/// A table of lengths as its file holds it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LengthTable {
    /// Version of this layout: 1.
    pub mist_lengths: u32,
    /// What the table is called.
    pub name: String,
    /// Where the trace comes from.
    pub source: String,
    /// The trace's licence.
    pub licence: String,
    /// Requests behind the table, n.
    pub rows: u32,
    /// Sum of their prompts, in tokens.
    pub prompt_tokens: u64,
    /// Sum of their outputs, in tokens.
    pub output_tokens: u64,
    /// Spearman's rank correlation of prompt and output.
    pub rank_correlation: f64,
    /// Knots (rank, tokens) of the sorted prompts.
    pub prompt: Vec<(u32, u32)>,
    /// Knots (rank, tokens) of the sorted outputs.
    pub output: Vec<(u32, u32)>,
    /// Requests by group of prompt, then group of output.
    pub joint: Vec<Vec<u32>>,
}

/// A table that ships, unfolded when it is first asked for.
pub(super) struct Shipped(LazyLock<Result<JointQuantiles, String>>);

impl Shipped {
    pub(super) const fn new(unfold: fn() -> Result<JointQuantiles, String>) -> Self {
        Self(LazyLock::new(unfold))
    }

    pub(super) fn source(&self) -> Result<Box<dyn LengthSource>, String> {
        Ok(Box::new(self.0.clone()?))
    }
}

/// A [`LengthTable`] unfolded for drawing: three random numbers and one short search a request.
#[derive(Clone, Debug)]
pub struct JointQuantiles {
    /// Prompt tokens by rank.
    prompt: Box<[u32]>,
    /// Output tokens by rank, as many.
    output: Box<[u32]>,
    /// Per group of prompt, running totals of the requests by group of output.
    groups: Box<[Box<[u32]>]>,
}

impl JointQuantiles {
    /// Ranks kept at most: a larger table is thinned evenly, which no percentile above 0.01 feels.
    const RANKS: u64 = 1 << 16;

    /// Reads and unfolds a table.
    ///
    /// # Errors
    /// The text is not RON of a [`LengthTable`], or the table contradicts itself.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::new(&ron::from_str(text).map_err(|error| error.to_string())?)
    }

    /// Unfolds a table.
    ///
    /// # Errors
    /// The table contradicts itself.
    pub fn new(table: &LengthTable) -> Result<Self, String> {
        if table.mist_lengths != 1 {
            return Err(format!("mist_lengths: this version reads 1, found {}", table.mist_lengths));
        }
        let ranks = u64::from(table.rows).min(Self::RANKS);
        let size = table.joint.len();
        if size == 0 || size as u64 > ranks || table.joint.iter().any(|row| row.len() != size) {
            return Err("joint: must be as wide as high, with a row at least and no more than `rows`".into());
        }
        let groups: Option<_> = table.joint.iter().map(|row| running_totals(row)).collect();
        Ok(Self {
            prompt: unfold(&table.prompt, table.rows, ranks).map_err(|why| format!("prompt: {why}"))?,
            output: unfold(&table.output, table.rows, ranks).map_err(|why| format!("output: {why}"))?,
            groups: groups.ok_or("joint: every row must hold a request, and fewer than 2^32")?,
        })
    }

    /// The next request's lengths.
    pub fn draw(&self, rng: &mut Stream) -> Lengths {
        let (ranks, size) = (self.prompt.len(), self.groups.len());
        let prompt_rank = below(rng, ranks);
        let totals = &self.groups[prompt_rank * size / ranks];
        let pick = below(rng, totals[size - 1] as usize) as u32;
        let group = totals.partition_point(|total| *total <= pick);
        let (first, end) = ((group * ranks).div_ceil(size), ((group + 1) * ranks).div_ceil(size));
        Lengths {
            prompt_tokens: self.prompt[prompt_rank],
            output_tokens: self.output[first + below(rng, end - first)],
        }
    }
}

impl LengthSource for JointQuantiles {
    fn next(&mut self, rng: &mut Stream) -> Result<Option<Lengths>, SourceError> {
        Ok(Some(self.draw(rng)))
    }
}

/// One of 0 to n − 1, every one alike. A draw is at most 1 − 2⁻⁵³, whose product rounds below n.
fn below(rng: &mut Stream, n: usize) -> usize {
    (uniform(rng) * n as f64) as usize
}

fn running_totals(row: &[u32]) -> Option<Box<[u32]>> {
    let mut total = 0_u32;
    let totals: Option<Box<[u32]>> = row
        .iter()
        .map(|count| {
            total = total.checked_add(*count)?;
            Some(total)
        })
        .collect();
    totals.filter(|_| total > 0)
}

/// The tokens at `ranks` ranks spread evenly over the table's `rows`.
fn unfold(knots: &[(u32, u32)], rows: u32, ranks: u64) -> Result<Box<[u32]>, String> {
    let spans = knots.first().is_some_and(|knot| knot.0 == 0 && knot.1 >= 1)
        && knots.last().is_some_and(|knot| knot.0 == rows - 1);
    if !spans {
        return Err("knots must start at rank 0 with 1 token or more and end at the last rank".into());
    }
    if let Some((knot, next)) = knots.iter().zip(&knots[1..]).find(|(a, b)| b.0 <= a.0 || b.1 < a.1) {
        return Err(format!("knots must rise: {knot:?} is followed by {next:?}"));
    }
    let mut knot = 0;
    Ok((0..ranks)
        .map(|k| {
            let rank = ((2 * k + 1) * u64::from(rows) / (2 * ranks)) as u32;
            while knot + 1 < knots.len() && knots[knot + 1].0 <= rank {
                knot += 1;
            }
            let next = knots.get(knot + 1).unwrap_or(&knots[knot]);
            interpolate(knots[knot], *next, rank)
        })
        .collect())
}

/// Tokens at `rank` on the line between two knots, rounded half up.
pub(in crate::workload) fn interpolate(from: (u32, u32), to: (u32, u32), rank: u32) -> u32 {
    if rank == from.0 {
        return from.1;
    }
    let run = u128::from(to.0 - from.0);
    let climb = u128::from(to.1 - from.1) * u128::from(rank - from.0);
    from.1 + ((2 * climb + run) / (2 * run)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Streams;

    fn table() -> LengthTable {
        LengthTable {
            mist_lengths: 1,
            name: "toy".into(),
            source: "none".into(),
            licence: "none".into(),
            rows: 100,
            prompt_tokens: 0,
            output_tokens: 0,
            rank_correlation: 0.0,
            prompt: vec![(0, 1), (49, 50), (50, 1000), (99, 1049)],
            output: vec![(0, 7), (99, 106)],
            joint: vec![vec![50, 0], vec![10, 40]],
        }
    }

    #[test]
    fn interpolation_rounds_half_up() {
        let at = |rank| interpolate((10, 5), (14, 7), rank);
        assert_eq!([10, 11, 12, 13, 14].map(at), [5, 6, 6, 7, 7]);
    }

    #[test]
    fn draws_follow_knots_and_groups() {
        let source = JointQuantiles::new(&table()).unwrap();
        let mut rng = Streams::new(1).stream("lengths", 0);
        let (mut short, mut long_with_low_output) = (0.0, 0.0);
        let n = 100_000;
        for _ in 0..n {
            let Lengths { prompt_tokens, output_tokens } = source.draw(&mut rng);
            assert!((1..=50).contains(&prompt_tokens) || (1000..=1049).contains(&prompt_tokens));
            assert!((7..=106).contains(&output_tokens));
            if prompt_tokens <= 50 {
                short += 1.0;
                assert!(output_tokens <= 56);
            } else if output_tokens <= 56 {
                long_with_low_output += 1.0;
            }
        }
        // Four standard errors of a share of n draws.
        let n = f64::from(n);
        assert!((short / n - 0.5).abs() < 4.0 * 0.5 / n.sqrt());
        assert!((long_with_low_output / n - 0.1).abs() < 4.0 * 0.3 / n.sqrt());
    }

    #[test]
    fn contradictions_are_named() {
        let refuse = |change: fn(&mut LengthTable)| {
            let mut table = table();
            change(&mut table);
            JointQuantiles::new(&table).err().unwrap()
        };
        assert!(refuse(|t| t.mist_lengths = 2).contains("this version reads 1, found 2"));
        assert!(refuse(|t| t.rows = 0).contains("joint"));
        assert!(refuse(|t| t.joint = vec![]).contains("joint"));
        assert!(refuse(|t| t.joint[0].push(1)).contains("as wide as high"));
        assert!(refuse(|t| t.joint[0] = vec![0, 0]).contains("must hold a request"));
        assert!(refuse(|t| t.joint[0] = vec![u32::MAX, 1]).contains("fewer than 2^32"));
        assert!(refuse(|t| t.prompt[0] = (0, 0)).contains("prompt: knots must start"));
        assert!(refuse(|t| t.output[1] = (98, 9)).contains("output: knots must start"));
        assert!(refuse(|t| t.prompt[1] = (60, 50)).contains("(60, 50) is followed by (50, 1000)"));
        assert!(JointQuantiles::parse("(mist_lengths: 1)").is_err());
    }
}
