//! A pipeline as built from its choices: a tree of steps, before it is compiled.

use std::sync::Arc;

use super::language::{
    BestOf, Branch, ChooseModel, Classify, Decode, Exit, Parallel, Prefill, Reason, Repeat, Score, ToolCall,
    TreeSearch,
};
use super::when::When;
use crate::engine::SimBuilder;
use crate::request::StageKind;
use crate::scenario::{ChoiceError, Registry, StageChoice};
use crate::scenario::{Count, Duration, Tokens};

/// The stages a pipeline may name, and what composes them.
pub type StageRegistry = Registry<Step>;

/// A part of a pipeline.
#[derive(Clone)]
pub enum Step {
    /// A visit to a client.
    Stage(Arc<dyn StageKind>),
    /// A prefill, by a model of its own or the request's.
    Prefill(Option<String>),
    /// Reasoning tokens.
    Reason(Tokens),
    /// Answer tokens.
    Decode(Tokens),
    /// One prefill of another model over the text.
    Pass {
        /// That model.
        model: String,
        /// Whether it gives a score.
        scores: bool,
    },
    /// A wait outside the deployment.
    Wait {
        /// How long.
        takes: Duration,
        /// Tokens that its result adds.
        adds: Tokens,
    },
    /// Branches at the same time.
    Parallel(Vec<Vec<Named>>),
    /// Rounds.
    Repeat {
        /// One round.
        run: Vec<Named>,
        /// At most as many.
        times: Option<Count>,
        /// Until this holds.
        until: Option<When>,
    },
    /// The first case that holds.
    Branch {
        /// The cases.
        cases: Vec<(When, Vec<Named>)>,
        /// If none holds.
        otherwise: Vec<Named>,
    },
    /// Rounds of equal branches, of which the best survive.
    Search {
        /// Branches.
        width: u32,
        /// Survivors of a round.
        keep: u32,
        /// Rounds.
        rounds: u32,
        /// One step of one branch.
        run: Vec<Named>,
    },
    /// Another model for the request.
    ChooseModel {
        /// The cases.
        cases: Vec<(When, String)>,
        /// If none holds.
        otherwise: Option<String>,
    },
    /// The end.
    Exit,
}

/// A step with its name and its place in the scenario.
#[derive(Clone)]
pub struct Named {
    /// The name a pipeline gives it, such as `Rag`.
    pub name: String,
    /// Where it stands, counted from what holds it, such as `branches[0][1]`.
    pub path: String,
    /// What it is.
    pub step: Step,
}

impl Step {
    /// A stage that a client runs.
    pub fn stage(stage: impl StageKind) -> Self {
        Self::Stage(Arc::new(stage))
    }
}

type Built = Result<Step, ChoiceError>;

fn fault(path: impl Into<String>, fault: Option<String>) -> Result<(), ChoiceError> {
    fault.map_or(Ok(()), |message| Err(ChoiceError::new(path, message)))
}

fn within(path: &str, found: usize, least: usize, most: usize) -> Result<(), ChoiceError> {
    let message = || format!("must be {least} to {most}, found {found}");
    fault(path, (!(least..=most).contains(&found)).then(message))
}

/// Builds stages that stand in the list at `path`, and puts their defaults back into it.
fn build_all(
    choices: &mut [StageChoice],
    path: &str,
    registry: &StageRegistry,
) -> Result<Vec<Named>, ChoiceError> {
    let build = |(at, choice): (usize, &mut StageChoice)| {
        let path = format!("{path}[{at}]");
        let resolved = registry.resolve(&choice.0).map_err(|error| error.within(&path))?;
        choice.0 = resolved.choice;
        Ok(Named { name: choice.0.name.clone(), path, step: resolved.built })
    };
    choices.iter_mut().enumerate().map(build).collect()
}

/// Builds the stages of a whole pipeline.
///
/// # Errors
/// The first that cannot be built.
pub fn build(choices: &[StageChoice], registry: &StageRegistry) -> Result<Vec<Named>, ChoiceError> {
    build_all(&mut choices.to_vec(), "", registry)
}

/// Builds stages that must not be none.
fn build_some(
    choices: &mut [StageChoice],
    path: &str,
    registry: &StageRegistry,
) -> Result<Vec<Named>, ChoiceError> {
    fault(path, choices.is_empty().then(|| "at least one stage is needed, found none".to_owned()))?;
    build_all(choices, path, registry)
}

fn parallel(parallel: &mut Parallel, registry: &StageRegistry) -> Built {
    within("branches", parallel.branches.len(), 2, 1024)?;
    let branch = |(at, branch): (usize, &mut Vec<StageChoice>)| {
        build_some(branch, &format!("branches[{at}]"), registry)
    };
    parallel.branches.iter_mut().enumerate().map(branch).collect::<Result<_, _>>().map(Step::Parallel)
}

