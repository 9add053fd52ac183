//! The recorder: fed with every arrival, completion, rejection and token gap, it ends in a [`Summary`].
//!
//! Memory: 32 bytes a completed request up to a million, then constant (see [`Distribution`]).

use std::fmt;
use std::io;

use bevy_ecs::resource::Resource;

use super::deployment::RunEnd;
use super::distribution::{Distribution, EXACT_LIMIT};
use super::record::{RequestRecord, Unfinished};
use super::slo::{Judgement, Slo};
use super::stability::Load;
use super::summary::{Latencies, RequestCounts, SourceSummary, Summary, Throughput, TokenCounts};
use super::token_gaps::TokenGaps;
use super::utilisation::{by_group, cost, ratio, utilisation};
use crate::request::Rejection;
use crate::units::{SimSpan, SimTime};

/// A workload source, as the recorder needs to know it.
#[derive(Clone, Debug)]
pub struct SourceSpec {
    /// Its name in the scenario.
    pub name: String,
    /// Its latency targets.
    pub slo: Slo,
    /// Whether its arrivals wait for completions.
    pub closed_loop: bool,
}

/// Where the records of completed requests go, one row each, in the order of completion.
pub trait RowSink: Send + Sync {
    /// Writes one row.
    ///
    /// # Errors
    /// When it cannot be written.
    fn row(&mut self, request: &RequestRecord) -> io::Result<()>;

    /// Writes whatever is still buffered.
    ///
    /// # Errors
    /// When it cannot be written.
    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Collects what happens to requests and sums it up.
#[derive(Resource)]
pub struct Recorder {
    sources: Vec<Source>,
    gaps: TokenGaps,
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

/// What is known about the requests of one source.
struct Source {
    spec: SourceSpec,
    in_flight: u64,
    counts: RequestCounts,
    rejected: [u64; Rejection::ALL.len()],
    tokens: TokenCounts,
    ttft: Distribution,
    tpot: Distribution,
    e2e: Distribution,
    queueing: Distribution,
    /// Σ time in the system of requests that did not finish [ns].
    unfinished_ns: u128,
    judgement: Judgement,
}

impl Recorder {
    /// A recorder for `sources`, which records name by their place here.
    pub fn new(sources: Vec<SourceSpec>) -> Self {
        let closed_loop = sources.iter().any(|source| source.closed_loop);
        Self {
            sources: sources.into_iter().map(Source::new).collect(),
            gaps: TokenGaps::default(),
            load: Load::new(closed_loop),
            arrived: 0,
            completed: 0,
            left: 0,
            peak_in_flight: 0,
            first_arrival: None,
            last_event: SimTime::ZERO,
            rows: None,
        }
    }

    /// Sends a row per completed request to `rows` as well.
    #[must_use]
    pub fn with_rows(mut self, rows: Box<dyn RowSink>) -> Self {
        self.rows = Some(rows);
        self
    }

    /// A request enters the system. Every request does, also one that is rejected at once; calls come in
    /// time order.
    pub fn arrived(&mut self, source: u16, at: SimTime) {
        let source = &mut self.sources[usize::from(source)];
        source.counts.arrived += 1;
        source.in_flight += 1;
        source.counts.peak_in_flight = source.counts.peak_in_flight.max(source.in_flight);
        if !source.spec.closed_loop {
            self.load.arrived(at);
        }
        self.arrived += 1;
        self.peak_in_flight = self.peak_in_flight.max(self.arrived - self.left);
        self.first_arrival.get_or_insert(at);
        self.last_event = self.last_event.max(at);
    }

    /// A request produced its last token.
    ///
    /// # Errors
    /// When its row cannot be written.
    pub fn completed(&mut self, request: &RequestRecord) -> io::Result<()> {
        let source = &mut self.sources[usize::from(request.source)];
        source.completed(request);
        if !source.spec.closed_loop {
            self.load.left += 1;
            self.load.completed += 1;
            self.load.cohorts.known(request.arrived, request.queueing(), request.e2e());
        }
        self.left += 1;
        self.completed += 1;
        self.last_event = self.last_event.max(request.done);
        if self.completed == EXACT_LIMIT as u64 + 1 {
            // The limit holds for the run, not for each source: memory does not grow with their number.
            self.sources.iter_mut().for_each(Source::coarsen);
        }
        self.rows.as_mut().map_or(Ok(()), |rows| rows.row(request))
    }

    /// A request that arrived at `arrived` is turned away at `at`.
    pub fn rejected(&mut self, source: u16, why: Rejection, arrived: SimTime, at: SimTime) {
        let source = &mut self.sources[usize::from(source)];
        source.in_flight -= 1;
        source.counts.rejected += 1;
        source.rejected[why as usize] += 1;
        source.judgement.rejected();
        if !source.spec.closed_loop {
            self.load.left += 1;
            self.load.cohorts.turned_away(arrived);
        }
        self.left += 1;
        self.last_event = self.last_event.max(at);
    }

    /// `weight` sequences waited `gap` for their next token: once a step, for the sequences that decode in
    /// it, with the time since the step before (a sequence that was preempted waited longer: report it
    /// apart).
    #[inline]
    pub fn token_gap(&mut self, gap: SimSpan, weight: u64) {
        self.gaps.record(gap, weight);
    }

