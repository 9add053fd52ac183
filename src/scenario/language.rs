//! The scenario language, version 1: every field a file may hold outside the open choices.
//!
//! The doc comments on the fields are what `mist explain` prints, so they speak to users: meaning,
//! unit, range, default, and the vLLM or SGLang option a field mirrors where there is one.
//! Defaults stand in the `default_…` functions and the `Default` impls at the end of this file.

#![allow(clippy::doc_markdown)] // product names are not code, and users read these comments

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Choice, NodeSet, PrefixSpec, SessionSpec, StageChoice, TraceSpec};
use crate::units::{Bandwidth, Span};

/// The version of the language that this MIST reads.
pub const VERSION: u32 = 1;

/// A scenario: the hardware, what runs on it, and the work that arrives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The version of the scenario language the file is written in: 1.
    pub mist: u32,
    /// What the scenario is called in results. Default: the file's name without its ending.
    #[serde(default)]
    pub name: Option<String>,
    /// The seed of every random draw; the same seed gives the same results to the byte. Default: 0.
    /// Mirrors `--seed` of `vllm bench serve`.
    #[serde(default)]
    pub seed: u64,
    /// A folder whose `hardware.ron`, `models.ron` and `prices.ron` add to and override the
    /// built-in catalog; relative to the scenario's own folder. What stands in them is told by
    /// `mist explain hardware`, `models` and `prices`. Default: the built-in catalog only.
    #[serde(default)]
    pub catalog: Option<String>,
    /// The machines there are; at least one.
    pub platforms: Vec<PlatformSpec>,
    /// What runs on them, such as inference servers; at least one.
    pub clients: Vec<ClientSpec>,
    /// How requests find their client.
    #[serde(default)]
    pub coordinator: CoordinatorSpec,
    /// The requests that arrive, one entry a traffic class; at least one.
    pub workload: Vec<WorkloadSpec>,
    /// When to stop the clock, as time since the start, above zero; requests still in flight then are
    /// counted as such. Default: none, the run ends when every request has.
    #[serde(default)]
    pub horizon: Option<Span>,
}

/// One kind of machine and how many of it there are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlatformSpec {
    /// The name that clusters refer to; unique among platforms, without brackets.
    pub name: String,
    /// How many of this machine there are; at least 1. Default: 1.
    #[serde(default = "default_count")]
    pub count: u32,
    /// What is in one machine; at least one group of nodes.
    pub nodes: Vec<NodeGroup>,
    /// The cloud instance whose catalogued price one machine has, such as `p5.48xlarge`.
    /// Default: none; without `usd_per_hour` too, each accelerator in a cluster costs its share of the
    /// largest instance that is listed on demand with it.
    #[serde(default)]
    pub price: Option<String>,
    /// What one machine costs in US dollars per hour, zero or more; excludes `price`. Default: none.
    #[serde(default)]
    pub usd_per_hour: Option<UsdPerHour>,
}

/// Nodes of one kind in a machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeGroup {
    /// The name that clusters refer to, such as `gpu`; unique in the platform, without brackets.
    pub name: String,
    /// What the nodes are: a name in the hardware catalog, such as `H100-SXM5-80GB`.
    pub hardware: String,
    /// How many of them a machine has; at least 1. Default: 1.
    #[serde(default = "default_count")]
    pub count: u32,
}

/// What runs on the machines: one kind of client and how many of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientSpec {
    /// The name in results; unique among clients.
    pub name: String,
    /// How many such clients there are, each on a cluster of its own; at least 1. Default: 1.
    /// Mirrors the number of vLLM or SGLang servers started behind a router.
    #[serde(default = "default_count")]
    pub count: u32,
    /// The nodes that one client has to itself.
    pub cluster: ClusterSpec,
    /// What the client is, such as `Llm(…)`, with its settings.
    #[schemars(extend("x-choice" = "client kind"))]
    pub runs: Choice,
}

/// The nodes that one client has to itself; no node serves two clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum ClusterSpec {
    /// The next free nodes of one machine, in order.
    Take {
        /// The platform to take from, by name.
        platform: String,
        /// How many nodes of which group, such as `[("gpu", 2)]`; counts of at least 1.
        nodes: Vec<(String, u32)>,
    },
    /// Exactly these nodes, such as `["hgx[0].gpu[0..2]"]`, for a client with `count: 1`; they are
    /// set aside before any `Take`.
    Pick(Vec<NodeSet>),
}

/// How requests find their client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CoordinatorSpec {
    /// How a client is chosen among those that can serve a stage. Default: `RoundRobin`.
    /// Mirrors the routing logic of the vLLM router and `--policy` of the SGLang router.
    #[schemars(extend("x-choice" = "routing policy"))]
    pub routing: Choice,
    /// How long a request takes from the router to its client, one way. Default: `us(0)`.
    pub latency: Span,
    /// How the KV cache of a request moves from one client to another; needed where prefill and decode
    /// have clients of their own. Default: none.
    pub kv_transfer: Option<KvTransferSpec>,
    /// When the client that decodes a request is chosen, where prefill and decode have clients of their own.
    /// Default: `AfterPrefill`.
    pub decode_choice: DecodeChoice,
}

/// When the client that decodes a request is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DecodeChoice {
    /// When the prompt is computed, as DistServe and the proxies of vLLM and SGLang do.
    #[default]
    AfterPrefill,
    /// When the request arrives, together with the client that prefills it; it counts for the load of
    /// both from then on, and if both are the same, no KV moves. As Splitwise does.
    AtArrival,
}

