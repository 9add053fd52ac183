use proptest::prelude::*;

use super::*;
use crate::engine::{Stream, Streams};
use crate::stats::student_t;

/// Figures of six kinds of memory: T (ns), BW (GB/s), H.
const SIX: [(f64, f64, f64); 6] = [
    (80.0, 150.0, 0.3),
    (300.0, 64.0, 0.25),
    (1_000.0, 32.0, 0.4),
    (50_000.0, 7.0, 0.5),
    (100_000.0, 3.5, 0.6),
    (20_000_000.0, 2.0, 0.9),
];

/// KV of 4,096 tokens of Llama-3-70B in 16 bit (bytes).
const CONTEXT: f64 = 1_342_177_280.0;

fn of(figures: &[(f64, f64, f64)]) -> Hierarchy {
    let tier = |&(lookup_ns, gb_per_s, hit_rate): &(f64, f64, f64)| MemoryTier {
        lookup_s: lookup_ns / 1e9,
        bytes_per_s: gb_per_s * 1e9,
        hit_rate,
        capacity_bytes: f64::INFINITY,
    };
    Hierarchy { tiers: figures.iter().map(tier).collect(), missed: MissedLookups::Free }
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-12 * a.abs().max(b.abs())
}

fn draws(index: u64) -> Stream {
    Streams::new(11).stream("tiers", index)
}

/// In exact fractions, by hand: the mean time (s), the probability of a miss, the mean time if look-ups
/// in vain are paid for.
#[test]
fn the_formula_by_hand_over_one_to_six_tiers() {
    let by_hand = [
        (0.002_684_378_56, 0.7, 0.002_684_434_56),
        (0.006_354_447_06, 0.525, 0.006_354_660_56),
        (0.015_162_695_46, 0.315, 0.015_163_223_96),
        (0.045_369_559_26, 0.1575, 0.045_377_962_76),
        (0.081_617_795_82, 0.063, 0.081_632_499_32),
        (0.120_802_521_708, 0.0063, 0.120_943_225_208),
    ];
    for (tiers, (seconds, miss_frac, paid)) in (1..).zip(by_hand) {
        let mut hierarchy = of(&SIX[..tiers]);
        let expected = hierarchy.expected(CONTEXT);
        assert!(close(expected.seconds, seconds), "{tiers} tiers: {} s", expected.seconds);
        assert!(close(expected.miss_frac, miss_frac), "{tiers} tiers: {}", expected.miss_frac);
        hierarchy.missed = MissedLookups::Paid;
        assert!(close(hierarchy.expected(CONTEXT).seconds, paid), "{tiers} tiers");
    }
}

/// Fig. 8b of the MIST paper: two memories that always hit.
#[test]
fn memories_of_the_paper_by_hand() {
    let [ddr4, nvme] = TierSpec::of_the_paper().map(|spec| spec.tier());
    // 256 KiB: 80 ns + 1.747626… us, and 50 us + 37.449142857… us.
    assert!(close(ddr4.read_s(262_144.0), 80e-9 + 262_144.0 / 150e9));
    assert!(close(nvme.read_s(262_144.0), 50e-6 + 262_144.0 / 7e9));
    assert!((ddr4.read_s(262_144.0) - 1.827_626_667e-6).abs() < 1e-15);
    assert!((nvme.read_s(262_144.0) - 87.449_142_857e-6).abs() < 1e-14);
    assert!((nvme.read_s(1_073_741_824.0) - 0.153_441_689_143).abs() < 1e-12);
}

#[test]
fn a_context_larger_than_a_tier_is_not_in_it() {
    let mut hierarchy = of(&SIX[..2]);
    hierarchy.tiers[0].capacity_bytes = 1e9;
    let small = hierarchy.expected(1e9);
    assert!(close(small.miss_frac, 0.7 * 0.75));
    let large = hierarchy.expected(1e9 + 1.0);
    assert!(close(large.miss_frac, 0.75));
    assert!(close(large.seconds, 0.25 * (300e-9 + (1e9 + 1.0) / 64e9)));
}

#[test]
fn a_hierarchy_that_cannot_be_used_is_refused() {
    let paper = TierSpec::of_the_paper();
    let said = |tiers: &[TierSpec]| {
        TierSpec::check(tiers).into_iter().map(|problem| (problem.path, problem.message)).collect::<Vec<_>>()
    };
    assert_eq!(said(&paper[..1]), []);
    assert_eq!(said(&[])[0].0, "tiers");
    let never = said(&paper);
    assert_eq!(never.len(), 1);
    assert_eq!(
        never[0],
        ("tiers[1]".into(), "`NVMe` is never asked: `DDR4` before it has every context".into())
    );
    let text = r#"(name: "DDR4", lookup: ns(80), bandwidth: gb_per_s(150), hit_rate: 0.5, capacity: gib(1))"#;
    let options = ron::Options::default().with_default_extension(ron::extensions::Extensions::IMPLICIT_SOME);
    let bounded: TierSpec = options.from_str(text).unwrap();
    assert_eq!(bounded.tier().capacity_bytes, 1_073_741_824.0);
    assert_eq!(said(&[bounded.clone(), paper[1].clone()]), []);
    assert_eq!(said(&[bounded.clone(), bounded])[0].0, "tiers[1].name");
}

