//! Prefill and decode on clients of their own: theory, laws, and what it is good for.

mod case;
mod interference;
mod laws;
mod splitwise;
mod tandem;
mod transfers;
