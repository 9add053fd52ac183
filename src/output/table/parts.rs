//! The parts of a deployment one by one: classes of traffic, groups of clients.

use super::bound;
use crate::metrics::{GroupSummary, SourceSummary};
use crate::output::figures::{figure, percent, thousands};
use crate::output::page::Page;
use crate::stats::Statistics;

pub(super) fn sources(page: &mut Page, sources: &[SourceSummary]) {
    page.line(&format!(
        "{:<20}{:>11}{:>11}{:>11}{:>11}{:>9}",
        "Source", "arrived", "completed", "rejected", "in flight", "SLO met"
    ));
    for source in sources {
        let counts = &source.requests;
        let met = source.slo.as_ref().map_or_else(|| "-".to_owned(), |slo| percent(slo.attainment_frac));
        page.line(&format!(
            "  {:<18}{:>11}{:>11}{:>11}{:>11}{:>9}",
            short(&source.name, 17),
            thousands(counts.arrived),
            thousands(counts.completed),
            thousands(counts.rejected),
            thousands(counts.in_flight),
            met
        ));
    }
    page.line(&format!(
        "{:<20}{:>11}{:>11}{:>11}{:>11}",
        "  (times in ms)", "TTFT p50", "TTFT p99", "TPOT p99", "E2E p99"
    ));
    for source in sources {
        let p = |statistics: &Option<Statistics>, value: fn(&Statistics) -> f64| {
            statistics.as_ref().map_or_else(|| "-".to_owned(), |s| figure(value(s)))
        };
        page.line(&format!(
            "  {:<18}{:>11}{:>11}{:>11}{:>11}",
            short(&source.name, 17),
            p(&source.latency.ttft, |s| s.p50_ms),
            p(&source.latency.ttft, |s| s.p99_ms),
            p(&source.latency.tpot, |s| s.p99_ms),
            p(&source.latency.e2e, |s| s.p99_ms),
        ));
    }
}

pub(super) fn groups(page: &mut Page, groups: &[GroupSummary]) {
    page.line(&format!(
        "{:<20}{:>9}{:>9}{:>9}{:>9}{:>9}{:>15}",
        "Clients", "count", "busy", "batch", "KV mean", "KV peak", "bound by"
    ));
    for group in groups {
        let used = &group.utilisation;
        let bound = bound(group.bottleneck.bound_by);
        page.line(&format!(
            "  {:<18}{:>9}{:>9}{:>9}{:>9}{:>9}{:>15}",
            short(&group.name, 17),
            thousands(used.clients),
            percent(used.accelerator_busy_frac),
            figure(used.mean_batch),
            percent(used.kv_mean_frac),
            percent(used.kv_peak_frac),
            bound.split(':').next().unwrap_or(bound),
        ));
    }
}

/// `name` in at most `most` characters.
pub(in crate::output) fn short(name: &str, most: usize) -> String {
    if name.chars().count() <= most {
        name.to_owned()
    } else {
        name.chars().take(most - 1).chain(['…']).collect()
    }
}
