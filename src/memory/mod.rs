//! Memory that holds KV: how much of it a client has, and its block pool.

mod sizing;

pub use sizing::{DoesNotFit, KvCapacity, KvSizing, SizingError};
