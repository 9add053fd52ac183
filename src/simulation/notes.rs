//! What whoever reads the results of a run should know: warnings of clients, guesses about models, and what
//! of a trace plays no part.

use std::collections::BTreeSet;
use std::path::Path;

use super::deployment::Deployment;
use crate::catalog::Catalog;
use crate::scenario::{Problem, Scenario, TraceSpec, WorkloadSpec};
use crate::workload::SourceError;
use crate::workload::trace::{Input, Options, TraceRow, read};
use crate::workload::trace_tools::LeftOut;

/// Requests of a trace that are looked at.
const LOOK: usize = 1_000;

/// Where prompts share something and nobody makes use of it.
const NOT_CACHED: &str = "no client caches prefixes, so what prompts share is computed again for each of them; see \
                          `prefix_caching` of `Llm`";

/// All there is to know of a scenario whose paths are absolute; no faults.
pub(super) fn notes(scenario: &Scenario, deployment: &Deployment) -> Vec<Problem> {
    let mut notes = Vec::new();
    let mut models = BTreeSet::new();
    for (at, group) in deployment.groups.iter().enumerate() {
        let runs = format!("clients[{at}].runs");
        notes.extend(group.warnings().map(|warning| Problem::new(&runs, warning)));
        for model in group.models().into_iter().filter(|model| models.insert(model.clone())) {
            notes.extend(
                guesses(&model).into_iter().map(|guess| Problem::new(format!("{runs}.model"), guess)),
            );
        }
    }
    let cached = deployment.caches_prefixes();
    if !cached {
        let shares = |class: &&WorkloadSpec| !class.prefix.is_empty() || class.sessions.is_some();
        for (at, class) in scenario.workload.iter().enumerate().filter(|(_, class)| shares(class)) {
            let field = if class.sessions.is_some() { "sessions" } else { "prefix" };
            notes.push(Problem::new(format!("workload[{at}].{field}"), NOT_CACHED));
        }
    }
    let traces = scenario.workload.iter().enumerate();
    for (at, trace) in traces.filter_map(|(at, class)| Some((at, class.trace.as_ref()?))) {
        // What cannot be read is the run's to say.
        let said = of_trace(trace, cached).unwrap_or_default();
        notes.extend(said.into_iter().map(|note| Problem::new(format!("workload[{at}].trace"), note)));
    }
    notes
}

/// What was taken for granted about a model that has a configuration of its own.
fn guesses(model: &str) -> Vec<String> {
    // Nothing for a name: those of every catalog have their sources.
    let Ok(found) = Catalog::embedded().model_or_config(model) else { return Vec::new() };
    let file = Path::new(model).file_name().unwrap_or_default().display().to_string();
    let guesses = found.config().map(|config| config.guesses.as_slice()).unwrap_or_default();
    guesses.iter().map(|guess| format!("{file}: {guess}")).collect()
}

/// What of a trace a replay leaves out or turns away; `cached` is whether a client keeps prefixes.
fn of_trace(trace: &TraceSpec, cached: bool) -> Result<Vec<String>, SourceError> {
    let (mut looked_at, mut empty, mut shared) = (0_usize, 0_usize, false);
    // Of a pipe, a look would take away what the run is to read.
    if !trace.path.is_file() {
        return Ok(Vec::new());
    }
    let options = Options {
        format: trace.format.as_deref(),
        block_tokens: trace.block_tokens,
        chars_per_token: trace.chars_per_token,
    };
    let mut reader = read(Input::open(&trace.path)?, &options)?;
    let mut left_out = LeftOut::new(reader.header());
    let mut row = TraceRow::default();
    while looked_at < LOOK && reader.next_into(&mut row)? {
        left_out.add(&row);
        looked_at += 1;
        shared |= !row.blocks.is_empty();
        empty += usize::from(!row.failed && (row.prompt_tokens == 0 || row.output_tokens == 0));
    }
    let mut notes = Vec::new();
    let names = left_out.names();
    if !names.is_empty() {
        let names = names.join(", ");
        notes.push(format!("a replay leaves out some of what this trace records: {names}"));
    }
    if shared && !cached {
        notes.push(NOT_CACHED.to_owned());
    }
    if empty > 0 {
        notes.push(format!(
            "{empty} of its first {looked_at} requests have no prompt or no answer; a run turns them away"
        ));
    }
    Ok(notes)
}
