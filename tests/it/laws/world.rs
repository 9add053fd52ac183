//! What holds in the world between any two ticks.

use mist::clients::Usage;
use mist::clients::llm::LlmClient;
use mist::engine::Sim;
use mist::metrics::Recorder;
use mist::request::{Request, Stage};
use mist::workload::Sources;

/// Nothing is lost, nothing is held twice, nobody idles with work.
pub fn check(sim: &mut Sim) {
    let now = sim.now();
    let over = sim.next_time().is_none();
    let world = sim.world_mut();
    let (arrived, departed) = world.resource::<Recorder>().progress();
    let in_flight = world.resource::<Sources>().in_flight();
    assert_eq!(arrived - departed, in_flight, "recorder and workload disagree at {now}");
    let requests = world.query::<&Request>().iter(world).count() as u64;
    let stages = world.query::<&Stage>().iter(world).count() as u64;
    assert_eq!((requests, stages), (in_flight, in_flight), "requests lost at {now}");

    let mut held = 0;
    for (client, usage) in world.query::<(&LlmClient, &Usage)>().iter(world) {
        let (scheduler, index) = (client.scheduler(), client.index());
        assert!(client.is_busy() || scheduler.is_empty(), "client {index} idles with work at {now}");
        let kv = scheduler.kv();
        assert_eq!(kv.used() + kv.free(), kv.total());
        assert_eq!(kv.used(), scheduler.held(), "blocks of client {index} that nobody holds at {now}");
        assert!(client.is_busy() || kv.used() == 0, "client {index} idles with blocks at {now}");
        if let Some(host) = scheduler.host_kv() {
            assert_eq!(host.used() + host.free(), host.total());
            assert_eq!(host.used(), scheduler.held_by_host(), "host blocks of client {index} at {now}");
            assert!(
                client.is_busy() || host.used() == 0,
                "client {index} idles with blocks on the host at {now}"
            );
        }
        held += (scheduler.waiting() + scheduler.swapped()) as u64 + u64::from(scheduler.running());
        assert!(usage.last_step_end <= now);
        assert!(usage.busy_total().as_ns() <= now.as_ns(), "client {index} is busier than time passes");
        assert!(usage.kv_blocks_peak <= usage.kv_blocks && usage.kv_blocks == kv.total());
        let most = u128::from(usage.busy_total().as_ns()) * u128::from(usage.kv_blocks_peak);
        assert!(usage.kv_block_ns <= most);
    }
    // The rest is on its way to a client.
    assert!(held <= in_flight, "{held} on clients, {in_flight} in flight at {now}");
    if over {
        assert_eq!((in_flight, held), (0, 0), "work is left when nothing is pending");
    }
}
