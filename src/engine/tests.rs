//! The guards of the engine, and the order it promises.

use bevy_ecs::prelude::*;

use super::*;
use crate::units::{SimSpan, SimTime};

#[derive(Clone, Copy)]
struct Ping(u32);

impl Wake for Ping {
    fn pack(self) -> [u64; 2] {
        [u64::from(self.0), 0]
    }
    fn unpack(words: [u64; 2]) -> Self {
        Self(words[0] as u32)
    }
}

#[derive(Clone, Copy)]
struct Early(u32);

impl Wake for Early {
    const PRIORITY: u8 = 1;
    fn pack(self) -> [u64; 2] {
        [u64::from(self.0), 0]
    }
    fn unpack(words: [u64; 2]) -> Self {
        Self(words[0] as u32)
    }
}

struct Pong(u32);

#[derive(Resource, Default)]
struct Log(Vec<(u64, u32)>);

fn forward(mut pings: Rx<Ping>, mut pongs: Tx<Pong>) {
    for Ping(id) in pings.drain() {
        pongs.send(Pong(id));
    }
}

fn note(mut pongs: Rx<Pong>, mut log: ResMut<Log>, calendar: Res<Calendar>) {
    log.0.extend(pongs.drain().map(|pong| (calendar.now().as_ns(), pong.0)));
}

fn relay(sim: &mut SimBuilder) {
    sim.wake::<Ping>();
    sim.port::<Pong>().insert_resource(Log::default());
    sim.systems(Phase::Land, forward).systems(Phase::Observe, note);
}

fn relay_sim(executor: Executor) -> SimBuilder {
    let mut sim = SimBuilder::new(0);
    sim.add(relay).executor(executor);
    sim
}

fn at(ns: u64) -> SimTime {
    SimTime::from_ns(ns)
}

#[test]
fn wake_ups_come_in_time_order_and_first_in_first_out_on_ties() {
    for executor in [Executor::Gated, Executor::Stock] {
        let mut sim = relay_sim(executor);
        sim.at(at(20), Ping(3)).at(at(10), Ping(1)).at(at(10), Ping(2)).at(at(0), Ping(0));
        let mut sim = sim.build().unwrap();
        sim.run().unwrap();
        assert_eq!(sim.world().resource::<Log>().0, [(0, 0), (10, 1), (10, 2), (20, 3)]);
        assert_eq!((sim.ticks(), sim.events()), (3, 4));
    }
}

