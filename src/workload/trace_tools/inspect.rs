//! Reads a trace once and describes it.

use std::collections::BTreeMap;

use super::prefix::PrefixCeiling;
use super::sessions::Sessions;
use super::{Bar, Burstiness, LeftOut, Summary, TraceStats};
use crate::workload::SourceError;
use crate::workload::trace::{TraceHeader, TraceReader, TraceRow};

/// Describes all that `reader` holds.
///
/// # Errors
/// A row is malformed.
pub fn inspect(reader: &mut dyn TraceReader) -> Result<TraceStats, SourceError> {
    let mut inspect = Inspect::new(reader.header());
    let mut row = TraceRow::default();
    while reader.next_into(&mut row)? {
        inspect.add(&row);
    }
    Ok(inspect.finish())
}

/// Describes rows that come one at a time, in order of arrival.
#[derive(Debug)]
pub struct Inspect {
    timed: bool,
    requests: u64,
    failed: u64,
    following: u64,
    images: u64,
    prompts: Vec<u64>,
    outputs: Vec<u64>,
    arrivals_ns: Vec<u64>,
    sessions: Sessions,
    prefix: Option<PrefixCeiling>,
    models: BTreeMap<String, u64>,
    kinds: BTreeMap<String, u64>,
    left_out: LeftOut,
}

impl Inspect {
    /// Describes the rows of a trace with that header.
    pub fn new(header: TraceHeader) -> Self {
        Self {
            timed: header.timed,
            requests: 0,
            failed: 0,
            following: 0,
            images: 0,
            prompts: Vec::new(),
            outputs: Vec::new(),
            arrivals_ns: Vec::new(),
            sessions: Sessions::default(),
            prefix: header.block_tokens.map(PrefixCeiling::new),
            models: BTreeMap::new(),
            kinds: BTreeMap::new(),
            left_out: LeftOut::new(header),
        }
    }

    /// Adds the next row.
    pub fn add(&mut self, row: &TraceRow) {
        self.requests += 1;
        self.images += u64::from(row.images);
        if row.failed {
            self.failed += 1;
        } else {
            self.prompts.push(u64::from(row.prompt_tokens));
            self.outputs.push(u64::from(row.output_tokens));
        }
        if row.delay.is_some() {
            self.following += 1;
        } else if self.timed {
            self.arrivals_ns.push(row.arrival.as_ns());
        }
        self.sessions.add(row);
        if let Some(prefix) = &mut self.prefix {
            prefix.add(row);
        }
        self.left_out.add(row);
        count(&mut self.models, &row.model);
        count(&mut self.kinds, &row.kind);
    }

    /// The description of all rows added.
    pub fn finish(mut self) -> TraceStats {
        let arrivals = self.arrivals_ns.as_slice();
        let span_ns = arrivals.first().zip(arrivals.last()).map_or(0, |(first, last)| last - first);
        let spread = (span_ns > 0).then_some(span_ns);
        TraceStats {
            requests: self.requests,
            failed: self.failed,
            following: self.following,
            total_prompt_tokens: self.prompts.iter().sum(),
            total_output_tokens: self.outputs.iter().sum(),
            total_images: self.images,
            prompt_histogram: octaves(&self.prompts),
            output_histogram: octaves(&self.outputs),
            span_s: spread.map(|span_ns| span_ns as f64 / 1e9),
            mean_rate_per_s: spread.map(|span_ns| arrivals.len() as f64 / (span_ns as f64 / 1e9)),
            peak_rate_per_s: spread.map(|_| peak(arrivals, 1_000_000_000) as f64),
            burstiness: spread.map(|_| Burstiness {
                gap_cv: gap_cv(arrivals),
                dispersion_1s: dispersion(arrivals, 1_000_000_000),
                dispersion_10s: dispersion(arrivals, 10_000_000_000),
                dispersion_60s: dispersion(arrivals, 60_000_000_000),
            }),
            arrivals_over_time: spread.map_or(Vec::new(), |span_ns| over_time(arrivals, span_ns)),
            prompt_tokens: Summary::of(&mut self.prompts, 1.0),
            output_tokens: Summary::of(&mut self.outputs, 1.0),
            sessions: self.sessions.stats(),
            prefix: self.prefix.map(|prefix| prefix.stats()).filter(|prefix| prefix.blocks > 0),
            models: most_first(self.models),
            kinds: most_first(self.kinds),
            left_out_of_replay: self.left_out.names(),
        }
    }
}

fn count(counts: &mut BTreeMap<String, u64>, name: &str) {
    if let Some(count) = counts.get_mut(name) {
        *count += 1;
    } else if !name.is_empty() {
        counts.insert(name.to_owned(), 1);
    }
}

