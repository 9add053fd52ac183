//! Encoders and document stores against their definitions.

use std::sync::Arc;

use proptest::prelude::*;

use crate::catalog::Catalog;
use crate::clients::rag::encoder::PASS_TEXTS;
use crate::clients::rag::{DocumentStore, Encoder};
use crate::runtime::{Analytical, Chunk, LowerBound, RuntimeKind, StepCost, StepShape, Target};
use crate::units::Span;

fn target<'a>(model: &str, device: &str, catalog: &'a Catalog) -> Target<'a> {
    let (model, device) = (catalog.model(model).unwrap(), catalog.accelerator(device).unwrap());
    Target { max_step_tokens: 4096, ..Target::new(model, device) }
}

fn encoder(model: &str, device: &str, devices: u32) -> Encoder {
    let target = target(model, device, Catalog::embedded());
    let passes = Analytical::default().compile(&target).unwrap();
    Encoder { passes, devices, context: target.model.max_context }
}

proptest! {
    #[test]
    fn reading_is_never_below_physics_nor_cheaper_for_more(
        texts in proptest::collection::vec((1u32..1000, 1u32..70), 1..8), devices in 1u32..5,
    ) {
        let target = target("DPR", "H100-SXM5-80GB", Catalog::embedded());
        let reader = encoder("DPR", "H100-SXM5-80GB", devices);
        let (seconds, _) = reader.read(texts.iter().copied());
        let bound = LowerBound::new(&target.shape(), &target.device().unwrap(), &target.deployment());
        let flops: f64 = texts.iter().map(|(tokens, count)| {
            let text = [Chunk { tokens: *tokens.min(&512), context: 0, last: false }];
            f64::from(*count) * bound.flops(&StepShape { prefill: &text, ..StepShape::default() })
        }).sum();
        prop_assert!(seconds >= flops / (f64::from(devices) * 989.4e12));
        let (more, _) = reader.read(texts.iter().copied().chain([(64, 1)]));
        prop_assert!(more >= seconds);
        let (alone, _) = encoder("DPR", "H100-SXM5-80GB", 1).read(texts.iter().copied());
        prop_assert!(alone >= seconds && alone <= f64::from(devices) * seconds * (1.0 + 1e-12));
    }
}

/// A count of equal texts costs what as many texts one by one do.
#[test]
fn equal_texts_are_priced_by_passes() {
    let reader = encoder("bge-reranker-base", "L40S", 1);
    let (counted, bound) = reader.read([(512, 75)].into_iter());
    let (listed, same) = reader.read([(512, 1); 75].into_iter());
    assert!((counted / listed - 1.0).abs() < 1e-12);
    assert_eq!(bound, same);
    assert_eq!(reader.read([(9999, 75)].into_iter()), reader.read([(512, 75)].into_iter()));
}

/// By hand, at 1 µs a token and 1 ms a pass: 70 texts are passes of 32, 32 and 6.
#[test]
fn passes_by_hand() {
    let model = |shape: &StepShape<'_>| {
        assert!(shape.prefill.len() <= PASS_TEXTS as usize && shape.sampled() == 0);
        StepCost { seconds: 1e-3 + 1e-6 * shape.prefill_tokens() as f64, ..StepCost::default() }
    };
    let reader = |devices| Encoder { passes: Arc::new(model), devices, context: 100 };
    let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-15, "{found} {expected}");
    close(reader(1).read([(50, 70)].into_iter()).0, 3e-3 + 70.0 * 50e-6);
    close(reader(2).read([(50, 70)].into_iter()).0, (3e-3 + 70.0 * 50e-6) / 2.0);
    close(reader(9).read([(50, 70)].into_iter()).0, 1e-3 + 32.0 * 50e-6);
    close(reader(1).read([(50, 30), (200, 4)].into_iter()).0, 2e-3 + (30.0 * 50.0 + 4.0 * 100.0) * 1e-6);
}

#[test]
fn a_fetch_is_its_latency_and_its_bytes() {
    assert_eq!(DocumentStore::Memory.fetch(0.0), 80e-9);
    assert_eq!(DocumentStore::Ssd.fetch(7000.0), 50e-6 + 28_000.0 / 7e9);
    let slow = DocumentStore::Other { latency: Span::from_secs(0.02), gb_per_s: 0.5 };
    assert_eq!(slow.fetch(1000.0), 0.02 + 8e-6);
    let none = DocumentStore::Other { latency: Span::from_secs(0.0), gb_per_s: 0.0 };
    assert_eq!(none.check(), Err("gb_per_s must be above 0, found 0".to_owned()));
}
