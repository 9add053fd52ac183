//! The two layers of GPT-3 that the authors of `LLMCompass` measured: 4 A100, half precision, `PyTorch` operator by operator,
//! attention not fused, NCCL.
//!
//! Format, `llmcompass/measured.csv`: rows whose `op` begins with `GPT-3-175B one layer` and holds `prefill` (8 prompts
//! of 2,048 tokens) or `decode` (8 sequences at 3,072), `derived_latency_us` the time of one operator.

use std::path::Path;

use super::report::{Point, SetReport};
use super::table::Table;
use super::{Context, ValidationError};
use crate::catalog::Catalog;
use crate::runtime::{Analytical, Chunk, DecoderShape, Deployment, Part, StepModel, StepShape, Target};

/// One layer of GPT-3.
pub(super) const LAYER: DecoderShape = DecoderShape {
    layers: 1,
    hidden: 12_288,
    heads: 96,
    kv_heads: 96,
    head_dim: 128,
    ffn: 49_152,
    gated: false,
    vocab: 50_257,
    moe: None,
    mla: None,
    window: None,
    bidirectional: false,
    query_norm: false,
    parallel: false,
};

/// Predictions for prefill and decode (s).
pub(super) fn predict() -> Result<[f64; 2], String> {
    let catalog = Catalog::embedded();
    let a100 = catalog.accelerator("A100-80GB-SXM4").map_err(|error| error.to_string())?;
    let any = &catalog.models()[0];
    let device = Target { tensor_parallel: 4, ..Target::new(any, a100) }.device()?;
    let eager = Analytical { cuda_graphs: false, fused_attention: false, ..Analytical::default() };
    let priced = eager.build(&LAYER, &device, &Deployment { tensor_parallel: 4, ..Deployment::single(1) })?;
    let prompts = [Chunk { tokens: 2048, context: 0, last: false }; 8];
    let prefill = StepShape { prefill: &prompts, ..StepShape::default() };
    let decode = StepShape { prefill: &[], decode_seqs: 8, decode_context: 8 * 3072 };
    // GPT-3 has no rotary positions, its keys were there, and what follows the layer was not measured.
    let left_out = ["rotary position", "KV write"];
    Ok([prefill, decode].map(|step| {
        let items = priced.itemise(&step);
        let kept = items.iter().filter(|item| {
            !matches!(item.part, Part::Head | Part::Host)
                && !left_out.contains(&item.operator)
                && item.operator != "gather of the logits"
        });
        kept.map(|item| item.seconds).sum()
    }))
}

pub(super) fn judge(folder: &Path, context: &Context<'_>) -> Result<SetReport, ValidationError> {
    let table = Table::read(&folder.join("llmcompass/measured.csv"), &["op", "derived_latency_us"])?;
    let mut measured = [0.0; 2];
    for row in table.rows().filter(|row| row.text("op").starts_with("GPT-3-175B one layer")) {
        let phase = usize::from(row.text("op").contains("decode"));
        measured[phase] += row.number("derived_latency_us")? * 1e-3;
    }
    let predicted = predict().map_err(ValidationError::Model)?;
    let point = |at: usize, quantity| Point {
        group: "4 × A100".to_owned(),
        quantity,
        load: 8.0,
        measured: measured[at],
        predicted: predicted[at] * 1e3,
    };
    Ok(SetReport {
        name: "llmcompass",
        title: "Two measured layers of GPT-3, eager, attention not fused (ms)",
        command: context.again(folder, "llmcompass"),
        fitted: "nothing on these; efficiencies of Ampere from operator tables, 9 µs a launch from TensorRT-LLM 0.9"
            .to_owned(),
        load: "batch",
        noise: "not known",
        left_out: Vec::new(),
        points: vec![point(0, "prefill layer"), point(1, "decode layer")],
        predictions: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    /// Measured: 66.75 ms and 1.111 ms.
    #[test]
    fn two_layers_of_gpt_3() {
        let [prefill, decode] = super::predict().unwrap();
        assert!((prefill / 66.75e-3 - 1.0).abs() < 0.08, "{prefill}");
        assert!((decode / 1.111e-3 - 1.0).abs() < 0.15, "{decode}");
    }
}
