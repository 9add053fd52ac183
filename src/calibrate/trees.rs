//! Boosted regression trees, to fill grids with: they find the steps that tiles and waves of tiles make.
//!
//! Least absolute deviations: each tree follows the signs of what is left, its leaves answer with the
//! median of what is left in them, and a rate keeps it from following noise. Features are cut at up to
//! 255 of their quantiles; a tree grows by its best leaf first. No draws: the same rows give the same trees.

use rayon::prelude::*;

/// Features, a column each, of equally many rows.
pub(super) type Columns = Vec<Vec<f64>>;

/// How trees are grown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growth {
    /// Trees.
    pub(super) trees: usize,
    /// Leaves of a tree.
    pub(super) leaves: usize,
    /// Share of what is left that a tree takes away.
    pub(super) rate: f64,
    /// Fewest rows of a leaf.
    pub(super) rows: usize,
}

/// A sum of trees.
pub(super) struct Trees {
    start: f64,
    trees: Vec<Vec<Node>>,
}

#[derive(Clone, Copy)]
enum Node {
    Leaf(f64),
    /// Rows whose `feature` is at most `cut` go to the next node, others to `above`.
    Split {
        feature: usize,
        cut: f64,
        above: usize,
    },
}

const BINS: usize = 255;

impl Trees {
    /// Grows trees that answer `targets`.
    pub(super) fn grow(columns: &Columns, targets: &[f64], growth: Growth) -> Self {
        let cuts: Vec<Vec<f64>> = columns.iter().map(|column| cuts(column)).collect();
        let binned: Vec<Vec<u8>> =
            columns.iter().zip(&cuts).map(|(column, cuts)| bin(column, cuts)).collect();
        let start = median(&mut targets.to_vec());
        let mut left: Vec<f64> = targets.iter().map(|target| target - start).collect();
        let trees = (0..growth.trees).map(|_| tree(&binned, &cuts, &mut left, growth)).collect();
        Self { start, trees }
    }

    /// The answer for one row of features.
    pub(super) fn answer(&self, row: &[f64]) -> f64 {
        let each = self.trees.iter().map(|nodes| {
            let mut at = 0;
            loop {
                match nodes[at] {
                    Node::Leaf(value) => return value,
                    Node::Split { feature, cut, above } => {
                        at = if row[feature] <= cut { at + 1 } else { above }
                    }
                }
            }
        });
        self.start + each.sum::<f64>()
    }
}

fn cuts(column: &[f64]) -> Vec<f64> {
    let mut values = column.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    values.dedup();
    let middle = |pair: &[f64]| pair[0] + (pair[1] - pair[0]) / 2.0;
    if values.len() <= BINS {
        return values.windows(2).map(middle).collect();
    }
    // Of quantiles of the rows, not of the values, so that bins hold alike many.
    let mut rows = column.to_vec();
    rows.sort_unstable_by(f64::total_cmp);
    let mut cuts: Vec<f64> = (1..BINS).map(|at| rows[at * rows.len() / BINS]).collect();
    cuts.dedup();
    cuts
}

fn bin(column: &[f64], cuts: &[f64]) -> Vec<u8> {
    column.iter().map(|value| cuts.partition_point(|cut| cut < value) as u8).collect()
}

/// The sum of signs in a bin, and its rows. Whole numbers, so that no order of adding matters.
type Histogram = Vec<(i32, u32)>;

struct Open {
    rows: Vec<u32>,
    histogram: Histogram,
    best: Option<(f64, usize, usize)>,
    /// Where its node is.
    node: usize,
}

enum Grown {
    Leaf(Vec<u32>),
    Split { feature: usize, bin: usize, below: usize, above: usize },
}

fn tree(binned: &[Vec<u8>], cuts: &[Vec<f64>], left: &mut [f64], growth: Growth) -> Vec<Node> {
    let signs: Vec<i8> = left.iter().map(|rest| if *rest > 0.0 { 1 } else { -1 }).collect();
    let open = |rows: Vec<u32>, histogram: Histogram, node: usize| {
        let best = best_split(&histogram, binned.len(), rows.len(), growth.rows);
        Open { rows, histogram, best, node }
    };
    let all: Vec<u32> = (0..left.len() as u32).collect();
    let histogram = count(binned, &signs, &all);
    let mut leaves = vec![open(all, histogram, 0)];
    let mut grown: Vec<Option<Grown>> = vec![None];
    while leaves.len() < growth.leaves {
        let gain = |open: &Open| open.best.map_or(0.0, |(gain, ..)| gain);
        let Some(at) = (0..leaves.len()).max_by(|a, b| gain(&leaves[*a]).total_cmp(&gain(&leaves[*b])))
        else {
            break;
        };
        let Some((gain, feature, bin)) = leaves[at].best else { break };
        if gain <= 1e-9 {
            break;
        }
        let parent = leaves.swap_remove(at);
        let (below, above): (Vec<u32>, Vec<u32>) =
            parent.rows.iter().partition(|row| usize::from(binned[feature][**row as usize]) <= bin);
        // The smaller side is counted, the other is what remains.
        let smaller = if below.len() <= above.len() { &below } else { &above };
        let few = count(binned, &signs, smaller);
        let many: Histogram =
            parent.histogram.iter().zip(&few).map(|(all, few)| (all.0 - few.0, all.1 - few.1)).collect();
        let (low, high) = if below.len() <= above.len() { (few, many) } else { (many, few) };
        let (first, second) = (grown.len(), grown.len() + 1);
        grown.extend([None, None]);
        grown[parent.node] = Some(Grown::Split { feature, bin, below: first, above: second });
        leaves.push(open(below, low, first));
        leaves.push(open(above, high, second));
    }
    for leaf in leaves {
        grown[leaf.node] = Some(Grown::Leaf(leaf.rows));
    }
    let mut nodes = Vec::with_capacity(grown.len());
    lay_out(&mut grown, 0, cuts, left, growth.rate, &mut nodes);
    nodes
}

