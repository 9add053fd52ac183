//! What replications come to: every main figure with its mean, confidence interval and range.
//!
//! A figure goes by its place in `summary.json`; where that holds `latency.ttft.p99_ms`, `replications.json`
//! has an [`Interval`] at `figures.latency.ttft.p99_ms`, and `replications.csv` a column of that name. Stages, and the
//! sources that have some, go by name instead of number: `figures.stages.Rag.mean_ms`, and
//! `figures.sources.chat.stages.Rag.time.p99_ms`. The mean
//! of a percentile is over replications, which is not the percentile of their requests taken together.
//! Replications without a figure (no request completed) are left out of it.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::ser::{Error as _, SerializeStruct};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::metrics::{StageSummary, Summary, Verdict};
use crate::simulation::Outcome;
use crate::stats::{CONFIDENCE_FRAC, Interval};

/// The latencies among the figures: where they lie, and what tables call them.
pub(super) const LATENCIES: [(&str, &str); 6] = [
    ("latency.ttft", "TTFT"),
    (TTFAT, "TTFAT"),
    ("latency.tpot", "TPOT"),
    ("itl", "ITL"),
    ("latency.e2e", "E2E"),
    ("latency.queueing", "queueing"),
];

/// Where the time to the first token of the answer lies: where nothing reasons, it is no figure at all.
pub(super) const TTFAT: &str = "latency.ttfat";

/// What is told of each latency.
pub(super) const STATISTICS: [(&str, &str); 4] =
    [("mean_ms", "mean"), ("p50_ms", "p50"), ("p90_ms", "p90"), ("p99_ms", "p99")];

/// All other figures: where they lie, what tables call them, and the unit there (in theirs).
pub(super) const OTHERS: [(&str, &str, f64); 12] = [
    ("throughput.requests_per_s", "requests/s", 1.0),
    ("throughput.output_tokens_per_s", "output tokens/s", 1.0),
    ("throughput.total_tokens_per_s", "tokens/s in all", 1.0),
    ("requests.rejected", "rejected requests", 1.0),
    ("slo.attainment_frac", "SLO met %", 100.0),
    ("slo.request_goodput_per_s", "goodput, requests/s", 1.0),
    ("utilisation.accelerator_busy_frac", "busy %", 100.0),
    ("utilisation.kv_mean_frac", "KV used %", 100.0),
    ("utilisation.preemptions", "preemptions", 1.0),
    ("cost.usd_total", "$ for the run", 1.0),
    ("cost.usd_per_million_output_tokens", "$/M output tokens", 1.0),
    ("cost.usd_per_million_total_tokens", "$/M tokens in all", 1.0),
];

/// What is told of each stage.
pub(super) const STAGE_STATISTICS: [(&str, &str); 4] =
    [("mean_waiting_ms", "waiting"), ("mean_ms", "mean"), ("time.p50_ms", "p50"), ("time.p99_ms", "p99")];

/// A stage of a source, whose name is none where there is one alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StageName {
    pub source: Option<String>,
    pub stage: String,
}

impl StageName {
    /// Where its figures lie.
    fn place(&self) -> Vec<String> {
        let of_source = self.source.iter().flat_map(|source| ["sources".to_owned(), source.clone()]);
        of_source.chain(["stages".to_owned(), self.stage.clone()]).collect()
    }

    /// The place of one of its figures, as a column names it.
    pub fn path(&self, statistic: &str) -> String {
        format!("{}.{statistic}", self.place().join("."))
    }

    /// It in one replication.
    fn of<'a>(&self, summary: &'a Summary) -> Option<&'a StageSummary> {
        let stages = match &self.source {
            None => &summary.stages,
            Some(name) => &summary.sources.iter().find(|source| source.name == *name)?.stages,
        };
        stages.iter().find(|stage| stage.name == self.stage)
    }

    /// All of them.
    fn all(outcomes: &[Outcome]) -> Vec<Self> {
        let mut names = Vec::new();
        for Outcome { summary, .. } in outcomes {
            let of_sources =
                summary.sources.iter().map(|source| (Some(source.name.clone()), source.stages.as_slice()));
            for (source, stages) in std::iter::once((None, summary.stages.as_slice())).chain(of_sources) {
                for stage in stages {
                    let name = Self { source: source.clone(), stage: stage.name.clone() };
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
            }
        }
        names
    }
}

