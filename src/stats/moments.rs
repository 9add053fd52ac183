//! Exact count, mean, standard deviation and extremes of integer samples.
//!
//! Sums are kept in `u128`, so the order of the samples cannot matter and nothing is lost to rounding
//! until the final division. They saturate beyond 3.4e38: for squares of spans of a day, past 4e10 samples.

/// Running sums of samples (ns), each with a weight.
#[derive(Clone, Debug)]
pub(super) struct Moments {
    pub(super) count: u64,
    pub(super) sum: u128,
    pub(super) squares: u128,
    pub(super) min: u64,
    pub(super) max: u64,
}

impl Default for Moments {
    fn default() -> Self {
        Self { count: 0, sum: 0, squares: 0, min: u64::MAX, max: 0 }
    }
}

impl Moments {
    /// Adds `weight` samples of the value `sample`.
    #[inline]
    pub(super) fn record(&mut self, sample: u64, weight: u64) {
        if weight == 0 {
            return;
        }
        let weighted = u128::from(sample) * u128::from(weight);
        self.count += weight;
        self.sum = self.sum.saturating_add(weighted);
        self.squares = self.squares.saturating_add(weighted.saturating_mul(u128::from(sample)));
        self.min = self.min.min(sample);
        self.max = self.max.max(sample);
    }

    /// Adds the samples of `other`.
    pub(super) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
        self.squares = self.squares.saturating_add(other.squares);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// Mean; zero without samples.
    pub(super) fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum as f64 / self.count as f64 }
    }

    /// Population standard deviation, as numpy's `std`; zero without samples.
    ///
    /// With Σx = n·q + r, Σ(x − q)² = Σx² − q·(Σx + r) is an integer, so nothing cancels in floating point.
    pub(super) fn std(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        let n = u128::from(self.count);
        let (q, r) = (self.sum / n, self.sum % n);
        let around_q = self.squares.saturating_sub(q.saturating_mul(self.sum + r)) as f64;
        let offset = r as f64 / n as f64;
        (around_q / n as f64 - offset * offset).max(0.0).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(samples: &[u64]) -> Moments {
        let mut moments = Moments::default();
        for &sample in samples {
            moments.record(sample, 1);
        }
        moments
    }

    #[test]
    fn standard_deviation_is_numpys_and_does_not_cancel() {
        assert_eq!(of(&[2, 4, 4, 4, 5, 5, 7, 9]).std(), 2.0);
        assert_eq!(of(&[1, 2]).std(), 0.5);
        // Near 1e15 an f64 sum of squares has lost all of these digits.
        let far = 1_000_000_000_000_000;
        assert_eq!(of(&[far + 2, far + 4, far + 4, far + 4, far + 5, far + 5, far + 7, far + 9]).std(), 2.0);
        assert_eq!(of(&[7, 7, 7]).std(), 0.0);
        assert_eq!(of(&[]).std(), 0.0);
    }

    #[test]
    fn weights_are_repetitions_and_order_does_not_matter() {
        let mut weighted = Moments::default();
        weighted.record(3, 2);
        weighted.record(10, 1);
        weighted.record(99, 0);
        let plain = of(&[10, 3, 3]);
        assert_eq!((weighted.mean(), weighted.std()), (plain.mean(), plain.std()));
        assert_eq!((weighted.min, weighted.max, weighted.count), (3, 10, 3));
    }
}
