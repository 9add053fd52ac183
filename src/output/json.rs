//! The summary as JSON, the same as `summary.json` in the results folder.

use std::io::{self, Write};

use super::{Exporter, ReplicationsExporter, Report};

/// Pretty-printed JSON.
#[derive(Clone, Copy, Debug)]
pub struct Json;

impl Exporter for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn write(&self, report: Report<'_>, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, report.summary)?;
        writeln!(out)
    }

    fn for_replications(&self) -> Option<&dyn ReplicationsExporter> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::sample;

    #[test]
    fn every_number_can_be_found_by_name() {
        let (summary, provenance) = sample::run();
        let mut text = Vec::new();
        Json.write(Report { summary: &summary, provenance: &provenance }, &mut text).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(json["stability"]["verdict"], "stable");
        assert_eq!(json["latency"]["ttft"]["p99_ms"], 901.0);
        assert_eq!(json["itl"]["exact"], false);
        assert_eq!(json["requests"]["rejected_by_reason"]["kv_capacity"], 2);
        assert_eq!(json["bottleneck"]["bound_by"], "memory");
        assert_eq!(json["bottleneck"]["time_in_steps_bound_by_frac"]["memory"], 0.64);
        assert_eq!(json["slo"]["tpot_met_frac"], serde_json::Value::Null);
        assert_eq!(json.get("sources"), None);
        for differs_between_executors in ["ticks", "events", "wall_s", "executor", "strides"] {
            assert!(!String::from_utf8_lossy(&text).contains(differs_between_executors));
        }
    }
}
