//! The summary of a run: everything that goes to stdout and into `summary.json`.
//!
//! It depends on the scenario and its seed only: what may differ between executors, strides or machines
//! (ticks, events, wall time) belongs to the provenance instead. Units are suffixes; rates are per second
//! of simulated time; null means "not known" or "not asked for", never zero.
//!
//! The run lasts from the first arrival to the last request's end, or to the horizon when requests are
//! still in flight there. Latencies and token counts are those of completed requests.

use std::collections::BTreeMap;

use serde::Serialize;

use super::slo::Attainment;
use super::stability::Stability;
use crate::stats::Statistics;
use crate::workload::SessionCounts;

/// What came out of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Name of the scenario.
    pub scenario: String,
    /// From the first arrival to the end of the last request, or to the horizon (s).
    pub duration_s: f64,
    /// Whether the deployment kept up with its load.
    pub stability: Stability,
    /// Requests and what became of them.
    pub requests: RequestCounts,
    /// Conversations and what became of them; absent without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<SessionCounts>,
    /// Tokens of completed requests.
    pub tokens: TokenCounts,
    /// Rates over the run.
    pub throughput: Throughput,
    /// Latencies of completed requests.
    pub latency: Latencies,
    /// Where the time of completed requests went, by stage of the pipeline; empty when that is one visit,
    /// and with several sources, which each have theirs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageSummary>,
    /// Time between successive tokens, pooled over all tokens of all sources.
    pub itl: Option<Statistics>,
    /// Service-level objectives over all sources that set one; null when none does.
    pub slo: Option<Attainment>,
    /// What the clients did.
    pub utilisation: Utilisation,
    /// What bound the run.
    pub bottleneck: Bottleneck,
    /// What it cost.
    pub cost: Cost,
    /// The same by workload source; empty when there is only one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceSummary>,
    /// The same by group of clients; empty when there is only one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub client_groups: Vec<GroupSummary>,
}

/// Requests: `arrived = completed + rejected + in_flight`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RequestCounts {
    /// Entered the system.
    pub arrived: u64,
    /// Produced their last token.
    pub completed: u64,
    /// Were turned away.
    pub rejected: u64,
    /// Were turned away, by reason; reasons that did not occur are left out.
    pub rejected_by_reason: BTreeMap<&'static str, u64>,
    /// Were neither when the clock stopped.
    pub in_flight: u64,
    /// Most in the system at once.
    pub peak_in_flight: u64,
    /// Mean number in the system: Σ time in the system over the duration (Little's law).
    pub mean_in_flight: f64,
}

/// Tokens of completed requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TokenCounts {
    /// Prompt tokens, as requests arrived.
    pub prompt_tokens: u64,
    /// Output tokens of their last generations.
    pub output_tokens: u64,
    /// All tokens that models read for them: prompts with what stages put into them (documents, results of
    /// tools, earlier answers), once for each prefill, scoring or classification, in a cache or not. Where
    /// pipelines are prefill and decode, `prompt_tokens`.
    pub read_tokens: u64,
    /// All tokens generated for them, those of other stages and of branches that were dropped included.
    pub generated_tokens: u64,
}

impl TokenCounts {
    /// All tokens that models had to do with: those they read and those they generated.
    pub const fn total(&self) -> u64 {
        self.read_tokens + self.generated_tokens
    }
}

/// Where the time of requests went: one stage. The means of all stages add up to that of E2E.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageSummary {
    /// The stage, as the pipeline names it.
    pub name: String,
    /// Completed requests that spent time in it.
    pub requests: u64,
    /// Time in it, waiting included, averaged over all completed requests (ms).
    pub mean_ms: f64,
    /// Waiting for a client, averaged over all completed requests (ms).
    pub mean_waiting_ms: f64,
    /// Its share of E2E latency.
    pub e2e_frac: f64,
    /// Time in it, waiting included, of the requests that spent any.
    pub time: Option<Statistics>,
}

/// Completed work per second of the run; zero when the run has no duration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Throughput {
    /// Completed requests (1/s).
    pub requests_per_s: f64,
    /// Output tokens of completed requests (1/s).
    pub output_tokens_per_s: f64,
    /// Tokens read and generated for completed requests (1/s).
    pub total_tokens_per_s: f64,
}

/// Latencies of completed requests; null without any.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Latencies {
    /// Time to first token: arrival to first token.
    pub ttft: Option<Statistics>,
    /// Time to the first token of the answer behind the reasoning, of requests that reasoned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttfat: Option<Statistics>,
    /// Time per output token after the first, of requests with more than one.
    pub tpot: Option<Statistics>,
    /// End to end: arrival to the end of the last stage.
    pub e2e: Option<Statistics>,
    /// Queueing: arrival to the first step that worked on the request.
    pub queueing: Option<Statistics>,
}

