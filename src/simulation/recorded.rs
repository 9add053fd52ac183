//! What the rows of a trace ask for, looked up before the run.

use std::collections::BTreeMap;

use crate::request::pipeline::{self, Directory, Program, StageRegistry};
use crate::scenario::{Choice, Problem, StageChoice, WorkloadSpec};
use crate::workload::trace::{Input, Options, StageRecord, native, read};
use crate::workload::{SourceError, Vocabulary};

/// What the rows of a class may ask for.
#[derive(Default)]
pub(super) struct Recorded {
    /// In their words; programs are numbered from 0.
    pub vocabulary: Vocabulary,
    /// The pipelines they name, each once.
    pub programs: Vec<Program>,
    /// Whether some of their models take one visit and others two.
    pub mixed: bool,
}

/// Most pipelines that the rows of one trace may name.
const MOST: usize = 10_000;

/// Reads through the trace of a class, if it has one, and compiles every pipeline that its rows name.
/// `served` are the models, and whether prefill and decode have clients of their own.
pub(super) fn look_through(
    class: &WorkloadSpec,
    directory: &dyn Directory,
    served: &[(String, bool)],
    registry: &StageRegistry,
) -> Result<Recorded, Problem> {
    let models: Vec<String> = served.iter().map(|(name, _)| name.clone()).collect();
    let vocabulary = Vocabulary { models, pipelines: BTreeMap::new() };
    let mut recorded = Recorded { vocabulary, ..Recorded::default() };
    let Some(trace) = &class.trace else { return Ok(recorded) };
    let format = trace.format.as_deref();
    // Of a pipe, a look would take away what the run is to read. What cannot be opened is the run's to say.
    if format.is_some_and(|format| format != native::NAME) || !trace.path.is_file() {
        return Ok(recorded);
    }
    let options = Options { format: Some(native::NAME), ..Options::default() };
    let look = || Input::open(&trace.path);
    let is_native = look().and_then(|mut input| input.first_line());
    let Ok(Some(true)) = is_native.map(|line| line.map(|line| native::is_header(&line))) else {
        return Ok(recorded);
    };
    let Ok(header) = look().and_then(|input| read(input, &options)).map(|reader| reader.header()) else {
        return Ok(recorded);
    };
    let mut split = class.model.as_ref().and_then(|model| served.iter().find(|(name, _)| name == model));
    let mut each = |model: &str, pipeline: &[StageRecord]| {
        if !header.foreign_models && !model.is_empty() {
            let model = &served[usize::from(recorded.vocabulary.model(model)?)];
            recorded.mixed |= split.is_some_and(|before| before.1 != model.1);
            split = Some(model);
        }
        let pipelines = &mut recorded.vocabulary.pipelines;
        if !pipeline.is_empty() && !pipelines.contains_key(pipeline) {
            if pipelines.len() == MOST {
                return Err(format!("more than {MOST} different pipelines"));
            }
            pipelines.insert(pipeline.to_vec(), recorded.programs.len() as u16);
            recorded.programs.push(compile(pipeline, directory, registry)?);
        }
        Ok(())
    };
    let wrong = |error: SourceError| Problem::new("trace", error.to_string());
    look().and_then(|input| native::asked(input, &mut each)).map_err(wrong)?;
    Ok(recorded)
}

fn compile(
    pipeline: &[StageRecord],
    directory: &dyn Directory,
    registry: &StageRegistry,
) -> Result<Program, String> {
    let mut choices = Vec::new();
    for (at, StageRecord { stage, params }) in pipeline.iter().enumerate() {
        let choice = registry.read_json(stage, params);
        choices.push(StageChoice(
            choice.map_err(|error| said(&error.within(&format!("[{at}].params")).into_problem("")))?,
        ));
    }
    let steps = pipeline::build(&choices, registry).map_err(|error| said(&error.into_problem("")))?;
    pipeline::compile(&steps, directory)
        .map_err(|problems| problems.iter().map(said).collect::<Vec<_>>().join("; "))
}

/// A problem of a pipeline, in one line.
fn said(Problem { path, message, help, .. }: &Problem) -> String {
    let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
    let help = help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
    format!("field `pipeline{dot}{path}`: {message}{help}")
}

/// A pipeline as rows of traces name it; nothing for prefill and decode, which is what they do otherwise.
pub(super) fn write(pipeline: &[StageChoice], registry: &StageRegistry) -> Vec<StageRecord> {
    let usual = [Choice::named("Prefill"), Choice::named("Decode")];
    let filled = |choice: &Choice| registry.resolve(choice).map(|resolved| resolved.choice).ok();
    if pipeline.iter().map(|stage| filled(&stage.0)).eq(usual.iter().map(filled)) {
        return Vec::new();
    }
    let record = |StageChoice(choice): &StageChoice| {
        // What is deployed has been built from its choices, so they can be written.
        let params = registry.write_json(choice).ok().filter(|params| params.starts_with('{'));
        StageRecord { stage: choice.name.clone(), params: params.unwrap_or_else(|| "{}".to_owned()) }
    };
    pipeline.iter().map(record).collect()
}
