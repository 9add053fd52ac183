//! Requests as they were served, and how far two services are apart.

use std::path::Path;

use mist::metrics::RequestRecord;

/// A request that was served [s].
#[derive(Clone, Copy, Debug)]
pub struct Served {
    pub arrival: f64,
    pub first_token: f64,
    pub done: f64,
    pub output: f64,
}

impl From<&RequestRecord> for Served {
    fn from(row: &RequestRecord) -> Self {
        Self {
            arrival: row.arrived.as_ns() as f64 / 1e9,
            first_token: row.first_token.as_ns() as f64 / 1e9,
            done: row.done.as_ns() as f64 / 1e9,
            output: f64::from(row.output_tokens),
        }
    }
}

/// Reads what the reference recorded.
pub fn recorded(path: &Path) -> Result<Vec<Served>, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let mut rows = csv::Reader::from_path(path).map_err(|error| wrong(&error))?;
    let columns = rows.headers().map_err(|error| wrong(&error))?.clone();
    let column = |name: &str| {
        columns.iter().position(|other| other == name).ok_or_else(|| wrong(&format!("no column {name}")))
    };
    let columns = ["arrival_s", "prompt_end_s", "decode_end_s", "output_tokens", "request_id"];
    let [arrival, first, done, output, id] = columns.map(column);
    let (arrival, first, done, output, id) = (arrival?, first?, done?, output?, id?);
    let mut served = Vec::new();
    for row in rows.records() {
        let row = row.map_err(|error| wrong(&error))?;
        let number = |at: usize| row[at].parse::<f64>().map_err(|error| wrong(&error));
        let request = Served {
            arrival: number(arrival)?,
            first_token: number(first)?,
            done: number(done)?,
            output: number(output)?,
        };
        served.push((number(id)? as u64, request));
    }
    served.sort_by_key(|(id, _)| *id);
    Ok(served.into_iter().map(|(_, request)| request).collect())
}

/// The figures of a service [s].
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Of TTFT, TBT as the reference defines it, (E2E − TTFT)/tokens, and E2E.
    pub mean: [f64; 3],
    pub p99: [f64; 3],
    pub makespan: f64,
}

impl Figures {
    pub fn of(served: &[Served]) -> Self {
        let metrics: [fn(&Served) -> f64; 3] = [
            |of| of.first_token - of.arrival,
            |of| (of.done - of.first_token) / of.output,
            |of| of.done - of.arrival,
        ];
        let values = metrics.map(|metric| {
            let mut values: Vec<f64> = served.iter().map(metric).collect();
            values.sort_by(f64::total_cmp);
            values
        });
        let first = served.iter().map(|of| of.arrival).fold(f64::INFINITY, f64::min);
        let last = served.iter().map(|of| of.done).fold(0.0, f64::max);
        Self {
            mean: [0, 1, 2].map(|at: usize| values[at].iter().sum::<f64>() / values[at].len() as f64),
            p99: [0, 1, 2].map(|at: usize| quantile(&values[at], 0.99)),
            makespan: last - first,
        }
    }

    /// How far they are from those of `reference`: means and makespan, P99 (fractions).
    pub fn deviations(&self, reference: &Self) -> ([f64; 4], [f64; 3]) {
        let off = |own: f64, other: f64| own / other - 1.0;
        let [ttft, tbt, e2e] = [0, 1, 2].map(|at: usize| off(self.mean[at], reference.mean[at]));
        let p99 = [0, 1, 2].map(|at: usize| off(self.p99[at], reference.p99[at]));
        ([ttft, tbt, e2e, off(self.makespan, reference.makespan)], p99)
    }
}

/// Between the two nearest values, in proportion.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * (at - at.floor())
}

/// The most that a first token or an end is off [s].
pub fn most_off(own: &[Served], reference: &[Served]) -> f64 {
    let off = |(own, other): (&Served, &Served)| {
        (own.first_token - other.first_token).abs().max((own.done - other.done).abs())
    };
    own.iter().zip(reference).map(off).fold(0.0, f64::max)
}
