//! Replications as a table and as JSON, the latter the same as `replications.json` in the results folder.

use std::io::{self, Write};

use super::figures::{decimals, figure, fixed};
use super::replications::{
    LATENCIES, OTHERS, ReplicationSummary, ReplicationsExporter, STAGE_STATISTICS, STATISTICS, TTFAT,
};
use super::table::short;
use super::{Json, Table};
use crate::stats::{CONFIDENCE_FRAC, Interval};

impl ReplicationsExporter for Json {
    fn write_replications(&self, summary: &ReplicationSummary, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, summary)?;
        writeln!(out)
    }
}

/// At most 80 columns: a line a figure.
impl ReplicationsExporter for Table {
    fn write_replications(&self, summary: &ReplicationSummary, out: &mut dyn Write) -> io::Result<()> {
        let count = summary.runs.len();
        writeln!(out, "{}: {count} replications\n", summary.scenario)?;
        let verdicts = summary.verdicts();
        let verdicts: Vec<String> = verdicts
            .iter()
            .map(|(verdict, runs)| format!("{runs} {}", verdict.to_uppercase().replace('_', " ")))
            .collect();
        writeln!(out, "Verdict       {}", verdicts.join(", "))?;

        let percent = format!("± {:.0}%", CONFIDENCE_FRAC * 100.0);
        let head = |name: &str| format!("\n{name:<22}{:>13}{percent:>13}{:>13}{:>13}", "mean", "min", "max");
        writeln!(out, "{}", head("Latency"))?;
        for (latency, label) in LATENCIES {
            let Some(p99) = summary.figure(&format!("{latency}.p99_ms")) else {
                if latency != TTFAT {
                    writeln!(out, "  {label:<20}{:>13}", "none")?;
                }
                continue;
            };
            // One unit a latency, by its 99th percentile.
            let (unit, per_ms) = if p99.mean >= 10_000.0 { ("s", 1e-3) } else { ("ms", 1.0) };
            for (statistic, name) in STATISTICS {
                let path = format!("{latency}.{statistic}");
                line(out, &format!("{label:<9}{unit:<3}{name}"), summary.figure(&path), per_ms, count)?;
            }
        }
        let mut source = None;
        for stage in &summary.stages {
            if source.replace(&stage.source) != Some(&stage.source) {
                let of = stage.source.as_ref().map(|source| format!(" of {}", short(source, 9)));
                writeln!(out, "{}", head(&format!("Stages{} (ms)", of.unwrap_or_default())))?;
            }
            writeln!(out, "  {}", short(&stage.stage, 77))?;
            for (statistic, name) in STAGE_STATISTICS {
                let path = stage.path(statistic);
                line(out, &format!("  {name}"), summary.figure(&path), 1.0, count)?;
            }
        }
        writeln!(out, "{}", head("Other figures"))?;
        for (path, label, unit) in OTHERS {
            let figure = summary.figure(path);
            // Objectives that were not set and prices that are not known are no news.
            if figure.is_some() {
                line(out, label, figure, unit, count)?;
            }
        }
        writeln!(out)?;
        if summary.all_equal() {
            writeln!(out, "Chance        nothing in this scenario is random: one run tells as much")?;
        }
        for source in &summary.latency_sources {
            for (at, line) in source.split("; ").enumerate() {
                writeln!(out, "{:<14}{line}", if at == 0 { "Step times" } else { "" })?;
            }
        }
        let seed = summary.runs.first().map_or(0, |(seed, _)| *seed);
        writeln!(out, "Seed          {seed}, and {} derived from it", count.saturating_sub(1))
    }
}

/// A figure `of` so many replications, in units of which there are `scale` in its own.
fn line(
    out: &mut dyn Write,
    label: &str,
    figure_of: Option<Interval>,
    scale: f64,
    of: usize,
) -> io::Result<()> {
    let Some(interval) = figure_of else { return writeln!(out, "  {label:<20}{:>13}", "none") };
    let Interval { mean, min, max, replications, .. } = interval;
    // Cents matter when there are few of them.
    let digits = match mean * scale {
        0.0 => 0,
        few if few < 0.1 => 5,
        many => decimals(many),
    };
    let number = |value: f64| fixed(value * scale, digits);
    let half = interval.half_width().map_or_else(|| "-".to_owned(), |half| half_width(half * scale, digits));
    write!(out, "  {label:<20}{:>13}{half:>13}{:>13}{:>13}", number(mean), number(min), number(max))?;
    if replications as usize == of { writeln!(out) } else { writeln!(out, "\n    in {replications} of {of}") }
}

/// As many decimals as the mean has, or four digits if that would leave nothing.
fn half_width(half: f64, digits: usize) -> String {
    let text = fixed(half, digits);
    if half > 0.0 && text.bytes().all(|byte| !(b'1'..=b'9').contains(&byte)) { figure(half) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::replications::tests::{of_stages, three};

    fn table() -> String {
        let mut text = Vec::new();
        Table.write_replications(&three(), &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_line_a_figure_in_80_columns() {
        let text = table();
        for line in text.lines() {
            assert!(line.chars().count() <= 80 && line == line.trim_end(), "{line}");
        }
        let lines: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        for expected in [
            "quickstart: 3 replications",
            "Verdict 2 STABLE, 1 TOO SHORT",
            "Latency mean ± 95% min max",
            "TTFT ms p99 901.0 0.0 901.0 901.0",
            "TPOT ms p50 24.50 0.00 24.50 24.50",
            "in 2 of 3",
            "E2E s p90 11.50 0.00 11.50 11.50",
            "requests/s 8.862 2.484 7.862 9.862",
            "SLO met % 94.10 0.00 94.10 94.10",
            "preemptions 0 0 0 0",
            "Seed 42, and 2 derived from it",
        ] {
            assert!(lines.iter().any(|line| line == expected), "{expected}\n{text}");
        }
        assert!(!text.contains("$/M tokens in all") && !text.contains("Chance"), "{text}");
    }

    #[test]
    fn stages_have_lines_of_their_own() {
        let mut text = Vec::new();
        Table.write_replications(&of_stages(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= 80 && line == line.trim_end()), "{text}");
        let words: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let at = words.iter().position(|line| line == "Stages (ms) mean ± 95% min max").unwrap();
        assert_eq!(
            words[at + 1..at + 6],
            [
                "Rag",
                "waiting 1.250 0.000 1.250 1.250",
                "mean 13.50 2.48 12.50 14.50",
                "p50 120.0 0.0 120.0 120.0",
                "p99 310.5 0.0 310.5 310.5",
            ]
        );
        assert!(words.iter().any(|line| line == "TTFAT s p50 2.600 0.000 2.600 2.600"), "{text}");
    }

    #[test]
    fn narrow_intervals_do_not_read_as_none() {
        assert_eq!([0.0, 0.0123, 4.0].map(|half| half_width(half, 1)), ["0.0", "0.012", "4.0"]);
    }
}
