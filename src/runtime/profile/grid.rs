//! Residuals on a grid: how they are written, and read between the lines.
//!
//! A residual is `ln(t / (t0 + R))`, how much longer than its floor and its bound an operator takes. It is
//! kept in 1/256 nat, which rounds times by 0.2 % at most, as two characters: a number of two digits to the
//! base of 90, counted from −4050. There are some ten thousand in a table, and nobody reads them.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Steps of a nat that residuals are kept in.
const STEPS: f64 = 256.0;

/// Refuses figures that are not finite and above zero.
pub(super) fn check_above_zero(figures: &[(&str, f64)]) -> Result<(), String> {
    match figures.iter().find(|(_, figure)| !(figure.is_finite() && *figure > 0.0)) {
        Some((name, figure)) => Err(format!("`{name}` must be above 0, found {figure}")),
        None => Ok(()),
    }
}

/// Refuses figures that are not finite or below zero.
pub(super) fn check_not_negative(figures: &[(&str, f64)]) -> Result<(), String> {
    match figures.iter().find(|(_, figure)| !(figure.is_finite() && *figure >= 0.0)) {
        Some((name, figure)) => Err(format!("`{name}` must not be below 0, found {figure}")),
        None => Ok(()),
    }
}

/// Residuals on a grid, the last axis running fastest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Residuals {
    steps: Vec<i16>,
    lines: usize,
}

impl Residuals {
    /// Rounds `nats`, to be written in so many lines.
    pub fn new(nats: impl IntoIterator<Item = f64>, lines: usize) -> Self {
        // The limits are a factor of some million: no time is near them.
        let (least, most) = (f64::from(-ZERO), f64::from(BASE * BASE - 1 - ZERO));
        let step = |nat: f64| (nat * STEPS).round().clamp(least, most) as i16;
        Self { steps: nats.into_iter().map(step).collect(), lines }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// One of them (nat).
    pub(crate) fn at(&self, index: usize) -> f64 {
        f64::from(self.steps[index]) / STEPS
    }
}

/// Digits: printable, but for the two that a string escapes.
const DIGITS: &[u8; BASE as usize] =
    b"!#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abcdefghijklmnopqrstuvwxyz{|";
const BASE: i32 = 90;
const ZERO: i32 = BASE * BASE / 2;

impl Serialize for Residuals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digits = |step: &i16| {
            let counted = (i32::from(*step) + ZERO).clamp(0, BASE * BASE - 1);
            [counted / BASE, counted % BASE].map(|digit| char::from(DIGITS[digit as usize]))
        };
        let length = self.steps.len().div_ceil(self.lines.max(1)).max(1);
        serializer.collect_seq(
            self.steps.chunks(length).map(|line| line.iter().flat_map(digits).collect::<String>()),
        )
    }
}

impl<'de> Deserialize<'de> for Residuals {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let lines = Vec::<String>::deserialize(deserializer)?;
        let mut value = [None; 256];
        for (digit, symbol) in (0..).zip(DIGITS) {
            value[usize::from(*symbol)] = Some(digit);
        }
        let mut steps = Vec::new();
        for line in &lines {
            for pair in line.as_bytes().chunks(2) {
                let digits: Option<Vec<i32>> =
                    pair.iter().map(|symbol| value[usize::from(*symbol)]).collect();
                let Some([high, low]) = digits.as_deref() else {
                    let found = String::from_utf8_lossy(pair);
                    let message = format!("expected residuals of two characters each, found `{found}`");
                    return Err(D::Error::custom(message));
                };
                steps.push((high * BASE + low - ZERO) as i16);
            }
        }
        Ok(Self { steps, lines: lines.len() })
    }
}

/// The two knots of an axis that `value` lies between, by its logarithm, and their weights. Outside the
/// axis it is the knot at the end: residuals are not continued, the bound is.
pub(crate) fn between(axis: &[f64], value: f64) -> [(usize, f64); 2] {
    let upper = axis.partition_point(|knot| *knot <= value);
    if upper == 0 {
        return [(0, 1.0), (0, 0.0)];
    }
    if upper == axis.len() {
        return [(upper - 1, 1.0), (upper - 1, 0.0)];
    }
    let (low, high) = (axis[upper - 1], axis[upper]);
    let part = libm::log2(value / low) / libm::log2(high / low);
    [(upper - 1, 1.0 - part), (upper, part)]
}

/// Whether an axis can be searched: at least one knot, positive, rising.
pub(super) fn check_axis(name: &str, axis: &[f64]) -> Result<(), String> {
    let rising = axis.windows(2).all(|pair| pair[0] < pair[1]);
    if axis.first().is_some_and(|first| *first > 0.0) && rising && axis.iter().all(|knot| knot.is_finite()) {
        Ok(())
    } else {
        Err(format!("`{name}` must be positive and rise from knot to knot"))
    }
}

