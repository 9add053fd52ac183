//! One workload source: its counts, tokens, latencies and objectives.

use super::breakdown::Breakdown;
use super::record::{RequestRecord, Unfinished};
use super::slo::{Judgement, Slo};
use super::summary::{Latencies, PrefixCacheHits, RequestCounts, SourceSummary, Throughput, TokenCounts};
use super::utilisation::ratio;
use crate::memory::prefix::PrefixTally;
use crate::request::Rejection;
use crate::request::pipeline::Lap;
use crate::stats::Distribution;
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
    /// The names of the stages of its pipeline.
    pub stages: Vec<String>,
}

/// What is known about the requests of one source.
pub(super) struct Source {
    pub(super) spec: SourceSpec,
    in_flight: u64,
    counts: RequestCounts,
    rejected: [u64; Rejection::ALL.len()],
    pub(super) tokens: TokenCounts,
    prefixes: PrefixTally,
    pub(super) ttft: Distribution,
    pub(super) ttfat: Distribution,
    pub(super) tpot: Distribution,
    pub(super) e2e: Distribution,
    pub(super) queueing: Distribution,
    /// Σ time in the system of requests that did not complete (ns).
    not_completed_ns: u128,
    pub(super) judgement: Judgement,
    pub(super) stages: Breakdown,
}

impl Source {
    pub(super) fn new(spec: SourceSpec) -> Self {
        let stages = Breakdown::new(&spec.stages);
        Self {
            spec,
            stages,
            in_flight: 0,
            counts: RequestCounts::default(),
            rejected: [0; Rejection::ALL.len()],
            tokens: TokenCounts::default(),
            prefixes: PrefixTally::default(),
            ttft: Distribution::default(),
            ttfat: Distribution::default(),
            tpot: Distribution::default(),
            e2e: Distribution::default(),
            queueing: Distribution::default(),
            not_completed_ns: 0,
            judgement: Judgement::default(),
        }
    }

    pub(super) fn arrived(&mut self) {
        self.counts.arrived += 1;
        self.in_flight += 1;
        self.counts.peak_in_flight = self.counts.peak_in_flight.max(self.in_flight);
    }

    pub(super) fn rejected(&mut self, why: Rejection, in_system: SimSpan) {
        self.in_flight -= 1;
        self.not_completed_ns += u128::from(in_system.as_ns());
        self.counts.rejected += 1;
        self.rejected[why as usize] += 1;
        self.judgement.rejected();
    }

    pub(super) fn unfinished(&mut self, request: &Unfinished, now: SimTime) {
        self.not_completed_ns += u128::from(now.since(request.arrived).as_ns());
        self.judgement.unfinished(&self.spec.slo, request, now);
    }

    pub(super) fn completed(&mut self, request: &RequestRecord, laps: &[Lap]) {
        self.in_flight -= 1;
        self.counts.completed += 1;
        self.tokens.prompt_tokens += u64::from(request.prompt_tokens);
        self.tokens.output_tokens += u64::from(request.output_tokens);
        self.tokens.read_tokens += request.read_tokens;
        self.tokens.generated_tokens += request.generated_tokens;
        self.prefixes.count(request.prompt_tokens, request.cached_tokens);
        self.ttft.record(request.ttft());
        if request.answer > request.first_token {
            self.ttfat.record(request.ttfat());
        }
        self.stages.record(laps);
        if let Some(tpot) = request.tpot() {
            self.tpot.record(tpot);
        }
        self.e2e.record(request.e2e());
        self.queueing.record(request.queueing());
        self.judgement.completed(&self.spec.slo, request);
    }

    pub(super) fn coarsen(&mut self) {
        let Self { ttft, ttfat, tpot, e2e, queueing, stages, .. } = self;
        for distribution in [ttft, ttfat, tpot, e2e, queueing] {
            distribution.coarsen();
        }
        stages.coarsen();
    }

    /// Whether requests arrived and none completed.
    pub(super) const fn completed_nothing(&self) -> bool {
        self.counts.arrived > 0 && self.counts.completed == 0
    }

    pub(super) fn counts(&self, duration_s: f64) -> RequestCounts {
        let in_system_ns = self.e2e.sum_ns() + self.not_completed_ns;
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

    pub(super) fn latencies(&mut self) -> Latencies {
        Latencies {
            ttft: self.ttft.statistics(),
            ttfat: self.ttfat.statistics(),
            tpot: self.tpot.statistics(),
            e2e: self.e2e.statistics(),
            queueing: self.queueing.statistics(),
        }
    }

    /// `caches`: whether any client keeps prefixes.
    pub(super) fn summary(&mut self, duration_s: f64, caches: bool) -> SourceSummary {
        SourceSummary {
            name: self.spec.name.clone(),
            requests: self.counts(duration_s),
            tokens: self.tokens,
            prefix_cache: caches.then(|| PrefixCacheHits::from(self.prefixes)),
            throughput: throughput(self.counts.completed, self.tokens, duration_s),
            latency: self.latencies(),
            stages: self.stages.summary(),
            slo: self.judgement.attainment(Some(&self.spec.slo), duration_s),
        }
    }
}

/// Completed work per second of the run.
pub(super) fn throughput(completed: u64, tokens: TokenCounts, duration_s: f64) -> Throughput {
    Throughput {
        requests_per_s: ratio(completed as f64, duration_s),
        output_tokens_per_s: ratio(tokens.output_tokens as f64, duration_s),
        total_tokens_per_s: ratio(tokens.total() as f64, duration_s),
    }
}
