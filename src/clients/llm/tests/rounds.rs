//! Rounds of several batches: what they take, and the laws of steps.

use proptest::prelude::*;

use std::sync::Arc;

use crate::catalog::Catalog;
use crate::clients::llm::rounds::{priced_by, shared};
use crate::runtime::{
    Analytical, Chunk, Part, RuntimeKind, StepCost, StepModel, StepShape, Target, Undivided,
};
use crate::units::Span;

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

/// What the law says of batches, from their bills.
fn by_the_law(one: &dyn StepModel, layers: [u32; 4], batches: &[StepShape<'_>]) -> f64 {
    let seconds = |batch: &StepShape<'_>, wanted: &dyn Fn(Part, &str) -> bool| {
        let items = one.itemise(batch);
        items.iter().filter(|item| wanted(item.part, item.operator)).map(|item| item.seconds).sum::<f64>()
    };
    let head = |part, name: &str| part == Part::Head || name == "gather of the logits";
    let all: u32 = layers.iter().sum();
    let on_stage = |stage: usize, batch: &StepShape<'_>| {
        let share = f64::from(layers[stage]) / f64::from(all);
        let of_layers = seconds(batch, &|part, name| part != Part::Host && !head(part, name));
        let of_head = if stage == 3 { seconds(batch, &head) } else { 0.0 };
        of_layers * share + of_head + seconds(batch, &|part, _| part == Part::Host)
    };
    let stages = (0..4).map(|stage| batches.iter().map(|batch| on_stage(stage, batch)).sum::<f64>());
    let way = batches.iter().map(|batch| seconds(batch, &|_, _| true)).fold(0.0, f64::max);
    stages.fold(way, f64::max)
}

#[test]
fn the_busiest_stage_has_its_layers_the_last_one_the_head_and_each_batch_the_host() {
    for (name, layers) in [("Llama-3.1-70B", [20; 4]), ("DeepSeek-V3", [15, 15, 16, 15])] {
        let (one, round) = rounds(name, 4, 1);
        for sequences in [64, 6, 2] {
            let sizes =
                (0..4).map(|at| sequences / 4 + u32::from(at < sequences % 4)).filter(|size| *size > 0);
            let batches: Vec<StepShape<'_>> = sizes.map(|size| decode(size, 1000)).collect();
            let (found, law) =
                (round.price(&decode(sequences, 1000)).seconds, by_the_law(&*one, layers, &batches));
            assert!((found / law - 1.0).abs() < 1e-9, "{name}, {sequences}: {found} {law}");
        }
        // Two sequences leave half of the stages idle.
        assert_eq!(round.price(&decode(2, 1000)), one.price(&decode(1, 1000)));
    }
}

#[test]
fn no_round_is_quicker_than_what_the_last_stage_reads() {
    let catalog = Catalog::embedded();
    let target = Target {
        pipeline_parallel: 4,
        max_step_tokens: 2048,
        ..Target::new(catalog.model("Llama-3.2-1B").unwrap(), catalog.accelerator("L40S").unwrap())
    };
    let none = Span::from_secs(0.0);
    let kind = Analytical { step_overhead: none, sequence_overhead: none, ..Analytical::default() };
    let one = kind.compile(&target).unwrap();
    let round = priced_by(one.clone(), &target);
    let batch = decode(128, 300);
    let items = one.itemise(&batch);
    // Of 16 layers four, the head with its 128,256 × 2,048 weights, four times.
    let head = |part| part == Part::Head;
    let bytes: f64 =
        items.iter().map(|item| item.bytes * if head(item.part) { 1.0 } else { 0.25 }).sum::<f64>() * 4.0;
    let least = bytes / target.device().unwrap().memory_bandwidth;
    assert!(least > 7e-3, "{least}");
    let found = round.price(&decode(512, 300)).seconds;
    assert!(found > least && found > 9e-3, "{found} {least}");
    let law = by_the_law(&*one, [4; 4], &[batch; 4]);
    assert!((found / law - 1.0).abs() < 1e-9, "{found} {law}");
}

#[test]
fn a_batch_of_no_tokens_ends() {
    let catalog = Catalog::embedded();
    let (model, gpu) =
        (catalog.model("Llama-3.2-1B").unwrap(), catalog.accelerator("H100-SXM5-80GB").unwrap());
    let target = Target { pipeline_parallel: 2, max_step_tokens: 0, ..Target::new(model, gpu) };
    let round = priced_by(Arc::new(|_: &StepShape<'_>| StepCost::default()), &target);
    assert_eq!(round.price(&StepShape { prefill: &[chunk(3, 0)], ..StepShape::default() }).seconds, 0.0);
}

#[test]
fn prompts_go_by_turns_and_long_ones_into_several_batches() {
    let (one, round) = rounds("Llama-3.1-70B", 2, 1);
    let price = |prefill: &[Chunk]| round.price(&StepShape { prefill, ..StepShape::default() }).seconds;
    let alone = |prefill: &[Chunk]| one.price(&StepShape { prefill, ..StepShape::default() }).seconds;
    assert_eq!(price(&[chunk(2000, 0)]), alone(&[chunk(2000, 0)]));
    let of = |prefill: &[Chunk]| Undivided::of(&one.itemise(&StepShape { prefill, ..StepShape::default() }));
    let (both, each) = (price(&[chunk(2000, 0), chunk(2000, 0)]), of(&[chunk(2000, 0)]));
    // The last stage has two heads, and the host two batches.
    let law = alone(&[chunk(2000, 0)]) + each.head + each.host;
    assert!((both / law - 1.0).abs() < 1e-9, "{both} {law}");
    // 2,048 at the end behind 952.
    let (first, second) = ([Chunk { last: false, ..chunk(952, 10) }], [chunk(2048, 962)]);
    let halves = [first, second].map(|piece| {
        let Undivided { head, host, .. } = of(&piece);
        0.5 * (alone(&piece) - head - host) + head + host
    });
    let law = alone(&first).max(alone(&second)).max(halves[0] + halves[1]);
    let found = price(&[chunk(3000, 10)]);
    assert!((found / law - 1.0).abs() < 1e-9, "{found} {law}");
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
        prop_assert!(now * f64::from(stages * copies) >= whole * (1.0 - 1e-9), "{} {}", now, whole);
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
