//! Ports: how systems hand each other work, and how the executor learns that there is some.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bevy_ecs::change_detection::Tick;
use bevy_ecs::component::ComponentId;
use bevy_ecs::query::FilteredAccess;
use bevy_ecs::resource::Resource;
use bevy_ecs::system::{SystemAccess, SystemMeta, SystemParam, SystemParamValidationError};
use bevy_ecs::world::World;
use bevy_ecs::world::unsafe_world_cell::UnsafeWorldCell;

use super::calendar::{Entry, Wake};
use super::error::EngineError;

/// One bit for each port that is consumed, in the order of the consumers: set while the port has something
/// in it.
pub(super) type Dirty = Arc<AtomicU64>;

/// How many ports, and systems that consume none, the bits of [`Dirty`] can tell apart.
const MAX_PORTS: usize = u64::BITS as usize;

/// What is behind both ends of a port.
pub struct Cabinet<T> {
    queue: UnsafeCell<Vec<T>>,
    /// Its bit, once the schedule is known.
    bit: AtomicU64,
    dirty: Dirty,
}

// SAFETY: the queue is reached only by systems with write access to `Port<T>` registered, of which
// bevy runs one at a time, and by `Ports::deliver`, which holds the world exclusively.
unsafe impl<T: Send> Sync for Cabinet<T> {}

impl<T> Cabinet<T> {
    /// # Safety
    /// The caller holds the exclusive right to the queue for as long as the answer lives.
    #[allow(clippy::mut_from_ref)]
    unsafe fn queue(&self) -> &mut Vec<T> {
        // SAFETY: promised by the caller.
        unsafe { &mut *self.queue.get() }
    }

    #[inline]
    fn bit(&self) -> u64 {
        self.bit.load(Relaxed)
    }

    fn mark(&self) {
        self.dirty.store(self.dirty.load(Relaxed) | self.bit(), Relaxed);
    }
}

/// Stands for the port in bevy's access analysis: `Tx` and `Rx` both count as writing it.
#[derive(Resource)]
struct Port<T: Send + Sync + 'static>(Arc<Cabinet<T>>);

/// Marks the one consumer of a port in bevy's access analysis.
#[derive(Resource)]
struct Consumes<T: Send + Sync + 'static>(PhantomData<T>);

/// The sending end of a port. It borrows the world, so that nobody else can have one meanwhile:
///
/// ```compile_fail,E0499
/// # use bevy_ecs::system::SystemState;
/// # use bevy_ecs::world::World;
/// # use mist::engine::Tx;
/// fn two(world: &mut World, first: &mut SystemState<Tx<u64>>, second: &mut SystemState<Tx<u64>>) {
///     let mut one = first.get_mut(world).unwrap();
///     let mut other = second.get_mut(world).unwrap();
///     one.send(1);
///     other.send(2);
/// }
/// ```
pub struct Tx<'w, T> {
    queue: &'w mut Vec<T>,
    bit: u64,
    dirty: &'w AtomicU64,
}

impl<T> Tx<'_, T> {
    /// Puts `item` into the port.
    #[inline]
    pub fn send(&mut self, item: T) {
        self.dirty.store(self.dirty.load(Relaxed) | self.bit, Relaxed);
        self.queue.push(item);
    }
}

/// The receiving end of a port, of which there is one. A system with an `Rx` runs only when there
/// is something to drain, and must drain it.
pub struct Rx<'w, T> {
    queue: &'w mut Vec<T>,
    bit: u64,
    dirty: &'w AtomicU64,
}

impl<T> Rx<'_, T> {
    /// What is in the port, to be put into another order before it is drained.
    #[inline]
    pub fn items(&mut self) -> &mut [T] {
        self.queue
    }

    /// Takes everything out, first in, first out.
    #[inline]
    pub fn drain(&mut self) -> std::vec::Drain<'_, T> {
        self.dirty.store(self.dirty.load(Relaxed) & !self.bit, Relaxed);
        self.queue.drain(..)
    }
}

