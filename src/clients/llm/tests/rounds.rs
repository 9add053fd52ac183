//! Rounds of several batches: what they take, and the laws of steps.

use proptest::prelude::*;

use std::sync::Arc;

use crate::catalog::Catalog;
use crate::clients::llm::rounds::{priced_by, shared};
use crate::runtime::{Analytical, Chunk, RuntimeKind, StepCost, StepModel, StepShape, Target};

fn rounds(
    name: &str,
    pipeline_parallel: u32,
    data_parallel: u32,
) -> (Arc<dyn StepModel>, Arc<dyn StepModel>) {
    let catalog = Catalog::embedded();
    let gpu = catalog.accelerator("H100-SXM5-80GB").unwrap();
    let target = Target {
        pipeline_parallel,
        data_parallel,
        max_step_tokens: 2048,
        ..Target::new(catalog.model(name).unwrap(), gpu)
    };
    let one = Analytical::default().compile(&target).unwrap();
    (one.clone(), priced_by(one, &target))
}

fn chunk(tokens: u32, context: u32) -> Chunk {
    Chunk { tokens, context, last: true }
}

fn decode(sequences: u32, each: u64) -> StepShape<'static> {
    StepShape { prefill: &[], decode_seqs: sequences, decode_context: u64::from(sequences) * each }
}

#[test]
fn full_pipelines_take_what_one_batch_takes() {
    let (one, round) = rounds("Llama-3.1-70B", 4, 1);
    assert_eq!(round.price(&decode(64, 1000)), one.price(&decode(16, 1000)));
    // 80 layers of which each stage has a quarter: two sequences leave half of the stages idle.
    assert_eq!(round.price(&decode(2, 1000)), one.price(&decode(1, 1000)));
    // 61 layers: the largest stage has 16, so 4 batches take 64/61 of one's way.
    let (one, round) = rounds("DeepSeek-V3", 4, 1);
    let ratio = round.price(&decode(64, 1000)).seconds / one.price(&decode(16, 1000)).seconds;
    assert!((ratio - 64.0 / 61.0).abs() < 1e-9, "{ratio}");
}

#[test]
fn prompts_go_by_turns_and_long_ones_into_several_batches() {
    let (one, round) = rounds("Llama-3.1-70B", 2, 1);
    let price = |prefill: &[Chunk]| round.price(&StepShape { prefill, ..StepShape::default() }).seconds;
    let alone = |prefill: &[Chunk]| one.price(&StepShape { prefill, ..StepShape::default() }).seconds;
    assert_eq!(price(&[chunk(2000, 0)]), alone(&[chunk(2000, 0)]));
    assert_eq!(price(&[chunk(2000, 0), chunk(2000, 0)]), alone(&[chunk(2000, 0)]));
    // 2,048 at the end behind 952.
    let pieces = [alone(&[Chunk { last: false, ..chunk(952, 10) }]), alone(&[chunk(2048, 962)])];
    let longest = pieces[0].max(pieces[1]).max(0.5 * (pieces[0] + pieces[1]));
    assert_eq!(price(&[chunk(3000, 10)]), longest);
}

#[test]
fn copies_have_their_own_sequences_and_wait_for_each_other() {
    let (one, round) = rounds("Qwen3-30B-A3B", 1, 4);
    assert_eq!(round.price(&decode(64, 1000)), one.price(&decode(16, 1000)));
    assert_eq!(round.price(&decode(65, 1000)), one.price(&decode(17, 1000)));
    let prefill = [chunk(500, 0), chunk(1500, 0)];
    let together = round.price(&StepShape { prefill: &prefill, ..StepShape::default() }).seconds;
    let longest = StepShape { prefill: &prefill[1..], ..StepShape::default() };
    let others_idle = one.price(&longest).seconds - shared(&*one, 1500, true) + shared(&*one, 500, true);
    assert!((together / others_idle - 1.0).abs() < 1e-12, "{together} {others_idle}");
    assert!(together < one.price(&longest).seconds);
    let alike = [chunk(1500, 0); 4];
    let all_busy = round.price(&StepShape { prefill: &alike, ..StepShape::default() }).seconds;
    assert!((all_busy / one.price(&longest).seconds - 1.0).abs() < 1e-12);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rounds_keep_the_laws_of_steps(stages in 1u32..5, copies in 1u32..4, sequences in 0u32..200, mean in 1u64..5000,
                                     chunks in proptest::collection::vec((1u32..9000, 0u32..3000), 0..6),
                                     at in 0usize..6, more in 1u32..3000) {
        let (one, round) = rounds("Qwen3-30B-A3B", stages, copies);
        let mut prefill: Vec<Chunk> = chunks.iter().map(|&(tokens, context)| chunk(tokens, context)).collect();
        let step = StepShape { prefill: &prefill, ..decode(sequences, mean) };
        let now = round.price(&step).seconds;
        let items: f64 = round.itemise(&step).iter().map(|item| item.seconds).sum();
        prop_assert!((items - now).abs() <= 1e-9 * now, "{} {}", items, now);
        // No round is longer than all of it in one batch of one copy, or quicker than its share of that.
        let whole = one.price(&step).seconds;
        prop_assert!(now <= whole * f64::from(stages) * (1.0 + 1e-9), "{} {}", now, whole);
        prop_assert!(now * f64::from(stages * copies) >= whole * (1.0 - 1e-9) / 4.0, "{} {}", now, whole);
        let longer = StepShape { decode_context: step.decode_context + u64::from(more), ..step };
        if sequences > 0 {
            prop_assert!(round.price(&longer).seconds >= now);
        }
        if let Some(grown) = prefill.get_mut(at) {
            grown.tokens += more;
            let step = StepShape { prefill: &prefill, ..decode(sequences, mean) };
            prop_assert!(round.price(&step).seconds >= now * (1.0 - 1e-12));
        }
    }

    #[test]
    fn a_stride_of_rounds_equals_its_rounds_to_the_bit(stages in 1u32..5, copies in 1u32..4,
                                                       sequences in 1u32..200, context in 0u64..1_000_000) {
        let (_, round) = rounds("Qwen3-30B-A3B", stages, copies);
        let context = context + u64::from(sequences);
        let mut costs = [StepCost::default(); 12];
        round.price_decodes(sequences, context, &mut costs);
        for (step, cost) in (0_u64..).zip(&costs) {
            let decode_context = context + step * u64::from(sequences);
            let alone = round.price(&StepShape { prefill: &[], decode_seqs: sequences, decode_context });
            prop_assert_eq!(alone, *cost);
        }
    }
}
