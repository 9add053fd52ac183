//! Clients: a scheduler and the cluster it drives.

mod usage;

pub use usage::Usage;
