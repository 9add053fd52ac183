//! The report for people: at most 80 columns, grouped, readable without colour.
//!
//! First whether to believe it (did the deployment keep up, did every request come out), then latency,
//! throughput and objectives, then what bound it and what it cost, last how exact the numbers are.

mod parts;

use std::fmt::Write as _;
use std::io::{self, Write};

pub(super) use self::parts::short;
use self::parts::{groups, sources};
use super::figures::{decimals, figure, fixed, percent, thousands, usd};
use super::page::Page;
use super::stages::stages;
use super::{Exporter, ReplicationsExporter, Report};
use crate::metrics::{
    Attainment, BoundBy, Cost, PrefixCacheHits, RequestCounts, Stability, Summary, TokenCounts, Verdict,
};
use crate::request::Rejection;
use crate::stats::{SKETCH_ERROR_FRAC, Statistics};
use crate::workload::SessionCounts;

/// Aligned text.
#[derive(Clone, Copy, Debug)]
pub struct Table;

const WIDTH: usize = 80;
/// Columns of the names on the left.
const LABEL: usize = 14;

impl Exporter for Table {
    fn name(&self) -> &'static str {
        "table"
    }

    fn write(&self, report: Report<'_>, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(render(report).as_bytes())
    }

    fn for_replications(&self) -> Option<&dyn ReplicationsExporter> {
        Some(self)
    }
}

fn render(Report { summary, provenance }: Report<'_>) -> String {
    let mut page = Page::new(WIDTH, LABEL);
    page.line(&summary.scenario);
    page.gap();
    page.row(0, "Verdict", &verdict(summary));
    requests(&mut page, summary);
    page.gap();
    latencies(&mut page, summary);
    stages(&mut page, summary);
    page.gap();
    throughput(&mut page, summary);
    if let Some(slo) = &summary.slo {
        objectives(&mut page, slo);
    }
    page.gap();
    hardware(&mut page, summary);
    cost(&mut page, &summary.cost);
    if !summary.sources.is_empty() {
        page.gap();
        sources(&mut page, &summary.sources);
    }
    if !summary.client_groups.is_empty() {
        page.gap();
        groups(&mut page, &summary.client_groups);
    }
    page.gap();
    page.row(0, "Exactness", &exactness(summary));
    for source in &provenance.latency_sources {
        for (at, line) in source.split("; ").enumerate() {
            page.row(0, if at == 0 { "Step times" } else { "" }, line);
        }
    }
    page.row(0, "Seed", &provenance.seed.to_string());
    page.into_text()
}

fn verdict(summary: &Summary) -> String {
    let stability = &summary.stability;
    let mut verdict = judged(summary);
    if !stability.nothing_completed_of.is_empty() {
        let of = stability.nothing_completed_of.join("`, `");
        write!(verdict, "; but NOTHING COMPLETED of `{of}`").expect("a string takes any text");
    }
    verdict
}

fn judged(summary: &Summary) -> String {
    let stability = &summary.stability;
    match stability.verdict {
        Verdict::Stable => "STABLE: requests do not pile up".to_owned(),
        Verdict::Overloaded => format!(
            "OVERLOADED: requests in flight grow by {} a second, so latencies only tell how long the run was",
            figure(stability.in_flight_growth_per_s.unwrap_or_default())
        ),
        Verdict::ClosedLoop => "CLOSED LOOP: arrivals wait for completions".to_owned(),
        Verdict::Offline => "OFFLINE: everything arrived at once".to_owned(),
        Verdict::TooShort => format!(
            "TOO SHORT to tell whether requests pile up, so latencies may not be those of a steady state; {}",
            longer(stability)
        ),
        Verdict::NothingCompleted => format!("NOTHING COMPLETED: {}", why_nothing(&summary.requests)),
    }
}

/// How long a run would show whether requests pile up, to two digits.
fn longer(stability: &Stability) -> String {
    let Some(enough) = stability.enough_requests else { return "run more requests".to_owned() };
    let two_digits = 10_u64.pow(enough.max(1).ilog10().saturating_sub(1));
    let enough = enough.div_ceil(two_digits) * two_digits;
    match stability.offered_per_s {
        Some(per_s) if per_s > 0.0 => {
            format!("try {} requests, {} s of them", thousands(enough), figure(enough as f64 / per_s))
        }
        _ => format!("try {} requests", thousands(enough)),
    }
}

/// What became of most requests when none completed.
fn why_nothing(requests: &RequestCounts) -> String {
    let RequestCounts { arrived, rejected, in_flight, .. } = requests;
    if *rejected > 0 && rejected >= in_flight {
        format!("{} of {} requests were turned away", thousands(*rejected), thousands(*arrived))
    } else {
        "the clock stopped before any request was done".to_owned()
    }
}

/// What a request that is turned away for this reason has too much or too little of, and what would help.
const fn remedy(reason: Rejection) -> &'static str {
    match reason {
        Rejection::ContextLength => "prompt and answer exceed max_model_len, the model's context by default",
        Rejection::KvCapacity => "prompt and answer exceed the KV cache; more or larger GPUs hold more",
        Rejection::PromptTooLong => "the prompt does not fit into one step; see max_num_batched_tokens",
        Rejection::EmptyPrompt => "there is no prompt",
        Rejection::EmptyOutput => "no token is to be generated",
    }
}

