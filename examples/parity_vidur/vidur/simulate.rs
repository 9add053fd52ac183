//! Runs a load on MIST with the reference's schedulers.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::mem::take;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mist::clients::llm::StrideWatch;
use mist::engine::SimBuilder;
use mist::metrics::{RequestRecord, RowSink};
use mist::request::pipeline::Lap;
use mist::runtime::StepModel;
use mist::simulation::{RunError, Simulation};
use mist::units::SimTime;

use super::settings::Settings;
use super::{add_replica_schedulers, global};

/// A request of a load.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub arrived_at: f64,
    pub prefill_tokens: u32,
    /// Tokens to generate.
    pub decode_tokens: u32,
}

/// When what happened to a request (ns), and where.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    pub replica: usize,
    pub scheduled: u64,
    pub first_token: u64,
    pub completed: u64,
    pub restarts: u16,
}

/// A batch that a replica ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    pub replica: usize,
    pub scheduled: u64,
    pub completed: u64,
    /// Requests in it.
    pub size: u32,
    pub prefill_tokens: u64,
    pub decode_tokens: u64,
}

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Simulated {
    /// By the number of the request, in the order of the load; `None` where it was never completed.
    pub requests: Vec<Option<Served>>,
    /// In the order in which they began.
    pub batches: Vec<Batch>,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Simulated>>);

impl Log {
    fn open(&self) -> MutexGuard<'_, Simulated> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes each batch when it begins.
    fn watch(self) -> StrideWatch {
        StrideWatch::new(move |replica, stride| {
            self.open().batches.push(Batch {
                replica: replica as usize,
                scheduled: stride.begun.as_ns(),
                completed: stride.end.as_ns(),
                size: stride.shape.prefill.len() as u32 + stride.shape.decode_seqs,
                prefill_tokens: stride.shape.prefill_tokens(),
                decode_tokens: stride.shape.decode_seqs.into(),
            });
        })
    }
}

impl RowSink for Log {
    fn row(&mut self, request: &RequestRecord, _: &[Lap]) -> io::Result<()> {
        self.open().requests[request.id as usize] = Some(Served {
            replica: request.client as usize,
            scheduled: request.started.as_ns(),
            first_token: request.first_token.as_ns(),
            completed: request.done.as_ns(),
            restarts: request.preemptions,
        });
        Ok(())
    }
}

/// Runs `load` on replicas of the `settings`, whose batches take what `model` says.
///
/// # Errors
/// The scenario that comes of it is not valid, or the run fails. Replicas that stop for ever are no error:
/// there, requests are not completed.
pub fn simulate(
    load: &[Load],
    settings: &Settings,
    model: &Arc<dyn StepModel>,
) -> Result<Simulated, Box<dyn Error>> {
    // The reference numbers requests as they are listed, and serves them as they arrive.
    let mut order: Vec<usize> = (0..load.len()).collect();
    order.sort_by(|a, b| load[*a].arrived_at.total_cmp(&load[*b].arrived_at));
    let trace = trace(order.iter().map(|at| load[*at]))?;

    let log = Log::default();
    log.open().requests.resize(load.len(), None);
    let plugin = {
        let (settings, model, log) = (settings.clone(), model.clone(), log.clone());
        move |sim: &mut SimBuilder| {
            add_replica_schedulers(sim, &model);
            global::add(sim, &settings);
            sim.insert_resource(log.clone().watch());
        }
    };
    let run = Simulation::new().with(plugin).read(scenario(settings, &trace), "vidur.ron")?;
    match run.run_with(Some(Box::new(log.clone())), |_| ControlFlow::Continue(())) {
        Ok(_) | Err(RunError::Stuck { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let Simulated { requests, batches } = take(&mut *log.open());
    let mut listed = vec![None; requests.len()];
    for (at, served) in order.into_iter().zip(requests) {
        listed[at] = served;
    }
    Ok(Simulated { requests: listed, batches })
}

/// The load as a trace, in a file that goes when it is dropped.
fn trace(load: impl Iterator<Item = Load>) -> io::Result<tempfile::NamedTempFile> {
    let mut text = String::from("{\"mist_trace\":1}\n");
    for Load { arrived_at, prefill_tokens, decode_tokens } in load {
        let arrival = SimTime::from_ns((arrived_at * 1e9 + 0.5) as u64).as_ns();
        let _ = writeln!(
            text,
            "{{\"arrival_ns\":{arrival},\"prompt_tokens\":{prefill_tokens},\"output_tokens\":{decode_tokens}}}"
        );
    }
    let mut file = tempfile::Builder::new().suffix(".jsonl").tempfile()?;
    file.write_all(text.as_bytes())?;
    Ok(file)
}

/// What a batch takes is given, so it does not matter what the replicas are, as long as the model's context
/// is long enough.
fn scenario(settings: &Settings, trace: &tempfile::NamedTempFile) -> String {
    let Settings { replicas, blocks, block_size, .. } = settings;
    let (batching, cap) = (settings.batching(), settings.cap());
    let path = trace.path().display().to_string();
    format!(
        r#"(
    mist: 1,
    platforms: [(name: "box", count: {replicas}, nodes: [(name: "gpu", hardware: "H100-SXM5-80GB", count: 4)])],
    clients: [(
        name: "replica",
        count: {replicas},
        cluster: Take(platform: "box", nodes: [("gpu", 4)]),
        runs: Llm(
            model: "Llama-3.1-70B",
            block_size: {block_size},
            num_gpu_blocks: {blocks},
            max_num_seqs: {cap},
            batching: {batching},
            runtime: Reference(),
        ),
    )],
    coordinator: (routing: Global()),
    workload: [(name: "trace", model: "Llama-3.1-70B", trace: (path: {path:?}))],
)"#
    )
}
