//! The sources of a scenario's workload, and what the recorder is to know of them.

use std::path::Path;

use bevy_ecs::world::World;

use super::deployment::Deployment;
use super::directory::Directory;
use crate::engine::Streams;
use crate::metrics::{Slo, SourceSpec};
use crate::scenario::{
    Choice, Findings, Problem, Registry, Scenario, SloSpec, TraceSpec, WorkloadSpec, did_you_mean,
};
use crate::units::Span;
use crate::workload::arrivals::{ArrivalRegistry, End, MOST_AT_ONCE};
use crate::workload::lengths::LengthRegistry;
use crate::workload::trace::FORMATS;
use crate::workload::{Asks, LAST_ARRIVAL, Replay, Shared, Source};

/// A class of traffic as a source without a scenario around it.
pub(super) fn alone(world: &World, class: &WorkloadSpec) -> Result<Source, Vec<Problem>> {
    source(world, class, Place { at: 0, asks: Asks::default(), horizon: false, longest: u32::MAX })
}

/// What is wrong with the classes of traffic, beside what is wrong already.
pub(super) fn check(world: &World, scenario: &Scenario, findings: &mut Findings) {
    for (at, spec) in scenario.workload.iter().enumerate() {
        let path = format!("workload[{at}]");
        let parts = ["arrivals", "lengths", "trace", "requests", "prefix", "sessions"]
            .map(|field| format!("{path}.{field}"));
        if parts.iter().all(|part| findings.is_sound(part)) {
            let horizon = scenario.horizon.is_some();
            let place = Place { at: at as u16, asks: Asks::default(), horizon, longest: u32::MAX };
            let wrong = source(world, spec, place).err().unwrap_or_default();
            findings.report_all(wrong.into_iter().map(|problem| problem.under(&path)));
        }
    }
}

/// A source for each class of traffic.
pub(super) fn make(
    world: &World,
    scenario: &Scenario,
    deployment: &Deployment,
) -> Result<(Vec<Source>, Vec<SourceSpec>), Vec<Problem>> {
    let mut problems = Vec::new();
    let (mut sources, mut specs) = (Vec::new(), Vec::new());
    let Directory { programs, asks, wordings, vocabularies, .. } = &deployment.directory;
    for (at, (spec, asks)) in scenario.workload.iter().zip(asks).enumerate() {
        let longest = programs.models().get(usize::from(asks.model)).map_or(u32::MAX, |m| m.max_model_len);
        let place = Place { at: at as u16, asks: *asks, horizon: scenario.horizon.is_some(), longest };
        match source(world, spec, place) {
            Ok(source) => {
                let source = source.worded(wordings[at].clone()).understand(vocabularies[at].clone());
                let closed_loop = source.is_closed();
                let name = spec.name.clone();
                let stages = programs.program(asks.program).labels().to_vec();
                specs.push(SourceSpec { name, slo: targets(&spec.slo), closed_loop, stages });
                sources.push(source);
            }
            Err(wrong) => problems.extend(wrong.into_iter().map(|p| p.under(&format!("workload[{at}]")))),
        }
    }
    if problems.is_empty() { Ok((sources, specs)) } else { Err(problems) }
}

/// Where a source stands among the others.
#[derive(Clone, Copy)]
struct Place {
    at: u16,
    asks: Asks,
    /// Whether the scenario stops the clock.
    horizon: bool,
    /// Most tokens of prompt and answer that the clients of its model take.
    longest: u32,
}

