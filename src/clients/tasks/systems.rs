//! The systems of clients of tasks, the same for every kind.

use std::marker::PhantomData;

use bevy_ecs::entity::Entity;
use bevy_ecs::prelude::{BevyError, Local, Query, Res, ResMut};
use smallvec::SmallVec;

use super::server::{Running, TaskServer};
use super::{Discipline, Part, Task, TaskModel};
use crate::clients::{Delivered, Usage};
use crate::engine::{Calendar, Rx, Tx, Wake};
use crate::request::pipeline::Programs;
use crate::request::{Passage, Payload, Stage, StageDone};

/// A task ends on a client of tasks.
pub(super) struct Ended<M> {
    stage: Entity,
    client: Entity,
    model: PhantomData<fn() -> M>,
}

impl<M> Clone for Ended<M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Ended<M> {}

impl<M: 'static> Wake for Ended<M> {
    const PRIORITY: u8 = 0;

    fn pack(self) -> [u64; 2] {
        [self.stage.to_bits(), self.client.to_bits()]
    }

    fn unpack([stage, client]: [u64; 2]) -> Self {
        Self { stage: Entity::from_bits(stage), client: Entity::from_bits(client), model: PhantomData }
    }
}

/// A client of tasks may begin some.
pub(super) struct Ready<M> {
    client: Entity,
    model: PhantomData<fn() -> M>,
}

impl<M> Ready<M> {
    const fn new(client: Entity) -> Self {
        Self { client, model: PhantomData }
    }
}

/// `Land`: tasks that end now go back.
pub(super) fn land<M: TaskModel>(
    mut ended: Rx<Ended<M>>,
    mut clients: Query<(&mut TaskServer<M>, &mut Usage)>,
    calendar: Res<Calendar>,
    mut done: Tx<StageDone>,
    mut ready: Tx<Ready<M>>,
) -> Result<(), BevyError> {
    for Ended { stage, client, .. } in ended.drain() {
        let (mut server, mut usage) = clients.get_mut(client)?;
        server.end(stage, calendar.now(), &mut usage);
        done.send(StageDone(stage));
        ready.send(Ready::new(client));
    }
    Ok(())
}

/// `Price`: stages that reach a client join its queue; clients begin what they can, and the ends go into
/// the calendar.
pub(super) fn serve<M: TaskModel>(
    mut delivered: Rx<Delivered<M>>,
    mut ready: Rx<Ready<M>>,
    mut clients: Query<(&mut TaskServer<M>, &mut Usage)>,
    mut stages: Query<(&mut Stage, &mut Passage)>,
    programs: Res<Programs>,
    mut calendar: ResMut<Calendar>,
    mut parts: Local<Vec<Part>>,
) -> Result<(), BevyError> {
    let now = calendar.now();
    let mut free: SmallVec<[Entity; 8]> = ready.drain().map(|ready| ready.client).collect();
    for Delivered { stage, client, .. } in delivered.drain() {
        clients.get_mut(client)?.0.enqueue(stage);
        free.push(client);
    }
    for client in free {
        let (mut server, mut usage) = clients.get_mut(client)?;
        let server = &mut *server;
        loop {
            let batch: SmallVec<[Entity; 8]> = server.next().collect();
            if batch.is_empty() {
                break;
            }
            let mut payloads: SmallVec<[Payload; 8]> = SmallVec::new();
            let mut params: SmallVec<[&M::Stage; 8]> = SmallVec::new();
            for entity in &batch {
                let (_, passage) = stages.get(*entity)?;
                payloads.push(passage.payload);
                let found = programs.program(passage.program).stage(passage.place);
                params.push(found.ok_or("a client of tasks was sent a stage that it cannot run")?);
            }
            let mut tasks: SmallVec<[Task<'_, M::Stage>; 8]> = params
                .iter()
                .zip(&mut payloads)
                .map(|(&stage, payload)| {
                    let model = programs.models().get(usize::from(payload.model));
                    let kv_bytes_per_token = model.map_or(0.0, |model| model.kv_bytes_per_token);
                    Task { stage, payload, kv_bytes_per_token, leaves: None }
                })
                .collect();
            parts.clear();
            server.model.clone().serve(&mut tasks, &mut server.draws, &mut parts);
            if let Discipline::Sequential { cores } = server.model.discipline() {
                server.account_task(cores, &parts, &mut usage);
            }
            let leaves: SmallVec<[Option<f64>; 8]> = tasks.iter().map(|task| task.leaves).collect();
            drop(tasks);
            for (entity, payload) in batch.iter().zip(payloads) {
                let (mut stage, mut passage) = stages.get_mut(*entity)?;
                stage.started = now;
                passage.payload = payload;
            }
            for Running { stage, end } in server.begin(now, batch.iter().copied().zip(leaves), &parts) {
                calendar.at(*end, Ended::<M> { stage: *stage, client, model: PhantomData });
            }
        }
    }
    Ok(())
}
