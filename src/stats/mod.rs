//! Statistics of durations: exact moments, percentiles, histograms. Integers inside, so that the
//! order of samples never matters.

mod distribution;
mod histogram;
mod interval;
mod moments;
mod percentile;
mod statistics;
mod token_gaps;

pub use distribution::{Distribution, EXACT_LIMIT};
pub use histogram::SKETCH_ERROR_FRAC;
pub use interval::{CONFIDENCE_FRAC, Interval, student_t};
pub(crate) use percentile::exact as exact_percentiles;
pub use statistics::Statistics;
pub use token_gaps::TokenGaps;
