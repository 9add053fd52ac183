//! Whole steps: `mist_steps.csv` with measurements of one's own, and `step_static_batch_trtllm.csv`. Their columns are
//! with [`calibrate_steps`](crate::calibrate::calibrate_steps).

use std::path::Path;

use super::plain::{one_of, only};
use super::table::Table;
use crate::calibrate::CalibrateError;
use crate::calibrate::measurements::{StepRow, StepSet};
use crate::catalog::{Catalog, Precision};
use crate::runtime::profile::Phase;
use crate::runtime::{Chunk, Deployed, Engine, LowerBound, StepShape, Target};

/// GPUs of the static batches.
pub(in crate::calibrate) const GPUS: [(&str, &str); 4] = [
    ("A100-SXM4-80GB", "A100-80GB-SXM4"),
    ("H100 80GB HBM3", "H100-SXM5-80GB"),
    ("H200 141GB HBM3", "H200-SXM-141GB"),
    ("L40S", "L40S"),
];

/// Models of the static batches: dense ones.
pub(in crate::calibrate) const MODELS: [(&str, &str); 6] = [
    ("LLaMA v2 70B", "Llama-2-70B"),
    ("LLaMA v2 13B", "Llama-2-13B"),
    ("LLaMA v2 7B", "Llama-2-7B"),
    ("GPTJ 6B", "GPT-J"),
    ("Falcon 180B", "Falcon-180B"),
    ("Mistral 7B", "Mistral-7B-v0.1"),
];

/// Most prompts or sequences in a step.
const MOST_SEQUENCES: f64 = 65_536.0;

/// How much longer than physics has it a step may take.
const SLOWEST: f64 = 300.0;

/// Reads a file if its name is one of these; `remarks` are told what was left out.
pub(super) fn read(
    path: &Path,
    catalog: &Catalog,
    into: &mut Vec<StepSet>,
    remarks: &mut Vec<String>,
) -> Result<bool, CalibrateError> {
    match path.file_name().and_then(|name| name.to_str()) {
        Some("mist_steps.csv") => own(path, catalog, into)?,
        Some("step_static_batch_trtllm.csv") => static_batches(path, catalog, into, remarks)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn add(into: &mut Vec<StepSet>, gpu: &str, of: Deployed, phase: Phase, row: StepRow) {
    let same = |set: &&mut StepSet| set.gpu == gpu && set.of == of && set.phase == phase;
    match into.iter_mut().find(same) {
        Some(set) => set.rows.push(row),
        None => into.push(StepSet { gpu: gpu.to_owned(), of, phase, rows: vec![row] }),
    }
}

/// One measured step.
struct Measured<'a> {
    table: &'a Table,
    row: usize,
    column: &'a str,
    gpu: &'a str,
    of: &'a Deployed,
    phase: Phase,
    batch: f64,
    tokens: f64,
    context: f64,
    ms: f64,
}

impl Measured<'_> {
    /// As tokens, mean length and seconds, if physics allows it.
    fn checked(&self, catalog: &Catalog) -> Result<StepRow, CalibrateError> {
        let fault = |column: &str, problem: &str| self.table.fault(column, self.row, problem);
        if self.batch > MOST_SEQUENCES {
            let column = if self.table.has("batch_size") { "batch_size" } else { "batch" };
            return Err(fault(column, &format!("expected at most {MOST_SEQUENCES}, found `{}`", self.batch)));
        }
        let model = catalog.model(&self.of.model).map_err(|error| fault("model", &error.to_string()))?;
        let device = catalog.accelerator(self.gpu).map_err(|error| fault("gpu", &error.to_string()))?;
        let target = Target {
            tensor_parallel: self.of.tensor_parallel,
            weights: self.of.weights,
            kv_cache: self.of.kv_cache,
            ..Target::new(model, device)
        };
        let data_sheet = target.device().map_err(|error| fault("gpu", &error))?;
        let bound = LowerBound::new(&target.shape(), &data_sheet, &target.deployment());
        let chunk = Chunk { tokens: self.tokens as u32, context: self.context as u32, last: true };
        let (chunks, tokens, length) = match self.phase {
            // As long as a prompt without a prefix that scores as many pairs a token.
            Phase::Prefill => {
                let length = 2.0 * self.context + self.tokens;
                (vec![chunk; self.batch as usize], self.batch * self.tokens, length)
            }
            Phase::Decode => (Vec::new(), self.batch, self.context),
        };
        let decodes = if self.phase == Phase::Decode { self.batch } else { 0.0 };
        let least = bound.seconds(&StepShape {
            prefill: &chunks,
            decode_seqs: decodes as u32,
            decode_context: (decodes * self.context) as u64,
        });
        let seconds = self.ms * 1e-3;
        if seconds < least || seconds > SLOWEST * least {
            let than = if seconds < least { "less than" } else { "over 300 times" };
            let problem = format!(
                "{} ms is {than} the {:.3} ms that {} allows: is it in milliseconds?",
                self.ms,
                least * 1e3,
                self.gpu
            );
            return Err(fault(self.column, &problem));
        }
        Ok(StepRow { tokens, length, seconds })
    }
}

