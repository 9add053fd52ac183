//! Memory that holds KV: how much of it a client has, and its block pool.

mod blocks;
mod sizing;

pub use blocks::BlockPool;
pub use sizing::{DoesNotFit, KvCapacity, KvSizing, SizingError};
