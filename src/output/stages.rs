//! The block of the report that says where the time went, by stage of the pipeline.
//!
//! Means are over all completed requests, so that those of all stages add up to that of E2E latency;
//! percentiles are over the requests that spent time in the stage, whose number stands beside them.

use super::figures::{figure, percent, thousands};
use super::page::Page;
use super::table::short;
use crate::metrics::{StageSummary, Summary};
use crate::stats::Statistics;

/// Where the time went, a block a source; nothing where pipelines are one visit.
pub(super) fn stages(page: &mut Page, summary: &Summary) {
    if !summary.stages.is_empty() {
        block(page, "Stages (ms)", &summary.stages);
    }
    for source in summary.sources.iter().filter(|source| !source.stages.is_empty()) {
        block(page, &format!("Stages of {} (ms)", short(&source.name, 7)), &source.stages);
    }
}

fn block(page: &mut Page, title: &str, stages: &[StageSummary]) {
    page.gap();
    page.line(&format!(
        "{:<22}{:>10}{:>10}{:>10}{:>10}{:>8}{:>10}",
        title, "waiting", "mean", "p50", "p99", "of E2E", "requests"
    ));
    for stage in stages {
        let p = |value: fn(&Statistics) -> f64| {
            stage.time.as_ref().map_or_else(|| "-".to_owned(), |time| figure(value(time)))
        };
        page.line(&format!(
            "  {:<20}{:>10}{:>10}{:>10}{:>10}{:>8}{:>10}",
            short(&stage.name, 19),
            figure(stage.mean_waiting_ms),
            figure(stage.mean_ms),
            p(|time| time.p50_ms),
            p(|time| time.p99_ms),
            percent(stage.e2e_frac),
            thousands(stage.requests),
        ));
    }
    let sum = |value: fn(&StageSummary) -> f64| figure(stages.iter().map(value).sum());
    page.line(&format!(
        "  {:<20}{:>10}{:>10}  the mean E2E",
        "in all",
        sum(|stage| stage.mean_waiting_ms),
        sum(|stage| stage.mean_ms)
    ));
}