macro_rules! port_end {
    ($end:ident, consumes: $consumes:literal, |$cabinet:ident, $queue:ident| $make:expr) => {
        // SAFETY: write access to `Port<T>` is registered, so bevy never runs two systems that can
        // reach the queue at once, and refuses two ends of one port in a system.
        unsafe impl<T: Send + Sync + 'static> SystemParam for $end<'_, T> {
            type State = (ComponentId, ComponentId, Arc<Cabinet<T>>);
            type Item<'w, 's> = $end<'w, T>;

            fn init_state(world: &mut World) -> Self::State {
                let name = std::any::type_name::<T>();
                let Some(port) = world.get_resource::<Port<T>>() else {
                    panic!("port {name} is not registered: call `sim.port::<{name}>()` in the plugin")
                };
                let cabinet = port.0.clone();
                let id = world.component_id::<Port<T>>().expect("the resource exists");
                let consumes = world.component_id::<Consumes<T>>().expect("registered with the port");
                (id, consumes, cabinet)
            }

            fn init_access(
                state: &Self::State,
                meta: &mut SystemMeta,
                access: &mut SystemAccess,
                _: &mut World,
            ) {
                let mut ends = FilteredAccess::default();
                ends.add_write(state.0);
                if $consumes {
                    ends.add_read(state.1);
                }
                if access.try_add(ends).is_err() {
                    panic!("system {} uses port {} twice", meta.name(), std::any::type_name::<T>());
                }
            }

            #[inline]
            unsafe fn get_param<'w, 's>(
                state: &'s mut Self::State,
                _: &SystemMeta,
                _: UnsafeWorldCell<'w>,
                _: Tick,
            ) -> Result<Self::Item<'w, 's>, SystemParamValidationError> {
                // SAFETY: `Port<T>`, which nobody can name and so nobody removes, keeps the cabinet as long as
                // the world. Borrowed for `'w`, for a parameter must not outlive its claim on the world.
                let $cabinet = unsafe { &*Arc::as_ptr(&state.2) };
                // SAFETY: see the impl.
                let $queue = unsafe { $cabinet.queue() };
                Ok($make)
            }
        }
    };
}

port_end!(Tx, consumes: false, |cabinet, queue| Tx { queue, bit: cabinet.bit(), dirty: &cabinet.dirty });
port_end!(Rx, consumes: true, |cabinet, queue| Rx { queue, bit: cabinet.bit(), dirty: &cabinet.dirty });

/// A port as the schedule sees it.
trait Numbered: Send + Sync {
    fn number(&self, bit: u64);
}

impl<T: Send> Numbered for Cabinet<T> {
    fn number(&self, bit: u64) {
        self.bit.store(bit, Relaxed);
    }
}

/// A port as the calendar sees it.
trait Inlet: Send + Sync {
    /// # Safety
    /// No system is running.
    unsafe fn deliver(&self, words: [u64; 2]);
}

impl<W: Wake> Inlet for Cabinet<W> {
    unsafe fn deliver(&self, words: [u64; 2]) {
        // SAFETY: promised by the caller.
        unsafe { self.queue() }.push(W::unpack(words));
        self.mark();
    }
}

struct PortInfo {
    name: &'static str,
    port: ComponentId,
    consumes: ComponentId,
    cabinet: Arc<dyn Numbered>,
    woken: bool,
}

/// The turn of a system in a round of the schedule.
pub(super) struct Turn {
    /// Its position in the schedule.
    pub(super) system: usize,
    /// The bits of the ports that it consumes; one of its own if it consumes none.
    pub(super) gate: u64,
}

impl Turn {
    /// The bits of this turn and of all before it.
    #[inline]
    pub(super) const fn passed(&self) -> u64 {
        u64::MAX >> self.gate.leading_zeros()
    }
}

/// The turns of a round: whose they are, by bit.
#[derive(Default)]
pub(super) struct Turns {
    pub(super) by_bit: Vec<Turn>,
    /// The bits of systems that consume no port: they run in every round.
    pub(super) always: u64,
}

impl Turns {
    /// The turns of the systems that consume ports.
    pub(super) fn consumers(&self) -> impl Iterator<Item = &Turn> {
        let first = |(bit, turn): &(usize, &Turn)| turn.gate.trailing_zeros() as usize == *bit;
        let turns = self.by_bit.iter().enumerate().filter(first).map(|(_, turn)| turn);
        turns.filter(|turn| turn.gate & self.always == 0)
    }
}

