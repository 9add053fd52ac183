//! Percentiles as numpy's default (`linear`) computes them, to the bit.
//!
//! The percentile at fraction f of n sorted samples lies at the virtual index (n − 1)·f, interpolated
//! between its neighbours.

/// The sample below the percentile at `fraction` of `count` (at least one) samples, and how far beyond it.
pub(super) fn virtual_index(count: u64, fraction: f64) -> (u64, f64) {
    let position = (count - 1) as f64 * fraction;
    let index = position as u64;
    (index, position - index as f64)
}

/// Between `a` and `b` at `t` in 0..1, from the nearer end, as numpy does.
pub(super) fn lerp(a: f64, b: f64, t: f64) -> f64 {
    if t < 0.5 { a + (b - a) * t } else { b - (b - a) * (1.0 - t) }
}

/// Exact percentiles at `fractions`, which must fall; reorders `samples` (at least one).
///
/// Selection instead of sorting: each percentile only looks below the one before it.
pub(crate) fn exact<const N: usize>(samples: &mut [u64], fractions: [f64; N]) -> [f64; N] {
    let count = samples.len() as u64;
    let mut below = samples.len();
    let mut ceiling = None;
    fractions.map(|fraction| {
        let (index, t) = virtual_index(count, fraction);
        let index = index as usize;
        debug_assert!(index < below, "fractions fall");
        let (_, &mut at, above) = samples[..below].select_nth_unstable(index);
        let next = above.iter().copied().min().or(ceiling).unwrap_or(at);
        below = index + 1;
        ceiling = Some(next);
        lerp(at as f64, next as f64, t)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_match_numpy() {
        // numpy.percentile(x, [99, 90, 50]), worked out by hand from the definition.
        assert_eq!(exact(&mut [4, 1, 3, 2], [0.99, 0.9, 0.5]), [3.969_999_999_999_999_8, 3.7, 2.5]);
        assert_eq!(exact(&mut [50, 10, 40, 20, 30], [0.99, 0.9, 0.5]), [49.6, 46.0, 30.0]);
        assert_eq!(exact(&mut [7], [0.99, 0.9, 0.5]), [7.0, 7.0, 7.0]);
        assert_eq!(exact(&mut [5, 5, 5, 5], [0.99, 0.9, 0.5]), [5.0, 5.0, 5.0]);
        let mut hundred_and_one: Vec<u64> = (0..=100).rev().collect();
        assert_eq!(exact(&mut hundred_and_one, [1.0, 0.99, 0.9, 0.5, 0.0]), [100.0, 99.0, 90.0, 50.0, 0.0]);
    }

    #[test]
    fn fractions_close_together_share_neighbours() {
        let mut samples: Vec<u64> = (0..10).map(|i| i * 10).collect();
        let sorted = samples.clone();
        let fractions = [0.95, 0.94, 0.93, 0.92];
        let got = exact(&mut samples, fractions);
        for (fraction, got) in fractions.into_iter().zip(got) {
            let (i, t) = virtual_index(10, fraction);
            let expected = lerp(sorted[i as usize] as f64, sorted[(i as usize + 1).min(9)] as f64, t);
            assert_eq!(got, expected, "{fraction}");
        }
    }
}
