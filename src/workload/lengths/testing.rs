//! What the tests of length sources share: draws at fixed seeds and their figures.

use proptest::prelude::*;

use super::LengthSource;
use super::columns::MOST_TOKENS;
use crate::engine::{Stream, Streams};

/// The stream of a workload's lengths at `seed`.
pub(super) fn stream(seed: u64) -> Stream {
    Streams::new(seed).stream("lengths", 0)
}

/// `n` prompts and as many outputs.
pub(super) fn columns(mut source: Box<dyn LengthSource>, seed: u64, n: usize) -> [Vec<u32>; 2] {
    let mut rng = stream(seed);
    let draws = (0..n).map(|_| source.next(&mut rng).unwrap().unwrap());
    let (prompts, outputs) = draws.map(|draw| (draw.prompt_tokens, draw.output_tokens)).unzip();
    [prompts, outputs]
}

/// The mean of a column.
pub(super) fn mean(column: &[u32]) -> f64 {
    column.iter().map(|tokens| f64::from(*tokens)).sum::<f64>() / column.len() as f64
}

/// The length that a `share` of the column does not exceed; sorts it.
pub(super) fn quantile(column: &mut [u32], share: f64) -> f64 {
    column.sort_unstable();
    f64::from(column[(share * (column.len() - 1) as f64) as usize])
}

/// Within 2 % of what is expected.
pub(super) fn assert_near(found: f64, expected: f64) {
    assert!((found / expected - 1.0).abs() < 0.02, "{found}, expected {expected}");
}

/// Numbers as a hostile file may hold them.
pub(super) fn hostile() -> impl Strategy<Value = f64> {
    prop_oneof![
        prop_oneof![
            Just(0.0),
            Just(-0.0),
            Just(f64::NAN),
            Just(f64::INFINITY),
            Just(f64::NEG_INFINITY),
            Just(f64::MAX),
            Just(f64::MIN_POSITIVE),
        ],
        any::<f64>(),
        (-2.0..10.0_f64).prop_map(|exponent| libm::pow(10.0, exponent)),
        0.0..1.0_f64,
    ]
}

/// Whatever the parameters were, a source that was built keeps its promises for a while.
pub(super) fn assert_sound(built: Result<Box<dyn LengthSource>, String>) {
    match built {
        Ok(source) => {
            let draws = columns(source, 1, 50);
            assert!(draws.iter().flatten().all(|tokens| (1..=MOST_TOKENS).contains(tokens)));
        }
        Err(message) => {
            assert!(message.split_once(": ").is_some_and(|(field, _)| !field.contains(' ')), "{message}");
        }
    }
}