fn most_first(counts: BTreeMap<String, u64>) -> Vec<(String, u64)> {
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

/// Population standard deviation of the gaps over their mean.
fn gap_cv(arrivals_ns: &[u64]) -> f64 {
    let gaps = || arrivals_ns.windows(2).map(|pair| (pair[1] - pair[0]) as f64);
    let number = (arrivals_ns.len() - 1) as f64;
    let mean = gaps().sum::<f64>() / number;
    let variance = gaps().map(|gap| (gap - mean) * (gap - mean)).sum::<f64>() / number;
    variance.sqrt() / mean
}

/// Arrivals in each window that has any, counted from the first arrival: its number and how many.
fn windows(arrivals_ns: &[u64], window_ns: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
    let window = move |at: &u64| (at - arrivals_ns[0]) / window_ns;
    let same = move |a: &u64, b: &u64| window(a) == window(b);
    arrivals_ns.chunk_by(same).map(move |chunk| (window(&chunk[0]), chunk.len() as u64))
}

fn peak(arrivals_ns: &[u64], window_ns: u64) -> u64 {
    windows(arrivals_ns, window_ns).map(|(_, count)| count).max().unwrap_or(0)
}

/// Variance over mean of the arrivals in a window, empty ones included, over the whole windows of the
/// span; `None` for fewer than two.
fn dispersion(arrivals_ns: &[u64], window_ns: u64) -> Option<f64> {
    let whole = (arrivals_ns[arrivals_ns.len() - 1] - arrivals_ns[0]) / window_ns;
    if whole < 2 {
        return None;
    }
    let (mut sum, mut squares) = (0.0, 0.0);
    for (_, count) in windows(arrivals_ns, window_ns).filter(|(window, _)| *window < whole) {
        sum += count as f64;
        squares += count as f64 * count as f64;
    }
    let mean = sum / whole as f64;
    Some((squares / whole as f64 - mean * mean) / mean)
}

/// Arrivals in twenty equal parts of the span.
fn over_time(arrivals_ns: &[u64], span_ns: u64) -> Vec<Bar> {
    const PARTS: u64 = 20;
    let width = (span_ns / PARTS) + 1;
    let second = |part: u64| part as f64 * width as f64 / 1e9;
    let empty = |part| Bar { from: second(part), to: second(part + 1), requests: 0 };
    let mut bars: Vec<_> = (0..PARTS).map(empty).collect();
    for (part, count) in windows(arrivals_ns, width) {
        bars[part as usize].requests = count;
    }
    bars
}

/// Requests by length, each class twice as long as the one before; 0 has a class of its own.
fn octaves(lengths: &[u64]) -> Vec<Bar> {
    let mut counts = [0_u64; 65];
    for length in lengths {
        counts[64 - length.leading_zeros() as usize] += 1;
    }
    let used = |count: &u64| *count > 0;
    let Some(first) = counts.iter().position(used) else { return Vec::new() };
    let last = counts.iter().rposition(used).unwrap_or(first);
    // 2 to the class, exact.
    let below = |class: usize| (1_u128 << class) as f64;
    (first..=last)
        .map(|class| {
            let from = if class == 0 { 0.0 } else { below(class - 1) };
            Bar { from, to: below(class), requests: counts[class] }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Streams, exponential};
    use crate::workload::trace::{Input, Options, read};

    fn of(text: &'static str) -> TraceStats {
        let mut reader = read(Input::from_reader("t", text.as_bytes()), &Options::default()).unwrap();
        inspect(reader.as_mut()).unwrap()
    }

    #[test]
    fn lengths_rates_and_failures() {
        let stats = of("Timestamp,Request tokens,Response tokens,Model\n\
            0,10,1,a\n0.5,20,3,b\n0.75,900,0,b\n10,30,2,b\n");
        assert_eq!((stats.requests, stats.failed, stats.total_prompt_tokens), (4, 1, 60));
        let prompts = stats.prompt_tokens.unwrap();
        assert_eq!((prompts.count, prompts.mean, prompts.p50, prompts.max), (3, 20.0, 20.0, 30.0));
        assert_eq!(
            (stats.span_s, stats.mean_rate_per_s, stats.peak_rate_per_s),
            (Some(10.0), Some(0.4), Some(3.0))
        );
        // Ten whole seconds, three arrivals in the first: mean 0.3, variance 0.9 − 0.09.
        let dispersion = stats.burstiness.unwrap().dispersion_1s.unwrap();
        assert!((dispersion - 2.7).abs() < 1e-12, "{dispersion}");
        assert_eq!(stats.models, [("b".to_owned(), 3), ("a".to_owned(), 1)]);
        assert_eq!(stats.arrivals_over_time.iter().map(|bar| bar.requests).sum::<u64>(), 4);
        assert_eq!(stats.prompt_histogram[0], Bar { from: 8.0, to: 16.0, requests: 1 });
        assert_eq!((stats.sessions, stats.prefix), (None, None));
    }

    #[test]
    fn a_poisson_process_has_ones() {
        let mut rng = Streams::new(3).stream("gaps", 0);
        let mut inspect =
            Inspect::new(TraceHeader { block_tokens: None, timed: true, foreign_models: false });
        let (mut at, mut row) = (0.0, TraceRow::default());
        for _ in 0..100_000 {
            at += exponential(&mut rng) * 0.2e9;
            row.arrival = crate::units::SimTime::from_ns(at as u64);
            inspect.add(&row);
        }
        let found = inspect.finish().burstiness.unwrap();
        // Standard errors: 1/√n for the gaps, √(2/windows) for the counts.
        assert!((found.gap_cv - 1.0).abs() < 0.013, "{found:?}");
        assert!((found.dispersion_1s.unwrap() - 1.0).abs() < 0.04, "{found:?}");
        assert!((found.dispersion_60s.unwrap() - 1.0).abs() < 0.3, "{found:?}");
    }

    #[test]
    fn what_is_not_recorded_is_absent() {
        let stats =
            of("{\"mist_trace\":1,\"timed\":false}\n{\"prompt_tokens\":0,\"output_tokens\":4294967295}\n");
        assert_eq!((stats.span_s, stats.burstiness, stats.mean_rate_per_s), (None, None, None));
        assert_eq!(stats.prompt_histogram, [Bar { from: 0.0, to: 1.0, requests: 1 }]);
        assert_eq!(stats.output_histogram[0].to, 4_294_967_296.0);
        let text = stats.to_string();
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        let far = of("{\"mist_trace\":1}\n{\"arrival_ns\":0,\"prompt_tokens\":1,\"output_tokens\":1}\n\
            {\"arrival_ns\":18446744073709551615,\"prompt_tokens\":1,\"output_tokens\":1}\n");
        assert!(far.burstiness.unwrap().dispersion_1s.unwrap() > 0.99);
    }
}
