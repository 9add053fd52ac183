//! How far predictions are off from what was measured, in figures.

use serde::Serialize;

/// Statistics of relative errors, (predicted − measured)/measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Errors {
    /// Pairs compared.
    pub count: usize,
    /// Mean of the absolute error.
    pub mean: f64,
    /// Median of the absolute error.
    pub median: f64,
    /// 90th percentile of the absolute error.
    pub p90: f64,
    /// Largest absolute error.
    pub max: f64,
    /// Mean of the error with its sign.
    pub bias: f64,
}

impl Errors {
    /// Those of (predicted, measured) pairs; all zero for none.
    pub fn of(pairs: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let relative: Vec<f64> =
            pairs.into_iter().map(|(predicted, measured)| predicted / measured - 1.0).collect();
        let mut absolute: Vec<f64> = relative.iter().map(|error| error.abs()).collect();
        absolute.sort_by(f64::total_cmp);
        let count = absolute.len();
        if count == 0 {
            return Self::default();
        }
        Self {
            count,
            mean: absolute.iter().sum::<f64>() / count as f64,
            median: quantile(&absolute, 0.5),
            p90: quantile(&absolute, 0.9),
            max: absolute[count - 1],
            bias: relative.iter().sum::<f64>() / count as f64,
        }
    }
}

/// A quantile of `sorted` values, of which there is one at least, by straight lines between them.
pub(super) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    sorted[low] + (place - place.floor()) * (sorted[high] - sorted[low])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_by_hand() {
        let errors = Errors::of([(110.0, 100.0), (80.0, 100.0), (10.0, 10.0)]);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        assert_eq!(errors.count, 3);
        close(errors.mean, 0.1);
        close(errors.median, 0.1);
        close(errors.p90, 0.18);
        close(errors.max, 0.2);
        close(errors.bias, -0.1 / 3.0);
        assert_eq!(Errors::of([]), Errors::default());
    }
}
