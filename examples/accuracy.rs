//! How far off MIST may be on what was measured: the figures of `VALIDATION.md`, held.
//!
//! ```text
//! cargo run --release --example accuracy -- FACTS_DIR
//! ```
//! Judges the sets of [`mist::calibrate::validate`] that `FACTS_DIR` has, and says which errors have grown beyond what
//! is promised. A limit is what was reached when it was written, rounded up to the next half per cent; it is lowered when a
//! model gets better, and raised only with a reason. Kernels, sums of operators and whole steps are not held.
//!
//! Exits with 1 where an error is beyond its limit, and with 0 and a message where the folder is not there.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use mist::calibrate::validate::{Context, sets_in, validate};
use mist::scenario::Choice;

/// What may be off by how much.
struct Limit {
    set: &'static str,
    quantity: &'static str,
    /// Mean absolute error, of the `Analytical` and of the `Empirical` model (%).
    mean: [f64; 2],
    /// Bias either way, of the same (%).
    bias: [f64; 2],
}

const fn limit(set: &'static str, quantity: &'static str, mean: [f64; 2], bias: [f64; 2]) -> Limit {
    Limit { set, quantity, mean, bias }
}

const LIMITS: [Limit; 26] = [
    limit("genz", "prefill linear", [1.0; 2], [1.0; 2]),
    limit("genz", "prefill attention", [1.0; 2], [1.0; 2]),
    limit("genz", "decode linear", [1.0; 2], [1.0; 2]),
    limit("genz", "decode attention", [1.0; 2], [1.0; 2]),
    limit("llmcompass", "prefill layer", [6.5; 2], [6.5; 2]),
    limit("llmcompass", "decode layer", [12.0; 2], [12.0; 2]),
    limit("static", "decode, 16 bit, other GPUs", [4.0, 3.5], [1.0, 1.0]),
    limit("static", "decode, 8 bit, other GPUs", [4.5, 5.0], [0.5; 2]),
    limit("static", "decode, 16 bit, other models", [5.5, 4.0], [1.0, 0.5]),
    limit("static", "decode, 8 bit, other models", [5.5, 4.5], [1.0, 0.5]),
    limit("static", "prefill, 16 bit, other GPUs", [15.5, 9.5], [2.5, 0.5]),
    limit("static", "prefill, 8 bit, other GPUs", [7.0, 7.5], [2.0, 2.0]),
    limit("static", "prefill, 16 bit, other models", [10.5, 8.5], [1.0, 0.5]),
    limit("static", "prefill, 8 bit, other models", [7.0, 7.5], [1.5, 1.5]),
    limit("vllm019", "TPOT", [3.0, 2.0], [0.5, 1.0]),
    limit("vllm019", "E2E", [2.5, 2.0], [1.0, 1.0]),
    limit("vllm019", "mean TTFT", [1.0, 2.0], [1.0, 2.0]),
    limit("vllm015", "E2E", [5.0, 5.5], [1.5, 3.5]),
    limit("trtllm", "TPOT", [5.0, 4.5], [0.5, 1.0]),
    limit("trtllm", "E2E", [4.5, 4.0], [0.5, 1.5]),
    limit("trtllm", "TTFT", [12.5; 2], [0.5, 1.0]),
    limit("nim", "TPOT", [7.5, 7.0], [3.0, 1.5]),
    limit("nim", "E2E", [7.0, 6.0], [2.0, 1.0]),
    limit("sglang", "TPOT", [6.0, 4.5], [1.5, 2.0]),
    limit("sglang", "E2E", [4.5, 3.5], [1.5, 1.5]),
    limit("sglang", "TTFT", [29.5, 27.5], [21.5, 17.0]),
];

#[derive(Parser)]
struct Options {
    /// The folder of measurements.
    facts: Option<PathBuf>,
    /// Exit with 1 if there is nothing to judge.
    #[arg(long)]
    required: bool,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let options = Options::parse();
    let sets = options.facts.as_deref().map(sets_in);
    let (Some(facts), Some(Ok(sets))) = (&options.facts, sets) else {
        println!("accuracy: skipped: there are no measurements");
        return Ok(ExitCode::from(u8::from(options.required)));
    };
    if let Some(missing) = LIMITS.iter().find(|limit| options.required && !sets.contains(&limit.set)) {
        return Err(format!("{} has no measurements for {}", facts.display(), missing.set).into());
    }
    let (mut judged, mut beyond) = (0, 0);
    for (at, runtime) in ["Analytical", "Empirical"].into_iter().enumerate() {
        let choice = Choice::named(runtime);
        let context = Context { runtime: &choice, every: 1 };
        for set in sets.iter().filter(|set| LIMITS.iter().any(|limit| limit.set == **set)) {
            let totals = validate(facts, set, &context)?.totals();
            for limit in LIMITS.iter().filter(|limit| limit.set == *set) {
                let found = totals.iter().find(|(quantity, _)| *quantity == limit.quantity);
                let Some((_, errors)) = found else {
                    return Err(format!("{set} has no {}", limit.quantity).into());
                };
                let (mean, bias) = (100.0 * errors.mean, 100.0 * errors.bias);
                let holds = mean <= limit.mean[at] && bias.abs() <= limit.bias[at];
                println!(
                    "{runtime} {set} {}: {mean:.1} % (at most {}), bias {bias:+.1} % (at most {}){}",
                    limit.quantity,
                    limit.mean[at],
                    limit.bias[at],
                    if holds { "" } else { ": BEYOND" }
                );
                judged += 1;
                beyond += usize::from(!holds);
            }
        }
    }
    println!("accuracy: {} of {judged} errors are within their limits", judged - beyond);
    Ok(ExitCode::from(u8::from(beyond > 0)))
}
