//! The executor that runs a system only when a port it consumes has something in it.
//!
//! This is the one file that knows bevy's executor API. Measured against bevy's single-threaded executor it
//! makes a tick with two busy systems of sixteen about four times cheaper, and an idle system costs nothing:
//! the bits of the ports stand in the order of their consumers, so the lowest one that is set says who is next.
#![allow(unsafe_code)]

use std::any::TypeId;
use std::cell::Cell;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};

use bevy_ecs::error::{BevyError, ErrorContext};
use bevy_ecs::schedule::{ApplyDeferred, FixedBitSet, SystemExecutor, SystemSchedule};
use bevy_ecs::system::{RunSystemError, System};
use bevy_ecs::world::World;

use super::port::{Dirty, Ports, Turns};

/// Rounds of the schedule within one tick before work counts as endless.
pub(super) const MAX_ROUNDS: u32 = 64;

/// Runs each system that has work, in schedule order, and applies its commands at once; round after round,
/// until no port has anything in it.
///
/// A system without an [`Rx`](super::Rx) runs in every round. Run conditions are not evaluated; the builder
/// refuses them.
pub(super) struct Gated {
    /// Filled by the builder after the schedule is built.
    turns: Arc<OnceLock<Turns>>,
    dirty: Dirty,
}

impl Gated {
    pub(super) fn new(ports: &Ports, turns: Arc<OnceLock<Turns>>) -> Self {
        Self { turns, dirty: ports.dirty.clone() }
    }
}

impl SystemExecutor for Gated {
    fn init(&mut self, _: &SystemSchedule) {}

    fn run(
        &mut self,
        schedule: &mut SystemSchedule,
        world: &mut World,
        _: Option<&FixedBitSet>,
        on_error: fn(BevyError, ErrorContext),
    ) {
        let turns = self.turns.get().expect("the builder fills the turns before the first run");
        // SAFETY: only methods of the `System` trait are called on the systems.
        let systems = unsafe { schedule.systems_mut() };
        for _ in 0..MAX_ROUNDS {
            if self.dirty.load(Relaxed) == 0 {
                return;
            }
            let mut passed = 0;
            loop {
                let open = (self.dirty.load(Relaxed) | turns.always) & !passed;
                let Some(turn) = turns.by_bit.get(open.trailing_zeros() as usize) else { break };
                passed = turn.passed();
                let system = &mut systems[turn.system];
                if let Err(RunSystemError::Failed(error)) = system.run_without_applying_deferred((), world) {
                    let context =
                        ErrorContext::System { name: system.name(), last_run: system.get_last_run() };
                    on_error(error, context);
                    return;
                }
                if system.has_deferred() {
                    system.apply_deferred(world);
                }
            }
        }
    }

    fn set_apply_final_deferred(&mut self, _: bool) {}
}

/// Bevy's own synchronisation points, which [`Gated`] does not need.
pub(super) fn is_sync_point(system: &dyn System<In = (), Out = ()>) -> bool {
    system.system_type() == TypeId::of::<ApplyDeferred>()
}

thread_local! {
    /// The first failure of a system in the current run of the schedule. Bevy's error handlers are
    /// plain functions, so this is how a failure reaches the simulation that caused it.
    static FAILURE: Cell<Option<(String, BevyError)>> = const { Cell::new(None) };
}

/// Bevy's error handler while a schedule runs: keeps the first failure.
pub(super) fn keep_failure(error: BevyError, context: ErrorContext) {
    let first = FAILURE.take().unwrap_or_else(|| (context.name().to_string(), error));
    FAILURE.set(Some(first));
}

/// The failure since the last call, if any.
pub(super) fn take_failure() -> Option<(String, BevyError)> {
    FAILURE.take()
}
