//! Gaussian-process regression, small: what is known at points says what to expect between them.
//!
//! A Matérn-3/2 kernel over scaled coordinates, a constant kernel for the unknown mean, and a nugget for
//! noise; many values a point share one factorisation. Dense, `n³/3` operations for `n` points.

/// What a process is told before it sees data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prior<'a> {
    /// Distance along each coordinate over which values are alike.
    pub(crate) lengths: &'a [f64],
    /// Variance of the mean, over that of the process.
    pub(crate) mean: f64,
    /// Variance of the noise, over that of the process.
    pub(crate) nugget: f64,
}

impl Prior<'_> {
    fn kernel(&self, a: &[f64], b: &[f64]) -> f64 {
        let square: f64 = a
            .iter()
            .zip(b)
            .zip(self.lengths)
            .map(|((a, b), length)| ((a - b) / length) * ((a - b) / length))
            .sum();
        let distance = (3.0 * square).sqrt();
        (1.0 + distance) * libm::exp(-distance) + self.mean
    }

    /// How much the value at each of `points` counts for that at `asked`: `K⁻¹·k`.
    pub(crate) fn weights(&self, points: &[Vec<f64>], asked: &[f64]) -> Vec<f64> {
        let factor = Factor::new(&self.covariance(points), points.len());
        factor.solve(points.iter().map(|point| self.kernel(point, asked)).collect())
    }

    fn covariance(&self, points: &[Vec<f64>]) -> Vec<f64> {
        let n = points.len();
        let mut matrix = vec![0.0; n * n];
        for row in 0..n {
            for column in 0..=row {
                let value = self.kernel(&points[row], &points[column]);
                matrix[row * n + column] = value + if row == column { self.nugget } else { 0.0 };
            }
        }
        matrix
    }
}

/// A process that has seen values at points, several a point.
pub(crate) struct Kriging<'a> {
    prior: Prior<'a>,
    points: Vec<Vec<f64>>,
    /// `K⁻¹·Y`, a row a point.
    alpha: Vec<Vec<f64>>,
    /// The diagonal of `K⁻¹`.
    precision: Vec<f64>,
}

impl<'a> Kriging<'a> {
    /// Sees `values`, a row a point.
    pub(crate) fn new(prior: Prior<'a>, points: Vec<Vec<f64>>, values: &[Vec<f64>]) -> Self {
        let n = points.len();
        let factor = Factor::new(&prior.covariance(&points), n);
        let columns = values.first().map_or(0, Vec::len);
        let mut alpha = vec![vec![0.0; columns]; n];
        let mut precision = vec![0.0; n];
        for unit in 0..n {
            // A column of the inverse, which is symmetric.
            let mut one = vec![0.0; n];
            one[unit] = 1.0;
            let inverse = factor.solve(one);
            precision[unit] = inverse[unit];
            for (weight, row) in inverse.iter().zip(values) {
                for (sum, value) in alpha[unit].iter_mut().zip(row) {
                    *sum += weight * value;
                }
            }
        }
        Self { prior, points, alpha, precision }
    }

    /// What to expect at a point.
    pub(crate) fn expect(&self, asked: &[f64]) -> Vec<f64> {
        let mut sums = vec![0.0; self.alpha.first().map_or(0, Vec::len)];
        for (point, row) in self.points.iter().zip(&self.alpha) {
            let weight = self.prior.kernel(point, asked);
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += weight * value;
            }
        }
        sums
    }

    /// What one would have expected at the point of this index, had its `values` not been seen.
    pub(crate) fn without(&self, index: usize, values: &[f64]) -> Vec<f64> {
        let precision = self.precision[index];
        values.iter().zip(&self.alpha[index]).map(|(value, alpha)| value - alpha / precision).collect()
    }
}

/// `L` of `K = L·Lᵀ`, by rows.
struct Factor {
    rows: Vec<f64>,
    n: usize,
}

impl Factor {
    /// Factorises a matrix of which the lower triangle is given.
    fn new(matrix: &[f64], n: usize) -> Self {
        let mut rows = matrix.to_vec();
        for row in 0..n {
            for column in 0..=row {
                let (before, here) = rows.split_at(row * n);
                let other = if column == row { &here[..column] } else { &before[column * n..][..column] };
                let dot: f64 = here[..column].iter().zip(other).map(|(a, b)| a * b).sum();
                let value = rows[row * n + column] - dot;
                rows[row * n + column] = if column == row {
                    // The nugget keeps this away from zero; a hair is left for equal points without one.
                    value.max(1e-12).sqrt()
                } else {
                    value / rows[column * n + column]
                };
            }
        }
        Self { rows, n }
    }

    /// `K⁻¹·b`.
    fn solve(&self, mut b: Vec<f64>) -> Vec<f64> {
        let n = self.n;
        for row in 0..n {
            let dot: f64 = self.rows[row * n..][..row].iter().zip(&b).map(|(a, b)| a * b).sum();
            b[row] = (b[row] - dot) / self.rows[row * n + row];
        }
        for row in (0..n).rev() {
            b[row] /= self.rows[row * n + row];
            let value = b[row];
            for (below, factor) in b[..row].iter_mut().zip(&self.rows[row * n..][..row]) {
                *below -= factor * value;
            }
        }
        b
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIOR: Prior<'_> = Prior { lengths: &[1.5], mean: 4.0, nugget: 1e-9 };

    #[test]
    fn points_come_back_and_a_curve_is_followed() {
        let points: Vec<Vec<f64>> = (0..12).map(|at| vec![f64::from(at) * 0.5]).collect();
        let values: Vec<Vec<f64>> = points.iter().map(|point| vec![libm::sin(point[0]), 7.0]).collect();
        let process = Kriging::new(PRIOR, points.clone(), &values);
        for (point, value) in points.iter().zip(&values) {
            assert!((process.expect(point)[0] - value[0]).abs() < 1e-6);
        }
        let seen = process.expect(&[2.25]);
        assert!((seen[0] - libm::sin(2.25)).abs() < 0.02 && (seen[1] - 7.0).abs() < 0.02, "{seen:?}");
        let weights = PRIOR.weights(&points, &[2.25]);
        let sum: f64 = weights.iter().zip(&values).map(|(weight, value)| weight * value[0]).sum();
        assert!((sum - seen[0]).abs() < 1e-9);
    }

    #[test]
    fn what_was_not_seen_is_what_the_others_say() {
        let points: Vec<Vec<f64>> = (0..8).map(|at| vec![f64::from(at)]).collect();
        let values: Vec<Vec<f64>> = points.iter().map(|point| vec![libm::cos(point[0])]).collect();
        let all = Kriging::new(PRIOR, points.clone(), &values);
        let (mut fewer, mut rest) = (points.clone(), values.clone());
        fewer.remove(3);
        rest.remove(3);
        let without = Kriging::new(PRIOR, fewer, &rest).expect(&points[3])[0];
        assert!((all.without(3, &values[3])[0] - without).abs() < 1e-6);
    }
}