fn repeat(repeat: &mut Repeat, registry: &StageRegistry) -> Built {
    let never =
        (repeat.times == Some(Count::Exactly(0))).then(|| "0 times is never: leave it out".to_owned());
    fault("times", repeat.times.and_then(Count::fault).or(never))?;
    fault("until", repeat.until.and_then(When::fault))?;
    let run = build_some(&mut repeat.run, "run", registry)?;
    Ok(Step::Repeat { run, times: repeat.times, until: repeat.until })
}

/// What is wrong with the conditions of the cases of one branch.
fn check_cases(cases: impl ExactSizeIterator<Item = When>) -> Result<(), ChoiceError> {
    fault("cases", (cases.len() == 0).then(|| "at least one case is needed, found none".to_owned()))?;
    let mut chances = 0.0;
    for (at, when) in cases.enumerate() {
        fault(format!("cases[{at}].when"), when.fault())?;
        chances += when.chance();
        let sum = (chances * 1e9).round() / 1e9;
        let too_much = (chances > 1.0 + 1e-9)
            .then(|| format!("the chances add up to {sum}: at most 1 in all, the rest is for `otherwise`"));
        fault(format!("cases[{at}].when"), too_much)?;
    }
    Ok(())
}

fn branch(branch: &mut Branch, registry: &StageRegistry) -> Built {
    check_cases(branch.cases.iter().map(|case| case.when))?;
    let case = |(at, case): (usize, &mut super::language::Case)| {
        Ok((case.when, build_all(&mut case.run, &format!("cases[{at}].run"), registry)?))
    };
    let cases = branch.cases.iter_mut().enumerate().map(case).collect::<Result<_, _>>()?;
    Ok(Step::Branch { cases, otherwise: build_all(&mut branch.otherwise, "otherwise", registry)? })
}

fn best_of(best_of: &mut BestOf, registry: &StageRegistry) -> Built {
    within("n", best_of.n as usize, 2, 1024)?;
    let run = build_some(&mut best_of.run, "run", registry)?;
    Ok(Step::Search { width: best_of.n, keep: 1, rounds: 1, run })
}

fn tree_search(search: &mut TreeSearch, registry: &StageRegistry) -> Built {
    within("width", search.width as usize, 2, 1024)?;
    within("keep", search.keep as usize, 1, search.width as usize)?;
    within("rounds", search.rounds as usize, 1, 10_000)?;
    if search.rounds == 1 && search.keep > 1 {
        let message = format!("has no effect in one round, whose best goes on alone, found {}", search.keep);
        let help = "leave it out, or allow more `rounds`".to_owned();
        return Err(ChoiceError { help: Some(help), ..ChoiceError::new("keep", message) });
    }
    let run = build_some(&mut search.run, "run", registry)?;
    Ok(Step::Search { width: search.width, keep: search.keep, rounds: search.rounds, run })
}

fn choose_model(choose: &mut ChooseModel) -> Built {
    check_cases(choose.cases.iter().map(|case| case.when))?;
    let cases = choose.cases.iter().map(|case| (case.when, case.model.clone())).collect();
    Ok(Step::ChooseModel { cases, otherwise: choose.otherwise.clone() })
}

/// A message about the parameter `field`.
fn at(field: &str, fault: Option<String>) -> Result<(), String> {
    fault.map_or(Ok(()), |message| Err(format!("{field}: {message}")))
}

/// The built-in parts of pipelines; client rooms add the stages that their clients run.
pub fn built_in(sim: &mut SimBuilder) {
    let mut registry = sim.world().get_resource_or_insert_with(|| StageRegistry::new("pipeline stage"));
    registry
        .register("Prefill", |prefill: Prefill| Ok(Step::Prefill(prefill.model)))
        .register("Reason", |reason: Reason| {
            at("tokens", reason.tokens.fault()).map(|()| Step::Reason(reason.tokens))
        })
        .register("Decode", |decode: Decode| {
            at("tokens", decode.tokens.fault()).map(|()| Step::Decode(decode.tokens))
        })
        .register("Score", |score: Score| Ok(Step::Pass { model: score.model, scores: true }))
        .register("Classify", |classify: Classify| Ok(Step::Pass { model: classify.model, scores: false }))
        .register("ToolCall", |call: ToolCall| {
            at("takes", call.takes.fault())?;
            at("adds", call.adds.fault())?;
            Ok(Step::Wait { takes: call.takes, adds: call.adds })
        })
        .register("Exit", |_: Exit| Ok(Step::Exit))
        .register_nested("Parallel", parallel)
        .register_nested("Repeat", repeat)
        .register_nested("Branch", branch)
        .register_nested("BestOf", best_of)
        .register_nested("TreeSearch", tree_search)
        .register_nested("ChooseModel", |choose: &mut ChooseModel, _| choose_model(choose));
}