/// A figure of each replication.
#[derive(Clone, Debug)]
struct Figure {
    /// Its place, from the outermost name in.
    place: Vec<String>,
    /// The same in one, as columns are called.
    path: String,
    values: Vec<Option<f64>>,
}

impl Figure {
    fn interval(&self) -> Option<Interval> {
        Interval::of(&self.values.iter().copied().flatten().collect::<Vec<_>>())
    }

    fn new(place: Vec<String>, values: Vec<Option<f64>>) -> Self {
        Self { path: place.join("."), place, values }
    }

    fn of_stage(name: &StageName, statistic: &str, outcomes: &[Outcome]) -> Self {
        let value = |stage: &StageSummary| match statistic {
            "mean_waiting_ms" => Some(stage.mean_waiting_ms),
            "mean_ms" => Some(stage.mean_ms),
            "time.p50_ms" => Some(stage.time.as_ref()?.p50_ms),
            _ => Some(stage.time.as_ref()?.p99_ms),
        };
        let values = outcomes.iter().map(|outcome| name.of(&outcome.summary).and_then(value)).collect();
        let mut place = name.place();
        place.extend(statistic.split('.').map(str::to_owned));
        Self::new(place, values)
    }
}

/// The places of all other figures, in order.
fn paths() -> impl Iterator<Item = String> {
    let of = |(latency, _)| STATISTICS.map(|(statistic, _)| format!("{latency}.{statistic}"));
    LATENCIES.into_iter().flat_map(of).chain(OTHERS.map(|(path, ..)| path.to_owned()))
}

/// The contents of `replications.json` and `replications.csv`: determined by the scenario and the count.
#[derive(Clone, Debug)]
pub struct ReplicationSummary {
    /// Name of the scenario.
    pub scenario: String,
    /// Seed and verdict of each replication.
    pub runs: Vec<(u64, Verdict)>,
    /// Where each latency comes from.
    pub latency_sources: Vec<String>,
    /// The stages that have figures.
    pub(super) stages: Vec<StageName>,
    figures: Vec<Figure>,
}

impl ReplicationSummary {
    /// Whether every figure is the same in all replications.
    pub fn are_alike(&self) -> bool {
        self.figures.iter().all(|figure| figure.values.windows(2).all(|pair| pair[0] == pair[1]))
    }

    /// Of these outcomes, in their order.
    ///
    /// # Errors
    /// A summary cannot be written as JSON.
    pub fn new(outcomes: &[Outcome]) -> io::Result<Self> {
        let summaries: Vec<Value> = outcomes
            .iter()
            .map(|outcome| serde_json::to_value(&outcome.summary))
            .collect::<Result<_, _>>()?;
        let figure = |path: String| {
            let place = format!("/{}", path.replace('.', "/"));
            let of = |summary: &Value| summary.pointer(&place).and_then(Value::as_f64);
            Figure::new(path.split('.').map(str::to_owned).collect(), summaries.iter().map(of).collect())
        };
        let known =
            |figure: &Figure| !figure.path.starts_with(TTFAT) || figure.values.iter().any(Option::is_some);
        let mut figures: Vec<Figure> = paths().map(figure).filter(known).collect();
        let stages = StageName::all(outcomes);
        for stage in &stages {
            figures.extend(STAGE_STATISTICS.map(|(name, _)| Figure::of_stage(stage, name, outcomes)));
        }
        let first = outcomes.first();
        Ok(Self {
            scenario: first.map_or_else(String::new, |one| one.summary.scenario.clone()),
            runs: outcomes.iter().map(|one| (one.seed, one.summary.stability.verdict)).collect(),
            latency_sources: first.map_or_else(Vec::new, |one| one.latency_sources.clone()),
            stages,
            figures,
        })
    }

