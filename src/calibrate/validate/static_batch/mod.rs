//! Whole steps of static batches, TensorRT-LLM 0.9: one prefill of all prompts, then decode steps.
//!
//! Format, `e2e/step_static_batch_trtllm.csv`: `model`, `gpu`, `tp`, `precision` (Mixed is 16 bit), `batch_size`,
//! `isl`, `osl`, `first_token_latency_ms` (the prefill), `token_to_token_ms` (a decode step, mean over the output).
//!
//! The engine's share is fitted by least squares on the relative error, on all GPUs but the one that is judged, then on
//! all models but the one that is judged:
//!
//! ```text
//! decode   t = s·(linear + head) + attention + rest + L·t_layer + n·(t_reduce + c·t_KB)
//! prefill  t = s·(linear + elementwise) + attention + rest + L·t_layer + n·(t_reduce + c·t_KB)
//! ```
//! s and `t_layer` are fitted for decode and prefill in 16 and 8 bit each. Which of two kernels attends to single
//! tokens, and how many KB c a thread block of an all-reduce reads, is in [`kernels`]: attention takes four coefficients
//! more, and all-reduces two, for n of them in 16 and 8 bit and in both stages: activations are reduced in 16 bit
//! whatever the weights are, by the same kernel.
//!
//! Products of prompts in 8 bit run at the full rate on Ada: 500 TFLOP/s and more, beyond the 366 that accumulation in
//! 32 bit allows, at which the tables' kernel runs. They are priced by the `Analytical` model with the fraction of the
//! full rate that 8-bit products reach on Hopper.
//!
//! Beside them stand whole-step estimators, one a model, GPU, precision, number of GPUs and stage, each step foretold
//! from four fifths of its deployment's: nothing of the step's batch and lengths was seen.

mod kernels;
mod share;

use std::path::Path;

use kernels::Masked;
use share::Share;

use super::report::{Point, SetReport};
use super::table::Table;
use super::{Context, ValidationError, bare};
use crate::calibrate::import;
use crate::calibrate::import::steps::{GPUS, MODELS};
use crate::calibrate::silicon;
use crate::calibrate::steps::{Held, held_out};
use crate::catalog::{Catalog, Precision};
use crate::runtime::profile::Phase;
use crate::runtime::{Architecture, Chunk, Item, Part, StepShape, Target};
use crate::scenario::Choice;
use crate::simulation::Simulation;

/// Fraction of the full rate of 8-bit products on Ada: what they reach of it on Hopper.
const FULL_RATE: f64 = 0.70;

/// A row: what was measured, and the terms of what is predicted.
#[derive(Default)]
struct Step {
    gpu: &'static str,
    model: &'static str,
    fp8: bool,
    decode: bool,
    batch: f64,
    measured: f64,
    /// What no coefficient scales (ms).
    fixed: f64,
    /// Products, and LM head or elementwise kernels with them (ms).
    products: f64,
    /// Layers (thousands).
    layers: f64,
    masked: Masked,
    /// All-reduces (thousands).
    reduces: f64,
    /// What a thread block of each of them reads (KB), times those.
    block_kilobytes: f64,
}