fn requests(page: &mut Page, summary: &Summary) {
    let RequestCounts { arrived, completed, rejected, in_flight, .. } = summary.requests;
    page.row(
        0,
        "Requests",
        &format!(
            "{} arrived = {} completed + {} rejected + {} in flight",
            thousands(arrived),
            thousands(completed),
            thousands(rejected),
            thousands(in_flight)
        ),
    );
    if rejected > 0 {
        for (at, (name, count)) in summary.requests.rejected_by_reason.iter().enumerate() {
            let reason = Rejection::ALL.into_iter().find(|reason| reason.name() == *name);
            let why = reason.map_or(String::new(), |reason| format!(": {}", remedy(reason)));
            let label = if at == 0 { "rejected" } else { "" };
            page.row(1, label, &format!("{} {name}{why}", thousands(*count)));
        }
    }
    if let Some(sessions) = &summary.sessions {
        page.row(1, "sessions", &conversations(sessions));
    }
    let stability = &summary.stability;
    if let (Some(offered), Some(completed)) = (stability.offered_per_s, stability.completed_in_window_per_s) {
        page.row(
            1,
            "load",
            &format!(
                "{}/s offered for {} s, {}/s completed meanwhile",
                figure(offered),
                figure(stability.arrival_window_s),
                figure(completed)
            ),
        );
    }
    let mut in_flight = format!(
        "{} on average, {} at most",
        figure(summary.requests.mean_in_flight),
        thousands(summary.requests.peak_in_flight)
    );
    if let Some(at_last) = stability.in_flight_at_last_arrival {
        write!(in_flight, ", {} at the last arrival", thousands(at_last)).expect("a string takes any text");
    }
    page.row(1, "in flight", &in_flight);
}

/// How many conversations there were, and why some are shorter than drawn.
fn conversations(
    SessionCounts { begun, cut_at_context, ended_by_rejection, unsent_turns }: &SessionCounts,
) -> String {
    let mut text = format!("{} begun", thousands(*begun));
    let mut more = |count: &u64, what: &str| {
        if *count > 0 {
            write!(text, ", {} {what}", thousands(*count)).expect("a string takes any text");
        }
    };
    more(cut_at_context, "cut short by the context");
    more(ended_by_rejection, "ended by a rejection");
    more(unsent_turns, "turns never sent");
    text
}

fn latencies(page: &mut Page, summary: &Summary) {
    page.line(&format!(
        "{:<LABEL$}{:>11}{:>11}{:>11}{:>11}{:>11}{:>11}",
        "Latency", "mean", "std", "p50", "p90", "p99", "max"
    ));
    for (label, statistics) in [
        ("TTFT", &summary.latency.ttft),
        ("TTFAT", &summary.latency.ttfat),
        ("TPOT", &summary.latency.tpot),
        ("ITL", &summary.itl),
        ("E2E", &summary.latency.e2e),
        ("queueing", &summary.latency.queueing),
    ] {
        let Some(s) = statistics else {
            if label == "TTFAT" {
                continue; // nothing reasons
            }
            page.line(&format!("  {label:<12}{:>11}", "none"));
            continue;
        };
        let (unit, per_ms) = scale(s);
        let decimals = decimals(s.p50_ms * per_ms);
        let mut line = format!("  {label:<9} {unit:<2}");
        for ms in [s.mean_ms, s.std_ms, s.p50_ms, s.p90_ms, s.p99_ms, s.max_ms] {
            write!(line, "{:>11}", fixed(ms * per_ms, decimals)).expect("a string takes any text");
        }
        page.line(&line);
    }
}

/// One unit a row, by its 99th percentile.
fn scale(statistics: &Statistics) -> (&'static str, f64) {
    if statistics.p99_ms >= 10_000.0 { ("s", 1e-3) } else { ("ms", 1.0) }
}

fn throughput(page: &mut Page, summary: &Summary) {
    let throughput = &summary.throughput;
    page.row(
        0,
        "Throughput",
        &format!(
            "{} requests/s, {} output tokens/s, {} tokens/s in all",
            figure(throughput.requests_per_s),
            figure(throughput.output_tokens_per_s),
            figure(throughput.total_tokens_per_s)
        ),
    );
    let TokenCounts { prompt_tokens, output_tokens, read_tokens, generated_tokens } = summary.tokens;
    let mut over = format!(
        "{} s, {} prompt and {} output tokens",
        figure(summary.duration_s),
        thousands(prompt_tokens),
        thousands(output_tokens)
    );
    if (read_tokens, generated_tokens) != (prompt_tokens, output_tokens) {
        let (read, generated) = (thousands(read_tokens), thousands(generated_tokens));
        write!(over, ", {read} read and {generated} generated in all").expect("a string takes any text");
    }
    page.row(1, "over", &over);
}

