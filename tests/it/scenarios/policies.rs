//! Random policies of a client: batching, packing, and what becomes of KV blocks; every choice with every other
//! that it goes together with.

use proptest::prelude::*;

/// How a client schedules.
#[derive(Clone, Debug)]
pub struct Policies {
    batching: Batching,
    packing: Packing,
    kv: Kv,
    /// Host memory that it swaps to (MiB).
    host_mib: u32,
    threshold: u32,
    watermark: f64,
    /// A share from 0 to 1.
    share: f64,
}

/// The names of its choices: batching, packing, and what becomes of KV.
pub type Mode = (Batching, Packing, Kv);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Batching {
    Chunked,
    ChunkedIfAllFits,
    WholePrompts,
    Continuous,
    Static,
    Orca,
    Mixed,
    Sglang,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Packing {
    Fcfs,
    ShortestPrompt,
    LeastWorkLeft,
    LongestPrefixMatch,
    Priority,
    Ageing,
}

/// What becomes of KV blocks that are taken from a sequence or left by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kv {
    Recompute,
    Swap,
    BlockHash,
    Radix,
}

const BATCHING: [Batching; 8] = [
    Batching::Chunked,
    Batching::ChunkedIfAllFits,
    Batching::WholePrompts,
    Batching::Continuous,
    Batching::Static,
    Batching::Orca,
    Batching::Mixed,
    Batching::Sglang,
];

const PACKING: [Packing; 6] = [
    Packing::Fcfs,
    Packing::ShortestPrompt,
    Packing::LeastWorkLeft,
    Packing::LongestPrefixMatch,
    Packing::Priority,
    Packing::Ageing,
];

const KV: [Kv; 4] = [Kv::Recompute, Kv::Swap, Kv::BlockHash, Kv::Radix];

impl Batching {
    /// Whether it takes blocks as they are needed, so that sequences may have to give way.
    pub const fn preempts(self) -> bool {
        !matches!(self, Self::Static | Self::Orca)
    }
}

impl Kv {
    pub const fn caches(self) -> bool {
        matches!(self, Self::BlockHash | Self::Radix)
    }
}

/// Whether the product takes these together.
const fn go_together((batching, packing, kv): Mode) -> bool {
    (!matches!(packing, Packing::LongestPrefixMatch) || kv.caches())
        && (!matches!(kv, Kv::Swap) || batching.preempts())
}

/// All choices that go together.
pub fn modes() -> Vec<Mode> {
    let all = BATCHING.iter().flat_map(|batching| {
        PACKING.iter().flat_map(move |packing| KV.iter().map(move |kv| (*batching, *packing, *kv)))
    });
    all.filter(|mode| go_together(*mode)).collect()
}

pub fn policies() -> impl Strategy<Value = Policies> {
    (
        prop::sample::select(modes()),
        4_u32..100,
        prop_oneof![2 => Just(0_u32), 1 => 1_u32..64],
        prop_oneof![3 => Just(0.0), 1 => Just(0.01), 1 => Just(0.1), 1 => Just(0.5)],
        0.0_f64..1.0,
    )
        .prop_map(|((batching, packing, kv), host_mib, threshold, watermark, share)| Policies {
            batching,
            packing,
            kv,
            host_mib,
            threshold,
            watermark,
            share,
        })
}

impl Policies {
    pub const fn mode(&self) -> Mode {
        (self.batching, self.packing, self.kv)
    }

    /// Whether requests may have priorities.
    pub fn reads_priority(&self) -> bool {
        matches!(self.packing, Packing::Priority | Packing::Ageing)
    }

    /// The settings of an `Llm` whose steps compute `budget` tokens at most.
    pub fn ron(&self, budget: u32) -> String {
        let kv = match self.kv {
            Kv::Recompute => String::new(),
            Kv::Swap => format!("preemption: Swap(host_memory: mib({})), ", self.host_mib),
            Kv::BlockHash | Kv::Radix => format!("prefix_caching: {:?}, ", self.kv),
        };
        format!("{kv}batching: {}, packing: {}", self.batching(budget), self.packing())
    }

    fn batching(&self, budget: u32) -> String {
        let Self { threshold, watermark, share, .. } = self;
        let limit = format!("max_num_batched_tokens: {budget}");
        let long = format!("{limit}, long_prefill_token_threshold: {threshold}");
        let most = format!("{limit}, max_request_tokens: {}", 64 + threshold);
        match self.batching {
            // vLLM V1 has no watermark: likewise here, where the threshold is odd.
            Batching::Chunked if threshold % 2 == 0 => format!("Chunked({long})"),
            Batching::Chunked => format!("Chunked({long}, watermark: {watermark:?})"),
            Batching::ChunkedIfAllFits => {
                format!("Chunked({long}, reserve: ChunkIfAllFits, watermark: {watermark:?})")
            }
            Batching::WholePrompts => format!("Chunked({long}, reserve: Prompt, watermark: {watermark:?})"),
            Batching::Continuous => format!("Continuous({limit}, watermark: {watermark:?})"),
            Batching::Static => format!("Static({most})"),
            Batching::Orca => format!("Orca({most})"),
            Batching::Mixed => format!("Mixed({limit}, max_passes: {})", threshold % 5),
            Batching::Sglang => format!(
                "SGLang(chunked_prefill_size: {budget}, max_prefill_tokens: {}, max_new_tokens: {}, \
                 schedule_conservativeness: {:?})",
                1 + (f64::from(2 * budget) * share) as u32,
                1 + 4 * threshold,
                0.05 + share,
            ),
        }
    }

    fn packing(&self) -> &'static str {
        match self.packing {
            Packing::Fcfs => "Fcfs",
            Packing::ShortestPrompt => "ShortestPrompt",
            Packing::LeastWorkLeft => "LeastWorkLeft(expected_output: 30)",
            Packing::LongestPrefixMatch => "LongestPrefixMatch",
            Packing::Priority => "Priority",
            Packing::Ageing => "Priority(ageing: ms(20))",
        }
    }
}
