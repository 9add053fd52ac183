//! Memory that holds KV: how much of it a client has, its block pool, and the tiers behind it.

mod blocks;
mod sizing;
pub mod tiers;

pub use blocks::BlockPool;
pub use sizing::{DoesNotFit, KvCapacity, KvSizing, SizingError};
