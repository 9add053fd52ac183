//! The systems of clients of tasks, the same for every kind.

use std::marker::PhantomData;

use bevy_ecs::entity::Entity;
use bevy_ecs::prelude::{BevyError, Local, Query, Res, ResMut};
use bevy_ecs::system::SystemParam;
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
    mut clients: Query<&mut TaskServer<M>>,
    mut bench: Bench,
) -> Result<(), BevyError> {
    let mut free: SmallVec<[Entity; 8]> = ready.drain().map(|ready| ready.client).collect();
    for Delivered { stage, client, .. } in delivered.drain() {
        clients.get_mut(client)?.enqueue(stage);
        free.push(client);
    }
    for client in free {
        let mut server = clients.get_mut(client)?;
        match server.model.discipline() {
            Discipline::Batched { .. } => bench.begin_batch(client, &mut server)?,
            Discipline::Sequential { .. } => {
                while let Some(task) = server.next_task() {
                    bench.begin_task(client, task, &mut server)?;
                }
            }
        }
    }
    Ok(())
}

/// What it takes to begin tasks.
#[derive(SystemParam)]
pub(super) struct Bench<'w, 's> {
    stages: Query<'w, 's, (&'static mut Stage, &'static mut Passage)>,
    programs: Res<'w, Programs>,
    calendar: ResMut<'w, Calendar>,
    parts: Local<'s, Vec<Part>>,
}

impl Bench<'_, '_> {
    /// Begins one task, on a core of its own.
    fn begin_task<M: TaskModel>(
        &mut self,
        client: Entity,
        task: Entity,
        server: &mut TaskServer<M>,
    ) -> Result<(), BevyError> {
        let now = self.calendar.now();
        let (mut stage, mut passage) = self.stages.get_mut(task)?;
        let params = params::<M>(&self.programs, &passage)?;
        let kv_bytes_per_token = kv_bytes_per_token(&self.programs, passage.work.model);
        let mut tasks =
            [Task { stage: params, payload: &mut passage.payload, kv_bytes_per_token, leaves: None }];
        self.parts.clear();
        server.model.serve(&mut tasks, &mut server.draws, &mut self.parts);
        stage.started = now;
        let Running { stage, end, .. } = server.begin_task(now, task, &self.parts);
        self.calendar.at(end, Ended::<M> { stage, client, model: PhantomData });
        Ok(())
    }

    /// Begins all that waits together, if the client is idle.
    fn begin_batch<M: TaskModel>(
        &mut self,
        client: Entity,
        server: &mut TaskServer<M>,
    ) -> Result<(), BevyError> {
        let now = self.calendar.now();
        let batch: SmallVec<[Entity; 8]> = server.next_batch().collect();
        if batch.is_empty() {
            return Ok(());
        }
        let mut payloads: SmallVec<[Payload; 8]> = SmallVec::new();
        let mut stages: SmallVec<[(&M::Stage, f64); 8]> = SmallVec::new();
        for entity in &batch {
            let (mut stage, passage) = self.stages.get_mut(*entity)?;
            stage.started = now;
            payloads.push(passage.payload);
            stages.push((
                params::<M>(&self.programs, &passage)?,
                kv_bytes_per_token(&self.programs, passage.work.model),
            ));
        }
        let mut tasks: SmallVec<[Task<'_, M::Stage>; 8]> = SmallVec::new();
        for ((stage, kv_bytes_per_token), payload) in stages.into_iter().zip(&mut payloads) {
            tasks.push(Task { stage, payload, kv_bytes_per_token, leaves: None });
        }
        self.parts.clear();
        server.model.serve(&mut tasks, &mut server.draws, &mut self.parts);
        let leaves: SmallVec<[Option<f64>; 8]> = tasks.iter().map(|task| task.leaves).collect();
        drop(tasks);
        for (entity, payload) in batch.iter().zip(payloads) {
            self.stages.get_mut(*entity)?.1.payload = payload;
        }
        for Running { stage, end, .. } in
            server.begin_batch(now, batch.iter().copied().zip(leaves), &self.parts)
        {
            self.calendar.at(*end, Ended::<M> { stage: *stage, client, model: PhantomData });
        }
        Ok(())
    }
}

/// The parameters of the stage that a client of tasks was sent.
fn params<'a, M: TaskModel>(programs: &'a Programs, passage: &Passage) -> Result<&'a M::Stage, BevyError> {
    let found = programs.program(passage.program).stage(passage.place);
    Ok(found.ok_or("a client of tasks was sent a stage that it cannot run")?)
}

/// Of the model that prefills next; zero if none is served.
fn kv_bytes_per_token(programs: &Programs, model: u16) -> f64 {
    programs.models().get(usize::from(model)).map_or(0.0, |model| model.kv_bytes_per_token)
}
