//! Whole steps of static batches, TensorRT-LLM 0.9: one prefill of all prompts, then decode steps.
//!
//! Format, `e2e/step_static_batch_trtllm.csv`: `model`, `gpu`, `tp`, `precision` (Mixed is 16 bit), `batch_size`, `isl`,
//! `osl`, `first_token_latency_ms` (the prefill), `token_to_token_ms` (a decode step, mean over the output).
//!
//! The engine's share is fitted by least squares on the relative error, on all GPUs but the one that is judged, then on
//! all models but the one that is judged:
//!
//! ```text
//! decode   t = s·(linear + head) + a·attention + rest + L·t_layer + n·t_reduce
//! prefill  t = s·(linear + elementwise) + attention + rest + L·t_layer + n·t_reduce
//! ```
//! s, a and `t_layer` are fitted for 16 and for 8 bit apart. What an all-reduce takes longer inside the engine is one
//! number for n of them, fitted to decode steps of both: activations are reduced in 16 bit whatever the weights are, by
//! the same kernel.
//!
//! In groups of other than 2, 4, 8 and so on, such as Falcon-180B's of 29, each query head reads keys and values for
//! itself, the first from memory and the others from the cache, and decode attention is priced so: inferred from what is
//! left over of these same rows, not read from the engine's kernels.
//!
//! Beside them stand whole-step estimators, one a model, GPU, precision, number of GPUs and stage, each step foretold from
//! four fifths of its deployment's: nothing of the step's batch and lengths was seen.

use std::path::Path;

use super::report::{Point, SetReport};
use super::table::Table;
use super::{Context, ValidationError, bare};
use crate::calibrate::import;
use crate::calibrate::import::steps::{GPUS, MODELS};
use crate::calibrate::steps::{Held, held_out};
use crate::catalog::{Catalog, Precision};
use crate::runtime::profile::Phase;
use crate::runtime::{Chunk, Item, Part, StepShape, Target};
use crate::simulation::Simulation;

/// Time of reading something from the cache, times that from memory, of 0.4, 0.6, 0.8 and 1 what leaves least of the
/// decode steps of Falcon-180B: the caches' own rates would make it 0.4 to 0.6.
const CACHE: f64 = 0.8;

/// A row: what was measured, and the terms of what is predicted.
struct Step {
    gpu: &'static str,
    model: &'static str,
    fp8: bool,
    decode: bool,
    batch: f64,
    measured: f64,
    /// What no coefficient scales (ms).
    fixed: f64,
    /// What coefficients do (ms each).
    terms: [f64; 3],
    /// All-reduces (thousands).
    reduces: f64,
}

