//! Hostile input: whatever a file holds, it is read or refused, in bounded time and memory.
//!
//! A few seconds of each in every run of the tests; `MIST_FUZZ_SECONDS=300 cargo test fuzz` looks
//! longer. What was once found wrong is kept in `tests/corpus` and tried first.

mod scenario;
mod trace;

use std::time::{Duration, Instant};

use proptest::test_runner::{RngAlgorithm, TestRng};

/// How long a fuzzer looks for trouble.
fn budget() -> Duration {
    let asked = std::env::var("MIST_FUZZ_SECONDS").ok();
    Duration::from_secs(asked.map_or(2, |seconds| seconds.parse().expect("MIST_FUZZ_SECONDS is a number")))
}

/// Draws that differ from run to run only when there is time for it.
fn draws() -> TestRng {
    if std::env::var_os("MIST_FUZZ_SECONDS").is_some() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let mut seed = [7; 32];
        seed[..16].copy_from_slice(&now.as_nanos().to_le_bytes());
        return TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    }
    TestRng::deterministic_rng(RngAlgorithm::ChaCha)
}

/// Tries inputs until the time is up; each must be done with in `longest`.
fn fuzz(mut input: impl FnMut(&mut TestRng) -> String, longest: Duration, mut read: impl FnMut(&str)) {
    let mut rng = draws();
    let start = Instant::now();
    let mut tried = 0_u64;
    while start.elapsed() < budget() {
        let text = input(&mut rng);
        within(longest, &text, &mut read);
        tried += 1;
    }
    println!("{tried} inputs");
    assert!(tried > 10, "only {tried} inputs in {:?}", budget());
}

/// Reads one input, which must take no longer than that, and not panic.
fn within(longest: Duration, text: &str, read: &mut impl FnMut(&str)) {
    let start = Instant::now();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| read(text)));
    let took = start.elapsed();
    let kept = || {
        let path = std::env::temp_dir().join("mist-fuzz-input");
        std::fs::write(&path, text).unwrap();
        path
    };
    assert!(outcome.is_ok(), "a panic; the input is in {}", kept().display());
    assert!(took < longest, "it took {took:?}; the input is in {}", kept().display());
}
