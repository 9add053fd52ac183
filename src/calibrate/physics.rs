//! What measurements are held against before they are fitted: no kernel beats the device.
//!
//! A time below FLOPs over the peak rate is impossible. One below bytes over the bandwidth is impossible,
//! too, unless the operand fits in the cache twice over: then a benchmark that repeats the kernel has
//! left it there, and the row is *hot*. A table with more than a few impossible rows is refused whole:
//! what else is in it was taken in the same way. So is one whose fastest kernel takes as long as it takes
//! a host to launch one, and one that is only a part.

use super::errors::quantile;
use super::measurements::{AttentionSet, ChunkSet, GemmSet, MoeSet, Origin, StreamRow, Times};
use super::{CalibrateError, paths};
use crate::catalog::Precision;
use crate::runtime::profile::{AttentionShape, Phase, Silicon, WeightKind};

/// How far below the bound a time may be: clocks and timers are not exact.
const SLACK: f64 = 0.98;
/// Share of rows that may be impossible, and are then left out one by one.
const STRAY: f64 = 0.005;
/// No kernel takes this long to do nothing (s); a host that launches kernels one by one does.
const HOST_LAUNCHED: f64 = 25e-6;
/// Fewer shapes are no grid.
pub(super) const FEWEST_SHAPES: usize = 20;
/// Nor are fewer rows of attention.
pub(super) const FEWEST_ATTENTIONS: usize = 300;

/// What a look at a table came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdict {
    /// Rows that no device could reach, and that were left out.
    pub(super) impossible: usize,
    /// Rows that were read from the cache.
    pub(super) hot: usize,
    /// Prompts of one token that were decoded, and that were left out.
    pub(super) decoded: usize,
    /// Decoding sequences from which on another kernel takes less time than with fewer.
    pub(super) unsplit_from: Option<f64>,
    /// Why the table cannot be used.
    pub(super) refused: Option<String>,
}

/// What may be said of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    Sound,
    Hot,
    Impossible,
}

/// Whether a time is above what arithmetic and memory allow.
fn judge(seconds: f64, flops: f64, memory: f64, cached: bool) -> Row {
    if seconds < SLACK * flops {
        Row::Impossible
    } else if seconds >= SLACK * memory {
        Row::Sound
    } else if cached {
        Row::Hot
    } else {
        Row::Impossible
    }
}

/// A row of a table of products.
pub(super) fn gemm_row(silicon: &Silicon, kind: WeightKind, [m, n, k]: [f64; 3], seconds: f64) -> Row {
    let bytes = kind.bytes() * (n * k + m * k) + 2.0 * m * n;
    let cached = kind.bytes() * n * k <= 2.0 * silicon.cache_bytes();
    judge(seconds, 2.0 * m * n * k / silicon.peak(kind), bytes / silicon.bandwidth(), cached)
}

/// A row of a table of attention.
pub(super) fn attention_row(
    silicon: &Silicon,
    phase: Phase,
    shape: &AttentionShape,
    batch: f64,
    length: f64,
    seconds: f64,
) -> Row {
    // Kernels may compute in the cache's format.
    let faster = match shape.kv_cache {
        Precision::Fp8 => silicon.peak(WeightKind::Bf16) / silicon.peak(WeightKind::Fp8),
        _ => 1.0,
    };
    let (h, kv, d) = (f64::from(shape.heads), f64::from(shape.kv_heads), f64::from(shape.head_dim));
    let keys = shape.window.map_or(length, |window| length.min(f64::from(window)));
    let (bound, bytes) = match phase {
        Phase::Prefill => (silicon.prefill(shape, batch, length, 0.0), 4.0 * batch * length * (h + kv) * d),
        Phase::Decode => {
            let kv_bytes = 2.0 * shape.kv_cache.bytes() * batch * keys * kv * d;
            (silicon.decode(shape, batch, length), kv_bytes + 4.0 * batch * h * d)
        }
    };
    let memory = bytes / silicon.bandwidth();
    let flops = if bound > memory { bound * faster } else { 0.0 };
    judge(seconds, flops, memory, bytes <= 2.0 * silicon.cache_bytes())
}

/// Leaves out the rows that are impossible, and counts those and the hot ones; `said` is a row in words.
fn sift<T>(rows: &mut Vec<T>, row: impl Fn(&T) -> Row, said: impl Fn(&T) -> String) -> Verdict {
    let (mut verdict, before) = (Verdict::default(), rows.len());
    let first = rows.iter().find(|one| row(one) == Row::Impossible).map(said);
    rows.retain(|one| match row(one) {
        Row::Sound => true,
        Row::Hot => {
            verdict.hot += 1;
            true
        }
        Row::Impossible => false,
    });
    verdict.impossible = before - rows.len();
    verdict.refused = too_many(verdict.impossible, before, first);
    verdict
}

