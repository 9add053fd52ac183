//! Memory that holds KV: how much of it a client has, its block pool, what stays in it for others, and the
//! tiers behind it.

mod blocks;
mod groups;
pub mod prefix;
mod sizing;
pub mod tiers;

pub use blocks::BlockPool;
pub use groups::KvGroups;
pub use sizing::{DoesNotFit, KvCapacity, KvSizing, SizingError, Spread};
