//! Fits what a cached prefix costs a chunk, and what prompts and decoding sequences cost in one launch.
//!
//! Where that was measured, the rules are fitted to it, and scored on models that were left out. Where it
//! was not, the cost of a key of a prefix is taken from plain prompts: there, too, each wave of tiles walks
//! its keys.

use super::errors::Errors;
use super::gemm::rounded;
use super::measurements::{AttentionRow, AttentionSet, ChunkRow, ChunkSet};
use super::simplex::{minimise, soft};
use crate::catalog::Precision;
use crate::runtime::Architecture;
use crate::runtime::profile::{AttentionShape, MixedRule, PrefixRule, Profile, Silicon};

/// The tile of the kernel that chunks were measured with.
const TILE: u32 = 64;

/// How well the rules foretell models that they were not fitted to.
pub(super) struct ChunkScores {
    /// Chunks behind a prefix.
    pub(super) prefix: Vec<(String, Errors)>,
    /// The same, where what the chunk takes without a prefix is known.
    pub(super) beyond: Vec<(String, Errors)>,
    /// Prompts and decoding sequences together.
    pub(super) mixed: Vec<(String, Errors)>,
}

fn shape(set: &ChunkSet) -> AttentionShape {
    AttentionShape {
        heads: set.heads,
        kv_heads: set.kv_heads,
        head_dim: set.head_dim,
        kv_cache: Precision::Bf16,
        window: None,
    }
}

/// A chunk too short to be told from decoding takes another path.
fn behind_prefix(row: &ChunkRow) -> bool {
    row.decodes == 0.0 && row.chunk >= 16.0 && row.prefix > 0.0
}

fn both(row: &ChunkRow) -> bool {
    row.decodes > 0.0 && row.chunk > 0.0
}

/// The rules for a profile whose attention is fitted already, written into it, and how well they foretell.
pub(super) fn calibrate(
    profile: &mut Profile,
    sets: &[ChunkSet],
    prompts: Option<&AttentionSet>,
) -> Option<ChunkScores> {
    profile.prefix = match sets {
        [] => from_prompts(&profile.silicon, prompts),
        sets => prefix_rule(profile, &sets.iter().collect::<Vec<_>>()),
    };
    if sets.is_empty() {
        carry_over(profile);
        return None;
    }
    profile.mixed = mixed_rule(profile, &sets.iter().collect::<Vec<_>>());
    let mut scores = ChunkScores { prefix: Vec::new(), beyond: Vec::new(), mixed: Vec::new() };
    for (out, set) in sets.iter().enumerate() {
        let rest: Vec<&ChunkSet> =
            sets.iter().enumerate().filter(|(at, _)| *at != out).map(|(_, set)| set).collect();
        let rest = if rest.is_empty() { vec![set] } else { rest };
        let mut blind = profile.clone();
        blind.prefix = prefix_rule(profile, &rest);
        blind.mixed = mixed_rule(&blind, &rest);
        let Ok(curve) = blind.attention(&shape(set)) else { continue };
        let chunks = set.rows.iter().filter(|row| behind_prefix(row));
        let errors =
            Errors::of(chunks.map(|row| (curve.prefill.seconds(1.0, row.chunk, row.prefix), row.seconds)));
        scores.prefix.push((set.name.clone(), errors));
        let own = |chunk: f64| {
            let alone = |row: &&ChunkRow| row.decodes == 0.0 && row.prefix == 0.0 && row.chunk == chunk;
            set.rows.iter().find(alone).map(|row| row.seconds)
        };
        let beyond = set.rows.iter().filter(|row| behind_prefix(row)).filter_map(|row| {
            let more = curve.prefill.seconds(1.0, row.chunk, row.prefix)
                - curve.prefill.seconds(1.0, row.chunk, 0.0);
            Some((own(row.chunk)? + more, row.seconds))
        });
        scores.beyond.push((set.name.clone(), Errors::of(beyond)));
        let mixed = set.rows.iter().filter(|row| both(row));
        let errors = Errors::of(mixed.map(|row| {
            let chunk = std::iter::once((row.chunk, row.prefix));
            (curve.seconds(chunk, row.decodes, row.context), row.seconds)
        }));
        scores.mixed.push((set.name.clone(), errors));
    }
    Some(scores)
}

fn named(sets: &[&ChunkSet]) -> String {
    let names: Vec<&str> = sets.iter().map(|set| set.name.as_str()).collect();
    names.join(", ")
}

