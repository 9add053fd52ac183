//! The books of a run: every request and every token accounted for.

use std::collections::BTreeSet;

use mist::clients::Usage;
use mist::clients::llm::LlmClient;
use mist::engine::Sim;
use mist::memory::BlockPool;
use mist::metrics::{RequestRecord, Summary};
use mist::request::Request;
use mist::stats::{Statistics, TokenGaps};
use mist::units::{SimSpan, SimTime};

/// What a run left in its world and its rows, before it is settled and summed up.
pub struct Ledger<'a> {
    rows: &'a [RequestRecord],
    in_flight: Vec<Request>,
    now: SimTime,
    gap_ns: u128,
    gaps: u64,
    busy: SimSpan,
}

impl<'a> Ledger<'a> {
    /// Reads the books and checks each row and each client; answers that a `front_end` has not handed on are in neither.
    pub fn of(sim: &mut Sim, rows: &'a [RequestRecord], front_end: bool) -> Self {
        let now = sim.now();
        let world = sim.world_mut();
        let in_flight: Vec<Request> = world.query::<&Request>().iter(world).copied().collect();
        let mut clients: Vec<(&LlmClient, &Usage)> =
            world.query::<(&LlmClient, &Usage)>().iter(world).collect();
        clients.sort_by_key(|(client, _)| client.index());
        for row in rows {
            let kv = clients[row.client as usize].0.scheduler().kv();
            check_row(row, kv);
        }
        for (client, usage) in &clients {
            let own: Vec<_> = rows.iter().filter(|row| row.client == client.index()).collect();
            if client.scheduler().is_empty() && (in_flight.is_empty() || !front_end) {
                check_tokens(&own, usage);
            }
        }
        let busy = clients.iter().fold(SimSpan::ZERO, |sum, (_, usage)| sum + usage.busy_total());
        let gaps = world.resource::<TokenGaps>();
        Self { rows, in_flight, now, gap_ns: gaps.sum_ns(), gaps: gaps.count(), busy }
    }

    /// Checks the summary against the books. Behind a front end, gaps are those in which engines made tokens.
    pub fn check(&self, summary: &Summary, horizon: Option<SimTime>, latency: SimSpan, front_end: bool) {
        let requests = &summary.requests;
        assert_eq!(requests.arrived, requests.completed + requests.rejected + requests.in_flight);
        assert_eq!(requests.completed, self.rows.len() as u64);
        assert_eq!(requests.in_flight, self.in_flight.len() as u64);
        assert_eq!(requests.rejected, requests.rejected_by_reason.values().sum::<u64>());
        assert!(requests.in_flight == 0 || horizon == Some(self.now), "in flight without a horizon");
        let ids = self.rows.iter().map(|row| row.id).chain(self.in_flight.iter().map(|request| request.id));
        let ids: BTreeSet<u64> = ids.collect();
        assert_eq!(ids.len() as u64, requests.arrived - requests.rejected, "an id occurs twice");
        assert!(ids.last().is_none_or(|last| *last < requests.arrived));
        assert!(self.rows.is_sorted_by_key(|row| row.done), "rows come in the order of completion");

        let sum = |of: fn(&RequestRecord) -> u32| self.rows.iter().map(|row| u64::from(of(row))).sum::<u64>();
        assert_eq!(summary.tokens.prompt_tokens, sum(|row| row.prompt_tokens));
        assert_eq!(summary.tokens.output_tokens, sum(|row| row.output_tokens));
        if self.in_flight.is_empty() {
            let decoding: u128 = self.rows.iter().map(|row| u128::from(row.decode().as_ns())).sum();
            let tiled = self.gap_ns == decoding;
            assert!(tiled || front_end, "gaps between tokens tile the time from first to last");
            assert_eq!(self.gaps, summary.tokens.output_tokens - requests.completed);
        }
        self.check_times(summary, latency);
        check_shares(summary);
    }

    /// `latency` is what it takes to reach a client, which is where requests are turned away.
    fn check_times(&self, summary: &Summary, latency: SimSpan) {
        let in_system: u128 = self.rows.iter().map(|row| u128::from(row.e2e().as_ns())).sum();
        let waiting = |request: &Request| u128::from(self.now.since(request.arrived).as_ns());
        let turned_away = u128::from(summary.requests.rejected) * u128::from(latency.as_ns());
        let in_system = in_system + turned_away + self.in_flight.iter().map(waiting).sum::<u128>();
        let in_system = in_system as f64 / 1e9;
        close(summary.requests.mean_in_flight * summary.duration_s, in_system);
        assert!(summary.requests.mean_in_flight <= summary.requests.peak_in_flight as f64 * (1.0 + 1e-9));
        let clients = summary.utilisation.clients as f64;
        assert!(self.busy.as_secs_f64() <= summary.duration_s * clients * (1.0 + 1e-9));

        let latency = &summary.latency;
        same(latency.ttft.as_ref(), self.rows.iter().map(RequestRecord::ttft));
        same(latency.e2e.as_ref(), self.rows.iter().map(RequestRecord::e2e));
        same(latency.queueing.as_ref(), self.rows.iter().map(RequestRecord::queueing));
        same(latency.tpot.as_ref(), self.rows.iter().filter_map(RequestRecord::tpot));
        if let (Some(queueing), Some(ttft), Some(e2e)) = (&latency.queueing, &latency.ttft, &latency.e2e) {
            let figures = |s: &Statistics| [s.mean_ms, s.min_ms, s.p50_ms, s.p90_ms, s.p99_ms, s.max_ms];
            let order = figures(queueing).into_iter().zip(figures(ttft)).zip(figures(e2e));
            assert!(order.into_iter().all(|((queueing, ttft), e2e)| queueing <= ttft && ttft <= e2e));
        }
    }
}

