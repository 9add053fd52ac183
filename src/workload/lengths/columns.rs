//! Prompt and output drawn apart, each from a law of its own.

use std::ops::RangeInclusive;

use super::{LengthSource, Lengths};
use crate::engine::Stream;
use crate::units::Brief;
use crate::workload::SourceError;

/// Most tokens a law is asked for or answers with, so that prompt and output together fit a `u32`.
pub(super) const MOST_TOKENS: u32 = 1_000_000_000;

/// The law of one column of lengths.
pub(super) trait Column: Send + Sync + 'static {
    /// A number of tokens, 1 to [`MOST_TOKENS`].
    fn draw(&self, rng: &mut Stream) -> u32;
}

/// Prompts of one law and outputs of another, independent of each other.
pub(super) struct Independent<C> {
    pub prompt: C,
    pub output: C,
}

impl<C: Column> Independent<C> {
    /// Both columns, each made by `make`; what it refuses is shown at its column.
    pub fn boxed<P>(
        prompt: P,
        output: P,
        make: impl Fn(P) -> Result<C, String>,
    ) -> Result<Box<dyn LengthSource>, String> {
        let prompt = make(prompt).map_err(|why| format!("prompt{why}"))?;
        let output = make(output).map_err(|why| format!("output{why}"))?;
        Ok(Box::new(Self { prompt, output }))
    }
}

impl<C: Column> LengthSource for Independent<C> {
    fn next(&mut self, rng: &mut Stream) -> Result<Option<Lengths>, SourceError> {
        let prompt_tokens = self.prompt.draw(rng);
        Ok(Some(Lengths { prompt_tokens, output_tokens: self.output.draw(rng) }))
    }
}

/// The nearest whole number of tokens that there may be.
pub(super) fn whole(tokens: f64) -> u32 {
    (tokens + 0.5).clamp(1.0, f64::from(MOST_TOKENS)) as u32
}

/// Checks the parameter `field` of a column.
///
/// # Errors
/// It is outside `range`.
pub(super) fn within(field: &str, value: f64, range: RangeInclusive<f64>, unit: &str) -> Result<f64, String> {
    if range.contains(&value) {
        Ok(value)
    } else {
        let most = *range.end();
        let most = if most < 1e6 { most.to_string() } else { format!("{most:e}") };
        Err(format!(".{field}: must be {} to {most}{unit}, found {}", range.start(), Brief(value)))
    }
}
