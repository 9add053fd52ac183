//! The summary in the shape of `vllm bench serve --save-result`, to be laid beside a measured one.
//!
//! Keys and units are vLLM's; percentiles are those of `--metric-percentiles 50,90,99` with
//! `--percentile-metrics ttft,tpot,itl,e2el`. Rejected requests are `failed`. Without samples a statistic is
//! 0.0, and `request_goodput` is null without targets, both as there. Tokens are those that the client sends and
//! gets, as there: not what a pipeline puts into prompts.
//!
//! Left out: the per-request arrays (vLLM drops them as well unless asked by `--save-detailed`; what is known
//! of each request is in `requests.csv`, and `itls` does not exist, because gaps between tokens are kept as a
//! histogram), `max_output_tokens_per_s` (it needs every token's time), and what describes a real endpoint
//! (`date`, `backend`, `tokenizer_id`).

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::{Exporter, Report};
use crate::stats::Statistics;

/// JSON as `vllm bench serve` saves it.
#[derive(Clone, Copy, Debug)]
pub struct Vllm;

impl Exporter for Vllm {
    fn name(&self) -> &'static str {
        "vllm"
    }

    fn write(&self, report: Report<'_>, out: &mut dyn Write) -> io::Result<()> {
        let summary = report.summary;
        let mut result = Map::new();
        let mut put = |key: &str, value: Value| result.insert(key.to_owned(), value);
        let tokens = &summary.tokens;
        let total_per_s = match summary.duration_s {
            0.0 => 0.0,
            duration_s => (tokens.prompt_tokens + tokens.output_tokens) as f64 / duration_s,
        };
        put("label", json!(summary.scenario));
        put("num_prompts", json!(summary.requests.arrived));
        put("duration", json!(summary.duration_s));
        put("completed", json!(summary.requests.completed));
        put("failed", json!(summary.requests.rejected));
        put("total_input_tokens", json!(summary.tokens.prompt_tokens));
        put("total_output_tokens", json!(summary.tokens.output_tokens));
        put("request_throughput", json!(summary.throughput.requests_per_s));
        put("request_goodput", json!(summary.slo.as_ref().map(|slo| slo.request_goodput_per_s)));
        put("output_throughput", json!(summary.throughput.output_tokens_per_s));
        put("total_token_throughput", json!(total_per_s));
        put("max_concurrent_requests", json!(summary.requests.peak_in_flight));
        for (metric, statistics) in [
            ("ttft", &summary.latency.ttft),
            ("tpot", &summary.latency.tpot),
            ("itl", &summary.itl),
            ("e2el", &summary.latency.e2e),
        ] {
            let of = |value: fn(&Statistics) -> f64| json!(statistics.as_ref().map_or(0.0, value));
            put(&format!("mean_{metric}_ms"), of(|s| s.mean_ms));
            put(&format!("median_{metric}_ms"), of(|s| s.p50_ms));
            put(&format!("std_{metric}_ms"), of(|s| s.std_ms));
            put(&format!("p50_{metric}_ms"), of(|s| s.p50_ms));
            put(&format!("p90_{metric}_ms"), of(|s| s.p90_ms));
            put(&format!("p99_{metric}_ms"), of(|s| s.p99_ms));
        }
        serde_json::to_writer_pretty(&mut *out, &result)?;
        writeln!(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::sample;

    #[test]
    fn keys_are_vllms() {
        let (mut summary, provenance) = sample::run();
        let mut text = Vec::new();
        Vllm.write(Report { summary: &summary, provenance: &provenance }, &mut text).unwrap();
        let json: Value = serde_json::from_slice(&text).unwrap();
        for (key, value) in [
            ("completed", json!(1_998)),
            ("failed", json!(2)),
            ("total_output_tokens", json!(400_000)),
            ("request_goodput", json!(7.4)),
            ("median_ttft_ms", json!(101.0)),
            ("p99_e2el_ms", json!(24_000.0)),
            ("std_itl_ms", json!(4.0)),
        ] {
            assert_eq!(json[key], value, "{key}");
        }
        summary.slo = None;
        summary.latency.tpot = None;
        text.clear();
        Vllm.write(Report { summary: &summary, provenance: &provenance }, &mut text).unwrap();
        let json: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!((&json["request_goodput"], &json["mean_tpot_ms"]), (&Value::Null, &json!(0.0)));
    }
}
