//! How well a fit foretells what it has not seen.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Parts that data are split into; each is foretold from the others.
pub(super) const FOLDS: usize = 5;

/// A part for each of `groups`, drawn evenly; the same at every call.
pub(super) fn folds(groups: usize) -> Vec<usize> {
    // A shuffled deal, so that parts are of one size to within one.
    let mut draw = Pcg64Mcg::seed_from_u64(1);
    let mut order: Vec<usize> = (0..groups).collect();
    for last in (1..groups).rev() {
        order.swap(last, (draw.next_u64() % (last as u64 + 1)) as usize);
    }
    let mut folds = vec![0; groups];
    for (place, group) in order.into_iter().enumerate() {
        folds[group] = place % FOLDS;
    }
    folds
}

/// Relative errors of foretold times, in percent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Errors {
    /// Times that were foretold.
    pub rows: usize,
    /// Of the absolute errors.
    pub mean: f64,
    /// Of the absolute errors.
    pub median: f64,
    /// Of the absolute errors, exceeded by one in ten.
    pub p90: f64,
    /// Median of the errors with their sign.
    pub bias: f64,
}

impl Errors {
    /// Of pairs of a foretold and a measured time.
    pub fn of(pairs: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let mut signed: Vec<f64> =
            pairs.into_iter().map(|(foretold, measured)| 100.0 * (foretold / measured - 1.0)).collect();
        if signed.is_empty() {
            return Self::default();
        }
        signed.sort_unstable_by(f64::total_cmp);
        let mut sizes: Vec<f64> = signed.iter().map(|error| error.abs()).collect();
        sizes.sort_unstable_by(f64::total_cmp);
        Self {
            rows: sizes.len(),
            mean: sizes.iter().sum::<f64>() / sizes.len() as f64,
            median: quantile(&sizes, 0.5),
            p90: quantile(&sizes, 0.9),
            bias: quantile(&signed, 0.5),
        }
    }
}

/// A quantile of sorted values, by straight lines between them.
pub(super) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (place - below as f64) * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_are_even_and_stay() {
        let parts = folds(483);
        for part in 0..FOLDS {
            assert!((96..=97).contains(&parts.iter().filter(|fold| **fold == part).count()));
        }
        assert_eq!(parts, folds(483));
    }

    #[test]
    fn errors_are_of_what_was_measured() {
        let errors = Errors::of([(110.0, 100.0), (95.0, 100.0), (100.0, 100.0)]);
        assert_eq!((errors.rows, errors.median.round(), errors.bias.round()), (3, 5.0, 0.0));
        assert!((errors.mean - 5.0).abs() < 1e-9 && (errors.p90 - 9.0).abs() < 1e-9);
        assert_eq!(Errors::of([]), Errors::default());
    }
}