#[test]
fn lower_priority_numbers_are_delivered_first() {
    fn both(mut early: Rx<Early>, mut pings: Rx<Ping>, mut log: ResMut<Log>) {
        log.0.extend(early.drain().map(|wake| (0, wake.0)));
        log.0.extend(pings.drain().map(|wake| (1, wake.0)));
    }
    let mut sim = SimBuilder::new(0);
    sim.insert_resource(Log::default());
    sim.at(at(5), Ping(1)).at(at(5), Early(2)).systems(Phase::Land, both);
    let mut sim = sim.build().unwrap();
    let mut due = Vec::new();
    sim.world_mut().resource_mut::<Calendar>().advance(SimTime::MAX, &mut due);
    assert_eq!(due.iter().map(|entry| entry.words[0]).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn the_clock_rests_at_the_horizon() {
    let mut sim = relay_sim(Executor::Gated);
    sim.at(at(10), Ping(1)).at(at(100), Ping(2));
    let mut sim = sim.build().unwrap();
    sim.run_until(at(50)).unwrap();
    assert_eq!((sim.now(), sim.next_time()), (at(50), Some(at(100))));
    assert_eq!(sim.world().resource::<Log>().0, [(10, 1)]);
}

#[test]
fn a_conflicting_system_without_an_order_is_refused() {
    fn meddle(mut pings: Rx<Early>, mut pongs: Tx<Pong>) {
        pings.drain().for_each(|wake| pongs.send(Pong(wake.0)));
    }
    let mut sim = relay_sim(Executor::Gated);
    sim.wake::<Early>();
    sim.systems(Phase::Land, meddle);
    let error = sim.build().err().expect("ambiguous").to_string();
    assert!(error.contains("meddle") && error.contains("forward"), "{error}");
}

#[test]
fn a_run_condition_is_refused() {
    let mut sim = relay_sim(Executor::Gated);
    sim.systems(Phase::Observe, (|| {}).run_if(|| false));
    assert!(matches!(sim.build(), Err(EngineError::RunCondition(_))));
}

#[test]
fn a_second_consumer_is_refused_under_both_executors() {
    fn thief(mut pongs: Rx<Pong>) {
        pongs.drain();
    }
    for executor in [Executor::Gated, Executor::Stock] {
        let mut sim = relay_sim(executor);
        sim.systems(Phase::Price, thief);
        let error = sim.build().err().expect("two consumers").to_string();
        assert!(error.contains("thief") && error.contains("note") && error.contains("Pong"), "{error}");
    }
}

#[test]
fn a_port_without_a_consumer_is_refused() {
    let mut sim = SimBuilder::new(0);
    sim.wake::<Ping>();
    sim.port::<Pong>().systems(Phase::Land, forward);
    let error = sim.build().err().expect("nobody drains Pong").to_string();
    assert!(error.contains("no consumer") && error.contains("forward"), "{error}");

    let mut sim = SimBuilder::new(0);
    sim.at(at(0), Ping(0));
    assert!(matches!(sim.build(), Err(EngineError::NoConsumer { .. })));
}

#[test]
fn work_that_never_settles_is_an_error_that_names_the_systems() {
    fn echo(mut pongs: Rx<Pong>, mut pangs: Tx<Pang>) {
        pongs.drain().for_each(|_| pangs.send(Pang));
    }
    fn back(mut pangs: Rx<Pang>, mut pongs: Tx<Pong>) {
        pangs.drain().for_each(|_| pongs.send(Pong(0)));
    }
    struct Pang;
    for executor in [Executor::Gated, Executor::Stock] {
        let mut sim = SimBuilder::new(0);
        sim.port::<Pong>().port::<Pang>().at(at(0), Ping(0)).executor(executor);
        sim.systems(Phase::Arrive, forward).systems(Phase::Land, echo).systems(Phase::Route, back);
        let error = sim.build().unwrap().run().unwrap_err().to_string();
        assert!(error.contains("does not settle") && error.contains("echo"), "{error}");
    }
}

#[test]
fn an_undrained_port_is_noticed() {
    fn lazy(_: Rx<Ping>) {}
    let mut sim = SimBuilder::new(0);
    sim.at(at(0), Ping(0)).systems(Phase::Land, lazy);
    let error = sim.build().unwrap().run().unwrap_err().to_string();
    assert!(error.contains("lazy"), "{error}");
}

#[test]
fn a_wake_up_that_reschedules_itself_without_delay_is_noticed() {
    fn again(mut pings: Rx<Ping>, mut calendar: ResMut<Calendar>) {
        pings.drain().for_each(|ping| calendar.after(SimSpan::ZERO, ping));
    }
    let mut sim = SimBuilder::new(0);
    sim.at(at(0), Ping(0)).systems(Phase::Land, again);
    assert!(matches!(sim.build().unwrap().run(), Err(EngineError::Stuck { .. })));
}

#[test]
fn a_failing_system_stops_the_run_with_its_name_and_time() {
    fn fail(mut pings: Rx<Ping>) -> Result {
        pings.drain();
        Err("out of cheese".into())
    }
    for executor in [Executor::Gated, Executor::Stock] {
        let mut sim = SimBuilder::new(0);
        sim.at(at(7), Ping(0)).systems(Phase::Land, fail).executor(executor);
        let error = sim.build().unwrap().run().unwrap_err().to_string();
        assert!(
            error.contains("fail") && error.contains("7 ns") && error.contains("out of cheese"),
            "{error}"
        );
    }
}

#[test]
fn despawned_entities_leave_nothing_behind() {
    #[derive(Component)]
    struct Mayfly;
    fn live_and_die(mut pings: Rx<Ping>, mut calendar: ResMut<Calendar>, mut commands: Commands) {
        for Ping(left) in pings.drain() {
            let mayfly = commands.spawn(Mayfly).id();
            commands.entity(mayfly).despawn();
            if left > 0 {
                calendar.after(SimSpan::from_ns(1), Ping(left - 1));
            }
        }
    }
    let mut sim = SimBuilder::new(0);
    sim.at(at(0), Ping(10_000)).systems(Phase::Land, live_and_die);
    let mut sim = sim.build().unwrap();
    sim.run().unwrap();
    assert!(sim.world().removed::<Mayfly>().count() < 3_000, "memory grows with every despawn");
}