/// Pools what falls, so that values never do: the nearest rising sequence in the mean square.
pub(crate) fn pool_adjacent(values: &mut [f64]) {
    let mut blocks: Vec<(f64, usize)> = Vec::with_capacity(values.len());
    for value in values.iter() {
        let mut block = (*value, 1_usize);
        while let Some(&(mean, count)) = blocks.last()
            && mean > block.0
        {
            let total = count + block.1;
            block = ((mean * count as f64 + block.0 * block.1 as f64) / total as f64, total);
            blocks.pop();
        }
        blocks.push(block);
    }
    let pooled = blocks.into_iter().flat_map(|(mean, count)| std::iter::repeat_n(mean, count));
    for (value, mean) in values.iter_mut().zip(pooled) {
        *value = mean;
    }
}

/// The same along both axes of a surface whose second is `row` long: Dykstra's alternating projections. What little
/// still falls after so many rounds is left to who reads it.
pub(crate) fn pool_surface(values: &mut [f64], row: usize) {
    const ROUNDS: usize = 40;
    let cells: Vec<usize> = (0..values.len()).collect();
    let along: Vec<Vec<usize>> = cells.chunks(row.max(1)).map(<[usize]>::to_vec).collect();
    let across =
        (0..row).map(|first| cells.iter().copied().skip(first).step_by(row.max(1)).collect()).collect();
    let mut axes = [along, across].map(|lines: Vec<Vec<usize>>| (lines, vec![0.0; values.len()]));
    for _ in 0..ROUNDS {
        for (lines, taken) in &mut axes {
            for line in lines.iter() {
                let before: Vec<f64> = line.iter().map(|at| values[*at] + taken[*at]).collect();
                let mut pooled = before.clone();
                pool_adjacent(&mut pooled);
                for ((at, before), pooled) in line.iter().zip(before).zip(pooled) {
                    taken[*at] = before - pooled;
                    values[*at] = pooled;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn residuals_survive_their_text() {
        let residuals = Residuals::new([0.0, 0.5, -0.25, 1.0, 127.0, -300.0], 2);
        let text = ron::to_string(&residuals).unwrap();
        assert_eq!(text, r#"["O!PHN<","Qo||!!"]"#);
        assert_eq!(ron::from_str::<Residuals>(&text).unwrap(), residuals);
        for wrong in [r#"["O!P"]"#, r#"["O! P"]"#, r#"["Oé"]"#] {
            assert!(ron::from_str::<Residuals>(wrong).is_err());
        }
        assert_eq!(residuals.at(1), 0.5);
    }

    #[test]
    fn between_is_logarithmic_and_clamped() {
        let axis = [1.0, 4.0, 16.0];
        assert_eq!(between(&axis, 2.0), [(0, 0.5), (1, 0.5)]);
        assert_eq!(between(&axis, 4.0), [(1, 1.0), (2, 0.0)]);
        assert_eq!(between(&axis, 0.1)[0], (0, 1.0));
        assert_eq!(between(&axis, 99.0)[0], (2, 1.0));
        assert_eq!(between(&[3.0], 9.0)[0], (0, 1.0));
    }

    #[test]
    fn pooling_keeps_the_mean_and_rises() {
        let mut values = [1.0, 3.0, 2.0, 2.5, 5.0, 4.0];
        pool_adjacent(&mut values);
        assert_eq!(values, [1.0, 2.5, 2.5, 2.5, 4.5, 4.5]);
    }

    #[test]
    fn a_surface_is_pooled_along_both_axes() {
        let rising = [1.0, 2.0, 4.0, 2.0, 3.0, 5.0];
        let mut values = rising;
        pool_surface(&mut values, 3);
        assert_eq!(values, rising);
        // One cell too high is shared with those after it, and its own row's start stays.
        let mut values = [1.0, 5.0, 3.0, 1.0, 2.0, 3.0, 2.0, 3.0, 4.0];
        let sum: f64 = values.iter().sum();
        pool_surface(&mut values, 3);
        for at in 0..3 {
            assert!(
                (1..3).all(|next| values[3 * at + next] >= values[3 * at + next - 1] - 1e-6),
                "{values:?}"
            );
            assert!(
                (1..3).all(|next| values[3 * next + at] >= values[3 * next - 3 + at] - 1e-6),
                "{values:?}"
            );
        }
        assert!((values.iter().sum::<f64>() - sum).abs() < 1e-6 && values[0] == 1.0, "{values:?}");
        assert!(values[1] < 4.0 && values[4] > 2.5, "{values:?}");
    }
}