/// The costs of keys of a prefix that fit measured chunks.
fn prefix_rule(profile: &Profile, sets: &[&ChunkSet]) -> PrefixRule {
    let rule = |[ns_per_key, free_keys, later_waves]: [f64; 3]| PrefixRule {
        tile: TILE,
        ns_per_key: rounded(ns_per_key),
        free_keys: rounded(free_keys),
        later_waves: rounded(later_waves),
        fitted_to: format!("chunks behind prefixes, {}", named(sets)),
    };
    let mut plain = Vec::new();
    for set in sets {
        let free = Profile { prefix: rule([0.0; 3]), ..profile.clone() };
        let Ok(curve) = free.prefill_attention(&shape(set)) else { continue };
        for row in set.rows.iter().filter(|row| behind_prefix(row)) {
            let tiles = (row.chunk / f64::from(TILE)).ceil() * f64::from(set.heads);
            let waves = (tiles / f64::from(profile.silicon.multiprocessors)).ceil();
            plain.push((curve.seconds(1.0, row.chunk, 0.0), waves - 1.0, row.prefix, row.seconds));
        }
    }
    let cost = |x: &[f64]| {
        let [ns, free, later] = [0, 1, 2].map(|at| libm::exp(x[at]));
        let each = plain.iter().map(|(plain, waves, keys, seconds)| {
            let foretold = plain + ns * 1e-9 * ((keys - free).max(0.0) + later * waves * keys);
            soft(libm::log(foretold / seconds))
        });
        each.sum()
    };
    let found = minimise(cost, &[3.0, 3.0, -0.1], 0.3, 500);
    rule([0, 1, 2].map(|at| libm::exp(found[at])))
}

/// The cost of a key by plain prompts: `t0 + τ·waves·(s/2 + δ)`, with the tile that fits best.
fn from_prompts(silicon: &Silicon, prompts: Option<&AttentionSet>) -> PrefixRule {
    let rule = |tile: u32, ns_per_key: f64, fitted_to: &str| PrefixRule {
        tile,
        ns_per_key: rounded(ns_per_key),
        free_keys: 0.0,
        later_waves: 1.0,
        fitted_to: fitted_to.to_owned(),
    };
    let Some(set) = prompts else {
        // Four bytes of a key and a value at the bandwidth of one multiprocessor: of the right size.
        let ns = 1e9 * 512.0 * f64::from(silicon.multiprocessors) / silicon.bandwidth();
        return rule(TILE, ns, "nothing: no attention was measured");
    };
    let fit = |tile: f64| {
        let law = |x: &[f64], row: &AttentionRow| {
            let tiles = (row.length / tile).ceil() * row.batch * row.heads;
            let waves = (tiles / f64::from(silicon.multiprocessors)).ceil();
            libm::exp(x[0]) * 1e-6 + libm::exp(x[1]) * 1e-9 * waves * (row.length / 2.0 + libm::exp(x[2]))
        };
        let cost =
            |x: &[f64]| set.rows.iter().map(|row| soft(libm::log(law(x, row) / row.seconds))).sum::<f64>();
        let found = minimise(cost, &[2.0, 2.5, 4.0], 0.5, 400);
        (cost(&found), libm::exp(found[1]))
    };
    let best = [64_u32, 128, 192, 256].map(|tile| (tile, fit(f64::from(tile))));
    let best = best.into_iter().min_by(|a, b| a.1.0.total_cmp(&b.1.0));
    best.map_or_else(
        || rule(TILE, 10.0, "nothing"),
        |(tile, (_, ns))| rule(tile, ns, "plain prompts; chunks behind prefixes were not measured"),
    )
}

/// Where vLLM runs the kernel whose mixed steps were measured on RTX PRO 6000, that rule, with what a key costs here.
fn carry_over(profile: &mut Profile) {
    if Architecture::of(&profile.gpu).attends_in_one_launch() {
        profile.mixed = MixedRule::Together {
            tile: TILE,
            ns_per_key: profile.prefix.ns_per_key,
            prefill_keys: 347.0,
            decode_keys: 214.0,
            exposed: 0.58,
            fitted_to: "carried over from RTX PRO 6000: the same kernel, keys at the cost of plain prompts"
                .to_owned(),
        };
    }
}

fn mixed_rule(profile: &Profile, sets: &[&ChunkSet]) -> MixedRule {
    let rule = |x: &[f64]| MixedRule::Together {
        tile: TILE,
        ns_per_key: rounded(libm::exp(x[0])),
        prefill_keys: rounded(libm::exp(x[1])),
        decode_keys: rounded(libm::exp(x[2])),
        exposed: rounded(libm::exp(x[3])),
        fitted_to: format!("mixed steps, {}", named(sets)),
    };
    let curves: Vec<_> = sets.iter().map(|set| profile.attention(&shape(set))).collect();
    let mut rows = Vec::new();
    for (set, curve) in sets.iter().zip(&curves) {
        let Ok(curve) = curve else { continue };
        // One row in seven says as much, and no period of the grid is seven.
        rows.extend(set.rows.iter().filter(|row| both(row)).step_by(7).map(|row| (curve, row)));
    }
    let cost = |x: &[f64]| {
        let rule = rule(x);
        let each = rows.iter().map(|(curve, row)| {
            let chunk = std::iter::once((row.chunk, row.prefix));
            let seconds = curve.together(&rule, chunk, row.decodes, row.context);
            soft(libm::log(seconds / row.seconds))
        });
        each.sum()
    };
    rule(&minimise(cost, &[3.1, 5.7, 5.3, -0.4], 0.3, 500))
}
