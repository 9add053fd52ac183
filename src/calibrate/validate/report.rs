//! What comes of judging a set of measurements.

use serde::Serialize;

use crate::calibrate::Errors;

/// One figure measured and predicted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// What it is to be counted with: GPU, engine, precision.
    pub group: String,
    /// What was measured: `TPOT`, `decode step`.
    pub quantity: &'static str,
    /// How much was going on, in the set's unit of load.
    pub load: f64,
    /// The measurement, in the set's unit.
    pub measured: f64,
    /// The prediction, in the same.
    pub predicted: f64,
}

/// What is predicted of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// The run.
    pub run: String,
    /// Quantities with their unit: predicted, and measured where that was done.
    pub figures: Vec<(&'static str, f64, Option<f64>)>,
}

/// A set, judged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SetReport {
    /// Its name, as it is asked for.
    pub name: &'static str,
    /// What it is.
    pub title: &'static str,
    /// The command that prints this again.
    pub command: String,
    /// What of the predictions was fitted, and on what.
    pub fitted: String,
    /// What `load` counts.
    pub load: &'static str,
    /// How far two measurements of the same thing are apart.
    pub noise: &'static str,
    /// Rows left out, by rule, and how many.
    pub left_out: Vec<(&'static str, usize)>,
    /// What was compared.
    pub points: Vec<Point>,
    /// What is predicted whether it was measured or not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub predictions: Vec<Prediction>,
}

impl SetReport {
    /// Errors by group and quantity, in the order in which they come first.
    pub fn errors(&self) -> Vec<(&str, &'static str, Errors)> {
        let mut keys: Vec<(&str, &'static str)> = Vec::new();
        for point in &self.points {
            let key = (point.group.as_str(), point.quantity);
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let of = |(group, quantity): (&'_ str, &'static str)| {
            self.over(|point| point.group == group && point.quantity == quantity)
        };
        keys.iter().map(|key| (key.0, key.1, of(*key))).collect()
    }

    /// Errors by quantity alone.
    pub fn totals(&self) -> Vec<(&'static str, Errors)> {
        let mut quantities: Vec<&'static str> = Vec::new();
        for point in &self.points {
            if !quantities.contains(&point.quantity) {
                quantities.push(point.quantity);
            }
        }
        let of = |quantity| self.over(|point| point.quantity == quantity);
        quantities.into_iter().map(|quantity| (quantity, of(quantity))).collect()
    }

    fn over(&self, keep: impl Fn(&Point) -> bool) -> Errors {
        Errors::of(self.points.iter().filter(|point| keep(point)).map(|p| (p.predicted, p.measured)))
    }
}
