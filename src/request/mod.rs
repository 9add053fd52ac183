//! Requests: what enters the system, what may become of it.

mod outcome;

pub use outcome::Rejection;
