//! splitwise-sim's semantics, quirks included, on MIST's extension points.
//!
//! ```text
//!  RoutingPolicy `Reference`  ──┐                 ┌── BatchingPolicy `ReferenceInstance(instance: n)`
//!    decides at arrival         ├──▶ Cluster ◀────┤     selects batches, gates re-selection
//!    who prefills, who decodes  ┘   (one book     └     one of these a client
//!                                    for all)
//! ```
//! The reference's scheduler looks into the queues of its instances, and its instances know how long answers
//! will be; so the policies share one [`Cluster`] book, which knows the whole trace. Time, steps, tokens, KV
//! blocks, transfers are MIST's.
//!
//! The semantics are those of <https://github.com/Mutinifni/splitwise-sim>. Left out: its `random`
//! scheduler, which is not seeded; the order of events at equal times, which in the reference is that of a
//! binary heap (it shows only where transfers that found no room retry in lockstep).

mod cluster;
mod instance;
mod queues;
mod router;
mod runtime;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mist::clients::llm::{BatchingPolicy, BatchingRegistry, MakeBatching};
use mist::coordinator::routing::{MakeRouting, RoutingPolicy, RoutingRegistry};
use mist::engine::{Plugin, SimBuilder};
use mist::runtime::RuntimeExt;

pub use cluster::{Cluster, Job, Limits, Memory};
pub use router::{Router, Rule};
pub use runtime::Knots;

use instance::{Instance, ReferenceInstance};
use router::Reference;

/// The book that all policies of a run share.
#[derive(Clone)]
pub struct Book(Arc<Mutex<Cluster>>);

impl Book {
    fn open(&self) -> MutexGuard<'_, Cluster> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds the runtime model `Knots`, and the reference's policies over the book of one run.
pub struct SplitwiseSim {
    book: Book,
}

impl SplitwiseSim {
    /// Policies for one run of `cluster`.
    pub fn new(cluster: Cluster) -> Self {
        Self { book: Book(Arc::new(Mutex::new(cluster))) }
    }
}

impl Plugin for SplitwiseSim {
    fn build(&self, sim: &mut SimBuilder) {
        sim.runtime_model::<Knots>("Knots");
        let book = self.book.clone();
        let mut routing = sim.world().resource_mut::<RoutingRegistry>();
        routing.register("Reference", move |_: Reference| {
            let book = book.clone();
            let make = move || Box::new(router::Policy::new(book.clone())) as Box<dyn RoutingPolicy>;
            Ok(Box::new(make) as MakeRouting)
        });
        let book = self.book.clone();
        let mut batching = sim.world().resource_mut::<BatchingRegistry>();
        batching.register("ReferenceInstance", move |of: ReferenceInstance| {
            let book = book.clone();
            let make = move || Box::new(Instance::new(of.instance, book.clone())) as Box<dyn BatchingPolicy>;
            Ok(Box::new(make) as MakeBatching)
        });
    }
}

/// The runtime model alone, for runs of MIST's own policies.
pub fn knots(sim: &mut SimBuilder) {
    sim.runtime_model::<Knots>("Knots");
}
