//! MIST simulates multi-stage LLM serving: describe a workload, a fleet and its policies in one RON
//! file, and learn what latency, throughput and cost that deployment would give, and what limits it.
//!
//! ```text
//!  scenario.ron ─▶ scenario ─▶ simulation ─▶ world of entities, moved by the engine ─▶ metrics ─▶ output
//!                  catalog ──────┘            workload ─▶ coordinator ─▶ clients
//!                                                                         ├ memory   KV blocks
//!                                                                         └ runtime  what a step costs
//! ```
//!
//! Start at [`simulation::Simulation`]. Everything in the simulated world is an entity of
//! [`bevy_ecs`], and behaviour is systems over it; physics is plain Rust without a world.
//!
//! | room | what lives there |
//! |---|---|
//! | [`units`] | simulated time, and the quantities a scenario is written in |
//! | [`engine`] | calendar, ports, phases, the gated executor, plugins, random streams |
//! | [`stats`] | distributions and histograms of durations |
//! | [`scenario`] | the language: types, loading, checking, defaults, `--set`, explanations |
//! | [`catalog`] | hardware, models and prices, each with its source |
//! | [`request`] | requests, their stages, the [pipelines](request::pipeline) they go through |
//! | [`memory`] | KV blocks, how many fit, what of them later prompts find, the tiers that KV is fetched from |
//! | [`runtime`] | what a step costs: from data sheets, or from measured operators |
//! | [`workload`] | arrivals, lengths, conversations, traces |
//! | [`clients`] | kinds of client; [`clients::llm`] batches prefill and decode, [`clients::tasks`] all else |
//! | [`coordinator`] | takes requests through their pipelines, from client to client |
//! | [`metrics`] | latency, throughput, objectives, stability |
//! | [`simulation`] | from a scenario to a run to its outcome |
//! | [`output`] | tables, JSON, the results folder |
//! | [`calibrate`] | runtime profiles made of measurements, and predictions laid beside them |
//! | [`cli`] | the command line |
//!
//! Rooms depend on those above them in the table, and on nothing below.

pub mod calibrate;
pub mod catalog;
pub mod cli;
pub mod clients;
pub mod coordinator;
pub mod engine;
pub mod memory;
pub mod metrics;
pub mod output;
pub mod request;
pub mod runtime;
pub mod scenario;
pub mod simulation;
pub mod stats;
mod text_file;
pub mod units;
pub mod workload;
