//! FLOPs and bytes against `GenZ`: steps that it prices with every efficiency 1, as this model does with
//! [`Counting::GenZ`](crate::runtime::Counting).
//!
//! Format, `genz/grid.csv`: `model`, `hw` (H100, A100, L40S), `tp`, `phase` (prefill, decode), `batch`,
//! `context_or_input_tokens`, `linear_ms`, `attn_ms`, `comm_ms`, `weights_MiB_per_npu`, `kv_MiB_per_npu`. Its systems
//! are H100 of 989 TFLOP/s, 3400 GiB/s and links of 450 GiB/s; A100 of 312, 2039, 150; L40S of 362, 864, 32.
//!
//! What `GenZ` does and MIST does not in its normal counting, and why:
//!
//! | `GenZ` | MIST | because |
//! |---|---|---|
//! | attention over all pairs | causal, plus what tiles waste on the diagonal | engines skip masked tiles |
//! | scores and the activations of decode stay on the chip | products read and write them in memory | caches are smaller |
//! | the embedding is a product | it is not priced | it is a look-up |
//! | LM head over all tokens of a prompt, gathered | over sequences that sample | engines keep the last row |
//! | arithmetic and memory overlap perfectly | √(a² + b²) | measured kernels lie between |
//! | no elementwise kernels, launches, host | each is priced | together 10 to 30 % of a decode step |
//! | a mixture reads ⌈k/ep⌉ experts in decode for any batch | the expected distinct ones | tokens differ in experts |
//! | weights of a decode rank are without the embedding | with it | it is in memory |
//! | bandwidths in 2³⁰ B/s | 10⁹ B/s | makers print the latter |

use std::path::Path;

use super::report::{Point, SetReport};
use super::table::Table;
use super::{Context, ValidationError};
use crate::catalog::{Catalog, Precision};
use crate::runtime::{
    Analytical, Architecture, Chunk, Counting, Deployment, Device, Item, Part, StepModel, StepShape, Target,
};
use crate::units::GIB;

/// FLOP/s and bytes/s of memory and link of the grid's systems.
const SYSTEMS: [(&str, f64, f64, f64); 3] = [
    ("H100", 989e12, 3400.0 * GIB, 450.0 * GIB),
    ("A100", 312e12, 2039.0 * GIB, 150.0 * GIB),
    ("L40S", 362e12, 864.0 * GIB, 32.0 * GIB),
];

/// A device of so many FLOP/s, and bytes a second of its memory and its link.
fn device([flops, memory, link]: [f64; 3]) -> Device {
    Device {
        peak_flops: flops,
        peak_flops_16bit: flops,
        memory_bandwidth: memory,
        link_bandwidth: Some(link),
        host_bandwidth: None,
        architecture: Architecture::Other,
        through_host: false,
        collectives: None,
    }
}

