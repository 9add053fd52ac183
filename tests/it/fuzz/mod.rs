//! Hostile input, made up for a while: no panic, no hang, no memory blow-up.
//!
//! Each test takes about 2 s; `MIST_FUZZ_SECONDS` says otherwise.

mod trace;