    /// The figure that lies at `path` in `summary.json`; none if no replication has it.
    pub fn figure(&self, path: &str) -> Option<Interval> {
        self.figures.iter().find(|figure| figure.path == path)?.interval()
    }

    /// How many replications came to each verdict, by its name in `summary.json`.
    pub fn verdicts(&self) -> BTreeMap<String, u32> {
        let mut counts = BTreeMap::new();
        for (_, verdict) in &self.runs {
            *counts.entry(verdict_name(*verdict)).or_default() += 1;
        }
        counts
    }

    /// Whether all replications have the same figures: nothing in the scenario is random.
    pub fn all_equal(&self) -> bool {
        let equal = |figures: &[Option<f64>]| figures.windows(2).all(|pair| pair[0] == pair[1]);
        self.runs.len() > 1 && self.figures.iter().all(|figure| equal(&figure.values))
    }

    /// Writes `replications.csv`: one row a replication.
    ///
    /// # Errors
    /// When `out` cannot be written to.
    pub fn write_csv(&self, out: impl Write) -> io::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        let names = self.figures.iter().map(|figure| figure.path.as_str());
        csv.write_record(["replication", "seed", "verdict"].into_iter().chain(names))?;
        for (at, (seed, verdict)) in self.runs.iter().enumerate() {
            let text = |figure: Option<f64>| figure.map_or_else(String::new, |figure| figure.to_string());
            let figures = self.figures.iter().map(|figure| text(figure.values[at]));
            let run = [at.to_string(), seed.to_string(), verdict_name(*verdict)];
            csv.write_record(run.into_iter().chain(figures))?;
        }
        csv.flush()
    }

    /// Intervals where `summary.json` has numbers; null where no replication has any.
    fn nested(&self) -> serde_json::Result<Value> {
        let mut root = Map::new();
        for figure in &self.figures {
            let Some((name, folders)) = figure.place.split_last() else { continue };
            let mut at = &mut root;
            for folder in folders {
                let inner = at.entry(folder.clone()).or_insert_with(|| Value::Object(Map::new()));
                at = inner.as_object_mut().expect("no figure lies within another");
            }
            at.insert(name.clone(), serde_json::to_value(figure.interval())?);
        }
        Ok(Value::Object(root))
    }
}

impl Serialize for ReplicationSummary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut summary = serializer.serialize_struct("ReplicationSummary", 5)?;
        summary.serialize_field("scenario", &self.scenario)?;
        summary.serialize_field("replications", &self.runs.len())?;
        summary.serialize_field("confidence_frac", &CONFIDENCE_FRAC)?;
        summary.serialize_field("verdicts", &self.verdicts())?;
        summary.serialize_field("figures", &self.nested().map_err(S::Error::custom)?)?;
        summary.end()
    }
}

/// The verdict as `summary.json` has it.
fn verdict_name(verdict: Verdict) -> String {
    match serde_json::to_value(verdict) {
        Ok(Value::String(name)) => name,
        _ => format!("{verdict:?}"),
    }
}

/// Writes what replications come to in one format.
pub trait ReplicationsExporter: Sync {
    /// Writes it, a trailing newline included.
    ///
    /// # Errors
    /// When `out` cannot be written to; a closed pipe is an error of kind `BrokenPipe`.
    fn write_replications(&self, summary: &ReplicationSummary, out: &mut dyn Write) -> io::Result<()>;
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::engine::Executor;
    use crate::output::sample;

    /// Three replications that differ in a few figures.
    pub(in crate::output) fn three() -> ReplicationSummary {
        let outcomes = [0.0, 1.0, 2.0].map(|at| {
            let (mut summary, _) = sample::run();
            summary.throughput.requests_per_s += at;
            summary.cost.usd_per_million_total_tokens = None;
            if at > 1.0 {
                summary.latency.tpot = None;
                summary.stability.verdict = Verdict::TooShort;
            }
            outcome(summary, 42 + at as u64)
        });
        ReplicationSummary::new(&outcomes).unwrap()
    }