/// A link of its own for each KV cache that moves between two clients.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KvTransferSpec {
    /// How fast it moves, such as `gb_per_s(50)`, a 400 Gb/s network interface; required.
    pub bandwidth: Bandwidth,
    /// How long until it starts to land. Default: `us(0)`.
    #[serde(default = "no_time")]
    pub latency: Span,
    /// The link between clients on the same machine of a platform, such as NVLink. Default: none, KV moves between them
    /// as between others.
    #[serde(default)]
    pub local: Option<LocalLinkSpec>,
}

/// A link within a platform, of its own for each KV cache that moves there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LocalLinkSpec {
    /// How fast KV moves, such as `gb_per_s(450)`, NVLink 4 one way; required.
    pub bandwidth: Bandwidth,
    /// How long until it starts to land. Default: `us(0)`.
    #[serde(default = "no_time")]
    pub latency: Span,
}

/// One class of traffic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkloadSpec {
    /// The name in results; unique in the workload.
    pub name: String,
    /// The model that the requests ask for: a name in the model catalog, or the path of a Hugging Face
    /// `config.json`, relative to the scenario's own folder; needed where a stage of the pipeline takes
    /// the request's model, as `Prefill` does. Default: none.
    /// Mirrors `--model` of `vllm bench serve`.
    #[serde(default)]
    pub model: Option<String>,
    /// How urgent the requests are where clients pack by `Priority`: lower values are more urgent, -32768 to
    /// 32767. Default: 0. Mirrors `priority` of a request to vLLM.
    #[serde(default)]
    pub priority: i16,
    /// The stages that a request goes through, such as `[Rag(documents: 10), Prefill, Decode]`.
    /// Default: `[Prefill, Decode]`.
    #[serde(default = "prefill_and_decode")]
    pub pipeline: Vec<StageChoice>,
    /// How many requests arrive, every turn of a conversation being one; at least 1. Default: none, as many as
    /// the arrivals have or come before the horizon. Mirrors `--num-prompts` of `vllm bench serve`.
    #[serde(default)]
    pub requests: Option<u64>,
    /// Recorded requests to replay; takes the place of `arrivals` and `lengths`. Default: none.
    /// Mirrors `--dataset-path` of `vllm bench serve`.
    #[serde(default)]
    pub trace: Option<TraceSpec>,
    /// When requests arrive, such as `Poisson(rate: per_s(8))`; needed unless there is a `trace`.
    /// Mirrors `--request-rate` and `--max-concurrency` of `vllm bench serve`.
    #[serde(default, serialize_with = "super::choice::bare")]
    #[schemars(extend("x-choice" = "arrival process"))]
    pub arrivals: Option<Choice>,
    /// How long prompts and answers are (tokens), such as `AzureConv`; needed unless there is a `trace`.
    /// Mirrors `--random-input-len` and `--random-output-len` of `vllm bench serve`.
    #[serde(default, serialize_with = "super::choice::bare")]
    #[schemars(extend("x-choice" = "length distribution"))]
    pub lengths: Option<Choice>,
    /// What prompts begin with, in order, such as `[System(tokens: 2000), Documents(count: 100, tokens: 3000)]`;
    /// it comes before the prompt that `lengths` draws, and adds to it. Clients that cache prefixes compute it
    /// once for all the requests that share it. Classes share nothing with each other. Default: nothing.
    #[serde(default)]
    pub prefix: Vec<PrefixSpec>,
    /// Conversations of several turns. `arrivals` are those of conversations, and `lengths` draws each question
    /// and its answer. The next turn comes some time after the answer to the one before is complete, and its
    /// prompt is all that was said, the prefix, questions and answers, with the new question behind it. A
    /// conversation ends after its last turn, before one that the context has no room for, and with one that
    /// is turned away; with `ClosedLoop` arrivals it keeps its user until then. `requests` counts turns: the last
    /// conversation is cut short for the number to come out, and turns that a rejection leaves unsent are
    /// not made up for. A conversation is drawn whole when it begins, however it is served. Default: none, every
    /// request stands alone.
    #[serde(default)]
    pub sessions: Option<SessionSpec>,
    /// What makes a request of this class a good one. Default: nothing is asked.
    #[serde(default)]
    pub slo: SloSpec,
}

/// Latency targets of one request: it is good if it meets every one that is given.
/// Mirrors `--goodput` of `vllm bench serve`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SloSpec {
    /// Arrival to first token, at most. Default: none.
    pub ttft: Option<Span>,
    /// Time per output token after the first, at most. Default: none.
    pub tpot: Option<Span>,
    /// Arrival to last token, at most. Default: none.
    pub e2e: Option<Span>,
}

/// A price in US dollars per hour; finite and not negative.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schemars(with = "f64")]
pub struct UsdPerHour(f64);

impl UsdPerHour {
    /// US dollars per hour.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for UsdPerHour {
    type Error = String;

    fn try_from(usd: f64) -> Result<Self, String> {
        if usd.is_finite() && usd >= 0.0 {
            Ok(Self(usd))
        } else {
            Err(format!("a price must be finite and not negative, found {usd}"))
        }
    }
}

impl From<UsdPerHour> for f64 {
    fn from(price: UsdPerHour) -> Self {
        price.0
    }
}

const fn default_count() -> u32 {
    1
}

const fn no_time() -> Span {
    Span::from_secs(0.0)
}

fn prefill_and_decode() -> Vec<StageChoice> {
    ["Prefill", "Decode"].map(|name| StageChoice(Choice::named(name))).into()
}

impl Default for CoordinatorSpec {
    fn default() -> Self {
        Self {
            routing: Choice::named("RoundRobin"),
            latency: no_time(),
            kv_transfer: None,
            decode_choice: DecodeChoice::default(),
        }
    }
}
