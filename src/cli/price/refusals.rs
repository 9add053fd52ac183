//! What is not priced, though it could be: what `mist run` refuses, and what comes to nothing.

use std::sync::Arc;

use super::plain_setting;
use crate::cli::failure::Failure;
use crate::clients::llm::refusals::{
    generates_no_text, keeps_no_kv, multiplies_in_16_bit, multiplies_narrower, offloads_too_much,
    shares_no_experts,
};
use crate::clients::llm::sizing::{Limits, sizing};
use crate::runtime::{StepModel, Target};
use crate::scenario::Problem;

/// Refuses what no LLM client does.
pub(super) fn wrong_with(target: &Target<'_>) -> Result<(), Failure> {
    let mut problems = Vec::new();
    if let Some(problem) = generates_no_text(target.model) {
        problems.push(problem.help("steps are priced of decoder models, and of reward models that score"));
    }
    problems.extend(keeps_no_kv(target.kv_cache).map(|problem| of_option("--kv-cache", problem)));
    let narrower = multiplies_narrower(target.weights, target.activations);
    problems.extend(narrower.map(|problem| of_option("--activations", problem)));
    if target.expert_parallel && target.model.is_moe() {
        let problem = shares_no_experts(target.tensor_parallel * target.data_parallel);
        let help = "leave it out; `--tp` × `--dp` accelerators share the experts of a layer";
        problems.extend(problem.map(|problem| of_option("--ep", problem).help(help)));
    }
    let plain = |problem: Problem| Problem { path: String::new(), ..problem };
    if problems.is_empty() {
        return Ok(());
    }
    Err(Failure::Values(problems.into_iter().map(plain).collect()))
}

/// A problem, said of an option.
fn of_option(option: &str, problem: Problem) -> Problem {
    Problem { message: format!("{option}: {}", problem.message), ..problem }
}

/// Why there is no price; where products in 16 bit have one, how to ask for it.
pub(super) fn refused(
    problem: Problem,
    target: &Target<'_>,
    compiled: impl Fn(&Target<'_>) -> Result<Arc<dyn StepModel>, Problem>,
) -> Failure {
    let problem = Problem { message: plain_setting(&problem.message), ..problem };
    Failure::Input(if multiplies_in_16_bit(target, |wide| compiled(wide).is_ok()) {
        let weights = target.weights;
        problem.help(format!("add `--activations bf16`: {weights} weights in memory, multiplied in 16 bit"))
    } else {
        problem
    })
}

/// Refuses to leave more weights in the host than there are.
pub(super) fn too_much_offloaded(target: &Target<'_>) -> Result<(), Failure> {
    let limits = Limits { utilization: 1.0, max_num_seqs: 1, block_size: 16, in_full: false };
    match offloads_too_much(&sizing(target, &limits)) {
        Some(problem) => Err(Failure::Input(of_option("--offload", problem))),
        None => Ok(()),
    }
}
