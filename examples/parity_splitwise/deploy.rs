//! The scenario of a run: with the reference's policies, or with MIST's own.

use std::fmt::Write;
use std::path::Path;

use crate::case::Case;
use crate::reference::{Knots, Rule};

/// Whose policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policies {
    /// The reference's, quirks included.
    Reference,
    /// MIST's.
    Own,
}

impl Case {
    /// The scenario in RON; `knots` are of those that prefill and of those that decode, `catalog` is a folder,
    /// `trace` a file in MIST's format, `expected` how long answers are thought to be.
    pub fn scenario(
        &self,
        policies: Policies,
        knots: &[Knots; 2],
        (catalog, trace): (&Path, &Path),
        expected: u32,
    ) -> String {
        let [prefills, decodes] = self.instances;
        let all = prefills + decodes;
        let mut text = format!(
            "(mist: 1, name: {:?}, catalog: {:?},\n platforms: [(name: \"dgx\", count: {all}, nodes: \
             [(name: \"gpu\", hardware: \"B300-SXM\", count: {})], usd_per_hour: 1)],\n clients: [\n",
            self.name,
            catalog.display().to_string(),
            self.tensor_parallel,
        );
        for at in 0..all {
            let client = self.client(policies, at, &knots[usize::from(at >= prefills)], expected);
            let _ = writeln!(text, "  {client},");
        }
        let gb = self.bandwidth / 1e9;
        let pools = if decodes == 0 {
            String::new()
        } else {
            format!(", kv_transfer: (bandwidth: gb_per_s({gb:?})), decode_choice: AtArrival")
        };
        let routing = match (policies, self.rule) {
            (Policies::Reference, _) => "Reference".to_owned(),
            (_, Rule::RoundRobin) => "RoundRobin".to_owned(),
            (_, Rule::Jsq) => "LeastOutstanding".to_owned(),
            (_, Rule::TokenJsq) => "TokenJsq".to_owned(),
            (_, Rule::MixedPool) => {
                format!("MixedPool(max_pending_tokens: 8192, expected_output_tokens: {expected})")
            }
        };
        let _ = write!(
            text,
            " ],\n coordinator: (routing: {routing}{pools}),\n workload: [(name: \"trace\", model: {:?}, trace: \
             (path: {:?}))],\n)",
            self.model,
            trace.display().to_string(),
        );
        text
    }

    fn client(&self, policies: Policies, at: usize, knots: &Knots, expected: u32) -> String {
        let [prefills, decodes] = self.instances;
        let role = match (decodes, at < prefills) {
            (0, _) => "",
            (_, true) => ", role: Prefill",
            (_, false) => ", role: Decode",
        };
        let lends = if decodes > 0 && self.rule == Rule::MixedPool { ", lends: true" } else { "" };
        let tokens = self.memory().tokens();
        let limits = match policies {
            // The reference counts tokens, and what it preempts stays.
            Policies::Reference => format!(
                "batching: ReferenceInstance(instance: {at}), max_num_seqs: 2048, block_size: 1, \
                 num_gpu_blocks: {tokens}"
            ),
            Policies::Own if self.orca => format!(
                "batching: Orca(max_num_batched_tokens: 65536), max_num_seqs: 512, num_gpu_blocks: {}",
                tokens / 16
            ),
            Policies::Own => {
                // A router that looks at memory keeps it free.
                let keeps_free = role.ends_with("Decode") && lends.is_empty();
                let reserved = if keeps_free { expected } else { 0 };
                format!(
                    "batching: Mixed(max_num_batched_tokens: 2048), max_num_seqs: 512, num_gpu_blocks: {}, \
                     num_reserved_decode_tokens: {reserved}",
                    tokens / 16
                )
            }
        };
        let points: Vec<String> = knots.points.iter().map(|point| format!("{point:?}")).collect();
        format!(
            "(name: \"i{at}\", cluster: Take(platform: \"dgx\", nodes: [(\"gpu\", {})]), runs: Llm(model: {:?}{role}\
             {lends}, {limits}, gpu_memory_utilization: 0.95, runtime: Knots(points: [{}])))",
            self.tensor_parallel,
            self.model,
            points.join(", "),
        )
    }
}