/// Looks at products and leaves out what is impossible.
pub(super) fn check_gemm(silicon: &Silicon, set: &mut GemmSet) -> Result<Verdict, CalibrateError> {
    let kind = set.kind;
    let bound = |row: &super::measurements::GemmRow| silicon.gemm(kind, row.m, row.n, row.k);
    check_unit(&set.origin, set.rows.iter().map(|row| (row.seconds, bound(row))))?;
    let said = |row: &super::measurements::GemmRow| {
        format!("m {}, n {}, k {} in {}", row.m, row.n, row.k, beside(row.seconds, bound(row)))
    };
    let judged =
        |row: &super::measurements::GemmRow| gemm_row(silicon, kind, [row.m, row.n, row.k], row.seconds);
    let mut verdict = sift(&mut set.rows, judged, said);
    let mut shapes: Vec<(u64, u64)> = set.rows.iter().map(|row| (row.n as u64, row.k as u64)).collect();
    shapes.sort_unstable();
    shapes.dedup();
    verdict.refused =
        verdict.refused.or_else(|| host_launched(set.rows.iter().map(|row| row.seconds))).or_else(|| {
            (shapes.len() < FEWEST_SHAPES).then(|| {
                format!("only {} shapes (n, k): a part of a table, which needs {FEWEST_SHAPES}", shapes.len())
            })
        });
    Ok(verdict)
}

/// Looks at attention and leaves out what is impossible.
pub(super) fn check_attention(silicon: &Silicon, set: &mut AttentionSet) -> Result<Verdict, CalibrateError> {
    let (phase, template) = (set.phase, set.shape(1.0, 1.0));
    let shape = |heads: f64, kv_heads: f64| AttentionShape {
        heads: heads as u32,
        kv_heads: kv_heads as u32,
        ..template
    };
    let bound = |row: &super::measurements::AttentionRow| {
        let shape = shape(row.heads, row.kv_heads);
        match phase {
            Phase::Prefill => silicon.prefill(&shape, row.batch, row.length, 0.0),
            Phase::Decode => silicon.decode(&shape, row.batch, row.length),
        }
    };
    check_unit(&set.origin, set.rows.iter().map(|row| (row.seconds, bound(row))))?;
    let judged = |row: &super::measurements::AttentionRow| {
        let shape = shape(row.heads, row.kv_heads);
        attention_row(silicon, phase, &shape, row.batch, row.length, row.seconds)
    };
    let said = |row: &super::measurements::AttentionRow| {
        let super::measurements::AttentionRow { batch, length, heads, kv_heads, seconds } = *row;
        let sizes = format!("batch {batch}, length {length}, heads {heads}, kv_heads {kv_heads}");
        format!("{sizes} in {}", beside(seconds, bound(row)))
    };
    let mut verdict = sift(&mut set.rows, judged, said);
    verdict.decoded = paths::leave_out_single_tokens(set);
    verdict.unsplit_from = paths::unsplit_from(set);
    verdict.refused =
        verdict.refused.or_else(|| host_launched(set.rows.iter().map(|row| row.seconds))).or_else(|| {
            (set.rows.len() < FEWEST_ATTENTIONS).then(|| {
                let rows = set.rows.len();
                format!("only {rows} rows: a part of a table, which needs {FEWEST_ATTENTIONS}")
            })
        });
    Ok(verdict)
}

/// Looks at layers of experts and leaves out what is impossible: rows faster than the arithmetic of a
/// device's share of them, or than the weights of one expert arrive.
pub(super) fn check_moe(silicon: &Silicon, set: &mut MoeSet) -> Result<Verdict, CalibrateError> {
    let before = set.rows.len();
    let kind = set.kind;
    let bound = |row: &super::measurements::MoeRow| row.shape.bound(silicon, kind, row.tokens);
    check_unit(&set.origin, set.rows.iter().map(|row| (row.seconds, bound(row))))?;
    let faster = |row: &super::measurements::MoeRow| row.seconds < SLACK * bound(row);
    let first = set.rows.iter().find(|row| faster(row));
    let first = first.map(|row| format!("{} tokens in {}", row.tokens, beside(row.seconds, bound(row))));
    set.rows.retain(|row| !faster(row));
    let impossible = before - set.rows.len();
    Ok(Verdict { impossible, refused: too_many(impossible, before, first), ..Verdict::default() })
}