/// All ports of a simulation.
#[derive(Default)]
pub(super) struct Ports {
    pub(super) dirty: Dirty,
    ports: Vec<PortInfo>,
    /// By wake-up kind.
    inlets: Vec<Arc<dyn Inlet>>,
}

impl Ports {
    /// Makes the port for `T` if there is none yet.
    pub(super) fn open<T: Send + Sync + 'static>(&mut self, world: &mut World) {
        if world.contains_resource::<Port<T>>() {
            return;
        }
        let queue = UnsafeCell::new(Vec::new());
        let cabinet = Arc::new(Cabinet::<T> { queue, bit: AtomicU64::new(0), dirty: self.dirty.clone() });
        world.insert_resource(Port(cabinet.clone()));
        world.insert_resource(Consumes::<T>(PhantomData));
        self.ports.push(PortInfo {
            name: std::any::type_name::<T>(),
            port: world.component_id::<Port<T>>().expect("just inserted"),
            consumes: world.component_id::<Consumes<T>>().expect("just inserted"),
            cabinet,
            woken: false,
        });
    }

    /// Connects wake-up kind `kind` to the port for `W`, once.
    pub(super) fn connect<W: Wake>(&mut self, world: &mut World, kind: u8) {
        self.open::<W>(world);
        if usize::from(kind) == self.inlets.len() {
            self.inlets.push(world.resource::<Port<W>>().0.clone());
            let port = world.component_id::<Port<W>>();
            if let Some(info) = self.ports.iter_mut().find(|info| Some(info.port) == port) {
                info.woken = true;
            }
        }
    }

    /// Puts a due wake-up into its port. Holding the world exclusively is the proof that no system runs.
    #[inline]
    pub(super) fn deliver(&self, _: &mut World, entry: &Entry) {
        // SAFETY: `&mut World` excludes running systems.
        unsafe { self.inlets[entry.kind()].deliver(entry.words) }
    }

    /// Refuses a port with several consumers, and one that is filled but never drained.
    pub(super) fn check<'a>(
        &self,
        systems: impl Iterator<Item = (String, &'a SystemAccess)>,
    ) -> Result<(), EngineError> {
        let systems: Vec<_> = systems.collect();
        for info in &self.ports {
            let name = info.name;
            let having = |wanted: &dyn Fn(&SystemAccess) -> bool| -> Vec<String> {
                systems.iter().filter(|(_, access)| wanted(access)).map(|(name, _)| name.clone()).collect()
            };
            let consumers = having(&|access| reads(access, info.consumes));
            if consumers.len() > 1 {
                return Err(EngineError::ManyConsumers { port: name, systems: consumers });
            }
            let mut producers = having(&|access| writes(access, info.port));
            if info.woken {
                producers.push("the calendar".into());
            }
            if consumers.is_empty() && !producers.is_empty() {
                return Err(EngineError::NoConsumer { port: name, producers });
            }
        }
        Ok(())
    }

    /// Numbers the ports in the order of their consumers, which `systems` gives with their positions in the
    /// schedule, and the systems that consume none among them.
    pub(super) fn number<'a>(
        &self,
        systems: impl Iterator<Item = (usize, &'a SystemAccess)>,
    ) -> Result<Turns, EngineError> {
        let mut turns = Turns::default();
        for (system, access) in systems {
            let consumed = self.ports.iter().filter(|info| reads(access, info.consumes));
            let first = turns.by_bit.len();
            let mut end = first;
            for info in consumed {
                info.cabinet.number(1_u64.checked_shl(end as u32).unwrap_or(0));
                end += 1;
            }
            let without = end == first;
            end += usize::from(without);
            if end > MAX_PORTS {
                return Err(EngineError::TooManyPorts(MAX_PORTS));
            }
            let gate = u64::MAX >> (MAX_PORTS - (end - first)) << first;
            turns.by_bit.extend((first..end).map(|_| Turn { system, gate }));
            if without {
                turns.always |= gate;
            }
        }
        Ok(turns)
    }
}

fn reads(access: &SystemAccess, id: ComponentId) -> bool {
    !access.is_exclusive() && access.to_filtered_access_set().combined_access().has_read(id)
}

fn writes(access: &SystemAccess, id: ComponentId) -> bool {
    !access.is_exclusive() && access.to_filtered_access_set().combined_access().has_write(id)
}
