//! Service-level objectives: latency targets, how many requests met them, and goodput.
//!
//! A request is *good* when every target set is met (latency ≤ target). One output token has no TPOT and
//! passes that target, as in `vllm bench serve`. Rejected requests are not good. A request still in flight
//! at the horizon counts only when it has missed a target already; otherwise it is left out.

use serde::Serialize;

use super::record::{RequestRecord, Unfinished};
use crate::units::{SimSpan, SimTime};

/// Latency targets of one workload source; a target left out is always met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slo {
    /// Longest time to first token.
    pub ttft: Option<SimSpan>,
    /// Longest time per output token after the first.
    pub tpot: Option<SimSpan>,
    /// Longest end-to-end latency.
    pub e2e: Option<SimSpan>,
}

impl Slo {
    /// Whether any target is set.
    pub fn is_set(&self) -> bool {
        self.ttft.is_some() || self.tpot.is_some() || self.e2e.is_some()
    }

    /// Which targets `request` met: TTFT, TPOT, E2E.
    fn met(&self, request: &RequestRecord) -> [bool; 3] {
        let gaps = u64::from(request.output_tokens.saturating_sub(1));
        [
            self.ttft.is_none_or(|target| request.ttft() <= target),
            // Without the division: no rounding decides about a request.
            self.tpot.is_none_or(|target| gaps == 0 || request.decode() <= target * gaps),
            self.e2e.is_none_or(|target| request.e2e() <= target),
        ]
    }

    /// Whether `request`, not finished at `now`, can no longer be good.
    fn missed(&self, request: &Unfinished, now: SimTime) -> bool {
        let ttft = request.first_token.unwrap_or(now).since(request.arrived);
        self.ttft.is_some_and(|target| ttft > target)
            || self.e2e.is_some_and(|target| now.since(request.arrived) > target)
    }
}

/// Counts of requests judged against an [`Slo`].
#[derive(Clone, Debug, Default)]
pub(super) struct Judgement {
    judged: u64,
    good: u64,
    met: [u64; 3],
}

impl Judgement {
    pub(super) fn completed(&mut self, slo: &Slo, request: &RequestRecord) {
        let met = slo.met(request);
        self.judged += 1;
        self.good += u64::from(met == [true; 3]);
        for (count, met) in self.met.iter_mut().zip(met) {
            *count += u64::from(met);
        }
    }

    pub(super) fn rejected(&mut self) {
        self.judged += 1;
    }

    pub(super) fn unfinished(&mut self, slo: &Slo, request: &Unfinished, now: SimTime) {
        self.judged += u64::from(slo.missed(request, now));
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.judged += other.judged;
        self.good += other.good;
        for (mine, theirs) in self.met.iter_mut().zip(other.met) {
            *mine += theirs;
        }
    }

    /// What reports say about one source; none without targets or requests to judge.
    pub(super) fn attainment(&self, slo: Option<&Slo>, duration_s: f64) -> Option<Attainment> {
        if self.judged == 0 || slo.is_some_and(|slo| !slo.is_set()) {
            return None;
        }
        let target_ms = |target: fn(&Slo) -> Option<SimSpan>| Some(target(slo?)?.as_millis_f64());
        let share = |met: u64| met as f64 / self.judged as f64;
        let ttft_ms = target_ms(|slo| slo.ttft);
        let tpot_ms = target_ms(|slo| slo.tpot);
        let e2e_ms = target_ms(|slo| slo.e2e);
        Some(Attainment {
            attainment_frac: share(self.good),
            request_goodput_per_s: if duration_s > 0.0 { self.good as f64 / duration_s } else { 0.0 },
            ttft_target_ms: ttft_ms,
            ttft_met_frac: ttft_ms.map(|_| share(self.met[0])),
            tpot_target_ms: tpot_ms,
            tpot_met_frac: tpot_ms.map(|_| share(self.met[1])),
            e2e_target_ms: e2e_ms,
            e2e_met_frac: e2e_ms.map(|_| share(self.met[2])),
        })
    }
}

/// How well targets were met. Targets are null when not set, or when sources with different targets are
/// pooled.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Attainment {
    /// Good requests over requests judged: completed, rejected, or in flight and late already.
    pub attainment_frac: f64,
    /// Good requests per second of the run.
    pub request_goodput_per_s: f64,
    /// Target of the time to first token (ms).
    pub ttft_target_ms: Option<f64>,
    /// Share of the requests judged that completed and met it.
    pub ttft_met_frac: Option<f64>,
    /// Target of the time per output token (ms).
    pub tpot_target_ms: Option<f64>,
    /// Share of the requests judged that completed and met it.
    pub tpot_met_frac: Option<f64>,
    /// Target of the end-to-end latency (ms).
    pub e2e_target_ms: Option<f64>,
    /// Share of the requests judged that completed and met it.
    pub e2e_met_frac: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::record::tests::record;

    fn slo(ttft_ns: u64, tpot_ns: u64, e2e_ns: u64) -> Slo {
        let [ttft, tpot, e2e] = [ttft_ns, tpot_ns, e2e_ns].map(|ns| Some(SimSpan::from_ns(ns)));
        Slo { ttft, tpot, e2e }
    }

    #[test]
    fn every_target_set_must_be_met() {
        // TTFT 200, TPOT 100, E2E 900 ns.
        let request = record(8);
        assert_eq!(slo(200, 100, 900).met(&request), [true; 3]);
        assert_eq!(slo(199, 99, 899).met(&request), [false; 3]);
        assert_eq!(Slo::default().met(&request), [true; 3]);
        assert_eq!(slo(200, 1, 900).met(&record(1)), [true; 3]);
    }

    #[test]
    fn rejections_count_against_attainment_and_no_targets_give_none() {
        let slo = Slo { e2e: None, ..slo(200, 50, 0) };
        let mut judgement = Judgement::default();
        judgement.completed(&slo, &record(8));
        judgement.completed(&slo, &record(1));
        judgement.rejected();
        judgement.rejected();
        let attainment = judgement.attainment(Some(&slo), 2.0).unwrap();
        assert_eq!(attainment.attainment_frac, 0.25);
        assert_eq!(attainment.request_goodput_per_s, 0.5);
        assert_eq!((attainment.ttft_met_frac, attainment.tpot_met_frac), (Some(0.5), Some(0.25)));
        assert_eq!(attainment.e2e_met_frac, None);
        assert_eq!(judgement.attainment(Some(&Slo::default()), 2.0), None);
    }

    #[test]
    fn in_flight_counts_only_when_late_already() {
        let slo = Slo { tpot: None, ..slo(200, 0, 900) };
        let arrived = SimTime::from_ns(0);
        let waiting = Unfinished { arrived, ..Unfinished::default() };
        let answering = Unfinished { first_token: Some(SimTime::from_ns(150)), ..waiting };
        assert!(!slo.missed(&waiting, SimTime::from_ns(200)));
        assert!(slo.missed(&waiting, SimTime::from_ns(201)));
        assert!(!slo.missed(&answering, SimTime::from_ns(900)));
        assert!(slo.missed(&answering, SimTime::from_ns(901)));
    }
}
