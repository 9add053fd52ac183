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
/// accelerator / bandwidth (s). vLLM V1 and SGLang have `Recompute` alone; vLLM v0 has both. Left out: the
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
        // Copies of attention have hosts of their own, and copy side by side.
        let copies = capacity.copies;
        let blocks = (host_memory.bytes() / capacity.block_bytes).floor() as u64 * u64::from(copies);
        if blocks == 0 {
            let message = format!(
                "host_memory holds no KV block, of {:.1} MiB on each accelerator",
                capacity.block_bytes / f64::from(1 << 20)
            );
            return Err(Problem::new("preemption", message).help("give it more, such as `gib(4)`"));
        }
        Ok(Some(HostKv { blocks, seconds_per_block: capacity.block_bytes / bandwidth / f64::from(copies) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;
    use crate::clients::ClientKind;
    use crate::clients::llm::LlmSpec;
    use crate::memory::{KvGroups, KvSizing, Spread};

    fn capacity() -> KvCapacity {
        let sizing = KvSizing {
            device_memory: 8e10,
            utilization: 0.9,
            tensor_parallel: 1,
            spread: Spread::NONE,
            parameters: 8e9,
            weight_bytes: 2.0,
            offloaded_bytes: 0.0,
            kv_bytes_per_token: 131_072.0,
            groups: KvGroups::ONE,
            heads: 32,
            kv_heads: 8,
            hidden: 4096,
            ffn: 14336,
            vocab: 128_256,
            max_num_batched_tokens: 8192,
            max_num_seqs: 256,
            block_size: 16,
        };
        sizing.capacity().unwrap()
    }

    #[test]
    fn host_memory_holds_blocks_that_cross_the_link() {
        let catalog = Catalog::embedded();
        let h100 = catalog.accelerator("H100-SXM5-80GB").unwrap();
        let host = |written: &str| ron::from_str::<Preemption>(written).unwrap().host(&capacity(), h100);
        assert_eq!(host("Recompute"), Ok(None));
        // vLLM: 4 GiB of swap space are 2,048 CPU blocks of Llama-3.1-8B.
        let four = host("Swap(host_memory: gib(4))").unwrap().unwrap();
        assert_eq!((four.blocks, four.seconds_per_block), (2048, 2_097_152.0 / 64e9));
        let slow = host("Swap(host_memory: gib(4), bandwidth: Some(gb_per_s(16)))").unwrap().unwrap();
        assert_eq!(slow.seconds_per_block, 2_097_152.0 / 16e9);
        let problem = host("Swap(host_memory: mib(1))").unwrap_err();
        assert_eq!(problem.message, "host_memory holds no KV block, of 2.0 MiB on each accelerator");
    }

    #[test]
    fn swapping_and_prefix_caching_are_refused_together() {
        let check = |written: &str| ron::from_str::<LlmSpec>(written).unwrap().check(Catalog::embedded());
        let swap = "preemption: Swap(host_memory: gib(4))";
        assert!(check(&format!("(model: \"Llama-3.1-8B\", {swap})")).is_empty());
        let problems = check(&format!("(model: \"Llama-3.1-8B\", {swap}, prefix_caching: Radix)"));
        assert_eq!((problems.len(), &*problems[0].path), (1, "preemption"));
    }
}
