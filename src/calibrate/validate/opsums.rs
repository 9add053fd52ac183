//! Sums of operators against a composition made apart from this program, by plain interpolation of the same operator
//! tables (times in ms, KV cache in 16 bit, no overheads): what putting operators together costs in accuracy.

use std::path::Path;

use super::report::{Point, SetReport};
use super::{Context, ValidationError, bare};
use crate::catalog::{Catalog, Precision};
use crate::runtime::{Chunk, Part, StepShape, Target};
use crate::simulation::Simulation;

/// GPU, model, ranks, fp8 products, sequences (0: a prompt), context or prompt (tokens), ms.
type Expected = (&'static str, &'static str, u32, bool, u32, u32, f64);

const H100: &str = "H100-SXM5-80GB";
const A100: &str = "A100-80GB-SXM4";
const H200: &str = "H200-SXM-141GB";
const RTX: &str = "RTX-PRO-6000-Server";
const EXPECTED: [Expected; 23] = [
    (H100, "Llama-3.1-8B", 1, false, 1, 1024, 6.45),
    (H100, "Llama-3.1-8B", 1, false, 16, 1024, 7.18),
    (H100, "Llama-3.1-8B", 1, false, 64, 1024, 10.07),
    (H100, "Llama-3.1-8B", 1, false, 256, 1024, 19.83),
    (H100, "Llama-3.1-8B", 1, false, 0, 2048, 44.58),
    (H100, "Llama-3.1-8B", 1, false, 0, 512, 12.12),
    (H100, "Llama-3.1-8B", 8, false, 16, 1024, 2.40),
    (H100, "Llama-3.1-8B", 8, false, 64, 1024, 2.77),
    (H100, "Llama-3.1-70B", 8, false, 16, 1024, 10.70),
    (H100, "Llama-3.1-70B", 8, false, 64, 1024, 11.64),
    (H100, "Llama-3.1-70B", 8, false, 0, 2048, 86.24),
    (H100, "Qwen3-32B", 2, true, 16, 1024, 10.02),
    (H100, "Qwen3-32B", 2, true, 128, 1024, 17.47),
    (H100, "Qwen3-32B", 1, true, 0, 4096, 285.74),
    (A100, "Llama-3.1-8B", 1, false, 1, 1024, 11.42),
    (A100, "Llama-3.1-8B", 1, false, 64, 1024, 17.68),
    (A100, "Llama-3.1-8B", 1, false, 0, 2048, 134.90),
    ("L40S", "Llama-3.1-8B", 1, false, 16, 1024, 23.77),
    ("L40S", "Llama-3.1-8B", 1, false, 64, 1024, 38.18),
    (H200, "Llama-3.1-8B", 1, false, 64, 1024, 7.42),
    (H200, "Llama-3.1-8B", 1, true, 64, 1024, 5.93),
    (RTX, "Llama-3.1-8B", 1, false, 16, 1024, 13.04),
    (RTX, "Llama-3.1-8B", 1, false, 128, 1024, 25.47),
];

pub(super) fn judge(folder: &Path, context: &Context<'_>) -> Result<SetReport, ValidationError> {
    let simulation = Simulation::new();
    let runtime = bare(context.runtime);
    let catalog = Catalog::embedded();
    let unknown = |error: crate::catalog::UnknownName| ValidationError::Model(error.to_string());
    let (mut points, mut refused) = (Vec::new(), 0);
    for (gpu, name, tensor_parallel, fp8, sequences, tokens, measured) in EXPECTED {
        let device = catalog.accelerator(gpu).map_err(unknown)?;
        let target = Target {
            tensor_parallel,
            weights: if fp8 { Precision::Fp8 } else { Precision::Bf16 },
            max_step_tokens: 1,
            ..Target::new(catalog.model(name).map_err(unknown)?, device)
        };
        let Ok(priced) = simulation.step_model(&runtime, &target) else {
            refused += 1;
            continue;
        };
        let prompt = [Chunk { tokens, context: 0, last: true }];
        let decode_context = u64::from(sequences) * u64::from(tokens);
        let prefill = if sequences == 0 { &prompt[..] } else { &[] };
        let step = StepShape { prefill, decode_seqs: sequences, decode_context };
        let items = priced.itemise(&step);
        let seconds: f64 = items
            .iter()
            .filter(|item| item.part != Part::Host && item.operator != "sampling")
            .map(|item| item.seconds)
            .sum();
        points.push(Point {
            group: gpu.to_owned(),
            quantity: if sequences == 0 { "prefill step" } else { "decode step" },
            load: f64::from(sequences),
            measured,
            predicted: seconds * 1e3,
        });
    }
    Ok(SetReport {
        name: "opsums",
        title: "Sums of measured operators, put together by plain interpolation (ms)",
        command: context.again(folder, "opsums"),
        fitted: "the operators' tables are those behind the profiles and the efficiencies".to_owned(),
        load: "sequences",
        noise: "two versions of a table differ by 2 to 4 % in the median, 8 to 16 % in the 90th percentile",
        left_out: vec![("the runtime model does not price the device", refused)],
        points,
        predictions: Vec::new(),
    })
}
