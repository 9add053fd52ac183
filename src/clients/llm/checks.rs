//! What is wrong with the settings of an LLM client, wherever it runs.

use std::ops::RangeInclusive;

use super::{LlmSpec, Preemption, refusals};
use crate::catalog::Model;
use crate::clients::Role;
use crate::memory::prefix::PrefixCaching;
use crate::scenario::Problem;

impl LlmSpec {
    /// What is wrong with serving several models, or none but one.
    pub(super) fn wrong_with_sharing(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (at, name) in self.models().enumerate().skip(1) {
            if self.models().take(at).any(|before| before == name) {
                problems.push(Problem::new(place(at), format!("`{name}` is named twice")));
            }
        }
        if self.lends && self.role == Role::Both {
            let message = "has no effect: the client prefills and decodes anyway";
            problems.push(Problem::new("lends", message).help("leave it out, or give the client a `role`"));
        }
        if self.prefix_caching != PrefixCaching::Off && self.role == Role::Decode {
            let message =
                "has no effect with `role: Decode`: KV that comes from elsewhere is not kept for others";
            let help = "leave it out; clients of `role: Prefill` and `Both` keep prefixes";
            problems.push(Problem::new("prefix_caching", message).help(help));
        }
        if self.prefill_max_requests.is_some() && self.role == Role::Decode && !self.lends {
            let message = "has no effect with `role: Decode`: its prompts are computed elsewhere";
            problems.push(Problem::new("prefill_max_requests", message).help("leave it out"));
        }
        if self.front_end.is_some() && !self.also.is_empty() {
            let message = "is not known with several models: one process would stream the answers of all";
            problems.push(Problem::new("front_end", message).help("leave it out, or serve one model"));
        }
        if self.front_end.is_some() && self.lends {
            let message = "is not known with `lends: true`: KV of guests would wait for it";
            problems.push(Problem::new("front_end", message).help("leave out one of the two"));
        }
        if self.front_end.is_some() && self.role == Role::Prefill {
            let message =
                "has no effect with `role: Prefill`: answers are streamed from where they are decoded";
            problems.push(Problem::new("front_end", message).help("give it to the clients that decode"));
        }
        if self.num_reserved_decode_tokens > 0 {
            let path = "num_reserved_decode_tokens";
            if self.role == Role::Prefill && !self.lends {
                let message = "has no effect with `role: Prefill`: no KV comes here";
                problems.push(Problem::new(path, message).help("leave it out; clients that decode have it"));
            } else if !self.also.is_empty() {
                let message = "has no effect: KV comes to a client of several models whatever room there is";
                problems.push(Problem::new(path, message).help("leave it out, or serve one model"));
            }
        }
        for (path, span) in [("swap", self.swap), ("stay", self.stay)] {
            if span.is_some() && self.also.is_empty() {
                let message = "has no effect: the client serves one model";
                let help = "leave it out, or name more models in `also`";
                problems.push(Problem::new(path, message).help(help));
            }
        }
        problems
    }

    /// What is wrong with the settings for the `at`-th model; what is wrong for all is said of the first.
    pub(super) fn wrong_with_one(&self, at: usize, model: &Model) -> Vec<Problem> {
        let of_model = |problem: &Problem| at == 0 || ["model", "max_model_len"].contains(&&*problem.path);
        let wrong = self.wrong_with(model).into_iter().filter(of_model);
        wrong.map(|problem| blame(at, problem)).collect()
    }

    /// What is wrong with the settings for `model`, wherever it runs.
    fn wrong_with(&self, model: &Model) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !model.is_moe() {
            if self.data_parallel > 1 {
                let message = format!("data_parallel shares routed experts, and {} has none", model.name);
                problems.push(Problem::new("data_parallel", message).help("use as many clients instead"));
            }
            if self.expert_parallel {
                let message = format!("{} has no routed experts", model.name);
                problems.push(Problem::new("expert_parallel", message).help("leave it out"));
            }
        }
        let share = self.gpu_memory_utilization;
        if !(share > 0.0 && share <= 1.0) {
            let path = "gpu_memory_utilization";
            problems.push(Problem::new(path, format!("{path} must be above 0 and at most 1, found {share}")));
        }
        let mut whole = |path: &str, value: u32, range: RangeInclusive<u32>| {
            if !range.contains(&value) {
                let message = format!("{path} must be {} to {}, found {value}", range.start(), range.end());
                problems.push(Problem::new(path, message));
            }
        };
        whole("block_size", self.block_size, 1..=1024);
        whole("pipeline_parallel", self.pipeline_parallel, 1..=model.layers);
        whole("data_parallel", self.data_parallel, 1..=4096);
        whole("tensor_parallel", self.tensor_parallel.unwrap_or(1), 1..=4096);
        whole("max_num_seqs", self.max_num_seqs, 1..=1_000_000);
        whole("max_model_len", self.max_model_len.unwrap_or(model.max_context), 2..=model.max_context);
        if !(1..=1 << 40).contains(&self.num_gpu_blocks.unwrap_or(1)) {
            let path = "num_gpu_blocks";
            let found = self.num_gpu_blocks.unwrap_or_default();
            problems.push(Problem::new(path, format!("{path} must be 1 to {}, found {found}", 1_u64 << 40)));
        }
        if self.preemption != Preemption::Recompute && self.prefix_caching != PrefixCaching::Off {
            let message = "swapping and prefix caching do not go together here";
            let help = "leave out `preemption`, as vLLM V1 and SGLang do, or say `prefix_caching: Off`";
            problems.push(Problem::new("preemption", message).help(help));
        }
        problems.extend(refusals::generates_no_text(model));
        problems.extend(refusals::keeps_no_kv(self.kv_cache));
        problems.extend(refusals::multiplies_narrower(self.weights, self.activations));
        problems
    }
}

/// The setting that names the `at`-th model.
pub(super) fn place(at: usize) -> String {
    at.checked_sub(1).map_or_else(|| "model".to_owned(), |at| format!("also[{at}]"))
}

/// A problem of the `at`-th model at the setting that names it.
pub(super) fn blame(at: usize, problem: Problem) -> Problem {
    if problem.path == "model" { Problem { path: place(at), ..problem } } else { problem }
}
