//! Open loops: requests that come when they come.
//!
//! `e2e/open_loop_vllm019_rtxpro6000_llama8b_requests.csv`: a row a request, `input_toks`, `output_toks`, `arrival_s`
//! and its `ttft_ms`, `tpot_ms`, `e2e_ms` by the engine's own stamps; 128 slots, 2,048 tokens a step.
//!
//! `e2e/open_loop_vllm015_h100.csv`: a row a stage of constant `rate_rps_nominal` for `stage_duration_s`, mean
//! `e2e_mean` in ms. It used some 45 different prompts with prefix caching on, so nearly nothing was prefilled, and its
//! token gaps count two chunks a token: only end-to-end latencies are compared.

use std::fmt::Write as _;
use std::path::Path;

use super::report::{Point, SetReport};
use super::serving::{Overhead, Run};
use super::table::Table;
use super::{Context, ValidationError};
use crate::catalog::Precision;
use crate::runtime::{Engine, EngineRecord};

/// vLLM 0.19 on RTX PRO 6000.
pub(super) fn vllm_019(folder: &Path, context: &Context<'_>) -> Result<SetReport, ValidationError> {
    let columns = ["input_toks", "output_toks", "arrival_s", "ttft_ms", "tpot_ms", "e2e_ms"];
    let path = folder.join("e2e/open_loop_vllm019_rtxpro6000_llama8b_requests.csv");
    let table = Table::read(&path, &columns)?;
    let mut rows: Vec<_> =
        table.rows().map(|row| Ok((row.number("arrival_s")?, row))).collect::<Result<_, _>>()?;
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut trace = "{\"mist_trace\":1}\n".to_owned();
    for (arrival, row) in &rows {
        // Writing to a string cannot fail.
        let _ = writeln!(
            trace,
            "{{\"arrival_ns\":{},\"prompt_tokens\":{},\"output_tokens\":{}}}",
            (arrival * 1e9).round() as u64,
            row.count("input_toks")?,
            row.count("output_toks")?,
        );
    }
    let broken = |error: std::io::Error| ValidationError::Model(format!("cannot keep a trace: {error}"));
    let kept = tempfile::tempdir().map_err(broken)?;
    std::fs::write(kept.path().join("trace.jsonl"), trace).map_err(broken)?;
    let run = Run {
        model: "Llama-3.1-8B",
        hardware: "RTX-PRO-6000-Server",
        tensor_parallel: 1,
        weights: Precision::Bf16,
        kv_cache: Precision::Bf16,
        max_num_seqs: 128,
        batching: "Chunked(max_num_batched_tokens: 2048)".to_owned(),
        traffic: "trace: (path: \"trace.jsonl\")".to_owned(),
        // Fitted on vLLM 0.15 and H100: by the study before for the empirical model; for the analytical one time per step
        // anew, as its sums of kernels are others.
        overhead: Overhead {
            analytical_step_ms: Some(0.10),
            // Its times are the engine's own.
            front_end_ms: Some(0.0),
            ..Overhead::of(Engine::Vllm, Some((0, 15)))
        },
        uncached: None,
    };
    let served = run.simulate(context.runtime, kept.path()).map_err(ValidationError::Model)?;
    let mut points = Vec::new();
    for ((_, row), record) in rows.iter().zip(&served.records) {
        let ms = |span: crate::units::SimSpan| span.as_secs_f64() * 1e3;
        let decoded = f64::from(record.output_tokens.max(2) - 1);
        let tpot = (ms(record.e2e()) - ms(record.ttft())) / decoded;
        for (quantity, measured, predicted) in [
            ("TPOT", row.number("tpot_ms")?, tpot),
            ("TTFT", row.number("ttft_ms")?, ms(record.ttft())),
            ("E2E", row.number("e2e_ms")?, ms(record.e2e())),
        ] {
            let load = row.number("arrival_s")?;
            points.push(Point { group: "RTX PRO 6000".to_owned(), quantity, load, measured, predicted });
        }
    }
    for at in 0..3 {
        let of =
            |f: fn(&Point) -> f64| points.iter().skip(at).step_by(3).take(rows.len()).map(f).sum::<f64>();
        let count = rows.len() as f64;
        let (measured, predicted) = (of(|point| point.measured) / count, of(|point| point.predicted) / count);
        let quantity = ["mean TPOT", "mean TTFT", "mean E2E"][at];
        points.push(Point { group: "RTX PRO 6000".to_owned(), quantity, load: 0.0, measured, predicted });
    }
    Ok(SetReport {
        name: "vllm019",
        title: "vLLM 0.19, Llama-3.1-8B on RTX PRO 6000, 300 requests one by one (ms)",
        command: context.again(folder, "vllm019"),
        fitted: "overheads (0.10 ms a step for Analytical, 0.50 for Empirical, 8.2 µs a sequence) on vLLM 0.15 and H100; \
                 nothing on this file"
            .to_owned(),
        load: "arrival (s)",
        noise: "TPOT 2 %, TTFT 6 to 9 %; one step, 30 ms, is 18 % of an unqueued TTFT",
        left_out: Vec::new(),
        points,
        predictions: Vec::new(),
    })
}

