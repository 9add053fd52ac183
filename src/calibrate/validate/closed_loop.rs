//! Closed loops: a client that keeps so many requests in flight, and reports mean latencies.
//!
//! Format: `isl`, `osl` (tokens), `concurrency`, the number of GPUs, and mean times to first token and per output token
//! in ms; end to end is TTFT + TPOT·(osl − 1). The files do not say how many prompts were sent or with what flags, so
//! how the client behaved is an input, read off the data by the rules below, the same for all rows of a file:
//!
//! | file | in flight | slots | prompts | a step takes | turn-round |
//! |---|---|---|---|---|---|
//! | TensorRT-LLM 1.0, Llama-3.1-8B | one more than slots | `concurrency` | 10 a slot, 640 at most beyond 64 | one whole prompt | 0–15 ms |
//! | TensorRT-LLM 1.0, Qwen3-32B fp8 | `concurrency` | the same | 9 a slot | one whole prompt | 0–60 ms |
//! | NIM TensorRT-LLM, Llama-3-8B | `concurrency` | the same | 10 a slot, 50 at least | 65,536 tokens | none, but one request a ms: what ends together is prefilled in ever larger groups |
//! | SGLang 0.5.6, Llama-3.1-8B fp8 | `concurrency` | the same | 5 a slot, outputs up to 5 % shorter or longer | prompts, up to 8,192 tokens, or what decodes | 0–30 ms |

use std::path::Path;

use super::report::{Point, SetReport};
use super::serving::{Overhead, Run};
use super::table::{Row, Table};
use super::{Context, ValidationError};
use crate::catalog::Precision;
use crate::runtime::Engine;

/// How the client of a file behaved.
struct Convention {
    /// Requests in flight beyond the slots.
    beyond: u32,
    turn_round_ms: f64,
    /// Least time from one request that the client sends to the next.
    send_ms: f64,
    prompts: fn(u32) -> u32,
    /// How far the tokens of an output are from what was asked for, at most, as a share.
    spread: f64,
    batching: fn(u32) -> String,
}

/// What a row says.
struct Said<'a> {
    row: Row<'a>,
    group: String,
    model: &'static str,
    hardware: &'static str,
    tensor_parallel: u32,
    weights: Precision,
    kv_cache: Precision,
    overhead: Overhead,
    ttft_ms: f64,
    tpot_ms: f64,
}

fn points(said: &Said<'_>, how: &Convention, context: &Context<'_>) -> Result<[Point; 3], ValidationError> {
    let [isl, osl, concurrency] =
        [said.row.count("isl")?, said.row.count("osl")?, said.row.count("concurrency")?];
    let run = Run {
        model: said.model,
        hardware: said.hardware,
        tensor_parallel: said.tensor_parallel,
        weights: said.weights,
        kv_cache: said.kv_cache,
        max_num_seqs: concurrency,
        batching: (how.batching)(osl),
        traffic: format!(
            "requests: {}, arrivals: BenchClient(in_flight: {}, ramp: us(10), turn_round: ms({:?}), send: ms({:?})), \
             lengths: Uniform(prompt: (mean: {isl}), output: (mean: {osl}, range_ratio: {:?}))",
            (how.prompts)(concurrency),
            concurrency + how.beyond,
            how.turn_round_ms,
            how.send_ms,
            how.spread,
        ),
        overhead: said.overhead.clone(),
        uncached: None,
    };
    let served = run.simulate(context.runtime, Path::new("")).map_err(|problem| said.row.refuse(problem))?;
    let point = |quantity, measured, predicted| Point {
        group: said.group.clone(),
        quantity,
        load: f64::from(concurrency),
        measured,
        predicted,
    };
    let e2e = said.ttft_ms + said.tpot_ms * f64::from(osl - 1);
    Ok([
        point("TPOT", said.tpot_ms, served.tpot_ms),
        point("TTFT", said.ttft_ms, served.ttft_ms),
        point("E2E", e2e, served.e2e_ms),
    ])
}

