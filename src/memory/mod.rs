//! Memory that holds KV: the block pool of a client.

mod blocks;

pub use blocks::BlockPool;
