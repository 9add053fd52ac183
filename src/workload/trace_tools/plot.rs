//! The description of a trace as text, at most 80 columns wide.

use std::fmt::{self, Display, Formatter};

use super::{Bar, Summary, TraceStats};

impl Display for TraceStats {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let item = |f: &mut Formatter<'_>, name: &str, value: String| writeln!(f, "{name:<24}{value}");
        item(f, "requests", self.requests.to_string())?;
        for (name, count) in
            [("failed", self.failed), ("following others", self.following), ("images", self.total_images)]
        {
            if count > 0 {
                item(f, name, count.to_string())?;
            }
        }
        item(f, "prompt tokens", self.total_prompt_tokens.to_string())?;
        item(f, "output tokens", self.total_output_tokens.to_string())?;
        if let (Some(span_s), Some(mean), Some(peak)) =
            (self.span_s, self.mean_rate_per_s, self.peak_rate_per_s)
        {
            item(f, "span", format!("{span_s:.1} s"))?;
            item(f, "arrivals", format!("{mean:.3} requests/s in the mean, {peak:.0} in one second"))?;
        }
        if let Some(burstiness) = self.burstiness {
            item(f, "CV of gaps", format!("{:.2}", burstiness.gap_cv))?;
            let windows = [
                ("1 s", burstiness.dispersion_1s),
                ("10 s", burstiness.dispersion_10s),
                ("60 s", burstiness.dispersion_60s),
            ];
            let known = windows.iter().filter_map(|(name, value)| Some(format!("{:.2} ({name})", (*value)?)));
            let known = known.collect::<Vec<_>>().join(", ");
            if !known.is_empty() {
                item(f, "index of dispersion", known)?;
            }
        }
        if let Some(prefix) = self.prefix {
            let of = format!("of prompt tokens, {:.1} % of blocks", prefix.block_hit_ratio * 100.0);
            item(f, "prefix-hit ceiling", format!("{:.1} % {of}", prefix.token_hit_ratio * 100.0))?;
            let blocks = format!(
                "{} of {} tokens, {} unique",
                prefix.blocks, prefix.block_tokens, prefix.unique_blocks
            );
            item(f, "blocks", blocks)?;
        }
        if let Some(sessions) = &self.sessions {
            item(f, "sessions", sessions.sessions.to_string())?;
        }
        most(f, "models", &self.models)?;
        most(f, "kinds", &self.kinds)?;
        let mut label = "left out of a replay";
        for names in self.left_out_of_replay.chunks(3) {
            item(f, std::mem::take(&mut label), names.join(", "))?;
        }
        self.summaries(f)?;
        bars(f, "prompt tokens", &self.prompt_histogram, 0)?;
        bars(f, "output tokens", &self.output_histogram, 0)?;
        let decimals = if self.span_s.is_some_and(|span_s| span_s < 100.0) { 2 } else { 0 };
        bars(f, "arrivals over time (s)", &self.arrivals_over_time, decimals)
    }
}

impl TraceStats {
    fn summaries(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{:<20}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
            "", "mean", "P50", "P90", "P95", "P99", "max"
        )?;
        let session = self.sessions.as_ref();
        let rows: [(&str, Option<Summary>); 4] = [
            ("prompt tokens", self.prompt_tokens),
            ("output tokens", self.output_tokens),
            ("turns a session", session.map(|session| session.turns)),
            ("turn to turn (s)", session.and_then(|session| session.gap_s)),
        ];
        for (name, summary) in rows {
            let Some(Summary { mean, p50, p90, p95, p99, max, .. }) = summary else { continue };
            write!(f, "{name:<20}")?;
            for value in [mean, p50, p90, p95, p99, max] {
                // Room for 4294967295, at most one more digit than that of any length.
                let text = if value < 1e7 { format!("{value:.1}") } else { format!("{value:.2e}") };
                write!(f, "{text:>10}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// The most frequent names.
fn most(f: &mut Formatter<'_>, what: &str, counts: &[(String, u64)]) -> fmt::Result {
    const SHOWN: usize = 6;
    for (index, (name, count)) in counts.iter().take(SHOWN).enumerate() {
        let what = if index == 0 { what } else { "" };
        // Names come from a file: nothing that moves a terminal's cursor, and no more than fits.
        let name: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
        writeln!(f, "{what:<24}{count:>9}  {name}")?;
    }
    match counts.len().checked_sub(SHOWN) {
        Some(more @ 1..) => writeln!(f, "{:<24}{:>9}  more", "", more),
        _ => Ok(()),
    }
}

/// A bar for each class, the longest 40 columns.
fn bars(f: &mut Formatter<'_>, title: &str, bars: &[Bar], decimals: usize) -> fmt::Result {
    const COLUMNS: f64 = 40.0;
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let Some(longest) = bars.iter().map(|bar| bar.requests).max().filter(|longest| *longest > 0) else {
        return Ok(());
    };
    writeln!(f, "\n{title}")?;
    for Bar { from, requests, .. } in bars {
        let eighths = (*requests as f64 / longest as f64 * COLUMNS * 8.0 + 0.5) as usize;
        let bar = "█".repeat(eighths / 8) + EIGHTHS[eighths % 8];
        writeln!(f, "{:>14} {bar} {requests}", format!("{from:.decimals$}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::workload::trace::{Input, Options, read};
    use crate::workload::trace_tools::inspect;

    #[test]
    fn a_description_fits_80_columns() {
        let row = |at: u64, tokens: u32| {
            format!(
                "{{\"arrival_ns\":{at},\"prompt_tokens\":{tokens},\"output_tokens\":9,\"images\":1,\
                \"model\":\"{}\\u001b[31m\",\"session\":\"s\",\"blocks\":[[0,{tokens}]]}}\n",
                "long".repeat(40)
            )
        };
        let mut text = "{\"mist_trace\":1,\"block_tokens\":16}\n".to_owned();
        for index in 0..40 {
            text += &row(index * 4_611_686_018_427_387, 1 << (index % 32));
        }
        text += &row(u64::MAX, u32::MAX);
        let input = Input::from_reader("t", std::io::Cursor::new(text));
        let stats = inspect(read(input, &Options::default()).unwrap().as_mut()).unwrap();
        let text = stats.to_string();
        for line in text.lines() {
            assert!(line.chars().count() <= 80 && !line.contains('\u{1b}'), "{line}");
        }
        assert!(text.contains("prefix-hit ceiling") && text.contains('█'), "{text}");
        assert!(serde_json::to_string(&stats).unwrap().contains("\"token_hit_ratio\""));
    }
}
