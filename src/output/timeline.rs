//! A few requests, stage by stage: a row a stage, and a chart of who had whom when.
//!
//! Where a request branches, the branch stands behind its stage in the table: `Decode [1]`, `Decode [1.0]` for the
//! first branch inside the second. In the chart each client has a line for each request that visits it. A letter stands
//! for a stage being worked on, a dot for waiting; what is shorter than a column has one all the same.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::figures::{figure, fixed};
use super::table::short;
use crate::metrics::StageRecord;
use crate::units::SimTime;

/// Writes `stages.csv`: one row a stage of a request; times are nanoseconds since the start. `branch` is that of
/// [`StageRecord`].
///
/// # Errors
/// When `out` cannot be written to.
pub fn write_stages(rows: &[StageRecord], out: impl Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record([
        "request",
        "source",
        "stage",
        "client",
        "routed_ns",
        "started_ns",
        "done_ns",
        "branch",
    ])?;
    for StageRecord { request, source, stage, branch, client, routed, started, done } in rows {
        csv.serialize((request, source, stage, client, routed, started, done, branch))?;
    }
    csv.flush()
}

/// Columns of the names beside the chart, and of the chart.
const NAMES: usize = 24;
const CHART: usize = 56;

/// The text, at most 80 columns; `clients` in the order of the chart.
pub fn timeline(rows: &[StageRecord], clients: &[String]) -> String {
    let Some(from) = rows.iter().map(|row| row.routed).min() else {
        return "Timeline      no stage was over\n".to_owned();
    };
    let until = rows.iter().map(|row| row.done).max().unwrap_or(from);
    let mut text = table(rows);
    let letters = letters(rows);
    let (start, end) = (format!("{} ms", figure(ms(from))), format!("{} ms", figure(ms(until))));
    let width = CHART - start.chars().count();
    let _ = writeln!(text, "\n{:<NAMES$}{start}{end:>width$}", "Client, request");
    let scale = Scale { from, span_ns: until.since(from).as_ns().max(1) };
    let mut names: Vec<&str> = clients.iter().map(String::as_str).collect();
    names.push("");
    for name in names {
        let at: Vec<&StageRecord> = rows.iter().filter(|row| row.client == name).collect();
        let mut shown = None;
        for lane in at.chunk_by(|one, next| one.request == next.request) {
            let label = if shown.replace(name) == Some(name) { "" } else { outside(name) };
            let request = lane[0].request.to_string();
            let width = NAMES - 3 - request.len();
            let line = scale.line(lane, &letters);
            let _ = writeln!(text, "  {:<width$}{request} {line}", short(label, width - 1));
        }
    }
    let legend: Vec<String> = letters.iter().map(|(stage, letter)| format!("{letter} {stage}")).collect();
    let _ = writeln!(text, "\n{}, · waiting", legend.join(", "));
    text
}

fn table(rows: &[StageRecord]) -> String {
    let mut text = format!(
        "{:<9}{:<22}{:<16}{:>11}{:>11}{:>11}\n",
        "Request", "stage", "client", "routed (ms)", "started", "done"
    );
    let long = rows.iter().any(|row| ms(row.done) >= 1e5);
    let decimals = if long { 0 } else { 2 };
    let mut last = None;
    for row in rows {
        let request = if last.replace(row.request) == Some(row.request) {
            String::new()
        } else {
            row.request.to_string()
        };
        let [routed, started, done] = [row.routed, row.started, row.done].map(|at| fixed(ms(at), decimals));
        let branch = if row.branch.is_empty() { String::new() } else { format!(" [{}]", row.branch) };
        let room = 21_usize.saturating_sub(branch.chars().count()).max(1);
        let (stage, client) =
            (format!("{}{branch}", short(&row.stage, room)), short(outside(&row.client), 15));
        let _ = writeln!(text, "{request:>7}  {stage:<22}{client:<16}{routed:>11}{started:>11}{done:>11}");
    }
    text
}

fn ms(at: SimTime) -> f64 {
    at.as_ns() as f64 / 1e6
}

/// What waits for nobody here.
fn outside(client: &str) -> &str {
    if client.is_empty() { "(outside)" } else { client }
}

