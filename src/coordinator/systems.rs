//! The systems of the coordinator.

use bevy_ecs::entity::Entity;
use bevy_ecs::prelude::{BevyError, Commands, Local, Query, Res, ResMut};
use bevy_ecs::system::SystemParam;

use super::pool::{Member, Pools};
use super::routing::RouteRequest;
use super::{Resume, Routed, Wanted};
use crate::engine::{Calendar, Rx, Tx};
use crate::request::pipeline::{Action, Ground, Journey, Programs, TokenTimes, Visit, Visited, Work};
use crate::request::{Arrived, Departed, Passage, ReleaseKv, Request, Stage, StageDone, Vacated};
use crate::units::SimTime;

/// `Route`: stages come back; their requests go on or depart.
pub(super) fn collect(
    mut done: Rx<StageDone>,
    mut pools: ResMut<Pools>,
    programs: Res<Programs>,
    stages: Query<(&Stage, Option<&Passage>)>,
    mut requests: Query<(&Request, Option<&mut Journey>)>,
    mut calendar: ResMut<Calendar>,
    mut commands: Commands,
    mut out: Out,
    mut actions: Local<Vec<Action>>,
) -> Result<(), BevyError> {
    for StageDone(entity) in done.drain() {
        let (stage, passage) = stages.get(entity)?;
        let client = pools.remove(stage.pool, stage.member);
        let (request, journey) = requests.get_mut(stage.request)?;
        if let (Some(mut journey), Some(passage)) = (journey, passage) {
            let ground = ground(&programs, request, &calendar);
            ground.finish(&mut journey, passage.thread, &visited(stage, passage, client), &mut actions);
            out.act(stage.request, request, &journey, &mut actions, &mut calendar);
        } else {
            out.depart(request, departed(stage, client, &calendar));
        }
        commands.entity(entity).despawn();
    }
    Ok(())
}

/// `Route`: requests that waited for something outside go on.
pub(super) fn resume(
    mut due: Rx<Resume>,
    programs: Res<Programs>,
    mut requests: Query<(&Request, &mut Journey)>,
    mut calendar: ResMut<Calendar>,
    mut out: Out,
    mut actions: Local<Vec<Action>>,
) -> Result<(), BevyError> {
    for Resume { request: entity, thread } in due.drain() {
        let (request, mut journey) = requests.get_mut(entity)?;
        ground(&programs, request, &calendar).resume(&mut journey, thread, &mut actions);
        out.act(entity, request, &journey, &mut actions, &mut calendar);
    }
    Ok(())
}

/// `Route`: new requests set out; those of one visit are routed at once.
pub(super) fn set_out(
    mut arrived: Rx<Arrived>,
    mut pools: ResMut<Pools>,
    programs: Res<Programs>,
    mut requests: Query<(&Request, Option<&mut Journey>)>,
    mut calendar: ResMut<Calendar>,
    mut commands: Commands,
    mut routed: Tx<Routed>,
    mut out: Out,
    mut actions: Local<Vec<Action>>,
) -> Result<(), BevyError> {
    for Arrived(entity) in arrived.drain() {
        let (request, journey) = requests.get_mut(entity)?;
        if let Some(mut journey) = journey {
            ground(&programs, request, &calendar).start(&mut journey, &mut actions);
            out.act(entity, request, &journey, &mut actions, &mut calendar);
            continue;
        }
        let Request { model, prompt_tokens, output_tokens, .. } = *request;
        let pool = programs.models()[usize::from(model)].prefill;
        let work = Work { model, ..Work::new(prompt_tokens, output_tokens) };
        let member = pools.choose(pool, &query(request, prompt_tokens))?;
        let Member { client, index, .. } = pools.member(pool, member);
        pools.add(index);
        let stage = Stage::new(entity, client, pool, member, &work);
        routed.send(Routed { stage: commands.spawn(stage).id(), after: None });
    }
    Ok(())
}

