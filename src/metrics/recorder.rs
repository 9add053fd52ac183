//! The recorder: fed with every arrival, completion and rejection, it ends in a [`Summary`].
//!
//! Memory: 32 bytes a completed request up to a million, then constant (see [`Distribution`]).

use std::fmt;
use std::io;

use bevy_ecs::resource::Resource;

use super::deployment::RunEnd;
use super::record::{RequestRecord, Unfinished};
use super::slo::Attainment;
use super::source::{Source, SourceSpec, throughput};
use super::stability::{Load, Stability};
use super::summary::{Latencies, RequestCounts, Summary, TokenCounts};
use super::utilisation::{by_group, cost, utilisation};
use crate::request::Rejection;
use crate::request::pipeline::Lap;
use crate::stats::{Distribution, EXACT_LIMIT};
use crate::units::SimTime;

/// Where the records of requests go, one row each as they leave; those still in flight come last.
pub trait RowSink: Send + Sync {
    /// Writes the row of a request that completed. `laps` is its time by stage, in the order of its source's `stages`; empty for one visit.
    ///
    /// # Errors
    /// When it cannot be written.
    fn row(&mut self, request: &RequestRecord, laps: &[Lap]) -> io::Result<()>;

    /// Writes the row of a request that was turned away, or else is still in flight at the end.
    ///
    /// # Errors
    /// When it cannot be written.
    fn unfinished(&mut self, request: &Unfinished, turned_away: Option<Rejection>) -> io::Result<()> {
        let _ = (request, turned_away);
        Ok(())
    }

    /// Writes whatever is still buffered.
    ///
    /// # Errors
    /// When it cannot be written.
    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A source of requests, as rows know it.
#[derive(Clone, Debug, Default)]
pub struct RowSource {
    /// Its name.
    pub name: String,
    /// The stages of its pipeline; empty where that is one visit.
    pub stages: Vec<String>,
}

/// Collects what happens to requests and sums it up.
#[derive(Resource)]
pub struct Recorder {
    sources: Vec<Source>,
    load: Load,
    arrived: u64,
    completed: u64,
    left: u64,
    peak_in_flight: u64,
    first_arrival: Option<SimTime>,
    last_event: SimTime,
    rows: Option<Box<dyn RowSink>>,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("arrived", &self.arrived)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

impl Recorder {
    /// A recorder for `sources`, which records name by their place here.
    pub fn new(sources: Vec<SourceSpec>) -> Self {
        Self {
            sources: sources.into_iter().map(Source::new).collect(),
            load: Load::default(),
            arrived: 0,
            completed: 0,
            left: 0,
            peak_in_flight: 0,
            first_arrival: None,
            last_event: SimTime::ZERO,
            rows: None,
        }
    }

    /// Sends a row per request to `rows` as well.
    pub fn write_rows_to(&mut self, rows: Box<dyn RowSink>) {
        self.rows = Some(rows);
    }

    /// A request enters the system. Every request does, also one that is rejected at once; calls come in
    /// time order.
    pub fn arrived(&mut self, source: u16, at: SimTime) {
        let source = &mut self.sources[usize::from(source)];
        source.arrived();
        self.arrived += 1;
        let in_flight = self.arrived - self.left;
        if !source.spec.closed_loop {
            self.load.arrived(at, in_flight);
        }
        self.peak_in_flight = self.peak_in_flight.max(in_flight);
        self.first_arrival.get_or_insert(at);
        self.last_event = self.last_event.max(at);
    }

    /// A request is through its pipeline. `laps` is its time by stage, which adds up to its E2E latency;
    /// empty where the pipeline is one visit.
    ///
    /// # Errors
    /// When its row cannot be written.
    pub fn completed(&mut self, request: &RequestRecord, laps: &[Lap]) -> io::Result<()> {
        let source = &mut self.sources[usize::from(request.source)];
        source.completed(request, laps);
        if !source.spec.closed_loop {
            self.load.completed(request);
        }
        self.left += 1;
        self.completed += 1;
        self.last_event = self.last_event.max(request.done);
        if self.completed == EXACT_LIMIT as u64 + 1 {
            // The limit holds for the run, not for each source: memory does not grow with their number.
            self.sources.iter_mut().for_each(Source::coarsen);
        }
        self.rows.as_mut().map_or(Ok(()), |rows| rows.row(request, laps))
    }

    /// A request is turned away at `at`.
    ///
    /// # Errors
    /// When its row cannot be written.
    pub fn rejected(&mut self, request: &Unfinished, why: Rejection, at: SimTime) -> io::Result<()> {
        let source = &mut self.sources[usize::from(request.source)];
        source.rejected(why, at.since(request.arrived));
        if !source.spec.closed_loop {
            self.load.turned_away(request.arrived);
        }
        self.left += 1;
        self.last_event = self.last_event.max(at);
        self.rows.as_mut().map_or(Ok(()), |rows| rows.unfinished(request, Some(why)))
    }

