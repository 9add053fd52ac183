//! Times by context: two knots to an octave, and straight lines between them.

/// Contexts of a row: 2^e and 1.5·2^e from 16 on, up to 2²⁰.
pub(super) const KNOTS: usize = 33;
const FIRST_KNOT: f64 = 16.0;

/// Seconds and slope at each knot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row([(f64, f64); KNOTS]);

impl Row {
    /// Nothing takes any time.
    pub const ZERO: Self = Self([(0.0, 0.0); KNOTS]);

    /// Through so many seconds at each knot and the one behind the last, none less than the one before.
    pub fn through(seconds: &[f64; KNOTS + 1]) -> Self {
        let slope = |index: usize| (seconds[index + 1] - seconds[index]) / (knot(index + 1) - knot(index));
        Self(std::array::from_fn(|index| (seconds[index], slope(index))))
    }

    /// At a context of at least 1 (s). Below the first knot and beyond the last the line goes on.
    pub fn at(&self, context: f64) -> f64 {
        let index = place(context);
        let (from, slope) = self.0[index];
        from + (context - knot(index)) * slope
    }

    /// At a knot (s).
    pub fn at_knot(&self, index: usize) -> f64 {
        self.0.get(index).map_or(0.0, |(seconds, _)| *seconds)
    }
}

/// The context of a knot.
pub(super) fn knot(index: usize) -> f64 {
    let octave = f64::from(1_u32 << (index / 2));
    FIRST_KNOT * if index.is_multiple_of(2) { octave } else { 1.5 * octave }
}

/// The knot at or below a context, by its exponent and the first bit of its mantissa.
fn place(context: f64) -> usize {
    let base = FIRST_KNOT.to_bits() >> 51;
    ((context.to_bits() >> 51).saturating_sub(base) as usize).min(KNOTS - 1)
}