/// The mean of `figures` lies within the 99.9 % confidence interval around `expected`.
fn agrees(figures: &[f64], expected: f64) {
    let n = figures.len() as f64;
    let mean = figures.iter().sum::<f64>() / n;
    let variance = figures.iter().map(|figure| (figure - mean) * (figure - mean)).sum::<f64>() / (n - 1.0);
    let half = student_t(0.999, figures.len() as u32 - 1) * (variance / n).sqrt();
    assert!((mean - expected).abs() <= half, "{mean} is not within {half} of {expected}");
}

#[test]
fn samples_have_the_mean_of_the_formula_and_its_tails() {
    for tiers in 1..=SIX.len() {
        for missed in [MissedLookups::Free, MissedLookups::Paid] {
            let hierarchy = Hierarchy { missed, ..of(&SIX[..tiers]) };
            let expected = hierarchy.expected(CONTEXT);
            let mut draws = draws(tiers as u64);
            let found: Vec<Found> = (0..20_000).map(|_| hierarchy.sample(CONTEXT, &mut draws)).collect();
            let seconds: Vec<f64> = found.iter().map(|found| found.seconds).collect();
            agrees(&seconds, expected.seconds);
            let misses: Vec<f64> =
                found.iter().map(|found| f64::from(u8::from(found.tier.is_none()))).collect();
            agrees(&misses, expected.miss_frac);
            // A tail: the slowest tier, not the mean, is what the slowest request sees.
            let slowest = seconds.iter().copied().fold(0.0, f64::max);
            let last = hierarchy.tiers[tiers - 1].read_s(CONTEXT);
            assert!(slowest >= last && (tiers < 3 || slowest > 2.0 * expected.seconds), "{slowest}");
        }
    }
}

#[test]
fn modes_agree_in_the_mean_retrieval_by_retrieval() {
    let mut hierarchy = of(&[(80.0, 150.0, 0.5), (50_000.0, 7.0, 0.6), (1e6, 2.0, 0.5)]);
    hierarchy.tiers[0].capacity_bytes = 6e8;
    let sizes = [4e8, 1e8, 9e8, 4e8];
    for missed in [MissedLookups::Free, MissedLookups::Paid] {
        hierarchy.missed = missed;
        let mut draws = draws(99);
        let expected = hierarchy.retrieve(&sizes, Mode::Expected, &mut draws);
        let batches: Vec<Vec<Retrieval>> =
            (0..20_000).map(|_| hierarchy.retrieve(&sizes, Mode::Sampled, &mut draws)).collect();
        for (at, expected) in expected.iter().enumerate() {
            let of = |figure: fn(&Retrieval) -> f64| -> Vec<f64> {
                batches.iter().map(|batch| figure(&batch[at])).collect()
            };
            agrees(&of(Retrieval::seconds), expected.seconds());
            agrees(&of(|retrieval| retrieval.lookup_s), expected.lookup_s);
            agrees(
                &of(|retrieval| f64::from(u8::from(!retrieval.hit))),
                hierarchy.expected(sizes[at]).miss_frac,
            );
        }
    }
}

#[test]
fn expected_retrievals_miss_as_often_as_the_formula_says() {
    let hierarchy = of(&SIX[..3]);
    let mut draws = draws(3);
    let hits: Vec<f64> = (0..20_000)
        .map(|_| hierarchy.retrieve(&[CONTEXT], Mode::Expected, &mut draws)[0])
        .map(|retrieval| f64::from(u8::from(retrieval.hit)))
        .collect();
    agrees(&hits, 1.0 - hierarchy.expected(CONTEXT).miss_frac);
}

#[test]
fn reads_that_begin_together_share_the_bandwidth_fairly() {
    let hierarchy = of(&[(1_000.0, 1.0, 1.0)]);
    // 1 GB/s: while both read each has half; the smaller ends after 2 s, then the larger has it all.
    let done = hierarchy.retrieve(&[3e9, 1e9], Mode::Sampled, &mut draws(0));
    assert!(close(done[0].read_s, 4.0) && close(done[1].read_s, 2.0), "{done:?}");
    assert!(done.iter().all(|retrieval| retrieval.lookup_s == 1e-6 && retrieval.hit));
    assert_eq!(done, hierarchy.retrieve(&[3e9, 1e9], Mode::Expected, &mut draws(0)));
    assert_eq!(hierarchy.retrieve(&[], Mode::Expected, &mut draws(0)), []);
}

