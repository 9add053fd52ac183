//! The accelerators of an LLM client, and how a model is put on them.

use super::LlmSpec;
use super::batching::MakeBatching;
use crate::catalog::Accelerator;
use crate::scenario::Problem;

/// The accelerators of a client.
#[derive(Clone, Copy)]
pub(super) struct Cluster<'a> {
    pub accelerator: &'a Accelerator,
    /// How many share every layer.
    pub tensor_parallel: u32,
}

impl LlmSpec {
    /// The accelerators of the cluster, all of one kind, and how many share a layer.
    pub(super) fn cluster<'a>(&self, nodes: &[&'a Accelerator]) -> Result<Cluster<'a>, Problem> {
        let mut accelerators = nodes.iter().filter(|node| node.is_accelerator());
        let Some(first) = accelerators.next() else {
            return Err(Problem::new("", "an LLM client needs an accelerator, and its cluster has none"));
        };
        let mut count = 1_u32;
        for other in accelerators {
            if other.name != first.name {
                let message = format!("the cluster mixes {} and {}", first.name, other.name);
                return Err(Problem::new("", message).help("give an LLM client accelerators of one kind"));
            }
            count += 1;
        }
        let apart = (u64::from(self.pipeline_parallel) * u64::from(self.data_parallel)).max(1);
        if let Some(tp) = self.tensor_parallel {
            let all = apart * u64::from(tp);
            if all == u64::from(count) {
                return Ok(Cluster { accelerator: first, tensor_parallel: tp });
            }
            let (what, help) = match apart {
                1 => (
                    format!("tensor_parallel is {tp}"),
                    "give each client as many accelerators as tensor_parallel says, or leave it out",
                ),
                _ => (
                    format!("{} are {all} accelerators", self.parallelism(tp).join(" × ")),
                    "give each client as many accelerators as they multiply to, or leave tensor_parallel out",
                ),
            };
            let message = format!("{what}, but the cluster has {count} × {}", first.name);
            return Err(Problem::new("tensor_parallel", message).help(help));
        }
        if !u64::from(count).is_multiple_of(apart) {
            let path = if self.pipeline_parallel == 1 { "data_parallel" } else { "pipeline_parallel" };
            let message = format!("{count} × {} do not divide by {apart}", first.name);
            let help = "give each client a multiple of pipeline_parallel × data_parallel accelerators";
            return Err(Problem::new(path, message).help(help));
        }
        Ok(Cluster { accelerator: first, tensor_parallel: (u64::from(count) / apart) as u32 })
    }

    /// The ways in which the model is split, those that do something.
    fn parallelism(&self, tensor_parallel: u32) -> Vec<String> {
        let ways = [
            ("tensor_parallel", tensor_parallel),
            ("pipeline_parallel", self.pipeline_parallel),
            ("data_parallel", self.data_parallel),
        ];
        ways.iter().filter(|(_, ranks)| *ranks > 1).map(|(way, ranks)| format!("{way} {ranks}")).collect()
    }

    /// The accelerators in words.
    pub(super) fn hardware(&self, cluster: &Cluster<'_>) -> String {
        let devices = cluster.tensor_parallel * self.pipeline_parallel * self.data_parallel;
        format!("{devices} × {}", cluster.accelerator.name)
    }

    /// How the model is split over them, if not by tensor parallelism alone.
    pub(super) fn split(&self, cluster: &Cluster<'_>) -> Option<String> {
        let mut ways = self.parallelism(cluster.tensor_parallel);
        ways.extend(self.expert_parallel.then(|| "expert_parallel".to_owned()));
        let plain = self.pipeline_parallel == 1 && self.data_parallel == 1 && !self.expert_parallel;
        (!plain).then(|| ways.join(", "))
    }

    /// Makes policies that compose rounds, if it takes that; most tokens of one batch.
    pub(super) fn rounds(&self, make: MakeBatching) -> Result<(MakeBatching, u32), Problem> {
        let (stages, copies) = (self.pipeline_parallel, self.data_parallel);
        let mut policy = make();
        let batch_tokens = policy.max_step_tokens();
        if stages == 1 && copies == 1 {
            return Ok((make, batch_tokens));
        }
        if !policy.compose_rounds(stages, copies) {
            let path = if stages > 1 { "pipeline_parallel" } else { "data_parallel" };
            let message = format!("batching {} does not compose several batches at once", self.batching.name);
            return Err(Problem::new(path, message).help("use `batching: Chunked`"));
        }
        let widened = move || {
            let mut policy = make();
            policy.compose_rounds(stages, copies);
            policy
        };
        Ok((Box::new(widened), batch_tokens))
    }
}