    /// A request is still in flight at `now`, where the clock stops; for each of them once, before
    /// [`summary`](Self::summary). Without it they are counted, but missing from the SLO, and the verdict
    /// takes them for waiting.
    ///
    /// # Errors
    /// When its row cannot be written.
    pub fn unfinished(&mut self, request: &Unfinished, now: SimTime) -> io::Result<()> {
        let source = &mut self.sources[usize::from(request.source)];
        source.unfinished(request, now);
        if !source.spec.closed_loop {
            self.load.unfinished(request, now);
        }
        self.rows.as_mut().map_or(Ok(()), |rows| rows.unfinished(request, None))
    }

    /// Requests that entered and left, for a progress display.
    pub fn progress(&self) -> (u64, u64) {
        (self.arrived, self.left)
    }

    /// Writes the rows still buffered; to be called before the results folder is committed.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn finish_rows(&mut self) -> io::Result<()> {
        self.rows.as_mut().map_or(Ok(()), |rows| rows.finish())
    }

    /// Sums the run up.
    pub fn summary(&mut self, run: &RunEnd<'_>) -> Summary {
        let end = if self.arrived == self.left { self.last_event } else { run.now };
        let duration_s = self.first_arrival.map_or(0.0, |first| end.since(first).as_secs_f64());
        let (all_utilisation, bottleneck) = utilisation(run.clients.iter(), duration_s);

        let requests = self.counts(duration_s);
        let sum = |tokens: fn(&TokenCounts) -> u64| self.sources.iter().map(|s| tokens(&s.tokens)).sum();
        let tokens = TokenCounts {
            prompt_tokens: sum(|tokens| tokens.prompt_tokens),
            output_tokens: sum(|tokens| tokens.output_tokens),
            read_tokens: sum(|tokens| tokens.read_tokens),
            generated_tokens: sum(|tokens| tokens.generated_tokens),
        };
        let latency = match &mut self.sources[..] {
            [only] => only.latencies(),
            many => Latencies {
                ttft: Distribution::merged(many.iter().map(|source| &source.ttft)).statistics(),
                ttfat: Distribution::merged(many.iter().map(|source| &source.ttfat)).statistics(),
                tpot: Distribution::merged(many.iter().map(|source| &source.tpot)).statistics(),
                e2e: Distribution::merged(many.iter().map(|source| &source.e2e)).statistics(),
                queueing: Distribution::merged(many.iter().map(|source| &source.queueing)).statistics(),
            },
        };
        let stages = match &mut self.sources[..] {
            [only] => only.stages.summary(),
            _ => Vec::new(),
        };
        let caches = all_utilisation.prefix_cache.is_some();
        let sources = if self.sources.len() > 1 {
            self.sources.iter_mut().map(|source| source.summary(duration_s, caches)).collect()
        } else {
            Vec::new()
        };
        let judged = self.load.judge(self.arrived, self.completed);
        let stability = Stability { nothing_completed_of: self.nothing_completed_of(), ..judged };
        Summary {
            scenario: run.scenario.to_owned(),
            duration_s,
            stability,
            throughput: throughput(requests.completed, tokens, duration_s),
            requests,
            sessions: run.sessions,
            tokens,
            latency,
            stages,
            itl: run.itl.clone(),
            slo: self.attainment(duration_s),
            utilisation: all_utilisation,
            bottleneck,
            cost: cost(&run.price, tokens, duration_s),
            sources,
            client_groups: by_group(&run.clients, duration_s),
        }
    }

    fn counts(&self, duration_s: f64) -> RequestCounts {
        let mut all = RequestCounts { peak_in_flight: self.peak_in_flight, ..RequestCounts::default() };
        for source in &self.sources {
            let counts = source.counts(duration_s);
            all.arrived += counts.arrived;
            all.completed += counts.completed;
            all.rejected += counts.rejected;
            all.in_flight += counts.in_flight;
            all.mean_in_flight += counts.mean_in_flight;
            for (reason, count) in counts.rejected_by_reason {
                *all.rejected_by_reason.entry(reason).or_default() += count;
            }
        }
        all
    }

    /// The sources of which requests arrived and none completed, unless none did of any.
    fn nothing_completed_of(&self) -> Vec<String> {
        let failed = self.sources.iter().filter(|source| source.completed_nothing());
        failed.filter(|_| self.completed > 0).map(|source| source.spec.name.clone()).collect()
    }

    /// Over the sources that set targets; these are named only when all of them set the same.
    fn attainment(&self, duration_s: f64) -> Option<Attainment> {
        let mut judged = self.sources.iter().filter(|source| source.spec.slo.is_set());
        let first = judged.next()?;
        let mut all = first.judgement.clone();
        let mut same = true;
        for source in judged {
            all.merge(&source.judgement);
            same &= source.spec.slo == first.spec.slo;
        }
        all.attainment(same.then_some(&first.spec.slo), duration_s)
    }
}

#[cfg(test)]
mod tests;
