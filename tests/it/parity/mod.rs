//! MIST against reference simulators that are written anew here, naively, on loads made by formula. The
//! full comparison with recorded runs is `cargo run --release --example parity_vidur -- FACTS_DIR`.

mod naive_vidur;
#[allow(dead_code, unused_imports, reason = "the example uses all of it")]
#[path = "../../../examples/parity_vidur/vidur/mod.rs"]
mod vidur;

use std::sync::Arc;

use mist::runtime::{Bound, StepCost, StepModel, StepShape};

use vidur::{Batch, Global, Kind, Load, Settings, simulate};

/// A step time that depends on everything a batch is made of.
fn step_seconds(tokens: u64, decodes: u64, decode_context: u64, prompts: &[(u64, u64)]) -> f64 {
    let prefill: f64 = prompts.iter().map(|(tokens, context)| (tokens * (tokens + 2 * context)) as f64).sum();
    let attention = 3e-7 * decode_context as f64 + 2e-8 * prefill + 1e-5 * (decodes * decodes) as f64;
    5.1e-3 + 3.7e-5 * tokens.next_multiple_of(8) as f64 + attention
}

fn model() -> Arc<dyn StepModel> {
    Arc::new(|shape: &StepShape<'_>| {
        let prompts: Vec<(u64, u64)> =
            shape.prefill.iter().map(|chunk| (chunk.tokens.into(), chunk.context.into())).collect();
        let seconds = step_seconds(shape.tokens(), shape.decode_seqs.into(), shape.decode_context, &prompts);
        StepCost { seconds, bound: Bound::Compute }
    })
}

/// Numbers that look random, by the formula of Lehmer (1951) as Park & Miller (1988) have it.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0 * 48_271 % 0x7fff_ffff;
        self.0 * bound / 0x7fff_ffff
    }
}

/// `requests` requests, with up to `gap` milliseconds between two, or all at once.
fn load(seed: u64, requests: usize, gap: u64, longest: u64) -> Vec<Load> {
    let mut numbers = Numbers(seed);
    let mut arrived_at = 0.0;
    let mut next = || {
        arrived_at += numbers.below(1_000_000 * gap + 1) as f64 * 1e-9;
        let (prefill, decode) = (1 + numbers.below(longest), 1 + numbers.below(longest / 2));
        Load { arrived_at, prefill_tokens: prefill as u32, decode_tokens: decode as u32 }
    };
    (0..requests).map(|_| next()).collect()
}

/// Runs the load both ways, which must give the same; tells how often requests started over.
fn agree(load: &[Load], settings: &Settings) -> u32 {
    let ours = simulate(load, settings, &model()).expect("the scenario is valid");
    let theirs = naive_vidur::run(load, settings, step_seconds);

    let mut begun: Vec<&naive_vidur::Batch> = theirs.batches.iter().collect();
    begun.sort_by(|a, b| (a.replica, a.scheduled).partial_cmp(&(b.replica, b.scheduled)).unwrap());
    let mut batches: Vec<&Batch> = ours.batches.iter().collect();
    batches.sort_by_key(|batch| (batch.replica, batch.scheduled));
    let same = |ours: u64, theirs: f64, steps: usize| {
        let bound = 1e-6 + 0.5e-9 * (steps as f64 + 1.0);
        assert!((ours as f64 * 1e-9 - theirs).abs() < bound, "{ours} ns, {theirs} s: {settings:?}");
    };
    assert_eq!(batches.len(), begun.len(), "{settings:?}");
    for (at, (ours, theirs)) in batches.iter().zip(&begun).enumerate() {
        let counts = (theirs.replica, theirs.size, theirs.prefill_tokens, theirs.decode_tokens);
        assert_eq!(
            (ours.replica, ours.size, ours.prefill_tokens, ours.decode_tokens),
            counts,
            "{settings:?}"
        );
        same(ours.scheduled, theirs.scheduled, at);
        same(ours.completed, theirs.completed, at);
    }
    for (ours, theirs) in ours.requests.iter().zip(&theirs.requests) {
        assert_eq!(ours.is_some(), theirs.completed.is_some(), "{settings:?}");
        let Some(ours) = ours else { continue };
        assert_eq!(u32::from(ours.restarts), theirs.restarts);
        same(ours.scheduled, theirs.scheduled.unwrap(), batches.len());
        same(ours.first_token, theirs.first_token.unwrap(), batches.len());
        same(ours.completed, theirs.completed.unwrap(), batches.len());
    }
    theirs.requests.iter().map(|request| request.restarts).sum()
}

/// Few blocks, so that requests start over all the time.
fn tight(scheduler: Kind) -> Settings {
    let blocks = 60;
    Settings { scheduler, blocks, chunk_size: 64, batch_size_cap: 24, ..Settings::default() }
}

#[test]
fn sarathi_of_vidur_is_the_same_batch_by_batch() {
    let settings = tight(Kind::Sarathi);
    let mut restarts = agree(&load(1, 60, 100, 250), &settings);
    let lor = Settings { global: Global::Lor, replicas: 3, ..settings.clone() };
    restarts += agree(&load(2, 90, 30, 250), &lor);
    assert!(restarts > 100, "{restarts} restarts");
    // More decode than a batch has tokens: prompts under way are left out, and others are evicted before them.
    let narrow = Settings { chunk_size: 8, watermark: 0.0, block_size: 8, ..settings.clone() };
    assert!(agree(&load(3, 40, 20, 120), &narrow) > 0);
    agree(&load(4, 40, 0, 120), &narrow);
    // Somebody may be left who fits no more: then nothing moves, here as there.
    agree(&load(5, 20, 20, 600), &settings);
}

#[test]
fn vllm_of_vidur_is_the_same_batch_by_batch() {
    let settings = Settings { max_tokens_in_batch: 512, ..tight(Kind::Vllm) };
    let random = Settings { global: Global::Random, replicas: 2, seed: 7, ..settings.clone() };
    let restarts = agree(&load(6, 60, 100, 250), &settings) + agree(&load(7, 90, 30, 250), &random);
    assert!(restarts > 100, "{restarts} restarts");
    agree(&load(8, 40, 0, 250), &settings);
    // What starts over may be longer than a batch: it waits for ever, and all others with it.
    agree(&load(9, 40, 20, 250), &Settings { max_tokens_in_batch: 280, ..settings });
}

#[test]
fn orca_and_faster_transformer_of_vidur_are_the_same_batch_by_batch() {
    let settings = Settings { blocks: 240, max_tokens: 512, ..tight(Kind::Orca) };
    assert_eq!(agree(&load(10, 40, 60, 250), &settings), 0);
    // The blocks that it loses last for a few batches.
    let lossy = Settings { scheduler: Kind::FasterTransformer, replicas: 2, ..settings };
    assert_eq!(agree(&load(11, 40, 60, 250), &lossy), 0);
    assert_eq!(agree(&load(12, 40, 60, 250), &Settings { blocks: 3_200, ..lossy }), 0);
}
