//! Memory that holds KV: the block pool of a client.
