//! Prefill and decode on clients of their own: theory, laws, and what it is good for.

mod caching;
mod case;
mod interference;
mod laws;
mod regressions;
mod splitwise;
mod tandem;
mod transfers;
