//! Putting a simulation together: plugins add systems, ports, wake-ups and resources.

use std::any::TypeId;
use std::sync::{Arc, OnceLock};

use bevy_ecs::error::FallbackErrorHandler;
use bevy_ecs::resource::Resource;
use bevy_ecs::schedule::{
    InternedSystemSet, IntoScheduleConfigs, LogLevel, Schedule, ScheduleBuildSettings, ScheduleLabel,
    SingleThreadedExecutor,
};
use bevy_ecs::system::{ScheduleSystem, System};
use bevy_ecs::world::World;

use super::calendar::{Calendar, Inbox, Wake};
use super::error::EngineError;
use super::gated::{Gated, MAX_ROUNDS, is_sync_point, keep_failure};
use super::phase::Phase;
use super::port::Ports;
use super::random::Streams;
use super::sim::Sim;
use crate::units::SimTime;

/// Adds one feature: components, resources, ports, and systems in phases.
///
/// Functions of the same shape are plugins too.
pub trait Plugin {
    /// Adds the feature to `sim`.
    fn build(&self, sim: &mut SimBuilder);
}

impl<F: Fn(&mut SimBuilder)> Plugin for F {
    fn build(&self, sim: &mut SimBuilder) {
        self(sim);
    }
}

/// What runs the systems of a tick. The results are the same to the bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Executor {
    /// Runs only systems whose ports have something in them.
    #[default]
    Gated,
    /// Bevy's single-threaded executor, which runs every system every time: the slower oracle.
    Stock,
}

#[derive(ScheduleLabel, Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct TickSchedule;

/// A simulation under construction.
pub struct SimBuilder {
    world: World,
    schedule: Schedule,
    ports: Ports,
    executor: Executor,
    added: Vec<TypeId>,
}

impl SimBuilder {
    /// An empty simulation whose random streams spring from `seed`.
    pub fn new(seed: u64) -> Self {
        let mut world = World::new();
        world.init_resource::<Calendar>();
        world.insert_resource(Streams::new(seed));
        world.insert_resource(FallbackErrorHandler(keep_failure));
        let mut schedule = Schedule::new(TickSchedule);
        schedule.set_build_settings(ScheduleBuildSettings {
            ambiguity_detection: LogLevel::Error,
            ..ScheduleBuildSettings::default()
        });
        schedule.configure_sets(Phase::IN_ORDER.chain());
        Self { world, schedule, ports: Ports::default(), executor: Executor::default(), added: Vec::new() }
    }

    /// Adds a plugin.
    pub fn add(&mut self, plugin: impl Plugin) -> &mut Self {
        plugin.build(self);
        self
    }

    /// Adds a plugin unless one of its type was added this way before.
    pub fn add_once<P: Plugin + 'static>(&mut self, plugin: P) -> &mut Self {
        let id = TypeId::of::<P>();
        if self.added.contains(&id) {
            return self;
        }
        self.added.push(id);
        self.add(plugin)
    }

    /// Adds systems to a phase. Those that touch the same data need an order: `before`, `after`, `chain`.
    pub fn systems<M>(
        &mut self,
        phase: Phase,
        systems: impl IntoScheduleConfigs<ScheduleSystem, M>,
    ) -> &mut Self {
        self.schedule.add_systems(systems.in_set(phase));
        self
    }

    /// Seeds the random streams.
    pub fn seed(&mut self, seed: u64) -> &mut Self {
        self.world.insert_resource(Streams::new(seed));
        self
    }

    /// Orders system sets.
    pub fn sets<M>(&mut self, sets: impl IntoScheduleConfigs<InternedSystemSet, M>) -> &mut Self {
        self.schedule.configure_sets(sets);
        self
    }

    /// Opens the port that carries `T`; doing it again changes nothing.
    pub fn port<T: Send + Sync + 'static>(&mut self) -> &mut Self {
        self.ports.open::<T>(&mut self.world);
        self
    }

    /// Registers a wake-up kind: its wake-ups are delivered into the port of the same type.
    pub fn wake<W: Wake>(&mut self) -> Inbox {
        let inbox = self.world.resource_mut::<Calendar>().register::<W>();
        self.ports.connect::<W>(&mut self.world, inbox.kind);
        inbox
    }

    /// Schedules a wake-up; its kind is registered if it is not yet.
    pub fn at<W: Wake>(&mut self, time: SimTime, wake: W) -> &mut Self {
        self.wake::<W>();
        self.world.resource_mut::<Calendar>().at(time, wake);
        self
    }

    /// Inserts a resource.
    pub fn insert_resource(&mut self, resource: impl Resource) -> &mut Self {
        self.world.insert_resource(resource);
        self
    }

    /// The world under construction.
    pub fn world(&mut self) -> &mut World {
        &mut self.world
    }

    /// Chooses what runs the systems.
    pub fn executor(&mut self, executor: Executor) -> &mut Self {
        self.executor = executor;
        self
    }

    /// Shuffles the systems within their declared order, to test that nothing depends on more than that.
    pub fn shuffle(&mut self, seed: u64) -> &mut Self {
        let mut settings = self.schedule.get_build_settings();
        settings.shuffle_seed = Some(seed);
        self.schedule.set_build_settings(settings);
        self
    }

    /// Checks the schedule and the ports and makes the simulation ready to run.
    ///
    /// # Errors
    /// Any [`EngineError`] that can be known before the first tick.
    pub fn build(mut self) -> Result<Sim, EngineError> {
        self.refuse_run_conditions()?;
        let turns = Arc::new(OnceLock::new());
        let runs_per_tick = match self.executor {
            Executor::Gated => {
                self.schedule.set_executor(Gated::new(&self.ports, turns.clone()));
                1
            }
            Executor::Stock => {
                self.schedule.set_executor(SingleThreadedExecutor::new());
                MAX_ROUNDS
            }
        };
        if let Err(error) = self.schedule.initialize(&mut self.world) {
            return Err(EngineError::Schedule(error.to_string(self.schedule.graph(), &self.world)));
        }
        let systems =
            || self.schedule.systems_with_access().expect("initialised above").map(|(_, system)| system);
        self.ports.check(systems().map(|system| (system.name().to_string(), system.access())))?;
        let own = || systems().enumerate().filter(|(_, system)| !is_sync_point(*system));
        let numbered = self.ports.number(own().map(|(index, system)| (index, system.access())))?;
        let names: Vec<String> = systems().map(|system| system.name().to_string()).collect();
        let consumers = numbered.consumers().map(|turn| (turn.gate, names[turn.system].clone())).collect();
        turns.get_or_init(|| numbered);
        Ok(Sim::new(self.world, self.schedule, self.ports, runs_per_tick, consumers))
    }

    fn refuse_run_conditions(&self) -> Result<(), EngineError> {
        let graph = self.schedule.graph();
        for (_, system, conditions) in graph.systems.iter() {
            if !conditions.is_empty() {
                return Err(EngineError::RunCondition(system.name().to_string()));
            }
        }
        for (_, set, conditions) in graph.system_sets.iter() {
            if !conditions.is_empty() {
                return Err(EngineError::RunCondition(format!("{set:?}")));
            }
        }
        Ok(())
    }
}