/// A letter for each stage, in their order: of its name, and its own as long as there are such.
fn letters(rows: &[StageRecord]) -> Vec<(&str, char)> {
    let mut letters: Vec<(&str, char)> = Vec::new();
    for row in rows {
        if letters.iter().any(|(stage, _)| *stage == row.stage) {
            continue;
        }
        let initial = row.stage.chars().next().unwrap_or('?');
        let more = row.stage.chars().skip(1).filter(|letter| letter.is_alphanumeric());
        let own = [initial.to_ascii_uppercase(), initial.to_ascii_lowercase()].into_iter().chain(more);
        let free = own.chain('A'..='Z').find(|letter| letters.iter().all(|(_, taken)| taken != letter));
        letters.push((&row.stage, free.unwrap_or('#')));
    }
    letters
}

/// The columns of the chart.
struct Scale {
    from: SimTime,
    span_ns: u64,
}

impl Scale {
    fn column(&self, at: SimTime) -> usize {
        let columns = u128::from(at.since(self.from).as_ns()) * CHART as u128 / u128::from(self.span_ns);
        (columns as usize).min(CHART - 1)
    }

    /// One request at one client.
    fn line(&self, lane: &[&StageRecord], letters: &[(&str, char)]) -> String {
        let mut line = [' '; CHART];
        let mut fill = |from: SimTime, until: SimTime, with: char| {
            let from = self.column(from);
            // The last column belongs to what ends there.
            let until =
                if until.since(self.from).as_ns() >= self.span_ns { CHART } else { self.column(until) };
            line[from..until.max(from + 1)].fill(with);
        };
        for row in lane.iter().filter(|row| row.started > row.routed) {
            fill(row.routed, row.started, '·');
        }
        // The shortest last, so that it is seen.
        let mut lane = lane.to_vec();
        lane.sort_by_key(|row| std::cmp::Reverse(row.done.since(row.started)));
        for row in lane {
            let letter = letters.iter().find(|(stage, _)| *stage == row.stage).map_or('#', |found| found.1);
            fill(row.started, row.done, letter);
        }
        line.iter().collect::<String>().trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(request: u64, stage: &str, client: &str, [routed, started, done]: [u64; 3]) -> StageRecord {
        let [routed, started, done] = [routed, started, done].map(|ms| SimTime::from_ns(ms * 1_000_000));
        let source = "news".to_owned();
        let (stage, branch) = stage.split_once('/').unwrap_or((stage, ""));
        let [stage, branch, client] = [stage, branch, client].map(String::from);
        StageRecord { request, source, stage, branch, client, routed, started, done }
    }

    fn rows() -> Vec<StageRecord> {
        vec![
            row(0, "Prepare", "cpu[0]", [100, 100, 150]),
            row(0, "Prefill", "gpu[0]", [150, 150, 155]),
            row(0, "Decode", "gpu[0]", [155, 155, 660]),
            row(1, "Prepare", "cpu[0]", [100, 150, 200]),
            row(1, "ToolCall/1.0", "", [200, 200, 400]),
            row(1, "Postprocess", "a client of a long name[0]", [400, 600, 660]),
        ]
    }

    #[test]
    fn who_had_whom_when() {
        let clients = ["cpu[0]", "gpu[0]", "gpu[1]", "a client of a long name[0]"].map(String::from);
        let text = timeline(&rows(), &clients);
        assert_eq!(text, include_str!("timeline.txt"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80 && line == line.trim_end()));
        assert_eq!(timeline(&[], &clients), "Timeline      no stage was over\n");
    }

    #[test]
    fn a_row_a_stage() {
        let mut text = Vec::new();
        write_stages(&rows()[3..5], &mut text).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "request,source,stage,client,routed_ns,started_ns,done_ns,branch\n\
             1,news,Prepare,cpu[0],100000000,150000000,200000000,\n\
             1,news,ToolCall,,200000000,200000000,400000000,1.0\n"
        );
    }

    #[test]
    fn a_request_that_takes_no_time_and_many_stages_have_their_place() {
        let many: Vec<StageRecord> = (0..80).map(|at| row(at, &format!("S{at}"), "c", [7, 7, 7])).collect();
        let text = timeline(&many, &["c".to_owned()]);
        assert!(text.contains("79 #"), "{text}");
    }
}
