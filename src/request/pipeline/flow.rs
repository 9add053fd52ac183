//! What can be told of the way through a list of steps, without a deployment: where KV is wanted, whether
//! it ends, takes time, gives a score.

use super::step::{Named, Step};
use crate::scenario::{Count, Tokens};

/// How many of the first `steps` are made in one visit: a prefill, reasoning, an answer.
pub(super) fn one_visit(steps: &[Named]) -> usize {
    let is = |at: usize, what: fn(&Step) -> bool| {
        usize::from(steps.get(at).is_some_and(|named| what(&named.step)))
    };
    let prefill = is(0, |step| matches!(step, Step::Prefill(_)));
    let reason = is(prefill, |step| matches!(step, Step::Reason(_)));
    let answer = is(prefill + reason, |step| matches!(step, Step::Decode(_)));
    (prefill + reason + answer).max(1)
}

/// Whether `steps`, with what follows wanting KV or not, go on with KV from before.
pub(super) fn wants(steps: &[Named], after: bool) -> bool {
    let Some(first) = steps.first() else { return after };
    let later = || wants(&steps[1..], after);
    match &first.step {
        Step::Prefill(_) | Step::Exit => false,
        Step::Reason(_) | Step::Decode(_) => true,
        Step::Parallel(branches) => branches.iter().any(|branch| wants(branch, false)) || later(),
        Step::Search { run, .. } => wants(run, false) || later(),
        Step::Repeat { run, times, .. } => {
            let skipped = times.is_some_and(Count::may_be_none);
            wants(run, false) || (skipped || passes(run)) && later()
        }
        Step::Branch { cases, otherwise } => {
            let later = later();
            cases.iter().any(|(_, run)| wants(run, later)) || wants(otherwise, later)
        }
        Step::Stage(_) | Step::Pass { .. } | Step::Wait { .. } | Step::ChooseModel { .. } => later(),
    }
}

/// Whether KV from before outlives `steps`.
fn passes(steps: &[Named]) -> bool {
    wants(steps, true)
}

/// Whether some way through a step ends the request.
pub(super) fn exits(named: &Named) -> bool {
    match &named.step {
        Step::Exit => true,
        Step::Repeat { run, .. } => run.iter().any(exits),
        Step::Branch { cases, otherwise } => {
            let possible = cases.iter().filter(|(when, _)| !when.is_never());
            possible.flat_map(|(_, run)| run).chain(otherwise).any(exits)
        }
        _ => false,
    }
}

/// Whether every way through `steps` ends the request.
pub(super) fn leaves(steps: &[Named]) -> bool {
    steps.last().is_some_and(|last| match &last.step {
        Step::Exit => true,
        Step::Branch { cases, otherwise } => cases.iter().all(|(_, run)| leaves(run)) && leaves(otherwise),
        _ => false,
    })
}

/// Whether every way through a step takes time, or ends the request.
pub(super) fn always_takes_time(named: &Named) -> bool {
    let list = |steps: &[Named]| steps.iter().any(always_takes_time);
    match &named.step {
        Step::ChooseModel { .. } => false,
        Step::Stage(_) | Step::Pass { .. } | Step::Prefill(_) | Step::Exit => true,
        Step::Reason(tokens) | Step::Decode(tokens) => {
            // The first token may be there already.
            matches!(tokens, Tokens::Exactly(least) | Tokens::Uniform { from: least, .. } if *least > 1)
        }
        Step::Wait { takes, .. } => takes.is_something(),
        Step::Parallel(branches) => branches.iter().any(|branch| list(branch)),
        Step::Search { run, .. } => list(run),
        Step::Repeat { run, times, .. } => !times.is_some_and(Count::may_be_none) && list(run),
        Step::Branch { cases, otherwise } => cases.iter().all(|(_, run)| list(run)) && list(otherwise),
    }
}

/// Whether a step takes time, at least some.
pub(super) fn takes_time(named: &Named) -> bool {
    match &named.step {
        Step::Exit | Step::ChooseModel { .. } => false,
        Step::Wait { takes, .. } => !takes.is_nothing(),
        Step::Repeat { run, .. } => run.iter().any(takes_time),
        Step::Branch { cases, otherwise } => {
            cases.iter().flat_map(|(_, run)| run).chain(otherwise).any(takes_time)
        }
        _ => true,
    }
}

/// Whether a step may change the number of tokens.
pub(super) fn changes_text(named: &Named) -> bool {
    match &named.step {
        Step::Stage(_) | Step::Prefill(_) | Step::Reason(_) | Step::Decode(_) => true,
        Step::Wait { adds, .. } => *adds != Tokens::Exactly(0),
        Step::Pass { .. } | Step::ChooseModel { .. } | Step::Exit => false,
        Step::Parallel(branches) => branches.iter().flatten().any(changes_text),
        Step::Repeat { run, .. } | Step::Search { run, .. } => run.iter().any(changes_text),
        Step::Branch { cases, otherwise } => {
            cases.iter().flat_map(|(_, run)| run).chain(otherwise).any(changes_text)
        }
    }
}

/// Whether a step prefills, perhaps.
pub(super) fn prefills(named: &Named) -> bool {
    any(named, |step| matches!(step, Step::Prefill(_)))
}

/// Whether a step may take the model that the request asks for.
pub(super) fn asks(named: &Named) -> bool {
    any(named, |step| matches!(step, Step::Prefill(None) | Step::Stage(_)))
}

/// Whether a step may leave an answer.
pub(super) fn answers(named: &Named) -> bool {
    any(named, |step| match step {
        Step::Reason(_) | Step::Decode(_) => true,
        Step::Stage(stage) => stage.answers(),
        _ => false,
    })
}

/// Whether `is` holds for a step or one inside it.
fn any(named: &Named, is: fn(&Step) -> bool) -> bool {
    let inside = |steps: &[Named]| steps.iter().any(|named| any(named, is));
    match &named.step {
        Step::Parallel(branches) => branches.iter().any(|branch| inside(branch)),
        Step::Repeat { run, .. } | Step::Search { run, .. } => inside(run),
        Step::Branch { cases, otherwise } => cases.iter().any(|(_, run)| inside(run)) || inside(otherwise),
        step => is(step),
    }
}

/// Whether a step gives a score.
pub(super) fn scores(named: &Named) -> bool {
    match &named.step {
        Step::Pass { scores, .. } => *scores,
        Step::Stage(stage) => stage.scores(),
        Step::Parallel(branches) => branches.iter().flatten().any(scores),
        Step::Repeat { run, .. } | Step::Search { run, .. } => run.iter().any(scores),
        Step::Branch { cases, otherwise } => {
            cases.iter().flat_map(|(_, run)| run).chain(otherwise).any(scores)
        }
        _ => false,
    }
}
