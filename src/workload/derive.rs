//! Makes a table of lengths from a trace: what `mist derive lengths` does.
//!
//! Knots are taken greedily from the sorted column, each line as long as it stays, once rounded to
//! whole tokens, within half a per cent of every value it passes (so below 200 tokens it is exact).
//! The groups of the joint table have at least 16 requests a cell on average, at most 32 groups.
//! Both columns are held in memory, 8 bytes a request. See [`LengthTable`] for how it is read.

use std::fmt::Write as _;

use super::lengths::LengthTable;
use super::trace::TraceRow;
use super::{Lengths, SourceError};

/// What a table says about where it comes from.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The table's name, such as `AzureConv`.
    pub name: &'a str,
    /// The trace's name and address.
    pub source: &'a str,
    /// The trace's licence, as an SPDX identifier.
    pub licence: &'a str,
}

/// The table of lengths of a trace, as the text of its file. Requests without a prompt or without
/// an output are left out.
///
/// # Errors
/// A row is malformed, or there is no row, or there are more than a table can rank.
pub fn derive_lengths(
    rows: impl IntoIterator<Item = Result<TraceRow, SourceError>>,
    about: About<'_>,
) -> Result<String, SourceError> {
    let mut requests = Vec::new();
    for row in rows {
        let TraceRow { prompt_tokens, output_tokens, .. } = row?;
        if prompt_tokens > 0 && output_tokens > 0 {
            requests.push(Lengths { prompt_tokens, output_tokens });
        }
    }
    if requests.is_empty() {
        return Err(SourceError::Empty { path: about.name.into() });
    }
    let table = tabulate(&requests, about).ok_or(SourceError::TooManyRows)?;
    Ok(print(&table))
}

/// The table of `requests`; `None` when there are too many to rank.
fn tabulate(requests: &[Lengths], about: About<'_>) -> Option<LengthTable> {
    let rows = u32::try_from(requests.len()).ok()?;
    let prompts: Vec<_> = requests.iter().map(|request| request.prompt_tokens).collect();
    let outputs: Vec<_> = requests.iter().map(|request| request.output_tokens).collect();
    Some(LengthTable {
        mist_lengths: 1,
        name: about.name.to_owned(),
        source: about.source.to_owned(),
        licence: about.licence.to_owned(),
        rows,
        prompt_tokens: prompts.iter().map(|tokens| u64::from(*tokens)).sum(),
        output_tokens: outputs.iter().map(|tokens| u64::from(*tokens)).sum(),
        rank_correlation: rank_correlation(&prompts, &outputs),
        prompt: knots(&prompts),
        output: knots(&outputs),
        joint: joint(&prompts, &outputs),
    })
}

/// Positions of a column's values in sorted order, ties in the order of the trace.
fn order(column: &[u32]) -> Vec<usize> {
    let mut order: Vec<_> = (0..column.len()).collect();
    order.sort_by_key(|index| column[*index]);
    order
}

/// Knots (rank, tokens) of a column's sorted values.
fn knots(column: &[u32]) -> Vec<(u32, u32)> {
    let mut sorted = column.to_vec();
    sorted.sort_unstable();
    let last = sorted.len() - 1;
    let mut knots = vec![(0, sorted[0])];
    let mut from = 0;
    while from < last {
        let to = reach(&sorted, from);
        knots.push((to as u32, sorted[to]));
        from = to;
    }
    knots
}

/// How far a line from rank `from` can go: each value it passes narrows the slopes it may have.
fn reach(sorted: &[u32], from: usize) -> usize {
    let start = f64::from(sorted[from]);
    let (mut least, mut most) = (0.0_f64, f64::INFINITY);
    let mut reached = from + 1;
    for (steps, &tokens) in sorted[from..].iter().enumerate().skip(1) {
        // A line within this of the value rounds to within half a per cent of it.
        let slack = f64::from(tokens / 200) + 0.499;
        let (climb, run) = (f64::from(tokens) - start, steps as f64);
        if least <= climb / run && climb / run <= most {
            reached = from + steps;
        }
        least = least.max((climb - slack) / run);
        most = most.min((climb + slack) / run);
        if least > most {
            break;
        }
    }
    reached
}

