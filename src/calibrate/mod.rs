//! Measurements: predictions laid beside them.
//!
//! [`validate`] runs sets of measurements that the user has through the models and says how far off they are.

pub mod validate;
