//! The distribution of one latency over requests.
//!
//! Every sample is kept (8 bytes each) until there are a million; from then on a [`LogHistogram`] stands in
//! for them. Mean, standard deviation, minimum and maximum are exact either way.

use super::histogram::LogHistogram;
use super::moments::Moments;
use super::percentile;
use super::statistics::{FRACTIONS, Statistics};
use crate::units::SimSpan;

/// Most samples of which every one is kept.
pub const EXACT_LIMIT: usize = 1_000_000;

/// Samples of a latency (ns): exact up to [`EXACT_LIMIT`], a sketch beyond.
#[derive(Clone, Debug, Default)]
pub struct Distribution {
    moments: Moments,
    samples: Samples,
}

#[derive(Clone, Debug)]
enum Samples {
    Exact(Vec<u64>),
    Sketch(LogHistogram),
}

impl Default for Samples {
    fn default() -> Self {
        Self::Exact(Vec::new())
    }
}

impl Distribution {
    /// Adds a sample.
    pub fn record(&mut self, span: SimSpan) {
        let ns = span.as_ns();
        self.moments.record(ns, 1);
        match &mut self.samples {
            Samples::Exact(samples) if samples.len() < EXACT_LIMIT => samples.push(ns),
            Samples::Exact(_) => {
                self.coarsen();
                self.sketch(ns);
            }
            Samples::Sketch(_) => self.sketch(ns),
        }
    }

    fn sketch(&mut self, ns: u64) {
        if let Samples::Sketch(histogram) = &mut self.samples {
            histogram.record(ns, 1);
        }
    }

    /// Gives up the single samples for the sketch of them.
    pub fn coarsen(&mut self) {
        if let Samples::Exact(samples) = &self.samples {
            let mut histogram = LogHistogram::default();
            for &ns in samples {
                histogram.record(ns, 1);
            }
            self.samples = Samples::Sketch(histogram);
        }
    }

    /// All samples of `parts` in one; exact if every part is and they are few enough together.
    pub fn merged<'a>(parts: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let mut moments = Moments::default();
        parts.clone().for_each(|part| moments.merge(&part.moments));
        let exact = parts.clone().all(Self::is_exact) && moments.count <= EXACT_LIMIT as u64;
        let samples = if exact {
            let mut all = Vec::with_capacity(moments.count as usize);
            for part in parts {
                if let Samples::Exact(samples) = &part.samples {
                    all.extend_from_slice(samples);
                }
            }
            Samples::Exact(all)
        } else {
            let mut all = LogHistogram::default();
            for part in parts {
                match &part.samples {
                    Samples::Exact(samples) => samples.iter().for_each(|&ns| all.record(ns, 1)),
                    Samples::Sketch(histogram) => all.merge(histogram),
                }
            }
            Samples::Sketch(all)
        };
        Self { moments, samples }
    }

    /// Samples recorded.
    pub fn count(&self) -> u64 {
        self.moments.count
    }

    /// Σ samples (ns).
    pub fn sum_ns(&self) -> u128 {
        self.moments.sum
    }

    /// Whether every sample is still there.
    pub fn is_exact(&self) -> bool {
        matches!(self.samples, Samples::Exact(_))
    }

    /// What reports say about it; none without samples. Reorders the samples kept.
    pub fn statistics(&mut self) -> Option<Statistics> {
        if self.moments.count == 0 {
            return None;
        }
        let percentiles = match &mut self.samples {
            Samples::Exact(samples) => percentile::exact(samples, FRACTIONS),
            Samples::Sketch(histogram) => FRACTIONS.map(|fraction| histogram.percentile(fraction)),
        };
        Some(Statistics::new(&self.moments, percentiles, self.is_exact()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stats::SKETCH_ERROR_FRAC;

    fn of(samples: impl IntoIterator<Item = u64>) -> Distribution {
        let mut distribution = Distribution::default();
        samples.into_iter().for_each(|ns| distribution.record(SimSpan::from_ns(ns)));
        distribution
    }

    #[test]
    fn a_million_samples_are_exact_and_one_more_is_not() {
        let mut million = of((1..=1_000_000).map(|i| i * 1_000));
        let statistics = million.statistics().unwrap();
        assert!(statistics.exact);
        assert!((statistics.p99_ms - 990.000_01).abs() < 1e-9);
        million.record(SimSpan::from_ns(500));
        let statistics = million.statistics().unwrap();
        assert!(!statistics.exact);
        assert_eq!((million.count(), statistics.min_ms, statistics.max_ms), (1_000_001, 0.0005, 1000.0));
        assert!((statistics.p99_ms / 990.0 - 1.0).abs() <= SKETCH_ERROR_FRAC);
    }

    #[test]
    fn parts_make_the_whole() {
        let parts = [of([5, 1, 4]), of([2]), of([])];
        let mut whole = Distribution::merged(parts.iter());
        assert_eq!(whole.statistics(), of([1, 2, 4, 5]).statistics());
        assert_eq!(Distribution::default().statistics(), None);
    }

    proptest! {
        /// Whatever the samples, the sketch's percentiles are within the stated error of the exact ones.
        #[test]
        fn the_sketch_keeps_its_word(
            samples in proptest::collection::vec((0_u32..50, any::<u64>()).prop_map(|(s, v)| (v >> 12) >> s), 1..400)
        ) {
            let mut exact = of(samples.iter().copied());
            let mut sketch = exact.clone();
            sketch.coarsen();
            let (exact, sketch) = (exact.statistics().unwrap(), sketch.statistics().unwrap());
            prop_assert_eq!((exact.mean_ms, exact.std_ms), (sketch.mean_ms, sketch.std_ms));
            for (exact, sketch) in
                [(exact.p50_ms, sketch.p50_ms), (exact.p90_ms, sketch.p90_ms), (exact.p99_ms, sketch.p99_ms)]
            {
                prop_assert!((exact - sketch).abs() <= exact * SKETCH_ERROR_FRAC * (1.0 + 1e-9));
            }
        }

        #[test]
        fn the_order_of_samples_does_not_matter(mut samples in proptest::collection::vec(any::<u64>(), 1..200)) {
            let forward = of(samples.iter().copied()).statistics();
            samples.reverse();
            prop_assert_eq!(forward, of(samples).statistics());
        }
    }
}