/// `Route`: what requests need next gets a client.
pub(super) fn route(
    mut wanted: Rx<Wanted>,
    mut pools: ResMut<Pools>,
    programs: Res<Programs>,
    mut requests: Query<(&Request, &mut Journey)>,
    mut calendar: ResMut<Calendar>,
    mut commands: Commands,
    mut routed: Tx<Routed>,
) -> Result<(), BevyError> {
    for Wanted { request: entity, visit } in wanted.drain() {
        let (request, mut journey) = requests.get_mut(entity)?;
        let Visit { thread, place, pool, mut work, base, payload } = visit;
        // Where the KV is there is where the work goes.
        let here = base.and_then(|kv| pools.seat_of(kv.index, pool).map(|member| (kv, member)));
        let member = match here {
            Some((_, member)) => member,
            None => pools.choose(pool, &query(request, work.prompt_tokens))?,
        };
        let mut after = None;
        if let (Some(kv), None) = (base, here) {
            let bytes =
                f64::from(kv.tokens) * programs.models()[usize::from(payload.serving)].kv_bytes_per_token;
            let span = pools.transfer(bytes);
            work.fetched_tokens = kv.tokens;
            if let Some(left) = journey.move_kv(thread) {
                let lands = calendar.now() + pools.latency + span;
                calendar.at(lands, ReleaseKv::from(left));
            }
            after = Some(span);
        }
        let Member { client, index, .. } = pools.member(pool, member);
        pools.add(index);
        let stage = Stage::new(entity, client, pool, member, &work);
        let passage = Passage {
            program: request.program,
            place,
            thread,
            work,
            base: here.map(|(kv, _)| kv.id),
            answer: SimTime::MAX,
            kept: None,
            payload,
        };
        routed.send(Routed { stage: commands.spawn((stage, passage)).id(), after });
    }
    Ok(())
}

/// `Carry`: routed stages set out for their clients.
pub(super) fn carry(
    mut routed: Rx<Routed>,
    pools: Res<Pools>,
    stages: Query<&Stage>,
    mut calendar: ResMut<Calendar>,
) -> Result<(), BevyError> {
    for Routed { stage: entity, after } in routed.drain() {
        let Stage { client, pool, member, .. } = *stages.get(entity)?;
        let lands = calendar.now() + pools.latency + after.unwrap_or_default();
        let inbox = pools.member(pool, member).inbox;
        calendar.post(lands, inbox, [entity.to_bits(), client.to_bits()]);
    }
    Ok(())
}

/// What leaves the coordinator for its own next systems, for metrics and for the workload.
#[derive(SystemParam)]
pub(super) struct Out<'s> {
    wanted: Tx<'s, Wanted>,
    departed: Tx<'s, Departed>,
    vacated: Tx<'s, Vacated>,
}

impl Out<'_> {
    /// Does what a journey asks for.
    fn act(
        &mut self,
        entity: Entity,
        request: &Request,
        journey: &Journey,
        actions: &mut Vec<Action>,
        calendar: &mut Calendar,
    ) {
        for action in actions.drain(..) {
            match action {
                Action::Visit(visit) => self.wanted.send(Wanted { request: entity, visit }),
                Action::Wait { thread, until } => calendar.at(until, Resume { request: entity, thread }),
                Action::Release(kv) => calendar.at(calendar.now(), ReleaseKv::from(kv)),
                Action::Done => {
                    let departed = Departed {
                        request: entity,
                        client: journey.last_client(),
                        started: journey.started(),
                        times: journey.times(),
                        generated: journey.generated(),
                        preemptions: journey.preemptions(),
                        rejection: journey.rejection(),
                    };
                    self.depart(request, departed);
                }
            }
        }
    }

    fn depart(&mut self, request: &Request, departed: Departed) {
        self.departed.send(departed);
        self.vacated.send(Vacated { source: request.source });
    }
}

/// Where a request walks.
fn ground<'a>(programs: &'a Programs, request: &Request, calendar: &Calendar) -> Ground<'a> {
    Ground { program: programs.program(request.program), models: programs.models(), now: calendar.now() }
}

/// What a routing policy may know.
fn query(request: &Request, prompt_tokens: u32) -> RouteRequest {
    RouteRequest { id: request.id, prompt_tokens, arrived: request.arrived }
}

/// A request of one visit, as it leaves with it.
fn departed(stage: &Stage, client: u32, calendar: &Calendar) -> Departed {
    let (first, count) = (stage.first_token, stage.output_tokens);
    Departed {
        request: stage.request,
        client,
        started: stage.started,
        times: TokenTimes { first, answer: first, last: calendar.now(), count },
        generated: count.into(),
        preemptions: stage.preemptions,
        rejection: stage.rejection,
    }
}

/// What a visit to `client` came to.
fn visited(stage: &Stage, passage: &Passage, client: u32) -> Visited {
    let Stage { started, first_token, preemptions, rejection, .. } = *stage;
    let Passage { answer, kept, payload, .. } = *passage;
    Visited { client, started, first_token, answer, payload, kept, preemptions, rejection }
}