/// `arrived ≤ started < first token ≤ done`, and the latencies that follow.
fn check_row(row: &RequestRecord, kv: &BlockPool) {
    assert!(row.arrived <= row.started && row.started < row.first_token && row.first_token <= row.done);
    assert!(row.prompt_tokens > 0 && row.output_tokens > 0);
    assert_eq!(row.first_token == row.done, row.output_tokens == 1, "{row:?}");
    let longest = row.prompt_tokens + row.output_tokens - 1;
    assert!(row.cached_tokens < row.prompt_tokens, "the last token is computed: {row:?}");
    assert!(row.cached_tokens.is_multiple_of(kv.block_size()), "full blocks are found: {row:?}");
    assert!(kv.groups().most(longest, Some(1), kv.block_size()) <= kv.total(), "{row:?}");
    assert_eq!(row.ttft() + row.decode(), row.e2e());
    assert!(row.queueing() < row.ttft());
    if let Some(tpot) = row.tpot() {
        // Rounded to the nanosecond, half up.
        let gaps = u64::from(row.output_tokens - 1);
        assert!((tpot.as_ns() * gaps).abs_diff(row.decode().as_ns()) <= gaps.div_ceil(2));
    }
}

/// Tokens of a client that has finished all it was given: `own` are its requests.
fn check_tokens(own: &[&RequestRecord], usage: &Usage) {
    let preemptions: u64 = own.iter().map(|row| u64::from(row.preemptions)).sum();
    assert_eq!(preemptions, usage.preemptions);
    let prompts: u64 = own.iter().map(|row| u64::from(row.prompt_tokens)).sum();
    let decodes: u64 = own.iter().map(|row| u64::from(row.output_tokens) - 1).sum();
    // A sequence that comes back gets its next token from the prefill that recomputes it.
    assert!(usage.decode_tokens <= decodes && decodes <= usage.decode_tokens + preemptions);
    let found: u64 = own.iter().map(|row| u64::from(row.cached_tokens)).sum();
    let computed = prompts - found;
    assert!(usage.prefill_tokens >= computed, "{} tokens of {computed} computed", usage.prefill_tokens);
    let tally = usage.prefix.unwrap_or_default();
    assert_eq!(tally.hit_tokens, found, "found by the client and by its requests");
    assert_eq!(tally.hits, own.iter().filter(|row| row.cached_tokens > 0).count() as u64);
    if usage.prefix.is_some() {
        assert_eq!((tally.queries, tally.query_tokens), (own.len() as u64, prompts));
    }
    let swapped = usage.swapped.unwrap_or_default();
    assert_eq!(swapped.blocks_out, swapped.blocks_in, "all that was swapped out came back");
    if preemptions == swapped.preemptions {
        assert_eq!(
            (usage.prefill_tokens, usage.decode_tokens),
            (computed, decodes),
            "nothing is computed twice"
        );
    }
}

/// What is a share lies in 0..=1, and good work is no more than work.
fn check_shares(summary: &Summary) {
    let utilisation = &summary.utilisation;
    for share in [utilisation.accelerator_busy_frac, utilisation.kv_mean_frac, utilisation.kv_peak_frac] {
        assert!((0.0..=1.0 + 1e-9).contains(&share), "{utilisation:?}");
    }
    let busy = summary.bottleneck.time_in_steps_bound_by_frac;
    let all = busy.compute + busy.memory + busy.communication + busy.host;
    close(all, if utilisation.steps > 0 { 1.0 } else { 0.0 });
    close(
        summary.throughput.requests_per_s * summary.duration_s,
        if summary.duration_s > 0.0 { summary.requests.completed as f64 } else { 0.0 },
    );
    if let Some(slo) = &summary.slo {
        assert!(slo.request_goodput_per_s <= summary.throughput.requests_per_s * (1.0 + 1e-9));
        for met in [slo.ttft_met_frac, slo.tpot_met_frac, slo.e2e_met_frac].into_iter().flatten() {
            assert!(slo.attainment_frac <= met && met <= 1.0);
        }
    }
    let parts = &summary.sources;
    if !parts.is_empty() {
        assert_eq!(parts.iter().map(|part| part.requests.arrived).sum::<u64>(), summary.requests.arrived);
        assert_eq!(parts.iter().map(|part| part.requests.completed).sum::<u64>(), summary.requests.completed);
    }
    let groups = &summary.client_groups;
    if !groups.is_empty() {
        assert_eq!(groups.iter().map(|group| group.utilisation.steps).sum::<u64>(), utilisation.steps);
    }
}

/// Statistics of exactly these spans.
fn same(statistics: Option<&Statistics>, spans: impl Iterator<Item = SimSpan>) {
    let mut ns: Vec<u64> = spans.map(SimSpan::as_ns).collect();
    ns.sort_unstable();
    assert_eq!(statistics.map_or(0, |statistics| statistics.count), ns.len() as u64);
    let Some(statistics) = statistics else { return };
    let n = ns.len() as f64;
    close(statistics.mean_ms, ns.iter().map(|ns| *ns as f64).sum::<f64>() / n / 1e6);
    close(statistics.max_ms, ns[ns.len() - 1] as f64 / 1e6);
    let Statistics { min_ms, p50_ms, p90_ms, p99_ms, max_ms, .. } = statistics;
    assert!(min_ms <= p50_ms && p50_ms <= p90_ms && p90_ms <= p99_ms && p99_ms <= max_ms);
    let below = ns.iter().filter(|ns| **ns as f64 / 1e6 <= *p90_ms).count() as f64;
    assert!(below >= (0.9 * (n - 1.0)).floor(), "the 90th percentile has 90 % below it");
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-9 * (1.0 + expected.abs()), "{found} instead of {expected}");
}
