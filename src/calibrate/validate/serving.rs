//! Runs of an engine, simulated: a scenario of one client, made of what a row of measurements says.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::bench;
use crate::catalog::Precision;
use crate::metrics::{RequestRecord, RowSink};
use crate::request::pipeline::Lap;
use crate::scenario::Choice;
use crate::simulation::Simulation;

/// What an engine adds to the time of kernels: figures for the analytical model, and the name of a record for the
/// empirical one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overhead {
    /// The engine and version whose record it is, as parameters of `Empirical`.
    pub record: &'static str,
    /// To every step (ms).
    pub step_ms: f64,
    /// To every step per sequence (µs).
    pub sequence_us: f64,
    /// To every step with a prompt (ms).
    pub prompt_step_ms: f64,
    /// In front of the engine, in times to first token only (ms).
    pub front_end_ms: f64,
    /// Fraction of the bandwidth at which its decode attention reads KV, where that is not as in the tables.
    pub kv_efficiency: Option<f64>,
}

/// One run of a benchmark.
pub(super) struct Run<'a> {
    pub model: &'a str,
    pub hardware: &'static str,
    pub tensor_parallel: u32,
    pub weights: Precision,
    pub kv_cache: Precision,
    /// Slots: most sequences at once.
    pub max_num_seqs: u32,
    pub batching: String,
    /// `requests`, `arrivals` and `lengths` of the class, or its `trace`.
    pub traffic: String,
    pub overhead: Overhead,
    /// Tokens of each prompt that are computed, where the others are cached.
    pub uncached: Option<u32>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Served {
    pub ttft_ms: f64,
    pub tpot_ms: f64,
    pub e2e_ms: f64,
    pub records: Vec<RequestRecord>,
}

/// `runtime` with an engine's overheads, if it is one that has such parameters and they are not given.
fn with_overhead(runtime: &Choice, overhead: &Overhead) -> Choice {
    let mut choice = runtime.clone();
    if choice.name == "Analytical" {
        let mut given = vec![
            ("step_overhead", format!("ms({:?})", overhead.step_ms)),
            ("sequence_overhead", format!("us({:?})", overhead.sequence_us)),
            ("prompt_step_overhead", format!("ms({:?})", overhead.prompt_step_ms)),
        ];
        // TensorRT-LLM and SGLang attend to prompts and decoding sequences one after the other.
        given.extend(overhead.record.starts_with("engine").then(|| ("one_launch", "false".to_owned())));
        // On PyTorch both cast in kernels of their own; NIM of 2024 is a compiled graph.
        let apart = ["engine: TensorRT", "engine: SGLang"].contains(&overhead.record);
        given.extend(apart.then(|| ("fused_casts", "false".to_owned())));
        given.extend(overhead.kv_efficiency.map(|share| ("kv_efficiency", format!("{share:?}"))));
        let missing = given.iter().filter(|(field, _)| runtime.get(field).is_none());
        let more: Vec<String> = missing.map(|(field, value)| format!("{field}: {value}")).collect();
        let params = [choice.params.trim().trim_end_matches(','), &more.join(", ")].join(", ");
        choice = Choice::new("Analytical", params.trim_start_matches(", "));
    }
    if choice.name == "Empirical" && runtime.get("engine").is_none() && runtime.get("version").is_none() {
        let params = [choice.params.trim().trim_end_matches(','), overhead.record].join(", ");
        choice = Choice::new("Empirical", params.trim_start_matches(", "));
    }
    choice
}

impl Run<'_> {
    /// The scenario that it is.
    pub fn scenario(&self, runtime: &Choice) -> String {
        let Run {
            model, hardware, tensor_parallel, weights, kv_cache, max_num_seqs, batching, traffic, ..
        } = self;
        let priced = with_overhead(runtime, &self.overhead);
        let priced = format!("{}({})", priced.name, priced.params);
        let priced = match self.uncached {
            Some(computed) => format!("Cached(computed: {computed}, runtime: {priced})"),
            None => priced,
        };
        format!(
            "(mist: 1, name: \"benchmark\", seed: 1,
              platforms: [(name: \"host\", nodes: [(name: \"gpu\", hardware: \"{hardware}\", count: {tensor_parallel})], usd_per_hour: 1)],
              clients: [(name: \"engine\", cluster: Take(platform: \"host\", nodes: [(\"gpu\", {tensor_parallel})]),
                runs: Llm(model: \"{model}\", weights: {weights}, kv_cache: {kv_cache}, max_num_seqs: {max_num_seqs},
                          batching: {batching}, runtime: {priced}))],
              workload: [(name: \"bench\", model: \"{model}\", {traffic})])"
        )
    }

    /// Simulates it. `folder` is where a trace lies.
    ///
    /// # Errors
    /// What the simulator says, for the user.
    pub fn simulate(&self, runtime: &Choice, folder: &Path) -> Result<Served, String> {
        let name = folder.join("benchmark.ron").to_string_lossy().into_owned();
        let failed = |error: crate::simulation::RunError| error.to_string();
        let run = Simulation::new().with(bench::plugin).read(self.scenario(runtime), name).map_err(failed)?;
        let records = Arc::new(Mutex::new(Vec::new()));
        let outcome = run
            .run_with(Some(Box::new(Kept(records.clone()))), |_| std::ops::ControlFlow::Continue(()))
            .map_err(failed)?;
        let latency = outcome.summary.latency;
        let mean =
            |statistics: Option<crate::stats::Statistics>| statistics.map_or(0.0, |found| found.mean_ms);
        let mut records = std::mem::take(&mut *records.lock().map_err(|error| error.to_string())?);
        records.sort_by_key(|record| record.id);
        Ok(Served {
            ttft_ms: mean(latency.ttft) + self.overhead.front_end_ms,
            tpot_ms: mean(latency.tpot),
            e2e_ms: mean(latency.e2e) + self.overhead.front_end_ms,
            records,
        })
    }
}

/// Keeps all records.
struct Kept(Arc<Mutex<Vec<RequestRecord>>>);

impl RowSink for Kept {
    fn row(&mut self, request: &RequestRecord, _: &[Lap]) -> io::Result<()> {
        self.0.lock().map_err(|error| io::Error::other(error.to_string()))?.push(*request);
        Ok(())
    }
}
