//! `mist trace`: draws, describes, exports and converts traces.

use std::env;
use std::io;
use std::path::Path;

use ron::extensions::Extensions;
use serde::de::DeserializeOwned;

use super::failure::Failure;
use super::options::{Class, Recorded, ScenarioOptions, Trace};
use super::place::{MadeFolder, is_one_name};
use super::sink::{Drafts, Sink};
use super::terminal;
use crate::output::figures::thousands;
use crate::scenario::{Problem, SloSpec, WorkloadSpec};
use crate::simulation::{Simulation, Traffic};
use crate::workload::trace::{Input, Options, TraceReader, read};
use crate::workload::{Source, SourceError, trace_tools};

/// Does what is asked.
pub(super) fn trace(what: Trace, simulation: Simulation) -> Result<(), Failure> {
    match what {
        Trace::Gen { class: said, seed, output } => {
            generate(class(&said)?, seed, output.as_deref(), &simulation)
        }
        Trace::Inspect { trace, json } => inspect(&trace, json),
        Trace::Export { scenario, output } => export(&scenario, output.as_deref(), simulation),
        Trace::Convert { trace, output } => {
            let mut reader = open(&trace)?;
            one(output.as_deref(), |out| trace_tools::convert(reader.as_mut(), out))
        }
    }
}

/// A class of traffic with nobody to serve it.
fn class(said: &Class) -> Result<WorkloadSpec, Failure> {
    let Class { arrivals, lengths, prefix, sessions, requests } = said;
    let mut problems = Vec::new();
    let arrivals = parsed("arrivals", Some(arrivals), "Poisson(rate: per_s(8))", &mut problems);
    let lengths = parsed("lengths", Some(lengths), "AzureConv", &mut problems);
    let prefix = parsed("prefix", prefix.as_ref(), "[System(tokens: 2000)]", &mut problems);
    let example = "(turns: Geometric(mean: 4), think: Exponential(mean: s(20)))";
    let sessions = parsed("sessions", sessions.as_ref(), example, &mut problems);
    let class = WorkloadSpec {
        name: String::new(),
        model: None,
        priority: 0,
        pipeline: Vec::new(),
        requests: Some(*requests),
        trace: None,
        arrivals,
        lengths,
        prefix: prefix.unwrap_or_default(),
        sessions,
        slo: SloSpec::default(),
    };
    if problems.is_empty() { Ok(class) } else { Err(Failure::Values(problems)) }
}

/// What an option says, if it is there; what is wrong with it goes to `problems`.
fn parsed<T: DeserializeOwned>(
    field: &str,
    text: Option<&String>,
    example: &str,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let options = ron::Options::default().with_default_extension(Extensions::IMPLICIT_SOME);
    let wrong = |error: &ron::error::SpannedError| {
        let problem = Problem::new(field, format!("this names nothing: {error}"));
        problem.help(format!("such as `{example}`"))
    };
    options.from_str(text?).map_err(|error| problems.push(wrong(&error))).ok()
}

fn generate(
    class: WorkloadSpec,
    seed: u64,
    output: Option<&Path>,
    simulation: &Simulation,
) -> Result<(), Failure> {
    let here = env::current_dir().unwrap_or_default();
    let mut source = simulation.source(class, seed, &here).map_err(Failure::Values)?;
    if source.is_closed() {
        return Err(Failure::Values(vec![closed("arrivals")]));
    }
    one(output, |out| trace_tools::export(&mut source, None, out))
}

fn inspect(trace: &Recorded, json: bool) -> Result<(), Failure> {
    let stats = trace_tools::inspect(open(trace)?.as_mut())?;
    if !json {
        return terminal::print(stats.to_string().as_bytes());
    }
    let text = serde_json::to_string_pretty(&stats)
        .map_err(|error| Failure::Broken(format!("cannot write the description: {error}")))?;
    terminal::print((text + "\n").as_bytes())
}

fn export(scenario: &ScenarioOptions, folder: Option<&Path>, simulation: Simulation) -> Result<(), Failure> {
    let mut traffic = scenario.apply(simulation).traffic(&scenario.file)?;
    let problems = exportable(&mut traffic, folder.is_some());
    if !problems.is_empty() {
        return Err(Failure::Scenario(traffic.refuse(problems)));
    }
    let until = traffic.until();
    let Some(folder) = folder else {
        return one(None, |out| trace_tools::export(&mut traffic.sources()[0], until, out));
    };
    let drafts = Drafts::watch()?;
    // Declared first, so that it goes last.
    let _made = drafts.make(|| {
        let made = MadeFolder::make(folder)?;
        let path = made.is_some().then(|| folder.to_owned());
        Ok::<_, Failure>((made, path))
    })?;
    let names: Vec<String> = traffic.scenario().workload.iter().map(|class| class.name.clone()).collect();
    let mut written = Vec::new();
    for (name, source) in names.iter().zip(traffic.sources()) {
        let file = folder.join(format!("{name}.jsonl"));
        let mut sink = Sink::open(Some(&file), &drafts)?;
        let requests = sink.fill(|out| trace_tools::export(source, until, out))?;
        written.push((sink, file, requests));
    }
    for (sink, file, requests) in written {
        sink.keep()?;
        say(&file, requests);
    }
    Ok(())
}

/// Why the requests of the scenario cannot be written where they should be.
fn exportable(traffic: &mut Traffic, to_folder: bool) -> Vec<Problem> {
    let closed_loops: Vec<bool> = traffic.sources().iter().map(Source::is_closed).collect();
    let classes = &traffic.scenario().workload;
    let mut problems = Vec::new();
    if !to_folder && classes.len() > 1 {
        let message = format!("{} classes of traffic make as many traces", classes.len());
        problems.push(Problem::new("workload", message).help("say with `-o DIR` in which folder"));
    }
    for (at, (class, is_closed)) in classes.iter().zip(closed_loops).enumerate() {
        if is_closed {
            problems.push(closed(&format!("workload[{at}].arrivals")));
        }
        if to_folder && !is_one_name(&class.name) {
            let message = format!("`{}` cannot be the name of a file", class.name);
            problems.push(Problem::new(format!("workload[{at}].name"), message).help("rename the class"));
        }
    }
    problems
}

fn closed(path: &str) -> Problem {
    Problem::new(path, trace_tools::TraceToolError::Closed.to_string())
        .help("an open process, such as `Poisson(rate: per_s(8))`, can be written down beforehand")
}

fn open(trace: &Recorded) -> Result<Box<dyn TraceReader>, SourceError> {
    let input = match &trace.file {
        Some(file) => Input::open(file)?,
        None => Input::from_reader("<stdin>", io::stdin()),
    };
    let options = Options {
        format: trace.format.as_deref(),
        block_tokens: trace.block_tokens,
        chars_per_token: trace.chars_per_token,
    };
    read(input, &options)
}

/// Writes one trace.
fn one(
    output: Option<&Path>,
    make: impl FnOnce(&mut dyn io::Write) -> Result<u64, trace_tools::TraceToolError>,
) -> Result<(), Failure> {
    let drafts = Drafts::watch()?;
    let mut sink = Sink::open(output, &drafts)?;
    let requests = sink.fill(make)?;
    sink.keep()?;
    if let Some(file) = output {
        say(file, requests);
    }
    Ok(())
}

fn say(file: &Path, requests: u64) {
    terminal::say(&format!("{} requests in {}", thousands(requests), file.display()));
}