/// Requests by group of prompt, then group of output.
fn joint(prompts: &[u32], outputs: &[u32]) -> Vec<Vec<u32>> {
    let rows = prompts.len();
    let size = (rows / 16).isqrt().clamp(1, 32);
    let mut output_group = vec![0; rows];
    for (rank, index) in order(outputs).into_iter().enumerate() {
        output_group[index] = rank * size / rows;
    }
    let mut joint = vec![vec![0; size]; size];
    for (rank, index) in order(prompts).into_iter().enumerate() {
        joint[rank * size / rows][output_group[index]] += 1;
    }
    joint
}

/// Spearman's rank correlation, ties sharing their mean rank; 0 when a column is constant.
pub(super) fn rank_correlation(prompts: &[u32], outputs: &[u32]) -> f64 {
    let (prompts, outputs) = (centred_ranks(prompts), centred_ranks(outputs));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let scale = (dot(&prompts, &prompts) * dot(&outputs, &outputs)).sqrt();
    if scale > 0.0 { dot(&prompts, &outputs) / scale } else { 0.0 }
}

/// Ranks less their mean, ties sharing theirs.
fn centred_ranks(column: &[u32]) -> Vec<f64> {
    let mut ranks = vec![0.0; column.len()];
    let middle = (column.len() as f64 - 1.0) / 2.0;
    let mut first = 0;
    for tie in order(column).chunk_by(|a, b| column[*a] == column[*b]) {
        let shared = first as f64 + (tie.len() as f64 - 1.0) / 2.0 - middle;
        for index in tie {
            ranks[*index] = shared;
        }
        first += tie.len();
    }
    ranks
}

/// The table as RON, wrapped to be read and compared by people.
fn print(table: &LengthTable) -> String {
    let mut text = format!(
        "// Lengths of {}, made by\n//     mist derive lengths TRACE --name {:?} --source {:?} --licence {:?}\n\
         // and not to be edited.\n\
         (\n    mist_lengths: {},\n    name: {:?},\n    source: {:?},\n    licence: {:?},\n    \
         rows: {},\n    prompt_tokens: {},\n    output_tokens: {},\n    rank_correlation: {:.4},\n",
        table.name.escape_debug(),
        table.name,
        table.source,
        table.licence,
        table.mist_lengths,
        table.name,
        table.source,
        table.licence,
        table.rows,
        table.prompt_tokens,
        table.output_tokens,
        table.rank_correlation,
    );
    let knots = |knots: &[(u32, u32)]| wrap(knots.iter().map(|(rank, tokens)| format!("({rank},{tokens})")));
    text += "    // Sorted tokens as knots (rank, tokens), straight lines between them.\n";
    // Writing to a string cannot fail.
    let _ = write!(text, "    prompt: [\n{}    ],\n", knots(&table.prompt));
    let _ = write!(text, "    output: [\n{}    ],\n", knots(&table.output));
    text += "    // Requests by group of prompt rank (row), then group of output rank.\n    joint: [\n";
    for row in &table.joint {
        let counts: Vec<_> = row.iter().map(u32::to_string).collect();
        let _ = writeln!(text, "        [{}],", counts.join(","));
    }
    text + "    ],\n)\n"
}

