//! Curves that a step is priced with: dense tables, read by the bits of the number that is asked for.
//!
//! A table has knots at `2^o·(1 + i/N)`, so the exponent and the first bits of the mantissa of a size are
//! the index of its cell and the rest of the mantissa is the place in it: no logarithm and no search.
//! Between knots a curve is linear. Knots never fall, so neither does anything between them, and a time
//! at or above a convex bound at the knots is so everywhere.

/// Splits a size of at least 1 into a cell, of `2^bits` an octave, and the place in it (0 to 1).
fn split(size: f64, bits: u32) -> (usize, f64) {
    let low = f64::MANTISSA_DIGITS - 1 - bits;
    let word = size.max(1.0).to_bits();
    let cell = (word >> low) - (1023 << bits);
    let rest = word & ((1 << low) - 1);
    (cell as usize, rest as f64 / (1_u64 << low) as f64)
}

/// The size at a knot.
fn knot(cell: usize, bits: u32) -> f64 {
    let octave = i32::from((cell >> bits) as u16);
    let part = (cell & ((1 << bits) - 1)) as f64 / f64::from(1_u32 << bits);
    libm::scalbn(1.0 + part, octave)
}

/// Seconds by a size of at least 1; never falls.
#[derive(Clone, Debug)]
pub(crate) struct Curve {
    knots: Box<[f64]>,
}

impl Curve {
    const BITS: u32 = 6;
    const OCTAVES: usize = 20;

    /// Takes `time` at the knots, up to 2²⁰, and raises what falls.
    pub(crate) fn new(mut time: impl FnMut(f64) -> f64) -> Self {
        let mut highest = 0.0_f64;
        let knots = (0..=Self::OCTAVES << Self::BITS).map(|cell| {
            highest = highest.max(time(knot(cell, Self::BITS)));
            highest
        });
        Self { knots: knots.collect() }
    }

    /// Seconds at `size`; 1 is the smallest. Beyond the last knot it goes on as in the last octave.
    #[inline]
    pub(crate) fn at(&self, size: f64) -> f64 {
        let (cell, part) = split(size, Self::BITS);
        match self.knots.get(cell..cell + 2) {
            Some(&[low, high]) => low + part * (high - low),
            _ => self.beyond(size),
        }
    }

    #[cold]
    fn beyond(&self, size: f64) -> f64 {
        let last = self.knots.len() - 1;
        let (from, to) = (last - (1 << Self::BITS), last);
        let slope = (self.knots[to] - self.knots[from]) / (knot(to, Self::BITS) - knot(from, Self::BITS));
        self.knots[to] + slope * (size - knot(to, Self::BITS))
    }
}

/// Seconds by two sizes of at least 1; never falls along either.
#[derive(Clone, Debug)]
pub(crate) struct Surface {
    /// `[first][second]`.
    knots: Box<[f64]>,
}

impl Surface {
    const FIRST_BITS: u32 = 2;
    const FIRST_OCTAVES: usize = 13;
    const SECOND_BITS: u32 = 3;
    const SECOND_OCTAVES: usize = 20;
    const ROW: usize = (Self::SECOND_OCTAVES << Self::SECOND_BITS) + 1;
    const ROWS: usize = (Self::FIRST_OCTAVES << Self::FIRST_BITS) + 1;

    /// Takes `time` at the knots, up to 2¹³ and 2²⁰, and raises what falls.
    pub(crate) fn new(mut time: impl FnMut(f64, f64) -> f64) -> Self {
        let mut knots = Vec::with_capacity(Self::ROWS * Self::ROW);
        for row in 0..Self::ROWS {
            for cell in 0..Self::ROW {
                let mut seconds = time(knot(row, Self::FIRST_BITS), knot(cell, Self::SECOND_BITS));
                if cell > 0 {
                    seconds = seconds.max(knots[knots.len() - 1]);
                }
                if row > 0 {
                    seconds = seconds.max(knots[knots.len() - Self::ROW]);
                }
                knots.push(seconds);
            }
        }
        Self { knots: knots.into() }
    }

    /// Seconds at two sizes; 1 is the smallest of each. Beyond the knots it goes on as it ended.
    #[inline]
    pub(crate) fn at(&self, first: f64, second: f64) -> f64 {
        let (row, down) = split(first, Self::FIRST_BITS);
        let (cell, along) = split(second, Self::SECOND_BITS);
        if row >= Self::ROWS - 1 || cell >= Self::ROW - 1 {
            return self.beyond(first, second);
        }
        let at = row * Self::ROW + cell;
        let (here, below) = (&self.knots[at..at + 2], &self.knots[at + Self::ROW..at + Self::ROW + 2]);
        let upper = here[0] + along * (here[1] - here[0]);
        let lower = below[0] + along * (below[1] - below[0]);
        upper + down * (lower - upper)
    }

    #[cold]
    fn beyond(&self, first: f64, second: f64) -> f64 {
        let (first, second) = (first.max(1.0), second.max(1.0));
        let last = (
            knot(Self::ROWS - 1, Self::FIRST_BITS) * (1.0 - f64::EPSILON),
            knot(Self::ROW - 1, Self::SECOND_BITS) * (1.0 - f64::EPSILON),
        );
        // Work grows with both, so what lies beyond costs in proportion.
        let (inner, outer) = (first.min(last.0), second.min(last.1));
        self.at(inner, outer) * (first / inner) * (second / outer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn knots_are_where_the_bits_say() {
        for bits in [2, 3, 6] {
            for cell in 0..(10 << bits) {
                assert_eq!(split(knot(cell, bits), bits), (cell, 0.0));
            }
        }
        assert_eq!(split(0.0, 6), (0, 0.0));
        assert_eq!(split(5.5, 2), (9, 0.5));
    }

    #[test]
    fn a_straight_line_is_kept_everywhere() {
        let curve = Curve::new(|size| 3.0 + 2.0 * size);
        let surface = Surface::new(|first, second| 5.0 * first * second);
        for size in [1.0, 1.7, 64.0, 65.0, 4097.0, 1e6, 3e7] {
            assert!((curve.at(size) / (3.0 + 2.0 * size) - 1.0).abs() < 1e-9, "{size}");
            assert!((surface.at(size / 3.0, size) / (5.0 * (size / 3.0).max(1.0) * size) - 1.0).abs() < 1e-9);
        }
    }

    proptest! {
        #[test]
        fn more_never_costs_less(a in 1.0..3e6_f64, b in 1.0..3e6_f64, c in 1.0..3e4_f64, d in 1.0..3e4_f64) {
            // Falls by itself in places.
            let time = |size: f64| 1.0 + size * (1.5 + libm::sin(3.0 * libm::log2(size)));
            let curve = Curve::new(time);
            let surface = Surface::new(|first, second| time(first) * time(second));
            prop_assert!(curve.at(a.min(b)) <= curve.at(a.max(b)));
            prop_assert!(surface.at(c.min(d), a.min(b)) <= surface.at(c.max(d), a.max(b)));
        }
    }
}