fn tier() -> impl Strategy<Value = MemoryTier> {
    (0.0..1e-2, 1e8..1e12, 0.0..=1.0).prop_map(|(lookup_s, bytes_per_s, hit_rate)| MemoryTier {
        lookup_s,
        bytes_per_s,
        hit_rate,
        capacity_bytes: f64::INFINITY,
    })
}

fn hierarchy() -> impl Strategy<Value = Hierarchy> {
    let missed = prop_oneof![Just(MissedLookups::Free), Just(MissedLookups::Paid)];
    (prop::collection::vec(tier(), 1..=6), missed).prop_map(|(tiers, missed)| Hierarchy { tiers, missed })
}

proptest! {
    /// Σ over tiers of the probability of being found there times what that takes.
    #[test]
    fn the_recursion_is_the_sum_over_tiers(hierarchy in hierarchy(), bytes in 0.0..1e11) {
        let (mut reached, mut sum, mut in_vain) = (1.0, 0.0, 0.0);
        for tier in &hierarchy.tiers {
            sum += reached * tier.hit_rate * (in_vain + tier.lookup_s + bytes / tier.bytes_per_s);
            reached *= 1.0 - tier.hit_rate;
            if hierarchy.missed == MissedLookups::Paid {
                in_vain += tier.lookup_s;
            }
        }
        let expected = hierarchy.expected(bytes);
        prop_assert!(close(expected.seconds, sum + reached * in_vain));
        prop_assert!(close(expected.miss_frac, reached));
        let alone = hierarchy.retrieve(&[bytes], Mode::Expected, &mut draws(0))[0];
        prop_assert!(close(alone.seconds(), expected.seconds));
    }

    #[test]
    fn larger_contexts_take_no_less(hierarchy in hierarchy(), bytes in 0.0..1e11, more in 0.0..1e11) {
        prop_assert!(hierarchy.expected(bytes + more).seconds >= hierarchy.expected(bytes).seconds);
    }

    /// A retrieval that finds something takes between the fastest and the slowest tier.
    #[test]
    fn the_mean_lies_between_the_extremes(mut hierarchy in hierarchy(), bytes in 0.0..1e11) {
        hierarchy.missed = MissedLookups::Free;
        let expected = hierarchy.expected(bytes);
        let reads = || hierarchy.tiers.iter().map(|tier| tier.read_s(bytes));
        let found = 1.0 - expected.miss_frac;
        let (fastest, slowest) = (reads().fold(f64::INFINITY, f64::min), reads().fold(0.0, f64::max));
        prop_assert!(expected.seconds >= found * fastest * (1.0 - 1e-9));
        prop_assert!(expected.seconds <= found * slowest * (1.0 + 1e-9) + 1e-15);
    }

    /// Nobody moves data faster than the tier allows, nobody waits for more than all of it, and no
    /// retrieval is faster in company.
    #[test]
    fn a_batch_never_beats_the_bandwidth(
        hierarchy in hierarchy(),
        sizes in prop::collection::vec(1.0..1e10, 1..12),
        seed in 0_u64..1000,
    ) {
        let mut stream = draws(seed);
        for mode in [Mode::Sampled, Mode::Expected] {
            let mut alone = stream.clone();
            let done = hierarchy.retrieve(&sizes, mode, &mut stream);
            for (&size, done) in sizes.iter().zip(&done) {
                let solo = hierarchy.retrieve(&[size], mode, &mut alone)[0];
                prop_assert_eq!(solo.hit, done.hit);
                prop_assert!(done.seconds() >= solo.seconds() * (1.0 - 1e-12));
                let slowest = hierarchy.tiers.iter().map(|tier| tier.bytes_per_s).fold(f64::INFINITY, f64::min);
                prop_assert!(done.read_s <= sizes.iter().sum::<f64>() / slowest * (1.0 + 1e-9));
            }
        }
        // One tier that has it all: the last of them ends when all bytes have been moved.
        let mut one = Hierarchy { tiers: vec![hierarchy.tiers[0]], missed: MissedLookups::Free };
        one.tiers[0].hit_rate = 1.0;
        let done = one.retrieve(&sizes, Mode::Sampled, &mut stream);
        let last = done.iter().map(|done| done.read_s).fold(0.0, f64::max);
        prop_assert!((last - sizes.iter().sum::<f64>() / one.tiers[0].bytes_per_s).abs() <= 1e-9 * last);
    }
}