/// What clients did; time is weighted by their accelerators, and where none has any by client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Utilisation {
    /// Clients.
    pub clients: u64,
    /// Accelerators of those clients.
    pub accelerators: u64,
    /// Share of accelerator time spent in steps and in changes of models; of clients' time where they have no
    /// accelerators.
    pub accelerator_busy_frac: f64,
    /// KV blocks in use over KV blocks there are, averaged over the duration; steps count, idle time is zero.
    pub kv_mean_frac: f64,
    /// The highest share of its KV blocks that any client had in use.
    pub kv_peak_frac: f64,
    /// Mean sequences in a step.
    pub mean_batch: f64,
    /// Steps executed.
    pub steps: u64,
    /// Prompt tokens computed, recomputation after preemption included.
    pub prefill_tokens: u64,
    /// Tokens decoded.
    pub decode_tokens: u64,
    /// Times a request had to give its KV blocks away while it ran: to start over, or swapped to the host.
    pub preemptions: u64,
    /// Those that were swapped to the host, or would have been had it not been full; absent where none were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_swaps: Option<KvSwaps>,
    /// What was found in prefix caches by what was admitted; null where no client has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_cache: Option<PrefixCacheHits>,
    /// Changes of models on clients that serve several by turns; null without such clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_swaps: Option<ModelSwaps>,
}

/// Preemptions by swap to host memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct KvSwaps {
    /// Preemptions by swap; the other ones were recomputed.
    pub preemptions: u64,
    /// Those of the others that found the host full.
    pub found_full: u64,
    /// KV blocks copied to the host.
    pub blocks_out: u64,
    /// KV blocks copied back; fewer where the run ended before they were.
    pub blocks_in: u64,
}

/// What was found in prefix caches. vLLM `vllm:prefix_cache_queries_total`, `vllm:prefix_cache_hits_total`,
/// which are in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct PrefixCacheHits {
    /// Tokens that were looked up: whole prompts, once each, however often they were preempted.
    pub query_tokens: u64,
    /// Tokens that were there.
    pub hit_tokens: u64,
    /// The one over the other.
    pub token_hit_frac: f64,
    /// Share of requests that found anything.
    pub request_hit_frac: f64,
    /// KV blocks that were evicted for others; a class of traffic has none of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evicted_blocks: Option<u64>,
}

/// Changes of models on clients that serve several by turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ModelSwaps {
    /// How many there were.
    pub count: u64,
    /// Share of accelerator time spent in them.
    pub accelerator_frac: f64,
}

/// What bound the run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bottleneck {
    /// `arrivals` when accelerators spent less than half of their time in steps: load, not speed, sets the
    /// throughput. Otherwise what bound the steps that took the largest share of the time.
    pub bound_by: BoundBy,
    /// Shares of the time in steps by what bound them, adding up to 1 (or all zero without steps).
    pub time_in_steps_bound_by_frac: StepTimeShares,
}

/// What bound the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BoundBy {
    /// The load: clients idle most of the time.
    Arrivals,
    /// Arithmetic.
    Compute,
    /// Device memory bandwidth.
    Memory,
    /// Collectives.
    Communication,
    /// The engine on the host, and models that it loads.
    Host,
    /// The processes that stream answers, which are busy nearly all of the time.
    FrontEnd,
}

/// Shares of the time in steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct StepTimeShares {
    /// In steps bound by arithmetic.
    pub compute: f64,
    /// In steps bound by device memory bandwidth.
    pub memory: f64,
    /// In steps bound by collectives.
    pub communication: f64,
    /// In steps bound by the host, and in changes of models.
    pub host: f64,
}

/// What the run cost: the whole deployment for the whole duration, idle or not.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    /// Price of the deployment (USD/h).
    pub usd_per_hour: Option<f64>,
    /// Price of the run (USD).
    pub usd_total: Option<f64>,
    /// Per million output tokens of completed requests (USD).
    pub usd_per_million_output_tokens: Option<f64>,
    /// Per million tokens read and generated for completed requests (USD).
    pub usd_per_million_total_tokens: Option<f64>,
    /// Why a price is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_because: Option<String>,
}

/// One workload source.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SourceSummary {
    /// Its name in the scenario.
    pub name: String,
    /// Requests and what became of them.
    pub requests: RequestCounts,
    /// Tokens of completed requests.
    pub tokens: TokenCounts,
    /// What completed requests found of their prompts in prefix caches; null where no client has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_cache: Option<PrefixCacheHits>,
    /// Rates over the run.
    pub throughput: Throughput,
    /// Latencies of completed requests. ITL is missing: steps mix the tokens of all sources.
    pub latency: Latencies,
    /// Where their time went, by stage.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageSummary>,
    /// Its service-level objectives; null when it sets none.
    pub slo: Option<Attainment>,
}

/// One group of identical clients.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupSummary {
    /// Its name in the scenario.
    pub name: String,
    /// What its clients did.
    pub utilisation: Utilisation,
    /// What bound them.
    pub bottleneck: Bottleneck,
}