/// Looks at the unit of chunks and mixed steps of one layer.
pub(super) fn check_chunks(silicon: &Silicon, set: &ChunkSet) -> Result<(), CalibrateError> {
    let shape = AttentionShape {
        heads: set.heads,
        kv_heads: set.kv_heads,
        head_dim: set.head_dim,
        kv_cache: Precision::Bf16,
        window: None,
    };
    let bounds = set.rows.iter().map(|row| {
        let prompts = silicon.prefill(&shape, 1.0, row.chunk, row.prefix);
        (row.seconds, prompts + silicon.decode(&shape, row.decodes, row.context))
    });
    check_unit(&set.origin, bounds)
}

/// Looks at the unit of kernels that stream.
pub(super) fn check_streams(
    silicon: &Silicon,
    (origin, rows): &(Origin, Vec<StreamRow>),
) -> Result<(), CalibrateError> {
    check_unit(origin, rows.iter().map(|row| (row.seconds, row.bytes / silicon.bandwidth())))
}

/// Sizes that collectives take no longer than starting one (bytes).
const SMALL_COLLECTIVE: f64 = 65_536.0;
/// Between what such a collective takes on any link (s).
const COLLECTIVE_STARTS: std::ops::Range<f64> = 0.3e-6..3e-3;

/// Looks at the unit of collectives: whatever the link, starting one takes microseconds.
pub(super) fn check_collectives(
    origin: &Origin,
    rows: impl Iterator<Item = (f64, f64)>,
) -> Result<(), CalibrateError> {
    let small = rows.filter(|(bytes, _)| *bytes <= SMALL_COLLECTIVE).map(|(_, seconds)| seconds);
    let Some(least) = small.min_by(f64::total_cmp) else { return Ok(()) };
    if COLLECTIVE_STARTS.contains(&least) {
        return Ok(());
    }
    let Times { larger, smaller, .. } = origin.times;
    let guess = if least < COLLECTIVE_STARTS.start { larger } else { smaller };
    let what = format!("the fastest would take {least:.2e} s, where starting one takes microseconds");
    Err(other_unit(origin, &what, guess))
}

/// A time beside the least that the device could take.
fn beside(seconds: f64, least: f64) -> String {
    format!("{:.4} µs, where it needs {:.4}", seconds * 1e6, least * 1e6)
}

fn too_many(impossible: usize, rows: usize, first: Option<String>) -> Option<String> {
    (impossible as f64 > STRAY * rows as f64).then(|| {
        format!(
            "{impossible} of {rows} rows are faster than the device's peak rate or bandwidth allows, the first \
             {}",
            first.unwrap_or_default()
        )
    })
}

fn host_launched(seconds: impl Iterator<Item = f64>) -> Option<String> {
    let mut seconds: Vec<f64> = seconds.collect();
    if seconds.is_empty() {
        return Some("no rows".to_owned());
    }
    seconds.sort_unstable_by(f64::total_cmp);
    let floor = quantile(&seconds, 0.005);
    (floor > HOST_LAUNCHED).then(|| {
        format!(
            "its fastest kernels take {:.0} µs, as long as a host takes to launch one: times of the host, \
             not of the device",
            floor * 1e6
        )
    })
}

/// Refuses times that are a thousand times off: in another unit than their column's.
fn check_unit(origin: &Origin, rows: impl Iterator<Item = (f64, f64)>) -> Result<(), CalibrateError> {
    // Where work is large, launching does not blur the ratio.
    let mut ratios: Vec<f64> =
        rows.filter(|(_, bound)| *bound > 100e-6).map(|(seconds, bound)| seconds / bound).collect();
    if ratios.len() < 10 {
        return Ok(());
    }
    ratios.sort_unstable_by(f64::total_cmp);
    let middle = quantile(&ratios, 0.5);
    let guess = match middle {
        ..0.02 => origin.times.larger,
        200.0.. => origin.times.smaller,
        _ => return Ok(()),
    };
    Err(other_unit(origin, &format!("times are {middle:.2e} of the least the device could take"), guess))
}

fn other_unit(origin: &Origin, what: &str, guess: &str) -> CalibrateError {
    let Times { column, unit, .. } = origin.times;
    CalibrateError::Column {
        file: origin.file.clone(),
        column: column.to_owned(),
        problem: format!("expected {unit}, but {what}: it seems to be in {guess}"),
    }
}

impl AttentionSet {
    /// The shape of its rows with so many heads.
    pub(super) fn shape(&self, heads: f64, kv_heads: f64) -> AttentionShape {
        AttentionShape {
            heads: heads as u32,
            kv_heads: kv_heads as u32,
            head_dim: self.head_dim,
            kv_cache: self.kv_cache,
            window: self.window,
        }
    }
}