pub(super) fn judge(folder: &Path, context: &Context<'_>) -> Result<SetReport, ValidationError> {
    let columns = ["model", "hw", "tp", "phase", "batch", "context_or_input_tokens", "linear_ms", "attn_ms"];
    let table = Table::read(&folder.join("genz/grid.csv"), &columns)?;
    let (mut points, mut mixtures) = (Vec::new(), 0);
    for row in table.rows() {
        let model =
            Catalog::embedded().model(row.text("model")).map_err(|error| row.refuse(error.to_string()))?;
        if model.is_moe() {
            mixtures += 1;
            continue;
        }
        let known = SYSTEMS.iter().find(|system| system.0 == row.text("hw"));
        let &(hardware, flops, memory, link) =
            known.ok_or_else(|| row.refuse(format!("unknown system `{}`", row.text("hw"))))?;
        let device = device([flops, memory, link]);
        // Any accelerator does: only the shape is taken from the target.
        let any = &Catalog::embedded().accelerators()[0];
        let shape = Target::new(model, any).shape();
        let deployment = Deployment { tensor_parallel: row.count("tp")?, ..Deployment::single(1) };
        let priced = Analytical { counting: Counting::GenZ, ..Analytical::ideal() }
            .build(&shape, &device, &deployment)
            .map_err(|problem| row.refuse(problem))?;
        let (batch, tokens) = (row.batch("batch")?, row.count("context_or_input_tokens")?);
        let prompts = vec![Chunk { tokens, context: 0, last: true }; batch as usize];
        let prefill = row.text("phase") == "prefill";
        let step = if prefill {
            StepShape { prefill: &prompts, ..StepShape::default() }
        } else {
            let decode_context = u64::from(batch) * u64::from(tokens);
            StepShape { prefill: &[], decode_seqs: batch, decode_context }
        };
        let items = priced.itemise(&step);
        let ms = |keep: &dyn Fn(&Item) -> bool| {
            1e3 * items.iter().filter(|item| keep(item)).map(|item| item.seconds).sum::<f64>()
        };
        let mut point = |quantity, measured: f64, predicted: f64| {
            if measured > 0.0 {
                let group = hardware.to_owned();
                points.push(Point { group, quantity, load: f64::from(batch), measured, predicted });
            }
        };
        let linear = ms(&|item| matches!(item.part, Part::Linear | Part::Head));
        let attention = ms(&|item| item.part == Part::Attention);
        let names = if prefill {
            ["prefill linear", "prefill attention"]
        } else {
            ["decode linear", "decode attention"]
        };
        point(names[0], row.number("linear_ms")?, linear);
        point(names[1], row.number("attn_ms")?, attention);
        if !row.text("comm_ms").is_empty() {
            let name = if prefill { "prefill communication" } else { "decode communication" };
            point(name, row.number("comm_ms")?, ms(&|item| item.part == Part::Communication));
        }
        let ranks = f64::from(deployment.tensor_parallel);
        let mib = 1024.0 * 1024.0;
        let kv = model.kv_bytes_per_token(Precision::Bf16) * f64::from(batch) * f64::from(tokens) / ranks;
        if !row.text("kv_MiB_per_npu").is_empty() {
            point("KV size", row.number("kv_MiB_per_npu")?, kv / mib);
        }
        if !row.text("weights_MiB_per_npu").is_empty() {
            // In decode it leaves out the embedding, which is not multiplied.
            let embedding = if prefill { 0.0 } else { f64::from(model.hidden) * f64::from(model.vocab) };
            let weights = (model.parameters() as f64 - embedding) * Precision::Bf16.bytes() / ranks;
            point("weight size", row.number("weights_MiB_per_npu")?, weights / mib);
        }
    }
    Ok(SetReport {
        name: "genz",
        title: "FLOPs and bytes against GenZ, its simplifications on",
        command: context.again(folder, "genz"),
        fitted: "nothing".to_owned(),
        load: "batch",
        noise: "none: both are arithmetic",
        left_out: vec![(
            "mixtures of experts, of which GenZ reads the same few whatever the batch",
            mixtures,
        )],
        points,
        predictions: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The grid's own formulas, by hand: Llama-3.1-8B on one H100.
    #[test]
    fn a_prefill_and_a_decode_by_formula() {
        let catalog = Catalog::embedded();
        let model = catalog.model("Llama-3.1-8B").unwrap();
        let shape = Target::new(model, catalog.accelerator("L40S").unwrap()).shape();
        let (_, peak, memory, link) = SYSTEMS[0];
        let device = device([peak, memory, link]);
        let priced = Analytical { counting: Counting::GenZ, ..Analytical::ideal() }
            .build(&shape, &device, &Deployment::single(1))
            .unwrap();
        let of = |step: &StepShape<'_>, part: Part| {
            priced.itemise(step).iter().filter(|item| item.part == part).map(|item| item.seconds).sum::<f64>()
        };
        let prompt = [Chunk { tokens: 2048, context: 0, last: true }];
        let prefill = StepShape { prefill: &prompt, ..StepShape::default() };
        let layer = 4096.0 * 6144.0 + 4096.0 * 4096.0 + 3.0 * 4096.0 * 14336.0;
        let close = |a: f64, b: f64| assert!((a / b - 1.0).abs() < 1e-2, "{a} {b}");
        close(of(&prefill, Part::Linear), 32.0 * 2.0 * 2048.0 * layer / peak);
        close(of(&prefill, Part::Head), 2.0 * 2.0 * 2048.0 * 4096.0 * 128_256.0 / peak);
        // 4·d FLOPs for each of all pairs.
        close(of(&prefill, Part::Attention), 32.0 * 4.0 * 32.0 * 128.0 * 2048.0 * 2048.0 / peak);
        let decode = StepShape { prefill: &[], decode_seqs: 16, decode_context: 16 * 4096 };
        close(of(&decode, Part::Linear), 32.0 * 2.0 * layer / memory);
        close(of(&decode, Part::Attention), 16.0 * 4096.0 * 131_072.0 / memory);
        close(priced.price(&decode).seconds, priced.itemise(&decode).iter().map(|item| item.seconds).sum());
    }
}
