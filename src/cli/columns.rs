//! A table no wider than a terminal may be.

use std::fmt::Write as _;

/// Columns of text that a table may take.
pub(super) const WIDTH: usize = 100;
/// Between two columns.
const GAP: usize = 2;

/// How the cells of a column stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    /// Words, flush left.
    Words,
    /// Numbers, flush right.
    Numbers,
}

/// A table: heads, then rows of as many cells. Where it would be too wide, the first column is cut.
pub(super) fn table(heads: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let widest = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let width = |(at, (head, _)): (usize, &(&str, Align))| widest(at).max(head.chars().count());
    let mut widths: Vec<usize> = heads.iter().enumerate().map(width).collect();
    let beyond = (widths.iter().sum::<usize>() + GAP * (widths.len() - 1)).saturating_sub(WIDTH);
    widths[0] = widths[0].saturating_sub(beyond).max(1);

    let mut text = String::new();
    let heading: Vec<String> = heads.iter().map(|(head, _)| (*head).to_owned()).collect();
    for row in std::iter::once(&heading).chain(rows) {
        let mut line = String::new();
        for ((cell, &width), (_, align)) in row.iter().zip(&widths).zip(heads) {
            let cell = cut(cell, width);
            // Writing to a string cannot fail.
            let _ = match align {
                Align::Words => write!(line, "{cell:<width$}{:GAP$}", ""),
                Align::Numbers => write!(line, "{cell:>width$}{:GAP$}", ""),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The first `width` characters, the last of them saying that there were more.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let heads = [("NAME", Align::Words), ("GB/s", Align::Numbers), ("SOURCE", Align::Words)];
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let text = table(&heads, &[row(["H100", "3350", "maker"]), row(["a longer name", "7", "paper"])]);
        assert_eq!(
            text,
            "NAME           GB/s  SOURCE\nH100           3350  maker\na longer name     7  paper\n"
        );
    }

    #[test]
    fn a_wide_table_is_cut_in_its_first_column() {
        let heads = [("NAME", Align::Words), ("SOURCE", Align::Words)];
        let text = table(&heads, &[vec!["é".repeat(30), "s".repeat(80)]]);
        assert_eq!(text.lines().nth(1), Some(format!("{}…  {}", "é".repeat(17), "s".repeat(80)).as_str()));
        assert_eq!(table(&heads, &[]), "NAME  SOURCE\n");
    }
}
