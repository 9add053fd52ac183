//! What a run of the reference was set to.

use std::sync::Arc;

/// A replica scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sarathi,
    Vllm,
    Orca,
    FasterTransformer,
}

/// A global scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Global {
    RoundRobin,
    Lor,
    /// Python's generator.
    Random,
    /// The replica of each request, in the order of arrival.
    Recorded(Arc<[usize]>),
}

/// The settings of a run, with the reference's names in the comments where they differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub scheduler: Kind,
    pub global: Global,
    pub replicas: usize,
    /// `num_blocks`.
    pub blocks: u64,
    pub block_size: u32,
    pub batch_size_cap: u32,
    pub chunk_size: u32,
    pub max_tokens_in_batch: u32,
    /// `watermark_blocks_fraction`.
    pub watermark: f64,
    /// Tokens of the longest request.
    pub max_tokens: u32,
    /// `get_max_batch_size()` of its memory planner.
    pub slots: u32,
    /// Of Python's generator.
    pub seed: u32,
    /// Words that were drawn from it before the first request was routed.
    pub draws_before: u64,
}

impl Default for Settings {
    /// Llama-2-70B on four H100, which the runs that are published have.
    fn default() -> Self {
        Self {
            scheduler: Kind::Sarathi,
            global: Global::RoundRobin,
            replicas: 1,
            blocks: 32_768,
            block_size: 16,
            batch_size_cap: 128,
            chunk_size: 512,
            max_tokens_in_batch: 4096,
            watermark: 0.01,
            max_tokens: 4096,
            slots: 128,
            seed: 42,
            draws_before: 0,
        }
    }
}

impl Settings {
    /// The batching policy, as a scenario names it.
    pub fn batching(&self) -> String {
        let Self { chunk_size, max_tokens_in_batch, watermark, max_tokens, .. } = *self;
        let cap = self.cap();
        match self.scheduler {
            Kind::Sarathi => {
                format!("Sarathi(chunk_size: {chunk_size}, batch_size_cap: {cap}, watermark: {watermark:?})")
            }
            Kind::Vllm => format!(
                "VidurVllm(max_tokens_in_batch: {max_tokens_in_batch}, batch_size_cap: {cap}, \
                 watermark: {watermark:?})"
            ),
            Kind::Orca => format!("VidurOrca(max_tokens: {max_tokens}, batch_size_cap: {cap})"),
            Kind::FasterTransformer => {
                format!("FasterTransformer(max_tokens: {max_tokens}, batch_size_cap: {cap})")
            }
        }
    }

    /// Most requests that are admitted.
    pub fn cap(&self) -> u32 {
        match self.scheduler {
            Kind::Sarathi | Kind::Vllm => self.batch_size_cap,
            Kind::Orca | Kind::FasterTransformer => self.batch_size_cap.min(self.slots),
        }
    }
}
