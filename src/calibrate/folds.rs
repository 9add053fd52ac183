//! Parts that data are split into, each to be foretold from the others.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// How many.
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
}