/// Puts nodes in order, each before its lower child, and takes what leaves answer off what is left.
fn lay_out(
    grown: &mut [Option<Grown>],
    at: usize,
    cuts: &[Vec<f64>],
    left: &mut [f64],
    rate: f64,
    nodes: &mut Vec<Node>,
) {
    match grown[at].take() {
        Some(Grown::Split { feature, bin, below, above }) => {
            let here = nodes.len();
            nodes.push(Node::Leaf(0.0));
            lay_out(grown, below, cuts, left, rate, nodes);
            nodes[here] = Node::Split { feature, cut: cuts[feature][bin], above: nodes.len() };
            lay_out(grown, above, cuts, left, rate, nodes);
        }
        Some(Grown::Leaf(rows)) => {
            let mut rest: Vec<f64> = rows.iter().map(|row| left[*row as usize]).collect();
            let value = rate * median(&mut rest);
            for row in rows {
                left[row as usize] -= value;
            }
            nodes.push(Node::Leaf(value));
        }
        None => nodes.push(Node::Leaf(0.0)),
    }
}

fn count(binned: &[Vec<u8>], signs: &[i8], rows: &[u32]) -> Histogram {
    let one = |column: &Vec<u8>| {
        let mut bins = vec![(0_i32, 0_u32); BINS + 1];
        for row in rows {
            let bin = &mut bins[usize::from(column[*row as usize])];
            bin.0 += i32::from(signs[*row as usize]);
            bin.1 += 1;
        }
        bins
    };
    if rows.len() > 4_000 {
        binned.par_iter().flat_map_iter(one).collect()
    } else {
        binned.iter().flat_map(one).collect()
    }
}

/// The split that separates signs best: its gain, its feature, and the last bin of its lower side.
fn best_split(
    histogram: &Histogram,
    features: usize,
    rows: usize,
    fewest: usize,
) -> Option<(f64, usize, usize)> {
    let mut best: Option<(f64, usize, usize)> = None;
    if rows < 2 * fewest {
        return None;
    }
    for feature in 0..features {
        let bins = &histogram[feature * (BINS + 1)..][..=BINS];
        let total: f64 = bins.iter().map(|bin| f64::from(bin.0)).sum();
        let whole = total * total / rows as f64;
        let (mut sum, mut count) = (0.0, 0_usize);
        for (at, bin) in bins.iter().enumerate() {
            sum += f64::from(bin.0);
            count += bin.1 as usize;
            if bin.1 == 0 || count < fewest {
                continue;
            }
            if rows - count < fewest {
                break;
            }
            let rest = total - sum;
            let gain = sum * sum / count as f64 + rest * rest / (rows - count) as f64 - whole;
            if best.is_none_or(|(most, ..)| gain > most) {
                best = Some((gain, feature, at));
            }
        }
    }
    best
}

/// The middle value; zero of none.
pub(super) fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    let (_, median, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    *median
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_found_and_an_outlier_is_not_followed() {
        let x: Vec<f64> = (0..2_000).map(|at| f64::from(at) * 0.01).collect();
        let y: Vec<f64> = (0..2_000).map(|at| f64::from(at % 7)).collect();
        let truth = |x: f64, y: f64| x.floor() + if y > 3.0 { 10.0 } else { 0.0 };
        // Measurements scatter; without any of it signs of what is left say nothing once it is next to nothing.
        let scatter = |at: usize| (at * 7_919 % 101) as f64 * 0.004 - 0.2;
        let mut targets: Vec<f64> = (0..2_000).map(|at| truth(x[at], y[at]) + scatter(at)).collect();
        targets[500] = 1e6;
        let growth = Growth { trees: 200, leaves: 31, rate: 0.1, rows: 10 };
        let trees = Trees::grow(&vec![x, y], &targets, growth);
        for (x, y) in [(0.5, 0.0), (5.3, 6.0), (12.5, 3.0), (19.5, 5.0)] {
            let answer = trees.answer(&[x, y]);
            assert!((answer - truth(x, y)).abs() < 0.3, "{x} {y}: {answer}");
        }
    }

    #[test]
    fn one_row_is_its_own_answer() {
        let growth = Growth { trees: 5, leaves: 4, rate: 0.5, rows: 1 };
        assert_eq!(Trees::grow(&vec![vec![1.0]], &[7.0], growth).answer(&[3.0]), 7.0);
    }
}