fn all(said: Vec<(Said<'_>, &Convention)>, context: &Context<'_>) -> Result<Vec<Point>, ValidationError> {
    use rayon::prelude::*;
    let chosen: Vec<_> = said.iter().step_by(context.every.max(1)).collect();
    let judged: Result<Vec<_>, _> =
        chosen.into_par_iter().map(|(said, how)| points(said, how, context)).collect();
    Ok(judged?.into_iter().flatten().collect())
}

const COLUMNS: [&str; 7] = ["gpu", "tp_size", "isl", "osl", "concurrency", "ttft_ms_mean", "tpot_ms_mean"];

/// TensorRT-LLM 1.0.
pub(super) fn trtllm(folder: &Path, context: &Context<'_>) -> Result<SetReport, ValidationError> {
    const LLAMA: Convention = Convention {
        beyond: 1,
        turn_round_ms: 15.0,
        send_ms: 0.0,
        prompts: |slots| (10 * slots).min(640.max(5 * slots)),
        spread: 0.0,
        batching: |_| "OnePrompt(prompts: 1, max_num_tokens: 8192)".to_owned(),
    };
    const QWEN: Convention =
        Convention { beyond: 0, turn_round_ms: 60.0, prompts: |slots| 9 * slots, ..LLAMA };
    let llama = Table::read(&folder.join("e2e/closed_loop_llama8b_h100_h200.csv"), &COLUMNS)?;
    let qwen = Table::read(&folder.join("e2e/closed_loop_trtllm_qwen32b_fp8_h100.csv"), &COLUMNS)?;
    let (mut said, mut host_bound) = (Vec::new(), 0);
    for (table, model, weights, how) in
        [(&llama, "Llama-3.1-8B", Precision::Bf16, &LLAMA), (&qwen, "Qwen3-32B", Precision::Fp8, &QWEN)]
    {
        for row in table.rows().filter(|row| row.text("engine") == "trtllm") {
            let tensor_parallel = row.count("tp_size")?;
            if how.beyond > 0 && tensor_parallel >= 4 && row.number("concurrency")? >= 64.0 {
                host_bound += 1;
                continue;
            }
            said.push((
                Said {
                    row,
                    group: format!("{model} {weights} TP{tensor_parallel}"),
                    model,
                    hardware: "H100-SXM5-80GB",
                    tensor_parallel,
                    weights,
                    // Its capacity, some 280,000 tokens on one GPU, tells.
                    kv_cache: weights,
                    overhead: Overhead::of(Engine::TensorRt, None),
                    ttft_ms: row.number("ttft_ms_mean")?,
                    tpot_ms: row.number("tpot_ms_mean")?,
                },
                how,
            ));
        }
    }
    Ok(SetReport {
        name: "trtllm",
        title: "TensorRT-LLM 1.0 on H100, closed loops (ms)",
        command: context.again(folder, "trtllm"),
        fitted: "overheads (0.23 ms a step, 6.1 ms with a prompt, 0.2 to 26 µs a sequence by ranks, 26 ms in front) on \
                 every second row of both files, all but the 26 ms by the study before; how the client behaves read off the files; \
                 kernels elsewhere"
            .to_owned(),
        load: "requests in flight",
        noise: "TPOT 2 %, TTFT 6 to 9 %",
        left_out: vec![("Llama-3.1-8B on 4 and 8 GPUs with 64 and more in flight: bound by the front end", host_bound)],
        points: all(said, context)?,
        predictions: Vec::new(),
    })
}

/// NVIDIA NIM of 2024.
pub(super) fn nim(folder: &Path, context: &Context<'_>) -> Result<SetReport, ValidationError> {
    const NIM: Convention = Convention {
        beyond: 0,
        turn_round_ms: 0.0,
        send_ms: 1.0,
        prompts: |slots| (10 * slots).max(50),
        spread: 0.0,
        batching: |_| "OnePrompt(prompts: 1000, max_num_tokens: 65536)".to_owned(),
    };
    let columns =
        ["gpu", "tp", "precision", "isl", "osl", "concurrency", "ttft_ms_mean", "itl_ms_mean", "req_per_s"];
    let table = Table::read(&folder.join("e2e/closed_loop_trtllm_llama8b_a100_h100.csv"), &columns)?;
    let (mut said, mut unsteady) = (Vec::new(), 0);
    for row in table.rows() {
        let in_flight = row.number("req_per_s")? * row.number("latency_ms_mean")? / 1e3;
        if (in_flight / row.number("concurrency")? - 1.0).abs() > 0.1 {
            unsteady += 1;
            continue;
        }
        let tensor_parallel = row.count("tp")?;
        let fp8 = row.text("precision") == "fp8";
        let hardware = if row.text("gpu").starts_with("A100") { "A100-80GB-SXM4" } else { "H100-SXM5-80GB" };
        let precision = if fp8 { Precision::Fp8 } else { Precision::Bf16 };
        // 1.82 and 3.1 times as slow as the tables' kernels.
        let kv_efficiency = if fp8 {
            0.66 / 3.1
        } else if hardware.starts_with('A') {
            0.70 / 1.82
        } else {
            0.83 / 1.82
        };
        said.push((
            Said {
                row,
                group: format!("{} {precision} TP{tensor_parallel}", &hardware[..4]),
                model: "Llama-3-8B",
                hardware,
                tensor_parallel,
                weights: precision,
                kv_cache: precision,
                overhead: Overhead { kv_efficiency: Some(kv_efficiency), ..Overhead::of(Engine::Nim, None) },
                ttft_ms: row.number("ttft_ms_mean")?,
                tpot_ms: row.number("itl_ms_mean")?,
            },
            &NIM,
        ));
    }
    Ok(SetReport {
        name: "nim",
        title: "NIM with TensorRT-LLM of 2024, closed loops (ms)",
        command: context.again(folder, "nim"),
        fitted: "overheads (1.2 ms and 28 µs in 16 bit, 1.06 ms and 11 µs in 8) and how much slower than today's kernels \
                 its decode attention is (1.82 and 3.1 times) on this file by the study before, and how the client behaves \
                 on the same rows: nothing is foretold"
            .to_owned(),
        load: "requests in flight",
        noise: "TPOT 2 %, TTFT 6 to 9 %",
        left_out: vec![("never in a steady state: requests/s times latency is not the concurrency", unsteady)],
        points: all(said, context)?,
        predictions: Vec::new(),
    })
}

/// SGLang 0.5.6.
pub(super) fn sglang(folder: &Path, context: &Context<'_>) -> Result<SetReport, ValidationError> {
    const SGLANG: Convention = Convention {
        beyond: 0,
        turn_round_ms: 30.0,
        send_ms: 0.0,
        prompts: |slots| 5 * slots,
        spread: 0.05,
        batching: |osl| format!("SGLang(max_new_tokens: {osl})"),
    };
    let table = Table::read(&folder.join("e2e/closed_loop_llama8b_h100_h200.csv"), &COLUMNS)?;
    let mut said = Vec::new();
    for row in table.rows().filter(|row| row.text("engine") == "sglang") {
        let tensor_parallel = row.count("tp_size")?;
        said.push((
            Said {
                row,
                group: if tensor_parallel > 1 && row.number("concurrency")? >= 512.0 {
                    format!("H200 fp8 TP{tensor_parallel}, 512 in flight")
                } else {
                    format!("H200 fp8 TP{tensor_parallel}")
                },
                model: "Llama-3.1-8B",
                hardware: "H200-SXM-141GB",
                tensor_parallel,
                weights: Precision::Fp8,
                kv_cache: Precision::Bf16,
                overhead: Overhead {
                    fp8_blocks: true,
                    // For what launching a prompt kernel by kernel takes longer.
                    analytical_prompt_step_ms: Some(2.0),
                    ..Overhead::of(Engine::Sglang, None)
                },
                ttft_ms: row.number("ttft_ms_mean")?,
                tpot_ms: row.number("tpot_ms_mean")?,
            },
            &SGLANG,
        ));
    }
    Ok(SetReport {
        name: "sglang",
        title: "SGLang 0.5.6 on H200, closed loops (ms)",
        command: context.again(folder, "sglang"),
        fitted: "overheads (0.1 ms a step, 16 µs a sequence, 0.5 ms a layer to launch a prompt, prefill at 0.9 of the tables; \
                 in Analytical 2 ms with a prompt instead of the last two), the front end (36 µs a token, 0.029 more \
                 for each its answer has) and how the client behaves on these same rows: nothing is foretold"
            .to_owned(),
        load: "requests in flight",
        noise: "TPOT 2 %, TTFT 6 to 9 %",
        left_out: Vec::new(),
        points: all(said, context)?,
        predictions: Vec::new(),
    })
}
