//! A simulation with sixteen systems, two of which have something to do in every tick.

use bevy_ecs::prelude::ResMut;
use mist::engine::{Calendar, Executor, Phase, Rx, Sim, SimBuilder, Tx, Wake};
use mist::units::{SimSpan, SimTime};

/// Both executors, by name.
pub const EXECUTORS: [(&str, Executor); 2] = [("gated", Executor::Gated), ("stock", Executor::Stock)];

/// Ticks for ever: one system wakes, hands on to a second, which schedules the next tick.
pub fn sixteen_systems(executor: Executor) -> Sim {
    let mut sim = SimBuilder::new(0);
    sim.executor(executor);
    sim.at(SimTime::ZERO, Beat).port::<Job>();
    sim.systems(Phase::Arrive, take).systems(Phase::Price, hand_back);
    idle::<0>(&mut sim, Phase::Arrive);
    idle::<1>(&mut sim, Phase::Land);
    idle::<2>(&mut sim, Phase::Land);
    idle::<3>(&mut sim, Phase::Route);
    idle::<4>(&mut sim, Phase::Route);
    idle::<5>(&mut sim, Phase::Carry);
    idle::<6>(&mut sim, Phase::Carry);
    idle::<7>(&mut sim, Phase::Admit);
    idle::<8>(&mut sim, Phase::Admit);
    idle::<9>(&mut sim, Phase::Batch);
    idle::<10>(&mut sim, Phase::Batch);
    idle::<11>(&mut sim, Phase::Price);
    idle::<12>(&mut sim, Phase::Observe);
    idle::<13>(&mut sim, Phase::Observe);
    sim.build().unwrap()
}

#[derive(Clone, Copy)]
struct Beat;

impl Wake for Beat {
    fn pack(self) -> [u64; 2] {
        [0; 2]
    }

    fn unpack(_: [u64; 2]) -> Self {
        Self
    }
}

struct Job;

struct Idle<const N: usize>;

fn idle<const N: usize>(sim: &mut SimBuilder, phase: Phase) -> &mut SimBuilder {
    sim.port::<Idle<N>>().systems(phase, never::<N>)
}

fn never<const N: usize>(mut idle: Rx<Idle<N>>) {
    idle.drain();
}

fn take(mut beats: Rx<Beat>, mut jobs: Tx<Job>) {
    beats.drain().for_each(|_| jobs.send(Job));
}

fn hand_back(mut jobs: Rx<Job>, mut calendar: ResMut<Calendar>) {
    jobs.drain().for_each(|_| calendar.after(SimSpan::from_ns(1_000), Beat));
}
