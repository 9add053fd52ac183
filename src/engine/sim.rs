//! A running simulation: the tick.

use std::sync::atomic::Ordering::Relaxed;

use bevy_ecs::schedule::Schedule;
use bevy_ecs::world::World;

use super::calendar::{Calendar, Entry};
use super::error::EngineError;
use super::gated::{MAX_ROUNDS, take_failure};
use super::port::Ports;
use crate::units::SimTime;

/// Ticks at one instant before the clock counts as stuck: many, for a user of a closed loop whose requests
/// are all turned away at once goes through all of them at one instant, at four ticks each.
const MAX_TICKS_PER_INSTANT: u32 = 10_000_000;

/// Ticks between two sweeps of bevy's notes on what was removed.
const TICKS_A_SWEEP: u64 = 1024;

/// A world, its calendar and the schedule that moves it.
pub struct Sim {
    world: World,
    schedule: Schedule,
    ports: Ports,
    /// How often the schedule runs in a tick at most: an executor may do several rounds in one run.
    runs_per_tick: u32,
    /// The bits of the ports that a system consumes and its name, to say who has work left.
    consumers: Vec<(u64, String)>,
    due: Vec<Entry>,
    ticks: u64,
    events: u64,
}

impl Sim {
    pub(super) fn new(
        world: World,
        schedule: Schedule,
        ports: Ports,
        runs_per_tick: u32,
        consumers: Vec<(u64, String)>,
    ) -> Self {
        Self { world, schedule, ports, runs_per_tick, consumers, due: Vec::new(), ticks: 0, events: 0 }
    }

    /// One tick: moves the clock to the next wake-up, delivers everything due then, and runs the
    /// schedule until every port is empty. `false` when nothing is pending.
    ///
    /// # Errors
    /// A system failed, or work does not settle.
    pub fn step(&mut self) -> Result<bool, EngineError> {
        self.step_until(SimTime::MAX)
    }

    /// As [`step`](Self::step), unless the next wake-up is after `until`.
    fn step_until(&mut self, until: SimTime) -> Result<bool, EngineError> {
        let mut calendar = self.world.resource_mut::<Calendar>();
        let Some(now) = calendar.advance(until, &mut self.due) else { return Ok(false) };
        let visits = calendar.visits();
        self.ticks += 1;
        self.events += self.due.len() as u64;
        if visits > MAX_TICKS_PER_INSTANT {
            return Err(EngineError::Stuck { time: now, ticks: visits });
        }
        for entry in self.due.drain(..) {
            self.ports.deliver(&mut self.world, &entry);
        }
        self.settle(now)?;
        if self.ticks.is_multiple_of(TICKS_A_SWEEP) {
            // Bevy notes every despawned component until it is told that nobody wants to know.
            self.world.clear_trackers();
        }
        Ok(true)
    }

    fn settle(&mut self, now: SimTime) -> Result<(), EngineError> {
        for _ in 0..self.runs_per_tick {
            self.schedule.run(&mut self.world);
            if let Some((system, error)) = take_failure() {
                return Err(EngineError::System { system, time: now, error });
            }
            if self.ports.dirty.load(Relaxed) == 0 {
                return Ok(());
            }
        }
        let dirty = self.ports.dirty.load(Relaxed);
        let busy = |(gate, name): &(u64, String)| (gate & dirty != 0).then(|| name.clone());
        let systems = self.consumers.iter().filter_map(busy).collect();
        Err(EngineError::Unsettled { time: now, rounds: MAX_ROUNDS, systems })
    }

    /// Ticks until nothing is pending up to and including `until`, which the clock then shows if
    /// wake-ups remain beyond it.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn run_until(&mut self, until: SimTime) -> Result<(), EngineError> {
        while self.run_some(until, u32::MAX)? {}
        Ok(())
    }

    /// As [`run_until`](Self::run_until), but `ticks` ticks at most; tells whether there is more.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn run_some(&mut self, until: SimTime, ticks: u32) -> Result<bool, EngineError> {
        for _ in 0..ticks {
            if self.step_until(until)? {
                continue;
            }
            if self.next_time().is_some() {
                self.world.resource_mut::<Calendar>().rest_at(until);
            }
            return Ok(false);
        }
        Ok(true)
    }

    /// Ticks until nothing is pending.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn run(&mut self) -> Result<(), EngineError> {
        self.run_until(SimTime::MAX)
    }

    /// The instant of the earliest pending wake-up.
    pub fn next_time(&self) -> Option<SimTime> {
        self.world.resource::<Calendar>().next_time()
    }

    /// The current instant.
    pub fn now(&self) -> SimTime {
        self.world.resource::<Calendar>().now()
    }

    /// Ticks so far.
    pub const fn ticks(&self) -> u64 {
        self.ticks
    }

    /// Wake-ups delivered so far.
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// The simulated world.
    pub const fn world(&self) -> &World {
        &self.world
    }

    /// The simulated world, to change it between ticks.
    pub fn world_mut(&mut self) -> &mut World {
        &mut self.world
    }
}
