//! From the settings of a client of tasks to clients in a world.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;

use super::{TaskClient, TaskModel, TaskPlugin, TaskServer};
use crate::catalog::Catalog;
use crate::clients::{Client, ClientKind, ClientRegistry, Delivered, Deployed, Fact, Offer, Site, Usage};
use crate::engine::{SimBuilder, Streams};
use crate::request::StageKind;
use crate::scenario::{Choice, Findings, Problem};
use crate::units::SimTime;
use bevy_ecs::entity::Entity;
use bevy_ecs::world::World;

/// Adds kinds of clients of tasks by name.
pub trait TaskExt {
    /// Lets scenarios name the kind of client `C`, whose fields are its settings. Stages name it as their
    /// [`client`](crate::request::StageKind::client).
    fn task_client<C: TaskClient>(&mut self, name: &'static str) -> &mut Self;
}

impl TaskExt for SimBuilder {
    fn task_client<C: TaskClient>(&mut self, name: &'static str) -> &mut Self {
        let mut registry = self.world().get_resource_or_insert_with(|| ClientRegistry::new("client kind"));
        registry
            .register(name, move |settings: C| Ok(Box::new(Kind { name, settings }) as Box<dyn ClientKind>));
        self
    }
}

/// A kind of client of tasks, by its name and its settings.
struct Kind<C> {
    name: &'static str,
    settings: C,
}

impl<C: TaskClient> ClientKind for Kind<C> {
    fn complete(&self, settings: &mut Choice, world: &World, findings: &mut Findings) {
        self.settings.complete(settings, world, findings);
    }

    fn check(&self, catalog: &Catalog) -> Vec<Problem> {
        self.settings.check(catalog)
    }

    fn deploy(&self, site: &Site<'_>) -> Result<Box<dyn Deployed>, Vec<Problem>> {
        let model = Arc::new(self.settings.deploy(site)?);
        Ok(Box::new(Placed { kind: self.name, model }))
    }
}

/// A client of tasks that fits its cluster.
struct Placed<M> {
    kind: &'static str,
    model: Arc<M>,
}

impl<M: TaskModel> Deployed for Placed<M> {
    fn offers(&self) -> Vec<Offer> {
        vec![Offer::default()]
    }

    fn facts(&self) -> Vec<Fact> {
        self.model.facts()
    }

    fn ignores(&self, stage: &dyn StageKind) -> Vec<Problem> {
        let stage = (stage as &dyn Any).downcast_ref();
        stage.map_or_else(Vec::new, |stage| self.model.ignores(stage))
    }

    fn install(&self, sim: &mut SimBuilder) {
        sim.add_once(TaskPlugin::<M> { kind: self.kind, model: PhantomData });
    }

    fn spawn(&self, sim: &mut SimBuilder, index: u32, _strides: bool) -> Entity {
        let inbox = sim.wake::<Delivered<M>>();
        let draws = sim.world().resource::<Streams>().stream("tasks", index.into());
        let server = TaskServer::new(self.model.clone(), draws);
        let client = sim.world().spawn((Client { index, inbox }, Usage::default(), server)).id();
        self.model.equip(sim.world(), client);
        client
    }

    fn settle(&self, world: &mut World, client: Entity, now: SimTime) {
        let mut clients = world.query::<(&mut TaskServer<M>, &mut Usage)>();
        if let Ok((mut server, mut usage)) = clients.get_mut(world, client) {
            server.settle(now, &mut usage);
        }
    }

    fn source_of_latency(&self) -> String {
        self.model.source()
    }
}
