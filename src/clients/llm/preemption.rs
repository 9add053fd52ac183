//! `preemption: …`: what becomes of a running sequence that gives way for want of KV blocks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::HostKv;
use crate::catalog::Accelerator;
use crate::memory::KvCapacity;
use crate::scenario::Problem;
use crate::units::{Bandwidth, ByteSize};

/// What becomes of a running sequence that gives way for want of KV blocks.
///
/// With `Swap` its blocks are copied to host memory and back over the link between host and accelerator, every
/// accelerator its own share, and the step in which that happens waits for it: blocks · bytes a block on one
/// accelerator / bandwidth [s]. vLLM V1 and SGLang have `Recompute` alone; vLLM v0 has both. Left out: the
/// cost of launching a copy for every layer and block, which makes short blocks slower in vLLM v0 than the link is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum Preemption {
    /// It goes back to the queue and all of it is computed again. vLLM v0 `--preemption-mode recompute`.
    #[default]
    Recompute,
    /// It waits in host memory, and comes back before anybody from the queue; where that is full, it is computed
    /// again. vLLM v0 `--preemption-mode swap`.
    Swap {
        /// Host memory for each accelerator, at least one KV block. vLLM v0 `--swap-space`.
        host_memory: ByteSize,
        /// Bandwidth of the link between host and accelerator, one direction. Default: the catalogued one.
        #[serde(default)]
        bandwidth: Option<Bandwidth>,
    },
}

impl Preemption {
    /// The blocks in host memory for a model whose KV takes so much, if any.
    pub(super) fn host(
        self,
        capacity: &KvCapacity,
        accelerator: &Accelerator,
    ) -> Result<Option<HostKv>, Problem> {
        let Self::Swap { host_memory, bandwidth } = self else { return Ok(None) };
        let stated = bandwidth.map(Bandwidth::bytes_per_s);
        let Some(bandwidth) = stated.or_else(|| accelerator.host_link_bandwidth().ok()) else {
            let message = format!("the catalog has no host link bandwidth for {}", accelerator.name);
            let help = "say it, such as `bandwidth: gb_per_s(64)`";
            return Err(Problem::new("preemption", message).help(help));
        };
        let blocks = (host_memory.bytes() / capacity.block_bytes).floor() as u64;
        if blocks == 0 {
            let message = format!(
                "host_memory holds no KV block, of {:.1} MiB on each accelerator",
                capacity.block_bytes / f64::from(1 << 20)
            );
            return Err(Problem::new("preemption", message).help("give it more, such as `gib(4)`"));
        }
        Ok(Some(HostKv { blocks, seconds_per_block: capacity.block_bytes / bandwidth }))
    }
}