pub(super) fn judge(folder: &Path, context: &Context<'_>) -> Result<SetReport, ValidationError> {
    let columns = ["model", "gpu", "tp", "precision", "batch_size", "isl", "osl", "first_token_latency_ms"];
    let table = Table::read(&folder.join("e2e/step_static_batch_trtllm.csv"), &columns)?;
    let (mut steps, mut unknown, mut hosts, mut refused) = (Vec::new(), 0, 0, Vec::new());
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
        let catalog = Catalog::embedded();
        let (found, device) = (
            catalog.model(model).map_err(|error| row.refuse(error.to_string()))?,
            catalog.accelerator(gpu).map_err(|error| row.refuse(error.to_string()))?,
        );
        if device.scale_up.as_ref().and_then(|links| links.peers).is_some_and(|most| tensor_parallel > most) {
            hosts += 1;
            continue;
        }
        let target = Target {
            tensor_parallel,
            weights: if fp8 { Precision::Fp8 } else { Precision::Bf16 },
            kv_cache: if fp8 { Precision::Fp8 } else { Precision::Bf16 },
            max_step_tokens: 1,
            ..Target::new(found, device)
        };
        let priced = match simulation.step_model(&runtime, &target) {
            Ok(priced) => priced,
            Err(why) => {
                refused.push(why.to_string());
                continue;
            }
        };
        let full_rate = (fp8 && Architecture::of(gpu) == Architecture::Ada)
            .then(|| Choice::new("Analytical", format!("compute_efficiency_8bit: {FULL_RATE}")))
            .map(|full| simulation.step_model(&full, &target).map_err(|why| row.refuse(why.to_string())))
            .transpose()?;
        let silicon = silicon::of(device).map_err(|error| row.refuse(error.to_string()))?;
        let ghz = kernels::clock(gpu).ok_or_else(|| row.refuse(format!("{gpu}: its clock is not known")))?;
        let [batch, isl, osl] = [row.batch("batch_size")?, row.count("isl")?, row.count("osl")?];
        let prompts = vec![Chunk { tokens: isl, context: 0, last: true }; batch as usize];
        let middle = u64::from(isl) + u64::from(osl) / 2;
        let shapes = [
            StepShape { prefill: &prompts, ..StepShape::default() },
            StepShape { prefill: &[], decode_seqs: batch, decode_context: u64::from(batch) * middle },
        ];
        for (shape, measured) in shapes.iter().zip(["first_token_latency_ms", "token_to_token_ms"]) {
            let measured = row.number(measured)?;
            if measured == 0.0 {
                continue;
            }
            let decode = shape.prefill.is_empty();
            let items = priced.itemise(shape);
            let of = |items: &[Item], keep: &[Part]| {
                let kept = items.iter().filter(|item| keep.contains(&item.part));
                1e3 * kept.map(|item| item.seconds).sum::<f64>()
            };
            let scaled = if decode { [Part::Linear, Part::Head] } else { [Part::Linear, Part::Elementwise] };
            let all: f64 = 1e3 * items.iter().map(|item| item.seconds).sum::<f64>();
            let mut step = Step {
                gpu,
                model,
                fp8,
                decode,
                batch: f64::from(batch),
                measured,
                fixed: all - of(&items, &scaled),
                products: of(&items, &scaled),
                layers: 1e-3 * f64::from(found.layers),
                ..Step::default()
            };
            if decode {
                let context = middle as f64;
                let multiprocessors = f64::from(silicon.multiprocessors);
                if let Some(masked) = kernels::masked(&target, multiprocessors, ghz, step.batch, context) {
                    step.masked = masked;
                    step.fixed -= of(&items, &[Part::Attention]);
                }
            } else if let Some(full_rate) = &full_rate {
                let linear = [Part::Linear];
                step.products += of(&full_rate.itemise(shape), &linear) - of(&items, &linear);
            }
            let reduces = items.iter().filter(|item| item.operator == "all-reduce");
            step.reduces = 1e-3 * reduces.map(|item| item.calls).sum::<f64>();
            let bytes = 2 * shape.tokens() * u64::from(found.hidden);
            let block = kernels::block_bytes(bytes, tensor_parallel.into());
            step.block_kilobytes = 1e-3 * block * step.reduces;
            steps.push(step);
        }
    }
    // Not the devices then, but the runtime model itself.
    if steps.is_empty()
        && let Some(why) = refused.pop()
    {
        return Err(ValidationError::Model(why));
    }
    let mut points = Vec::new();
    for (models, key) in [(false, (|step| step.gpu) as fn(&Step) -> &'static str), (true, |step| step.model)]
    {
        let mut left: Vec<&'static str> = steps.iter().map(key).collect();
        left.sort_unstable();
        left.dedup();
        for out in left {
            let (judged, fitted): (Vec<&Step>, Vec<&Step>) = steps.iter().partition(|step| key(step) == out);
            let share = Share::fit(&fitted);
            points.extend(judged.iter().map(|step| Point {
                group: out.to_owned(),
                quantity: judged_as(step.decode, step.fp8, models),
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
        fitted: "14 coefficients of the engine's share (products and layers, by stage and precision; masked attention 4, \
                 all-reduces 2), never on the GPU (the model) judged; \
                 whole steps: an estimator for every deployment and stage, never on the step judged"
            .to_owned(),
        load: "batch",
        noise: "prefills of the same prompts, run again: 0.5% mean, 0.3% median",
        left_out: vec![
            ("GPUs and models without tables or with experts", unknown),
            ("more GPUs than are peers (L40S on 4 and 8): collectives of that host", hosts),
            ("the runtime model does not price the device", refused.len()),
        ],
        points,
        predictions: Vec::new(),
    })
}

/// A stage in a precision, fitted on other models or on other GPUs.
const fn judged_as(decode: bool, fp8: bool, models: bool) -> &'static str {
    match (decode, fp8, models) {
        (true, false, false) => "decode, 16 bit, other GPUs",
        (true, true, false) => "decode, 8 bit, other GPUs",
        (true, false, true) => "decode, 16 bit, other models",
        (true, true, true) => "decode, 8 bit, other models",
        (false, false, false) => "prefill, 16 bit, other GPUs",
        (false, true, false) => "prefill, 8 bit, other GPUs",
        (false, false, true) => "prefill, 16 bit, other models",
        (false, true, true) => "prefill, 8 bit, other models",
    }
}

/// What whole-step estimators say of steps that they have not seen.
fn whole(folder: &Path) -> Result<Vec<Point>, ValidationError> {
    let refused = |error: crate::calibrate::CalibrateError| ValidationError::Model(error.to_string());
    let sets =
        import::whole_steps(&folder.join("e2e"), Catalog::embedded(), &mut Vec::new()).map_err(refused)?;
    let mut points = Vec::new();
    for set in &sets {
        points.extend(held_out(set).into_iter().map(|Held { row, foretold, inside }| Point {
            group: format!("{} {}", set.of.weights, set.gpu),
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
