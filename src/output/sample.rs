//! A small run, made up by hand, for the tests of exporters.

use std::collections::BTreeMap;

use super::provenance::{Provenance, digest};
use crate::metrics::{
    Attainment, Bottleneck, BoundBy, Cost, Latencies, RequestCounts, SourceSummary, Stability, StageSummary,
    StepTimeShares, Summary, Throughput, TokenCounts, Utilisation, Verdict,
};
use crate::stats::Statistics;

fn statistics(count: u64, mean_ms: f64, std_ms: f64, [min, p50, p90, p99, max]: [f64; 5]) -> Statistics {
    Statistics {
        count,
        mean_ms,
        std_ms,
        min_ms: min,
        p50_ms: p50,
        p90_ms: p90,
        p99_ms: p99,
        max_ms: max,
        exact: true,
    }
}

/// Two thousand requests on eight clients.
pub(super) fn run() -> (Summary, Provenance) {
    let summary = Summary {
        scenario: "quickstart".to_owned(),
        duration_s: 254.125,
        stability: Stability {
            verdict: Verdict::Stable,
            nothing_completed_of: Vec::new(),
            arrival_window_s: 249.5,
            offered_per_s: Some(8.012),
            completed_in_window_per_s: Some(7.85),
            in_flight_at_last_arrival: Some(41),
            in_flight_growth_per_s: Some(0.012),
            waiting_growth_per_s: Some(0.0),
            mean_in_system_s: Some(5.3),
            enough_requests: None,
        },
        requests: RequestCounts {
            arrived: 2_000,
            completed: 1_998,
            rejected: 2,
            rejected_by_reason: BTreeMap::from([("kv_capacity", 2)]),
            in_flight: 0,
            peak_in_flight: 66,
            mean_in_flight: 42.75,
        },
        sessions: None,
        tokens: TokenCounts {
            prompt_tokens: 2_310_000,
            output_tokens: 400_000,
            read_tokens: 2_310_000,
            generated_tokens: 400_000,
        },
        throughput: Throughput {
            requests_per_s: 7.862,
            output_tokens_per_s: 1_574.0,
            total_tokens_per_s: 10_664.0,
        },
        latency: Latencies {
            ttft: Some(statistics(1_998, 142.5, 160.25, [31.0, 101.0, 280.0, 901.0, 1_410.0])),
            ttfat: None,
            tpot: Some(statistics(1_990, 25.125, 4.5, [17.5, 24.5, 31.0, 38.5, 52.0])),
            e2e: Some(statistics(1_998, 5_300.0, 4_900.0, [45.0, 4_100.0, 11_500.0, 24_000.0, 61_234.0])),
            queueing: Some(statistics(1_998, 18.75, 15.5, [0.0, 15.25, 38.0, 75.0, 160.0])),
        },
        stages: Vec::new(),
        itl: Some(Statistics {
            exact: false,
            ..statistics(398_002, 25.5, 4.0, [17.25, 24.75, 30.0, 41.0, 88.0])
        }),
        slo: Some(Attainment {
            attainment_frac: 0.941,
            request_goodput_per_s: 7.4,
            ttft_target_ms: Some(500.0),
            ttft_met_frac: Some(0.952),
            tpot_target_ms: None,
            tpot_met_frac: None,
            e2e_target_ms: Some(20_000.0),
            e2e_met_frac: Some(0.983),
        }),
        utilisation: Utilisation {
            clients: 4,
            accelerators: 8,
            accelerator_busy_frac: 0.872,
            kv_mean_frac: 0.114,
            kv_peak_frac: 0.437,
            mean_batch: 9.875,
            steps: 39_800,
            prefill_tokens: 2_310_000,
            decode_tokens: 398_002,
            preemptions: 0,
            kv_swaps: None,
            prefix_cache: None,
            model_swaps: None,
        },
        bottleneck: Bottleneck {
            bound_by: BoundBy::Memory,
            time_in_steps_bound_by_frac: StepTimeShares {
                compute: 0.25,
                memory: 0.64,
                communication: 0.0,
                host: 0.11,
            },
        },
        cost: Cost {
            usd_per_hour: Some(55.04),
            usd_total: Some(3.885),
            usd_per_million_output_tokens: Some(9.713),
            usd_per_million_total_tokens: Some(1.434),
            unknown_because: None,
        },
        sources: Vec::new(),
        client_groups: Vec::new(),
    };
    let provenance = Provenance {
        mist_version: "0.1.0".to_owned(),
        scenario_digest: digest("(mist: 1)"),
        seed: 42,
        replications: None,
        executor: "gated".to_owned(),
        strides: true,
        ticks: 90_000,
        events: 120_000,
        wall_s: 0.125,
        latency_sources: vec!["llama: analytical roofline, H100-SXM5-80GB, uncalibrated".to_owned()],
        inputs: Vec::new(),
    };
    (summary, provenance)
}

/// The same with two sources, the second of which asks for nothing.
pub(super) fn run_of_two_sources() -> (Summary, Provenance) {
    let (mut summary, provenance) = run();
    let source = |name: &str, slo| SourceSummary {
        name: name.to_owned(),
        requests: summary.requests.clone(),
        tokens: summary.tokens,
        prefix_cache: None,
        throughput: summary.throughput,
        latency: summary.latency.clone(),
        stages: Vec::new(),
        slo,
    };
    summary.sources =
        vec![source("chat", summary.slo.clone()), source("code-completion-in-the-editor", None)];
    (summary, provenance)
}

/// The same through a pipeline: a tenth of the requests retrieve, all reason.
pub(super) fn run_of_stages() -> (Summary, Provenance) {
    let (mut summary, provenance) = run();
    let stage = |name: &str, requests, mean_ms, mean_waiting_ms, [p50, p99]: [f64; 2]| StageSummary {
        name: name.to_owned(),
        requests,
        mean_ms,
        mean_waiting_ms,
        e2e_frac: mean_ms / 5_300.0,
        time: Some(statistics(requests, mean_ms, 1.0, [0.0, p50, p99, p99, p99])),
    };
    summary.stages = vec![
        stage("Rag", 200, 12.5, 1.25, [120.0, 310.5]),
        stage("Prefill", 1_998, 130.0, 17.5, [90.0, 850.0]),
        stage("Reason by a very long name", 1_998, 3_157.5, 0.0, [2_500.0, 14_000.0]),
        stage("Decode", 1_998, 2_000.0, 0.0, [1_500.0, 10_000.0]),
    ];
    summary.latency.ttfat =
        Some(statistics(1_998, 3_300.0, 900.0, [40.0, 2_600.0, 7_000.0, 14_500.0, 15_000.0]));
    (summary.tokens.read_tokens, summary.tokens.generated_tokens) = (3_110_000, 1_250_000);
    (summary, provenance)
}