    /// Three through a pipeline, whose first stage takes a millisecond more each time.
    pub(in crate::output) fn of_stages() -> ReplicationSummary {
        let outcomes = [0.0, 1.0, 2.0].map(|at| {
            let (mut summary, _) = sample::run_of_stages();
            summary.stages[0].mean_ms += at;
            summary.stages[1].name = "Prefill Qwen2.5-7B".to_owned();
            outcome(summary, 42)
        });
        ReplicationSummary::new(&outcomes).unwrap()
    }

    fn outcome(summary: Summary, seed: u64) -> Outcome {
        Outcome {
            summary,
            resolved: String::new(),
            seed,
            executor: Executor::Gated,
            strides: true,
            ticks: 1,
            events: 1,
            latency_sources: sample::run().1.latency_sources,
            stages: Vec::new(),
        }
    }

    #[test]
    fn figures_lie_where_the_summary_has_them() {
        let summary = serde_json::to_value(sample::run().0).unwrap();
        for path in paths() {
            let number = summary.pointer(&format!("/{}", path.replace('.', "/")));
            assert!(path.starts_with(TTFAT) || number.is_some_and(Value::is_number), "{path}");
        }
        let json = serde_json::to_value(three()).unwrap();
        assert_eq!((&json["replications"], &json["confidence_frac"]), (&3.into(), &0.95.into()));
        assert_eq!(json["verdicts"], serde_json::json!({"stable": 2, "too_short": 1}));
        let rate = &json["figures"]["throughput"]["requests_per_s"];
        assert_eq!((&rate["mean"], &rate["std"]), (&8.862.into(), &1.0.into()));
        assert_eq!((&rate["min"], &rate["max"]), (&7.862.into(), &9.862.into()));
        assert_eq!(json["figures"]["latency"]["tpot"]["p99_ms"]["replications"], 2);
        assert_eq!(json["figures"]["itl"]["p99_ms"]["replications"], 3);
        assert_eq!(json["figures"]["cost"]["usd_per_million_total_tokens"], Value::Null);
    }

    #[test]
    fn a_row_a_replication() {
        let mut text = Vec::new();
        three().write_csv(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("replication,seed,verdict,latency.ttft.mean_ms,latency.ttft.p50_ms,"));
        assert!(lines[0].ends_with(",cost.usd_per_million_total_tokens"));
        assert!(lines[1].starts_with("0,42,stable,142.5,101,280,901,25.125,24.5,31,38.5,25.5,"), "{text}");
        assert!(lines[3].starts_with("2,44,too_short,142.5,101,280,901,,,,,25.5,"), "{text}");
        assert_eq!(lines.len(), 4);
        // Nothing reasons.
        let columns = 3 + paths().count() - STATISTICS.len();
        assert!(lines.iter().all(|line| line.split(',').count() == columns));
    }

    #[test]
    fn stages_and_the_time_to_an_answer_have_intervals() {
        let summary = of_stages();
        let rag = summary.figure("stages.Rag.mean_ms").unwrap();
        assert_eq!((rag.replications, rag.mean, rag.min, rag.max), (3, 13.5, 12.5, 14.5));
        assert_eq!(summary.figure("stages.Decode.time.p99_ms").unwrap().mean, 10_000.0);
        assert_eq!(summary.figure("latency.ttfat.p50_ms").unwrap().mean, 2_600.0);
        let json = serde_json::to_value(&summary).unwrap();
        // A name may hold dots.
        assert_eq!(json["figures"]["stages"]["Prefill Qwen2.5-7B"]["mean_waiting_ms"]["mean"], 17.5);
        assert_eq!(json["figures"]["stages"]["Rag"]["time"]["p50_ms"]["replications"], 3);
        let mut text = Vec::new();
        summary.write_csv(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.lines().next().unwrap().contains(",stages.Rag.mean_waiting_ms,stages.Rag.mean_ms,"),
            "{text}"
        );
    }

    #[test]
    fn nothing_random_is_noticed() {
        assert!(!three().all_equal());
        let mut same = three();
        for Figure { values, .. } in &mut same.figures {
            let first = values[0];
            values.fill(first);
        }
        assert!(same.all_equal());
    }
}
