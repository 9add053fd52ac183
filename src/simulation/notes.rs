//! What a scenario names and a run leaves out.

use crate::scenario::{Problem, Scenario, TraceSpec};
use crate::workload::SourceError;
use crate::workload::trace::{Input, Options, TraceRow, read};
use crate::workload::trace_tools::LeftOut;

/// Requests of a trace that are looked at.
const LOOK: usize = 1_000;

/// What whoever reads the results should know of a scenario whose paths are absolute; no faults.
pub fn notes(scenario: &Scenario) -> Vec<Problem> {
    let traces = scenario.workload.iter().enumerate();
    let traces = traces.filter_map(|(at, class)| Some((at, class.trace.as_ref()?)));
    let note = |(at, trace)| {
        // What cannot be read is the run's to say.
        let left_out = left_out(trace).unwrap_or_default().names();
        let message = format!(
            "a replay takes arrivals and lengths; it leaves out what else this trace records: {}",
            left_out.join(", ")
        );
        (!left_out.is_empty()).then(|| Problem::new(format!("workload[{at}].trace"), message))
    };
    traces.filter_map(note).collect()
}

fn left_out(trace: &TraceSpec) -> Result<LeftOut, SourceError> {
    let mut left_out = LeftOut::default();
    // Of a pipe, a look would take away what the run is to read.
    if !trace.path.is_file() {
        return Ok(left_out);
    }
    let options = Options {
        format: trace.format.as_deref(),
        block_tokens: trace.block_tokens,
        chars_per_token: trace.chars_per_token,
    };
    let mut reader = read(Input::open(&trace.path)?, &options)?;
    let mut row = TraceRow::default();
    for _ in 0..LOOK {
        if !reader.next_into(&mut row)? {
            break;
        }
        left_out.add(&row);
    }
    Ok(left_out)
}