fn own(path: &Path, catalog: &Catalog, into: &mut Vec<StepSet>) -> Result<(), CalibrateError> {
    let columns = [
        "model", "gpu", "engine", "version", "tp", "weights", "kv_cache", "stage", "batch", "tokens",
        "context", "time_ms",
    ];
    let table = &only(path, &columns)?;
    let [models, gpus, engines, versions, weights, kv_caches, stages] =
        ["model", "gpu", "engine", "version", "weights", "kv_cache", "stage"].map(|name| table.words(name));
    let (models, gpus, engines, versions) = (models?, gpus?, engines?, versions?);
    let (weights, kv_caches, stages) = (weights?, kv_caches?, stages?);
    let tp = table.numbers("tp", "GPUs", 1.0)?;
    let (batch, tokens) = (table.numbers("batch", "count", 1.0)?, table.numbers("tokens", "tokens", 1.0)?);
    let (context, times) = (table.numbers("context", "tokens", 0.0)?, table.numbers("time_ms", "ms", 1e-9)?);
    let engines_known = Engine::ALL.map(|engine| (engine.name(), engine));
    let precisions = Precision::ALL.map(|precision| (precision.name(), precision));
    let phases = [("prefill", Phase::Prefill), ("decode", Phase::Decode)];
    for row in 0..table.rows() {
        let of = Deployed {
            model: models[row].clone(),
            engine: one_of(table, "engine", row, &engines[row], &engines_known)?,
            version: crate::runtime::engine_version(&versions[row])
                .map_err(|problem| table.fault("version", row, &problem))?,
            tensor_parallel: tp[row] as u32,
            weights: one_of(table, "weights", row, &weights[row], &precisions)?,
            kv_cache: one_of(table, "kv_cache", row, &kv_caches[row], &precisions)?,
        };
        let phase = one_of(table, "stage", row, &stages[row], &phases)?;
        if phase == Phase::Decode && (tokens[row] != 1.0 || context[row] < 1.0) {
            let problem = "a decode step has 1 token a sequence and attends to at least that";
            return Err(table.fault("tokens", row, problem));
        }
        let measured = Measured {
            table,
            row,
            column: "time_ms",
            gpu: &gpus[row],
            of: &of,
            phase,
            batch: batch[row],
            tokens: tokens[row],
            context: context[row],
            ms: times[row],
        };
        let checked = measured.checked(catalog)?;
        add(into, &gpus[row], of, phase, checked);
    }
    Ok(())
}

fn static_batches(
    path: &Path,
    catalog: &Catalog,
    into: &mut Vec<StepSet>,
    remarks: &mut Vec<String>,
) -> Result<(), CalibrateError> {
    let table = &Table::read(path)?;
    let (models, gpus, precisions) = (table.words("model")?, table.words("gpu")?, table.words("precision")?);
    let tp = table.numbers("tp", "GPUs", 1.0)?;
    let [batch, isl, osl] = ["batch_size", "isl", "osl"].map(|name| table.numbers(name, "count", 1.0));
    let (batch, isl, osl) = (batch?, isl?, osl?);
    let stages = [(Phase::Prefill, "first_token_latency_ms"), (Phase::Decode, "token_to_token_ms")];
    let times = stages.map(|(_, column)| table.numbers(column, "ms", 0.0));
    let [first, between] = times;
    let times = [first?, between?];
    let mut unknown = 0;
    for row in 0..table.rows() {
        let named = |known: &[(&str, &'static str)], name: &str| {
            known.iter().find(|(theirs, _)| *theirs == name).map(|(_, ours)| *ours)
        };
        let (Some(gpu), Some(model)) = (named(&GPUS, &gpus[row]), named(&MODELS, &models[row])) else {
            unknown += 1;
            continue;
        };
        let precision = one_of(
            table,
            "precision",
            row,
            &precisions[row],
            &[("Mixed", Precision::Bf16), ("FP8", Precision::Fp8)],
        )?;
        let of = Deployed {
            model: model.to_owned(),
            engine: Engine::TensorRt,
            version: (0, 9),
            tensor_parallel: tp[row] as u32,
            weights: precision,
            kv_cache: precision,
        };
        for ((phase, column), times) in stages.iter().zip(&times) {
            // Where nothing was written down there is a zero.
            if times[row] == 0.0 {
                continue;
            }
            let decode = *phase == Phase::Decode;
            let measured = Measured {
                table,
                row,
                column,
                gpu,
                of: &of,
                phase: *phase,
                batch: batch[row],
                tokens: if decode { 1.0 } else { isl[row] },
                context: if decode { isl[row] + (osl[row] / 2.0).floor() } else { 0.0 },
                ms: times[row],
            };
            let checked = measured.checked(catalog)?;
            add(into, gpu, of.clone(), *phase, checked);
        }
    }
    if unknown > 0 {
        remarks.push(format!(
            "{}: left out {unknown} rows of GPUs and models without tables or with experts",
            path.display()
        ));
    }
    Ok(())
}
