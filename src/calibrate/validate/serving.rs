//! Runs of an engine, simulated: a scenario of one client, made of what a row of measurements says.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::bench;
use crate::catalog::Precision;
use crate::metrics::{RequestRecord, RowSink};
use crate::request::pipeline::Lap;
use crate::runtime::{Engine, EngineRecord};
use crate::scenario::Choice;
use crate::simulation::Simulation;

/// What an engine adds to the time of kernels: its record, and what of that the analytical model takes otherwise, as
/// its sums of kernels are others.
#[derive(Clone, Debug)]
pub(super) struct Overhead {
    pub engine: Engine,
    /// Its version, as the records know it; none for the latest.
    pub version: Option<(u32, u32)>,
    /// Whether weights of 8 bit have a scale a block.
    pub fp8_blocks: bool,
    /// To every step in the analytical model (ms), if not as in the record.
    pub analytical_step_ms: Option<f64>,
    /// The same to every step with a prompt (ms).
    pub analytical_prompt_step_ms: Option<f64>,
    /// In front of the engine (ms), if not as in the record.
    pub front_end_ms: Option<f64>,
    /// Fraction of the bandwidth at which its decode attention reads KV in the analytical model, where that is not as in
    /// the tables.
    pub kv_efficiency: Option<f64>,
}

impl Overhead {
    /// As in the record of an engine.
    pub const fn of(engine: Engine, version: Option<(u32, u32)>) -> Self {
        Self {
            engine,
            version,
            fp8_blocks: false,
            analytical_step_ms: None,
            analytical_prompt_step_ms: None,
            front_end_ms: None,
            kv_efficiency: None,
        }
    }

    fn record(&self, weights: Precision) -> EngineRecord {
        EngineRecord::of(self.engine, self.version, weights.bytes() < 2.0)
    }
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

/// `choice` with those of `given` that it does not say itself.
fn with(choice: &Choice, given: impl IntoIterator<Item = (&'static str, String)>) -> Choice {
    let missing = given.into_iter().filter(|(field, _)| choice.get(field).is_none());
    let more: Vec<String> = missing.map(|(field, value)| format!("{field}: {value}")).collect();
    let params = [choice.params.trim().trim_end_matches(','), &more.join(", ")].join(", ");
    Choice::new(&choice.name, params.trim_start_matches(", ").trim_end_matches(", "))
}

impl Run<'_> {
    /// `runtime` with the engine's overheads, if it is one that has such parameters and they are not given.
    fn with_overhead(&self, runtime: &Choice) -> Choice {
        let Overhead { engine, version, fp8_blocks, .. } = self.overhead;
        let record = self.overhead.record(self.weights);
        if runtime.name == "Analytical" {
            let step = self.overhead.analytical_step_ms.unwrap_or(record.step * 1e3);
            let sequence = record.sequence_on(self.tensor_parallel) * 1e6;
            let prompt_step = self.overhead.analytical_prompt_step_ms.unwrap_or(record.prompt_step * 1e3);
            let mut given = vec![
                ("step_overhead", format!("ms({step:?})")),
                ("sequence_overhead", format!("us({sequence:?})")),
                ("prompt_step_overhead", format!("ms({prompt_step:?})")),
            ];
            // TensorRT-LLM and SGLang attend to prompts and decoding sequences one after the other.
            given.extend((engine != Engine::Vllm).then(|| ("one_launch", "false".to_owned())));
            // On PyTorch both cast in kernels of their own; NIM of 2024 is a compiled graph.
            let apart = [Engine::TensorRt, Engine::Sglang].contains(&engine);
            given.extend(apart.then(|| ("fused_casts", "false".to_owned())));
            given.extend(self.overhead.kv_efficiency.map(|share| ("kv_efficiency", format!("{share:?}"))));
            return with(runtime, given);
        }
        if runtime.name == "Empirical" && runtime.get("engine").is_none() && runtime.get("version").is_none()
        {
            let mut given = vec![("engine", engine.name().to_owned())];
            given.extend(version.map(|(major, minor)| ("version", format!("\"{major}.{minor}\""))));
            given.extend(fp8_blocks.then(|| ("fp8_blocks", "true".to_owned())));
            return with(runtime, given);
        }
        runtime.clone()
    }

    /// The scenario that it is.
    pub fn scenario(&self, runtime: &Choice) -> String {
        let Run {
            model, hardware, tensor_parallel, weights, kv_cache, max_num_seqs, batching, traffic, ..
        } = self;
        let priced = self.with_overhead(runtime);
        let priced = format!("{}({})", priced.name, priced.params);
        let priced = match self.uncached {
            Some(computed) => format!("Cached(computed: {computed}, runtime: {priced})"),
            None => priced,
        };
        let [token, written] = self.overhead.record(self.weights).stream;
        let front_end = if token > 0.0 {
            format!(", front_end: (token: s({token:?}), written_token: s({written:?}))")
        } else {
            String::new()
        };
        format!(
            "(mist: 1, name: \"benchmark\", seed: 1,
              platforms: [(name: \"host\", nodes: [(name: \"gpu\", hardware: \"{hardware}\", count: {tensor_parallel})], usd_per_hour: 1)],
              clients: [(name: \"engine\", cluster: Take(platform: \"host\", nodes: [(\"gpu\", {tensor_parallel})]),
                runs: Llm(model: \"{model}\", weights: {weights}, kv_cache: {kv_cache}, max_num_seqs: {max_num_seqs},
                          batching: {batching}{front_end}, runtime: {priced}))],
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
        let in_front = self.overhead.record(self.weights).front_end * 1e3;
        let in_front = self.overhead.front_end_ms.unwrap_or(in_front);
        Ok(Served {
            ttft_ms: mean(latency.ttft) + in_front,
            tpot_ms: mean(latency.tpot),
            e2e_ms: mean(latency.e2e) + in_front,
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
