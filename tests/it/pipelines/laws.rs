//! Laws that every run keeps, whatever its pipelines.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use mist::clients::Usage;
use mist::clients::llm::LlmClient;
use mist::engine::{Executor, Sim};
use mist::metrics::{Recorder, RequestRecord, RowSink};
use mist::request::pipeline::Lap;
use mist::request::{Passage, Request, Stage};
use mist::simulation::{Outcome, Simulation};
use mist::units::{SimSpan, SimTime};

use super::case::on_random_cases;
use super::shop::shop;
use crate::theory;

/// A request as it left, with its time by stage.
pub type Row = (RequestRecord, Vec<Lap>);

/// Requests as they left.
#[derive(Clone, Default)]
pub struct Rows(Arc<Mutex<Vec<Row>>>);

impl Rows {
    /// Those so far.
    pub fn take(&self) -> Vec<Row> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl RowSink for Rows {
    fn row(&mut self, request: &RequestRecord, laps: &[Lap]) -> std::io::Result<()> {
        self.0.lock().unwrap().push((*request, laps.to_vec()));
        Ok(())
    }
}

/// What the scenarios came to together, to be sure that they reach the corners.
#[derive(Debug, Default)]
struct Reached {
    completed: u64,
    rejected: u64,
    preemptions: u64,
    cached_tokens: u64,
    longest: usize,
}

pub fn simulation() -> Simulation {
    theory::server::simulation().with(shop)
}

/// Set `MIST_CASES` to try more.
fn count(usual: u32) -> u32 {
    std::env::var("MIST_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(usual)
}

#[test]
fn laws_hold_on_random_pipelines() {
    let reached = RefCell::new(Reached::default());
    on_random_cases(count(400), |case| {
        let text = case.ron();
        let expected = keep_laws(&text, &mut reached.borrow_mut());
        let same = |simulation: Simulation, what: &str| {
            assert_eq!(digest(&simulation, &text), expected, "{what} changes the result of {text}");
        };
        same(simulation().strides(false), "one tick a step");
        same(simulation().executor(Executor::Stock).shuffle(7), "the stock executor");
    });
    let reached = reached.into_inner();
    println!("{reached:?}");
    assert!(reached.completed > 1_000 && reached.rejected > 100, "{reached:?}");
    assert!(reached.preemptions > 100 && reached.cached_tokens > 1_000, "{reached:?}");
}

/// Clients `llm` and an oven, one request.
fn shop_with(llm: &str, prompt: u32, pipeline: &str) -> String {
    format!(
        "(mist: 1, seed: 1, platforms: [(name: \"p\", \
           nodes: [(name: \"gpu\", hardware: \"H100-SXM5-80GB\", count: 3)], usd_per_hour: 1)], \
         clients: [{llm} (name: \"oven\", cluster: Take(platform: \"p\", nodes: [(\"gpu\", 1)]), \
           runs: Oven(max_batch: 1))], \
         workload: [(name: \"w\", model: \"Qwen2.5-0.5B\", requests: 1, arrivals: AllAtOnce, \
           lengths: Fixed(prompt: {prompt}, output: 8), pipeline: {pipeline})])"
    )
}

fn llm(name: &str, settings: &str) -> String {
    format!(
        "(name: \"{name}\", cluster: Take(platform: \"p\", nodes: [(\"gpu\", 1)]), \
          runs: Llm(model: \"Qwen2.5-0.5B\", max_model_len: 2000, runtime: Constant(step: ms(1)), {settings})), "
    )
}

#[test]
fn kv_behind_the_end_of_a_text_that_was_cut_does_not_move() {
    let clients = [llm("prefill", "role: Prefill"), llm("decode", "role: Decode")].concat();
    let text = shop_with(&clients, 49, "[Prefill, Bake(us: 1), Decode]")
        .replace("workload", "coordinator: (kv_transfer: (bandwidth: gb_per_s(20))), workload");
    let mut reached = Reached::default();
    keep_laws(&text, &mut reached);
    assert_eq!(reached.completed, 1);
}

#[test]
fn who_runs_alone_and_lacks_room_gives_up_what_it_cannot_share() {
    let one = llm(
        "llm",
        "block_size: 4, num_gpu_blocks: 12, max_num_seqs: 1, batching: Chunked(max_num_batched_tokens: 2)",
    );
    // Of 8 blocks of KV it shares the 7 full ones, and needs 5 of its own.
    let pipeline =
        "[Prefill, ToolCall(takes: Exactly(us(1)), adds: Exactly(15)), Decode(tokens: Exactly(2))]";
    let text = shop_with(&one, 30, pipeline);
    let mut reached = Reached::default();
    keep_laws(&text, &mut reached);
    assert!(reached.completed == 1 && reached.preemptions > 0, "{reached:?}");
}

/// Checks the scenario at many instants and at its end; everything that it says.
fn keep_laws(text: &str, reached: &mut Reached) -> String {
    let mut run = simulation().read(text, "case.ron").unwrap_or_else(|error| panic!("{error}\n{text}"));
    let rows = Rows::default();
    run.sim().world_mut().resource_mut::<Recorder>().write_rows_to(Box::new(rows.clone()));
    let mut stretch = 1;
    while run.sim().run_some(SimTime::MAX, stretch).unwrap() {
        check_world(run.sim());
        stretch = stretch * 7 % 31 + 1;
    }
    check_world(run.sim());
    check_end(run.sim());
    let outcome = run.run().unwrap();
    let requests = &outcome.summary.requests;
    assert_eq!(requests.in_flight, 0);
    assert_eq!(requests.arrived, requests.completed + requests.rejected);
    let rows = rows.take();
    assert_eq!(rows.len() as u64, requests.completed);
    for (row, laps) in &rows {
        check_row(row, laps);
    }
    reached.completed += requests.completed;
    reached.rejected += requests.rejected;
    reached.preemptions += outcome.summary.utilisation.preemptions;
    reached.cached_tokens += rows.iter().map(|row| u64::from(row.0.cached_tokens)).sum::<u64>();
    reached.longest = reached.longest.max(rows.iter().map(|row| row.1.len()).max().unwrap_or(0));
    said(&outcome, &rows)
}

fn digest(simulation: &Simulation, text: &str) -> String {
    let mut run = simulation.read(text, "case.ron").unwrap();
    let rows = Rows::default();
    run.sim().world_mut().resource_mut::<Recorder>().write_rows_to(Box::new(rows.clone()));
    let outcome = run.run().unwrap_or_else(|error| panic!("{error}\n{text}"));
    let rows = rows.take();
    said(&outcome, &rows)
}

/// The summary in JSON and a line for each request.
fn said(outcome: &Outcome, rows: &[Row]) -> String {
    let summary = serde_json::to_string_pretty(&outcome.summary).unwrap();
    rows.iter().fold(summary, |text, row| format!("{text}\n{row:?}"))
}

/// Instants in order, tokens counted, and no gap between stages.
fn check_row(row: &RequestRecord, laps: &[Lap]) {
    let RequestRecord { arrived, started, first_token, answer, last_token, done, .. } = *row;
    assert!(arrived <= started && started <= done, "{row:?}");
    assert!(started <= first_token && first_token <= answer && answer <= last_token, "{row:?}");
    assert!(last_token <= done, "{row:?}");
    assert!(u64::from(row.output_tokens) <= row.generated_tokens, "{row:?}");
    assert!(row.output_tokens > 0 || first_token == done, "{row:?}");
    if !laps.is_empty() {
        let sum = laps.iter().fold(SimSpan::ZERO, |sum, lap| sum + lap.total());
        assert_eq!(sum, row.e2e(), "{laps:?} of {row:?}");
    }
}

/// What holds between any two ticks.
fn check_world(sim: &mut Sim) {
    let now = sim.now();
    let world = sim.world_mut();
    let (arrived, departed) = world.resource::<Recorder>().progress();
    let requests: BTreeSet<_> =
        world.query::<(bevy_ecs::entity::Entity, &Request)>().iter(world).map(|(entity, _)| entity).collect();
    assert_eq!(arrived - departed, requests.len() as u64, "requests lost at {now}");
    let mut under_way = BTreeMap::new();
    for (stage, passage) in world.query::<(&Stage, Option<&Passage>)>().iter(world) {
        assert!(requests.contains(&stage.request), "a stage of nobody at {now}");
        let visits: &mut u32 =
            under_way.entry((stage.request, passage.map_or(0, |passage| passage.thread))).or_default();
        *visits += 1;
        assert_eq!(*visits, 1, "a branch is at two stages at once at {now}");
    }
    // KV on its way to another client keeps its blocks until it has landed, and others may have to wait for them.
    let [sent, received] = world.query::<&Usage>().iter(world).fold([0, 0], |[sent, received], usage| {
        [sent + usage.kv_sent_bytes, received + usage.kv_received_bytes]
    });
    for (client, usage) in world.query::<(&LlmClient, &Usage)>().iter(world) {
        let (scheduler, index) = (client.scheduler(), client.index());
        let idles = !client.is_busy() && !scheduler.is_empty() && sent == received;
        assert!(
            !idles,
            "client {index} idles at {now} while {} wait and {} run, the next with {:?} tokens; {} of {} blocks free, {} held",
            scheduler.waiting(),
            scheduler.running(),
            scheduler.next_waiting(),
            scheduler.kv().free(),
            scheduler.kv().total(),
            scheduler.held()
        );
        let kv = scheduler.kv();
        assert_eq!(kv.used() + kv.free(), kv.total());
        assert_eq!(kv.used(), scheduler.held(), "blocks of client {index} are lost or held twice at {now}");
        assert!(usage.busy_total().as_ns() <= now.as_ns());
    }
}

/// What holds when nothing is pending.
fn check_end(sim: &mut Sim) {
    assert_eq!(sim.next_time(), None);
    let world = sim.world_mut();
    assert_eq!(world.query::<&Request>().iter(world).count(), 0, "requests are left");
    assert_eq!(world.query::<&Stage>().iter(world).count(), 0, "stages are left");
    for client in world.query::<&LlmClient>().iter(world) {
        let scheduler = client.scheduler();
        assert!(scheduler.is_empty() && !client.is_busy());
        assert_eq!((scheduler.kv().used(), scheduler.holdings()), (0, 0), "KV is left on {}", client.index());
    }
}