    /// A request is still in flight at `now`, where the clock stops. Optional, for each of them once, before
    /// [`summary`](Self::summary): without it they are counted, but enter neither the verdict nor the SLO.
    pub fn unfinished(&mut self, request: &Unfinished, now: SimTime) {
        let source = &mut self.sources[usize::from(request.source)];
        let so_far = now.since(request.arrived);
        source.unfinished_ns += u128::from(so_far.as_ns());
        source.judgement.unfinished(&source.spec.slo, request, now);
        if !source.spec.closed_loop {
            self.load.cohorts.unfinished(request.arrived);
        }
    }

    /// Requests that entered and left, for a progress display.
    pub fn progress(&self) -> (u64, u64) {
        (self.arrived, self.left)
    }

    /// The gaps recorded so far.
    pub fn token_gaps(&self) -> &TokenGaps {
        &self.gaps
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
        let tokens = TokenCounts {
            prompt_tokens: self.sources.iter().map(|source| source.tokens.prompt_tokens).sum(),
            output_tokens: self.sources.iter().map(|source| source.tokens.output_tokens).sum(),
        };
        let latency = match &mut self.sources[..] {
            [only] => only.latencies(),
            many => Latencies {
                ttft: Distribution::merged(many.iter().map(|source| &source.ttft)).statistics(),
                tpot: Distribution::merged(many.iter().map(|source| &source.tpot)).statistics(),
                e2e: Distribution::merged(many.iter().map(|source| &source.e2e)).statistics(),
                queueing: Distribution::merged(many.iter().map(|source| &source.queueing)).statistics(),
            },
        };
        let sources = if self.sources.len() > 1 {
            self.sources.iter_mut().map(|source| source.summary(duration_s)).collect()
        } else {
            Vec::new()
        };
        Summary {
            scenario: run.scenario.to_owned(),
            duration_s,
            stability: self.load.judge(),
            throughput: throughput(requests.completed, tokens, duration_s),
            requests,
            tokens,
            latency,
            itl: self.gaps.statistics(),
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

    /// Over the sources that set targets; these are named only when all of them set the same.
    fn attainment(&self, duration_s: f64) -> Option<super::slo::Attainment> {
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

impl Source {
    fn new(spec: SourceSpec) -> Self {
        Self {
            spec,
            in_flight: 0,
            counts: RequestCounts::default(),
            rejected: [0; Rejection::ALL.len()],
            tokens: TokenCounts::default(),
            ttft: Distribution::default(),
            tpot: Distribution::default(),
            e2e: Distribution::default(),
            queueing: Distribution::default(),
            unfinished_ns: 0,
            judgement: Judgement::default(),
        }
    }

    fn completed(&mut self, request: &RequestRecord) {
        self.in_flight -= 1;
        self.counts.completed += 1;
        self.tokens.prompt_tokens += u64::from(request.prompt_tokens);
        self.tokens.output_tokens += u64::from(request.output_tokens);
        self.ttft.record(request.ttft());
        if let Some(tpot) = request.tpot() {
            self.tpot.record(tpot);
        }
        self.e2e.record(request.e2e());
        self.queueing.record(request.queueing());
        self.judgement.completed(&self.spec.slo, request);
    }

    fn coarsen(&mut self) {
        for distribution in [&mut self.ttft, &mut self.tpot, &mut self.e2e, &mut self.queueing] {
            distribution.coarsen();
        }
    }

    fn counts(&self, duration_s: f64) -> RequestCounts {
        let in_system_ns = self.e2e.sum_ns() + self.unfinished_ns;
        RequestCounts {
            in_flight: self.in_flight,
            mean_in_flight: ratio(in_system_ns as f64, duration_s * 1e9),
            rejected_by_reason: Rejection::ALL
                .iter()
                .map(|why| (why.name(), self.rejected[*why as usize]))
                .filter(|(_, count)| *count > 0)
                .collect(),
            ..self.counts.clone()
        }
    }

    fn latencies(&mut self) -> Latencies {
        Latencies {
            ttft: self.ttft.statistics(),
            tpot: self.tpot.statistics(),
            e2e: self.e2e.statistics(),
            queueing: self.queueing.statistics(),
        }
    }

    fn summary(&mut self, duration_s: f64) -> SourceSummary {
        SourceSummary {
            name: self.spec.name.clone(),
            requests: self.counts(duration_s),
            tokens: self.tokens,
            throughput: throughput(self.counts.completed, self.tokens, duration_s),
            latency: self.latencies(),
            slo: self.judgement.attainment(Some(&self.spec.slo), duration_s),
        }
    }
}

fn throughput(completed: u64, tokens: TokenCounts, duration_s: f64) -> Throughput {
    Throughput {
        requests_per_s: ratio(completed as f64, duration_s),
        output_tokens_per_s: ratio(tokens.output_tokens as f64, duration_s),
        total_tokens_per_s: ratio((tokens.prompt_tokens + tokens.output_tokens) as f64, duration_s),
    }
}

#[cfg(test)]
mod tests;