fn objectives(page: &mut Page, slo: &Attainment) {
    page.row(
        0,
        "SLO",
        &format!(
            "{} of requests meet it, goodput {} requests/s",
            percent(slo.attainment_frac),
            figure(slo.request_goodput_per_s)
        ),
    );
    for (label, target_ms, met) in [
        ("TTFT", slo.ttft_target_ms, slo.ttft_met_frac),
        ("TPOT", slo.tpot_target_ms, slo.tpot_met_frac),
        ("E2E", slo.e2e_target_ms, slo.e2e_met_frac),
    ] {
        if let (Some(target_ms), Some(met)) = (target_ms, met) {
            page.row(1, label, &format!("{} within {} ms", percent(met), figure(target_ms)));
        }
    }
}

fn hardware(page: &mut Page, summary: &Summary) {
    let used = &summary.utilisation;
    page.row(
        0,
        "Hardware",
        &format!(
            "{} in {}, busy {} of the time",
            counted(used.accelerators, "accelerator"),
            counted(used.clients, "client"),
            percent(used.accelerator_busy_frac)
        ),
    );
    let shares = &summary.bottleneck.time_in_steps_bound_by_frac;
    let mut by = [
        ("compute", shares.compute),
        ("memory", shares.memory),
        ("communication", shares.communication),
        ("host", shares.host),
    ];
    by.sort_by(|a, b| b.1.total_cmp(&a.1));
    let by: Vec<String> = by
        .iter()
        .filter(|(_, share)| *share > 0.0)
        .map(|(bound, share)| format!("{bound} {}", percent(*share)))
        .collect();
    page.row(1, "bound by", bound(summary.bottleneck.bound_by));
    if !by.is_empty() {
        page.row(1, "step time", &format!("in steps bound by {}", by.join(", ")));
    }
    page.row(
        1,
        "batch",
        &format!("{} sequences a step, {}", figure(used.mean_batch), counted(used.steps, "step")),
    );
    page.row(
        1,
        "KV cache",
        &format!(
            "{} used on average, {} at most, {}",
            percent(used.kv_mean_frac),
            percent(used.kv_peak_frac),
            counted(used.preemptions, "preemption")
        ),
    );
    if let Some(swaps) = used.kv_swaps {
        let recomputed = thousands(used.preemptions - swaps.preemptions);
        let (out, back) = (thousands(swaps.blocks_out), thousands(swaps.blocks_in));
        let swapped = thousands(swaps.preemptions);
        let mut row =
            format!("{swapped} swapped, {out} blocks to the host and {back} back, {recomputed} recomputed");
        if swaps.found_full > 0 {
            let full = thousands(swaps.found_full);
            write!(row, ", {full} of them as host_memory was full").expect("a string takes any text");
        }
        page.row(1, "preempted", &row);
    }
    if let Some(PrefixCacheHits { token_hit_frac, request_hit_frac, evicted_blocks, .. }) = used.prefix_cache
    {
        let (tokens, requests) = (percent(token_hit_frac), percent(request_hit_frac));
        let evicted = counted(evicted_blocks.unwrap_or_default(), "block");
        let row = format!("{tokens} of prompt tokens found, by {requests} of requests, {evicted} evicted");
        page.row(1, "prefixes", &row);
    }
    if let Some(swaps) = used.model_swaps {
        let share = percent(swaps.accelerator_frac);
        page.row(1, "models", &format!("{}, {share} of the time", counted(swaps.count, "swap")));
    }
}

/// `1 client`, `2 clients`.
fn counted(count: u64, what: &str) -> String {
    format!("{} {what}{}", thousands(count), if count == 1 { "" } else { "s" })
}

fn bound(by: BoundBy) -> &'static str {
    match by {
        BoundBy::Arrivals => "arrivals: clients idle most of the time",
        BoundBy::FrontEnd => "front ends: they hand on answers more slowly than engines could make them",
        BoundBy::Compute => "compute",
        BoundBy::Memory => "memory",
        BoundBy::Communication => "communication",
        BoundBy::Host => "host",
    }
}

fn cost(page: &mut Page, cost: &Cost) {
    let (Some(hour), Some(total)) = (cost.usd_per_hour, cost.usd_total) else {
        page.row(0, "Cost", &format!("unknown: {}", cost.unknown_because.as_deref().unwrap_or("no price")));
        return;
    };
    page.row(0, "Cost", &format!("{} an hour, {} for the run", usd(hour), usd(total)));
    if let (Some(output), Some(all)) = (cost.usd_per_million_output_tokens, cost.usd_per_million_total_tokens)
    {
        page.row(1, "per million", &format!("{} output tokens, {} tokens in all", usd(output), usd(all)));
    }
}

fn exactness(summary: &Summary) -> String {
    let within = format!("within {:.2}%", SKETCH_ERROR_FRAC * 100.0);
    if summary.latency.e2e.as_ref().is_none_or(|e2e| e2e.exact) {
        format!("means exact; percentiles of requests exact, of ITL {within}")
    } else {
        format!("means exact; percentiles {within} (over a million requests)")
    }
}

#[cfg(test)]
mod tests;