pub(super) fn judge(folder: &Path, context: &Context<'_>) -> Result<SetReport, ValidationError> {
    let columns = ["model", "gpu", "tp", "precision", "batch_size", "isl", "osl", "first_token_latency_ms"];
    let table = Table::read(&folder.join("e2e/step_static_batch_trtllm.csv"), &columns)?;
    let (mut steps, mut unknown, mut hosts, mut refused) = (Vec::new(), 0, 0, 0);
    let simulation = Simulation::new();
    // The engine's share is fitted here.
    let runtime = bare(context.runtime);
    for row in table.rows() {
        let gpu = GPUS.iter().find(|(name, _)| *name == row.text("gpu"));
        let model = MODELS.iter().find(|(name, _)| *name == row.text("model"));
        let (Some((_, gpu)), Some((_, model))) = (gpu, model) else {
            unknown += 1;
            continue;
        };
        let (tensor_parallel, fp8) = (row.count("tp")?, row.text("precision") == "FP8");
        if *gpu == "L40S" && tensor_parallel >= 4 {
            hosts += 1;
            continue;
        }
        let catalog = Catalog::embedded();
        let (found, device) = (
            catalog.model(model).map_err(|error| row.refuse(error.to_string()))?,
            catalog.accelerator(gpu).map_err(|error| row.refuse(error.to_string()))?,
        );
        let target = Target {
            tensor_parallel,
            weights: if fp8 { Precision::Fp8 } else { Precision::Bf16 },
            kv_cache: if fp8 { Precision::Fp8 } else { Precision::Bf16 },
            max_step_tokens: 1,
            ..Target::new(found, device)
        };
        let Ok(priced) = simulation.step_model(&runtime, &target) else {
            refused += 1;
            continue;
        };
        let (heads, kv_heads) = (found.attention.heads, found.attention.kv_heads);
        let mut apart = found.clone();
        apart.attention.kv_heads = heads;
        let apart = if (heads / kv_heads.max(1)).is_power_of_two() {
            None
        } else {
            simulation.step_model(&runtime, &Target { model: &apart, ..target }).ok()
        };
        let [batch, isl, osl] = [row.batch("batch_size")?, row.count("isl")?, row.count("osl")?];
        let prompts = vec![Chunk { tokens: isl, context: 0, last: true }; batch as usize];
        let middle = u64::from(isl) + u64::from(osl) / 2;
        let shapes = [
            StepShape { prefill: &prompts, ..StepShape::default() },
            StepShape { prefill: &[], decode_seqs: batch, decode_context: u64::from(batch) * middle },
        ];
        let layers = f64::from(found.layers);
        for (shape, measured) in shapes.iter().zip(["first_token_latency_ms", "token_to_token_ms"]) {
            let decode = shape.prefill.is_empty();
            let items = priced.itemise(shape);
            let ms = |keep: &dyn Fn(Part) -> bool| {
                1e3 * items
                    .iter()
                    .filter(|item: &&Item| keep(item.part))
                    .map(|item| item.seconds)
                    .sum::<f64>()
            };
            let measured = row.number(measured)?;
            if measured == 0.0 {
                continue;
            }
            let own = ms(&|part| part == Part::Attention);
            let attention = match &apart {
                Some(apart) if decode => {
                    let each = apart.itemise(shape).into_iter().filter(|item| item.part == Part::Attention);
                    let memory = 1e3 * each.map(|item| item.seconds).sum::<f64>();
                    own + CACHE * (memory - own).max(0.0)
                }
                _ => own,
            };
            let scaled = if decode {
                ms(&|part| matches!(part, Part::Linear | Part::Head))
            } else {
                ms(&|part| matches!(part, Part::Linear | Part::Elementwise))
            };
            let reduces: f64 =
                items.iter().filter(|item| item.operator == "all-reduce").map(|item| item.calls).sum();
            let rest = ms(&|_| true) - own - scaled;
            let (fixed, attention) = if decode { (rest, attention) } else { (rest + attention, 0.0) };
            steps.push(Step {
                gpu,
                model,
                fp8,
                decode,
                batch: f64::from(batch),
                measured,
                fixed,
                terms: [scaled, attention, layers * 1e-3],
                reduces: reduces * 1e-3,
            });
        }
    }
    let mut points = Vec::new();
    for (how, key) in
        [("other GPUs", (|step| step.gpu) as fn(&Step) -> &'static str), ("other models", |step| step.model)]
    {
        let mut left: Vec<&'static str> = steps.iter().map(key).collect();
        left.sort_unstable();
        left.dedup();
        for out in left {
            let (judged, fitted): (Vec<&Step>, Vec<&Step>) = steps.iter().partition(|step| key(step) == out);
            let share = Share::fit(&fitted);
            points.extend(judged.iter().map(|step| Point {
                group: format!("{} {out}, from {how}", if step.fp8 { "fp8" } else { "bf16" }),
                quantity: if step.decode { "decode step" } else { "prefill step" },
                load: step.batch,
                measured: step.measured,
                predicted: share.predicted(step),
            }));
        }
    }
    points.extend(whole(folder)?);
    Ok(SetReport {
        name: "static",
        title: "Whole steps of static batches, TensorRT-LLM 0.9 (ms)",
        command: context.again(folder, "static"),
        fitted: "11 coefficients of the engine's share (3 for decode and 2 for prefill in 16 and 8 bit each, and one), never on \
                 the GPU (the model) judged; \
                 whole steps: an estimator for every deployment and stage, never on the step judged"
            .to_owned(),
        load: "batch",
        noise: "prefills of the same prompts, run again: 0.5% mean, 0.3% median",
        left_out: vec![
            ("GPUs and models without tables or with experts or windows", unknown),
            ("L40S on 4 and 8 GPUs: collectives of that host", hosts),
            ("the runtime model does not price the device", refused),
        ],
        points,
        predictions: Vec::new(),
    })
}

/// What whole-step estimators say of steps that they have not seen.
fn whole(folder: &Path) -> Result<Vec<Point>, ValidationError> {
    let refused = |error: crate::calibrate::CalibrateError| ValidationError::Model(error.to_string());
    let sets =
        import::whole_steps(&folder.join("e2e"), Catalog::embedded(), &mut Vec::new()).map_err(refused)?;
    let mut points = Vec::new();
    for set in &sets {
        points.extend(held_out(set).into_iter().map(|Held { row, foretold, inside }| Point {
            group: format!("{} {}, whole steps", set.of.weights, set.gpu),
            quantity: match (set.phase, inside) {
                (Phase::Decode, true) => "decode, whole",
                (Phase::Prefill, true) => "prefill, whole",
                (Phase::Decode, false) => "decode, beyond",
                (Phase::Prefill, false) => "prefill, beyond",
            },
            load: match set.phase {
                Phase::Decode => row.tokens,
                Phase::Prefill => row.tokens / row.length,
            },
            measured: row.seconds * 1e3,
            predicted: foretold * 1e3,
        }));
    }
    Ok(points)
}

/// The engine's share.
#[derive(Default)]
struct Share {
    /// For decode and prefill, in 16 and 8 bit each.
    scales: [[f64; 3]; 4],
    /// What an all-reduce takes longer (µs).
    reduce: f64,
}

/// Decode before prefill, 16 bit before 8.
fn regime(step: &Step) -> usize {
    2 * usize::from(!step.decode) + usize::from(step.fp8)
}

impl Share {
    /// Least squares of the relative error, no coefficient negative.
    fn fit(steps: &[&Step]) -> Self {
        let (decode, prefill): (Vec<&Step>, Vec<&Step>) = steps.iter().partition(|step| step.decode);
        let rows = decode.iter().map(|step| {
            let mut terms = [0.0; 7];
            terms[3 * usize::from(step.fp8)..][..3].copy_from_slice(&step.terms);
            terms[6] = step.reduces;
            (terms, step.fixed, step.measured)
        });
        let found = least_squares(&rows.collect::<Vec<_>>());
        let mut share = Self { reduce: found[6], ..Self::default() };
        share.scales[0].copy_from_slice(&found[..3]);
        share.scales[1].copy_from_slice(&found[3..6]);
        for fp8 in [false, true] {
            let of = prefill.iter().filter(|step| step.fp8 == fp8);
            let rows = of.map(|step| (step.terms, step.fixed + share.reduce * step.reduces, step.measured));
            share.scales[2 + usize::from(fp8)] = least_squares(&rows.collect::<Vec<_>>());
        }
        share
    }

    fn predicted(&self, step: &Step) -> f64 {
        let scales = &self.scales[regime(step)];
        let scaled: f64 = step.terms.iter().zip(scales).map(|(term, by)| term * by).sum();
        step.fixed + scaled + self.reduce * step.reduces
    }
}

/// Coefficients of terms beside what is fixed, none negative: coordinate descent.
fn least_squares<const N: usize>(rows: &[([f64; N], f64, f64)]) -> [f64; N] {
    let mut coefficients = [0.0; N];
    for _ in 0..1000 {
        for at in 0..N {
            let (mut down, mut across) = (0.0, 0.0);
            for (terms, fixed, measured) in rows {
                let term = terms[at] / measured;
                let others: f64 =
                    (0..N).filter(|other| *other != at).map(|other| terms[other] * coefficients[other]).sum();
                across += term * (1.0 - (fixed + others) / measured);
                down += term * term;
            }
            if down > 0.0 {
                coefficients[at] = (across / down).max(0.0);
            }
        }
    }
    coefficients
}