fn source(world: &World, spec: &WorkloadSpec, place: Place) -> Result<Source, Vec<Problem>> {
    let requests = spec.requests.unwrap_or(u64::MAX);
    match (&spec.trace, &spec.arrivals, &spec.lengths) {
        (Some(trace), _, _) => Ok(Source::replay(open(trace)?, place.asks, requests, place.at)),
        (None, Some(arrivals), Some(lengths)) => {
            let arrivals = resolve(world.resource::<ArrivalRegistry>(), arrivals, "arrivals");
            let lengths = resolve(world.resource::<LengthRegistry>(), lengths, "lengths");
            let (mut arrivals, lengths) = both(arrivals, lengths)?;
            // How many conversations the requests make is not known beforehand.
            let arriving = spec.requests.filter(|_| spec.sessions.is_none());
            arrivals.plan(arriving).map_err(|problem| vec![problem.under("arrivals")])?;
            if let (Some(requests), false) = (arriving, place.horizon) {
                fits_the_clock(arrivals.span_s(requests), requests).map_err(|problem| vec![problem])?;
            }
            let ends = match arrivals.end() {
                End::Itself => true,
                End::Horizon => place.horizon,
                End::Nothing => false,
            };
            if spec.requests.is_none() && !ends && !lengths.ends() {
                let help = "say how many `requests` arrive, or until which `horizon`";
                return Err(vec![Problem::new("", "this workload never ends").help(help)]);
            }
            if arrivals.end() == End::Nothing && spec.requests.is_some_and(|requests| requests > MOST_AT_ONCE)
            {
                let message =
                    format!("must be {MOST_AT_ONCE} or less where all arrive at once, found {requests}");
                return Err(vec![Problem::new("requests", message)]);
            }
            let streams = world.resource::<Streams>();
            let shared =
                Shared { prefix: &spec.prefix, sessions: spec.sessions.as_ref(), longest: place.longest };
            Ok(Source::new(arrivals, lengths, shared, place.asks, requests, streams, place.at))
        }
        // The check of the scenario has said what is missing.
        (None, _, _) => Err(vec![Problem::new("", "arrivals and lengths, or a trace, are missing")]),
    }
}

/// Whether so many requests, which take that long to arrive, do so on the clock.
fn fits_the_clock(span_s: f64, requests: u64) -> Result<(), Problem> {
    const YEAR_S: f64 = 365.25 * 86_400.0;
    if span_s <= LAST_ARRIVAL.as_secs_f64() {
        return Ok(());
    }
    let years = span_s / YEAR_S;
    let message = format!("{requests} requests take {years:.0} years to arrive; the clock holds 292");
    let help = "let them come faster, let fewer of them come, or say at which `horizon` to stop";
    Err(Problem::new("arrivals", message).help(help))
}

fn open(trace: &TraceSpec) -> Result<Replay, Vec<Problem>> {
    let known = || FORMATS.iter().map(|format| format.name);
    if let Some(format) = trace.format.as_ref().filter(|format| known().all(|name| name != **format)) {
        let problem = Problem::new("trace.format", format!("unknown trace format `{format}`"));
        return Err(vec![problem.help(did_you_mean(format, known()))]);
    }
    let replay = Replay::open(trace, Path::new("")).and_then(Replay::timed);
    replay.map_err(|message| {
        let blamed = |field: &&str| message.split(": ").take(2).any(|part| part == *field);
        let field = ["speedup", "block_tokens", "chars_per_token"].into_iter().find(blamed);
        let said = field.and_then(|field| message.split_once(&format!("{field}: ")));
        let message = said.map_or(message.as_str(), |(_, message)| message);
        vec![Problem::new(format!("trace.{}", field.unwrap_or("path")), message)]
    })
}

fn resolve<B: Send + Sync + 'static>(
    registry: &Registry<B>,
    choice: &Choice,
    field: &str,
) -> Result<B, Problem> {
    registry.resolve(choice).map(|resolved| resolved.built).map_err(|error| error.into_problem(field))
}

/// Both, or everything that is wrong with either.
fn both<A, B>(a: Result<A, Problem>, b: Result<B, Problem>) -> Result<(A, B), Vec<Problem>> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (a, b) => Err(a.err().into_iter().chain(b.err()).collect()),
    }
}

fn targets(slo: &SloSpec) -> Slo {
    Slo { ttft: slo.ttft.map(Span::to_sim), tpot: slo.tpot.map(Span::to_sim), e2e: slo.e2e.map(Span::to_sim) }
}