/// vLLM 0.15 on H100.
pub(super) fn vllm_015(folder: &Path, context: &Context<'_>) -> Result<SetReport, ValidationError> {
    const MODELS: [(&str, &str); 5] = [
        ("meta-llama/Llama-2-7b-hf", "Llama-2-7B"),
        ("meta-llama/Llama-3.1-70B-Instruct", "Llama-3.1-70B"),
        ("mistralai/Mistral-Nemo-Instruct-2407", "Mistral-Nemo"),
        ("Qwen/Qwen2.5-7B-Instruct", "Qwen2.5-7B"),
        ("01-ai/Yi-34B", "Yi-34B"),
    ];
    let columns =
        ["model", "tp", "stage_index", "e2e_mean", "nominal_isl", "nominal_osl", "rate_rps_nominal"];
    let table = Table::read(&folder.join("e2e/open_loop_vllm015_h100.csv"), &columns)?;
    let (mut points, mut experts, mut overloads) = (Vec::new(), 0, 0);
    for row in table.rows().filter(|row| row.text("stage_index") != "-1") {
        let Some((_, model)) = MODELS.iter().find(|(name, _)| *name == row.text("model")) else {
            experts += 1;
            continue;
        };
        let rate = row.number("rate_rps_nominal")?;
        // By Little's law as many as there are slots, or more.
        if rate * row.number("e2e_mean")? / 1e3 > row.number("max_num_seqs")? {
            overloads += 1;
            continue;
        }
        let run = Run {
            model,
            hardware: "H100-SXM5-80GB",
            tensor_parallel: row.count("tp")?,
            weights: Precision::Bf16,
            kv_cache: Precision::Bf16,
            max_num_seqs: row.count("max_num_seqs")?,
            batching: format!(
                "Chunked(max_num_batched_tokens: {})",
                row.count("max_num_batched_tokens")?.max(1024)
            ),
            traffic: format!(
                "requests: {}, arrivals: Poisson(rate: per_s({rate:?})), lengths: Fixed(prompt: {}, output: {})",
                (rate * row.number("stage_duration_s")?) as u64,
                row.count("nominal_isl")?,
                row.count("nominal_osl")?
            ),
            // Fitted on vLLM 0.19 and RTX PRO 6000, likewise.
            overhead: Overhead {
                analytical_step_ms: Some(0.29),
                front_end_ms: Some(1e3 * EngineRecord::of(Engine::Vllm, Some((0, 15)), false).front_end),
                ..Overhead::of(Engine::Vllm, Some((0, 19)))
            },
            uncached: Some(32),
        };
        let served = run.simulate(context.runtime, Path::new("")).map_err(|problem| row.refuse(problem))?;
        points.push(Point {
            group: format!("{model} TP{}", row.text("tp")),
            quantity: "E2E",
            load: rate,
            measured: row.number("e2e_mean")?,
            predicted: served.e2e_ms,
        });
    }
    Ok(SetReport {
        name: "vllm015",
        title: "vLLM 0.15 on H100, open loops of cached prompts (ms)",
        command: context.again(folder, "vllm015"),
        fitted: "overheads (0.29 ms a step for Analytical, 0.66 for Empirical, 5.2 µs a sequence) on vLLM 0.19 and RTX \
                 PRO 6000; 8 ms in front read off this file"
            .to_owned(),
        load: "requests/s",
        noise: "2 %",
        left_out: vec![
            ("Llama 4 Scout: half its time is not explained by any kernel table", experts),
            ("overloads: more in flight than slots", overloads),
        ],
        points,
        predictions: Vec::new(),
    })
}
