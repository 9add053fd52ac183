//! What holds whatever prefills, decodes, borrows and moves.

use std::cell::Cell;
use std::collections::BTreeMap;

use mist::clients::Usage;
use mist::clients::llm::LlmClient;
use mist::engine::Sim;
use mist::memory::BlockPool;
use mist::metrics::{RequestRecord, StageRecord};
use mist::simulation::{Outcome, Simulation};
use mist::units::SimTime;

use super::case::{Case, on_random_cases};
use crate::scenarios::{Rows, read};

/// What came of a run.
struct Came {
    outcome: Outcome,
    rows: Vec<RequestRecord>,
    usages: Vec<Usage>,
}

fn usages(sim: &mut Sim) -> Vec<Usage> {
    let world = sim.world_mut();
    let mut all: Vec<_> = world.query::<(&LlmClient, &Usage)>().iter(world).collect();
    all.sort_by_key(|(client, _)| client.index());
    all.into_iter().map(|(_, usage)| usage.clone()).collect()
}

/// Every block is accounted for; nothing was received that was not sent; nobody idles for no reason.
pub fn check(sim: &mut Sim) {
    let now = sim.now();
    let over = sim.next_time().is_none();
    let world = sim.world_mut();
    let (mut sent, mut received) = (0, 0);
    for (client, usage) in world.query::<(&LlmClient, &Usage)>().iter(world) {
        let scheduler = client.scheduler();
        let index = client.index();
        assert_eq!(scheduler.held(), scheduler.kv().used(), "client {index} at {now}");
        let host = scheduler.host_kv().map_or(0, BlockPool::used);
        assert_eq!(scheduler.held_by_host(), host, "host of client {index} at {now}");
        if over {
            assert!(scheduler.is_empty(), "client {index} has work at the end");
            assert_eq!((scheduler.kv().used(), scheduler.held()), (0, 0), "client {index} at the end");
        }
        sent += usage.kv_sent_bytes;
        received += usage.kv_received_bytes;
    }
    assert!(received <= sent, "{received} bytes received of {sent} sent, at {now}");
    assert!(!over || received == sent);
}

fn run(case: &Case, simulation: &Simulation) -> Came {
    let mut run = read(simulation, &case.ron());
    run.log_stages(1_000);
    let rows = Rows::of(&mut run);
    let mut stretch = 1;
    while run.sim().run_some(SimTime::MAX, stretch).unwrap() {
        check(run.sim());
        stretch = stretch * 7 % 31 + 1;
    }
    check(run.sim());
    let usages = usages(run.sim());
    Came { outcome: run.run().unwrap(), rows: rows.take(), usages }
}

/// A decode begins when the prefill before it is over, and each part is done where it may be.
fn check_stages(case: &Case, stages: &[StageRecord]) {
    let mut by_request: BTreeMap<u64, Vec<&StageRecord>> = BTreeMap::new();
    for stage in stages {
        by_request.entry(stage.request).or_default().push(stage);
        assert!(stage.routed <= stage.started && stage.started <= stage.done, "{stage:?}");
        let only = |part: &str, name: &str, lends: bool| {
            assert!(lends || stage.stage != part || !stage.client.starts_with(name), "{stage:?}");
        };
        only("Prefill", "decode", case.lends[1]);
        only("Decode", "prefill", case.lends[0]);
        only("Reason", "prefill", case.lends[0]);
    }
    for stages in by_request.values() {
        let first = stages.iter().filter(|stage| stage.stage == "Prefill").map(|stage| stage.done).min();
        for stage in stages.iter().filter(|stage| stage.stage != "Prefill") {
            assert!(first.is_some_and(|first| first <= stage.started), "{stage:?} before {first:?}");
        }
    }
}

#[test]
fn laws_hold_whatever_borrows_and_moves() {
    let (moved, preempted, lent) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let (swapped, hits) = (Cell::new(0), Cell::new(0));
    let count = std::env::var("MIST_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(120);
    on_random_cases(count, |case| {
        let one = run(case, &Simulation::new());
        let requests = &one.outcome.summary.requests;
        assert_eq!(requests.completed + requests.rejected, requests.arrived);
        assert_eq!(requests.in_flight, 0);
        check_stages(case, &one.outcome.stages);
        let others = [Simulation::new().strides(false), Simulation::new().shuffle(case.seed())];
        for (other, what) in others.iter().zip(["strides", "the order of systems"]) {
            let other = run(case, other);
            assert_eq!(one.rows, other.rows, "{what} can be seen");
            assert_eq!(format!("{:?}", one.usages), format!("{:?}", other.usages), "{what} can be seen");
        }
        moved.set(moved.get() + one.usages.iter().map(|usage| usage.kv_received_bytes).sum::<u64>());
        preempted.set(preempted.get() + one.usages.iter().map(|usage| usage.preemptions).sum::<u64>());
        let swaps = |usage: &Usage| usage.swapped.unwrap_or_default().preemptions;
        swapped.set(swapped.get() + one.usages.iter().map(swaps).sum::<u64>());
        hits.set(
            hits.get() + one.usages.iter().map(|usage| usage.prefix.unwrap_or_default().hits).sum::<u64>(),
        );
        let guest = |stage: &&StageRecord| stage.stage == "Prefill" && stage.client.starts_with("decode");
        lent.set(lent.get() + one.outcome.stages.iter().filter(guest).count());
    });
    assert!(count < 100 || moved.get() > 0 && preempted.get() > 30 && lent.get() > 5);
    assert!(count < 100 || swapped.get() > 5 && hits.get() > 30);
}