/// Items separated by commas, on indented lines of at most 110 characters.
fn wrap(items: impl Iterator<Item = String>) -> String {
    const INDENT: &str = "        ";
    let (mut text, mut line) = (String::new(), INDENT.to_owned());
    for item in items {
        if line.len() + item.len() + 1 > 110 {
            text += &line;
            text.push('\n');
            line.truncate(INDENT.len());
        }
        line += &item;
        line.push(',');
    }
    text + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Streams, exponential, uniform};
    use crate::workload::lengths::JointQuantiles;
    use proptest::prelude::*;

    const ABOUT: About<'static> = About { name: "toy \"1\"", source: "none", licence: "CC0-1.0" };

    fn derive(requests: &[(u32, u32)]) -> Result<String, SourceError> {
        let rows = requests.iter().map(|&(prompt_tokens, output_tokens)| {
            Ok(TraceRow { prompt_tokens, output_tokens, ..TraceRow::default() })
        });
        derive_lengths(rows, ABOUT)
    }

    #[test]
    fn correlation_is_spearmans() {
        assert_eq!(rank_correlation(&[1, 2, 3], &[10, 20, 400]), 1.0);
        assert_eq!(rank_correlation(&[1, 2, 3], &[3, 2, 1]), -1.0);
        assert_eq!(rank_correlation(&[1, 2, 3], &[5, 5, 5]), 0.0);
        // By hand: ranks 0.5 0.5 2 3 against 0 1 3 2, middle 1.5: 3.5 / √(4.5 · 5).
        let found = rank_correlation(&[4, 4, 6, 8], &[1, 2, 9, 3]);
        assert!((found - 3.5 / 22.5_f64.sqrt()).abs() < 1e-12, "{found}");
    }

    #[test]
    fn empty_requests_are_left_out() {
        let text = derive(&[(0, 3), (5, 0), (5, 7)]).unwrap();
        let table: LengthTable = ron::from_str(&text).unwrap();
        assert_eq!((table.rows, table.prompt, table.output), (1, vec![(0, 5)], vec![(0, 7)]));
        assert!(matches!(derive(&[(0, 3)]), Err(SourceError::Empty { .. })));
    }

    #[test]
    fn a_strong_dependence_survives() {
        let mut rng = Streams::new(9).stream("requests", 0);
        let requests: Vec<_> = (0..20_000)
            .map(|_| {
                let prompt = 1.0 + 800.0 * exponential(&mut rng);
                (prompt as u32, (1.0 + prompt * (0.2 + 0.2 * uniform(&mut rng))) as u32)
            })
            .collect();
        let text = derive(&requests).unwrap();
        let (table, source): (LengthTable, _) =
            (ron::from_str(&text).unwrap(), JointQuantiles::parse(&text).unwrap());
        let (prompts, outputs): (Vec<_>, Vec<_>) = (0..20_000)
            .map(|_| source.draw(&mut rng))
            .map(|draw| (draw.prompt_tokens, draw.output_tokens))
            .unzip();
        assert!(table.rank_correlation > 0.95);
        assert!((rank_correlation(&prompts, &outputs) - table.rank_correlation).abs() < 0.005);
    }

    proptest! {
        #[test]
        fn every_value_is_kept_within_half_a_per_cent(
            column in proptest::collection::vec(prop_oneof![1..300_u32, 1..100_000_u32, Just(u32::MAX)], 1..400),
        ) {
            let knots = knots(&column);
            let mut sorted = column;
            sorted.sort_unstable();
            let mut rank = 0;
            for pair in knots.windows(2) {
                while rank < pair[1].0 {
                    let found = crate::workload::lengths::interpolate(pair[0], pair[1], rank);
                    let expected = sorted[rank as usize];
                    prop_assert!(found.abs_diff(expected) <= expected / 200, "{found} for {expected}");
                    rank += 1;
                }
            }
            prop_assert_eq!(knots.last(), Some(&(sorted.len() as u32 - 1, sorted[sorted.len() - 1])));
        }

        #[test]
        fn any_trace_makes_a_table_that_reads_back(
            requests in proptest::collection::vec((1..5_000_u32, 1..5_000_u32), 1..300),
        ) {
            let text = derive(&requests).unwrap();
            let table: LengthTable = ron::from_str(&text).unwrap();
            prop_assert_eq!(&table.name, ABOUT.name);
            let source = JointQuantiles::new(&table).unwrap();
            let mut rng = Streams::new(0).stream("lengths", 0);
            for _ in 0..50 {
                let draw = source.draw(&mut rng);
                prop_assert!(draw.prompt_tokens >= 1 && draw.output_tokens >= 1);
            }
        }
    }
}
