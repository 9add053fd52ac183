//! The systems of the coordinator.

use bevy_ecs::entity::Entity;
use bevy_ecs::prelude::{BevyError, Commands, Local, Query, Res, ResMut};
use bevy_ecs::system::SystemParam;

use super::load::Burden;
use super::pool::Pools;
use super::routing::{Part, RouteRequest};
use super::visits::VisitLog;
use super::{Resume, Routed};
use crate::engine::{Calendar, Rx, Tx};
use crate::request::pipeline::{
    Action, Ground, Journey, Partner, Programs, Split, TokenTimes, Visit, Visited, Work,
};
use crate::request::{
    Arrived, Departed, Moved, Passage, PrefillDone, ReleaseKv, Request, Stage, StageDone, Vacated,
};
use crate::units::SimTime;

/// `Route`: prompts of stages under way are computed.
pub(super) fn note_prefills(
    mut done: Rx<PrefillDone>,
    mut stages: Query<&mut Stage>,
    mut pools: ResMut<Pools>,
) -> Result<(), BevyError> {
    for PrefillDone(entity) in done.drain() {
        let mut stage = stages.get_mut(entity)?;
        let tokens = std::mem::take(&mut stage.pending_tokens);
        pools.prefilled(stage.pool, stage.member, tokens);
    }
    Ok(())
}

/// `Route`: stages come back; their requests go on or depart.
pub(super) fn collect(
    mut done: Rx<StageDone>,
    mut stages: Query<(&mut Stage, Option<&mut Passage>)>,
    mut requests: Query<(&Request, Option<&mut Journey>)>,
    mut desk: Desk,
) -> Result<(), BevyError> {
    for StageDone(entity) in done.drain() {
        let (mut stage, passage) = stages.get_mut(entity)?;
        let client = desk.pools.remove(stage.pool, stage.member, burden(&stage));
        let owner = stage.request;
        let (request, journey) = requests.get_mut(owner)?;
        let mut goes_on = false;
        if let (Some(mut journey), Some(mut passage)) = (journey, passage) {
            let visited = visited(&stage, &passage, client);
            let ground = ground(&desk.programs, request, &desk.calendar);
            if let Some(log) = &mut desk.log {
                log.add(request, Some(client), ground.parts(&journey, passage.thread, &visited));
            }
            ground.finish(&mut journey, passage.thread, &visited, &mut desk.actions);
            let slot = Slot { entity, stage: &mut stage, passage: &mut passage };
            goes_on = desk.act(owner, request, &mut journey, Some(slot))?;
        } else {
            if let (Some(log), None) = (&mut desk.log, stage.rejection) {
                let times = [request.arrived, stage.started, stage.first_token, desk.calendar.now()];
                let parts = desk.programs.program(request.program).parts_of_one_visit(times);
                log.add(request, Some(client), parts);
            }
            let departed = departed(&stage, client, &desk.calendar);
            desk.depart(request, departed);
        }
        if !goes_on {
            desk.commands.entity(entity).despawn();
        }
    }
    Ok(())
}

/// `Route`: requests that waited for something outside go on.
pub(super) fn resume(
    mut due: Rx<Resume>,
    mut requests: Query<(&Request, &mut Journey)>,
    mut desk: Desk,
) -> Result<(), BevyError> {
    for Resume { request: entity, thread } in due.drain() {
        let (request, mut journey) = requests.get_mut(entity)?;
        let ground = ground(&desk.programs, request, &desk.calendar);
        if let Some(log) = &mut desk.log {
            log.add(request, None, ground.waited(&journey, thread));
        }
        ground.resume(&mut journey, thread, &mut desk.actions);
        desk.act(entity, request, &mut journey, None)?;
    }
    Ok(())
}

/// `Route`: new requests set out.
pub(super) fn set_out(
    mut arrived: Rx<Arrived>,
    mut requests: Query<(&Request, Option<&mut Journey>)>,
    mut desk: Desk,
) -> Result<(), BevyError> {
    for Arrived(entity) in arrived.drain() {
        let (request, journey) = requests.get_mut(entity)?;
        if let Some(mut journey) = journey {
            let ground = ground(&desk.programs, request, &desk.calendar);
            ground.start(&mut journey, &mut desk.actions);
            desk.act(entity, request, &mut journey, None)?;
        } else {
            let Request { model, prompt_tokens, output_tokens, priority, .. } = *request;
            let pool = desk.programs.models()[usize::from(model)].prefill;
            let member = desk.pools.choose(pool, &query(entity, request, Part::Whole, prompt_tokens))?;
            let work = Work { model, priority, ..Work::new(prompt_tokens, output_tokens) };
            let stage = desk.stage(entity, pool, member, &work, prompt_tokens);
            let stage = desk.commands.spawn(stage).id();
            desk.routed.send(Routed { stage });
        }
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
    for Routed { stage: entity } in routed.drain() {
        let Stage { client, pool, member, .. } = *stages.get(entity)?;
        let lands = calendar.now() + pools.latency;
        let inbox = pools.member(pool, member).inbox;
        calendar.post(lands, inbox, [entity.to_bits(), client.to_bits()]);
    }
    Ok(())
}

/// A stage that is over, in whose place the next one of its thread may come.
struct Slot<'a> {
    entity: Entity,
    stage: &'a mut Stage,
    passage: &'a mut Passage,
}

/// What it takes to send requests on their way.
#[derive(SystemParam)]
pub(super) struct Desk<'w, 's> {
    pools: ResMut<'w, Pools>,
    programs: Res<'w, Programs>,
    calendar: ResMut<'w, Calendar>,
    commands: Commands<'w, 's>,
    routed: Tx<'w, Routed>,
    departed: Tx<'w, Departed>,
    vacated: Tx<'w, Vacated>,
    /// What visits did, where that is asked for.
    log: Option<ResMut<'w, VisitLog>>,
    actions: Local<'s, Vec<Action>>,
}

impl Desk<'_, '_> {
    /// Does what a journey asks for. The first visit takes over the `slot` of the one before, if there is
    /// one; tells whether it did.
    fn act(
        &mut self,
        entity: Entity,
        request: &Request,
        journey: &mut Journey,
        mut slot: Option<Slot<'_>>,
    ) -> Result<bool, String> {
        let had_one = slot.is_some();
        let mut actions = std::mem::take(&mut *self.actions);
        for action in actions.drain(..) {
            match action {
                Action::Visit(visit) => self.send(entity, request, journey, visit, slot.take())?,
                Action::Wait { thread, until } => self.calendar.at(until, Resume { request: entity, thread }),
                Action::Release(kv) => {
                    let now = self.calendar.now();
                    self.calendar.at(now, ReleaseKv::from(kv));
                }
                Action::Done => {
                    for partner in journey.partners_left() {
                        self.pools.remove(partner.pool, partner.member, partner_burden(partner));
                    }
                    let departed = Departed {
                        request: entity,
                        client: journey.last_client(),
                        started: journey.started(),
                        times: journey.times(),
                        read: journey.read(),
                        generated: journey.generated(),
                        cached_tokens: journey.cached_tokens(),
                        preemptions: journey.preemptions(),
                        rejection: journey.rejection(),
                    };
                    self.depart(request, departed);
                }
            }
        }
        *self.actions = actions;
        Ok(had_one && slot.is_none())
    }

    /// Finds a client for a visit and sends it there.
    fn send(
        &mut self,
        entity: Entity,
        request: &Request,
        journey: &mut Journey,
        visit: Visit,
        slot: Option<Slot<'_>>,
    ) -> Result<(), String> {
        let Visit { thread, place, pool, mut work, base, split, payload } = visit;
        let text = work.prompt_tokens;
        let partner = journey.take_partner(thread);
        // Where the KV is there is where the work goes.
        let home = || base.and_then(|kv| self.pools.home_of(kv.index, pool));
        let member = match (partner.map(|partner| partner.member).or_else(home), split) {
            (Some(member), _) => member,
            (None, Some(Split::First { decode, whole })) if self.pools.decode_at_arrival => {
                let member = self.pools.choose(pool, &query(entity, request, Part::Prefill, text))?;
                let index = self.pools.member(pool, member).index;
                let kv_at = self.pools.seat_of(index, decode).map(|seat| seat as usize);
                let decode_request = RouteRequest { kv_at, ..query(entity, request, Part::Decode, text) };
                let then = self.pools.choose(decode, &decode_request)?;
                if index == self.pools.member(decode, then).index {
                    journey.fuse(thread);
                    work = whole;
                } else {
                    let partner = Partner { pool: decode, member: then, kv_tokens: text };
                    self.pools.add(decode, then, partner_burden(partner));
                    journey.plan_decode(thread, partner);
                }
                member
            }
            (None, split) => {
                let kv_at = base.and_then(|kv| self.pools.seat_of(kv.index, pool)).map(|seat| seat as usize);
                let request = RouteRequest { kv_at, ..query(entity, request, part(split), text) };
                self.pools.choose(pool, &request)?
            }
        };
        work.priority = request.priority;
        let index = self.pools.member(pool, member).index;
        work.hands_on =
            matches!(split, Some(Split::First { decode, .. }) if self.pools.hands_on(index, pool, decode));
        let here = base.filter(|kv| kv.index == index);
        let moved = base.filter(|_| here.is_none()).map(|from| {
            let model = &self.programs.models()[usize::from(payload.serving)];
            // The text may have been truncated since: what is behind its end stays where it is.
            work.fetched_tokens = from.tokens.min(text);
            let bytes = f64::from(work.fetched_tokens) * model.kv_bytes_per_token;
            let takes = self.pools.transfer(from.index, index, bytes);
            Moved { from, release: journey.move_kv(thread).is_some(), takes, bytes: bytes as u64 }
        });
        let ready = here.map_or(work.fetched_tokens, |kv| kv.tokens);
        let stage = self.stage(entity, pool, member, &work, text.saturating_sub(ready));
        if let Some(partner) = partner {
            self.pools.remove(partner.pool, partner.member, partner_burden(partner));
        }
        let passage = Passage {
            program: request.program,
            place,
            thread,
            work,
            base: here.map(|kv| kv.id),
            moved,
            way: None,
            answer: SimTime::MAX,
            kept: None,
            payload,
        };
        let stage = match slot {
            Some(slot) => {
                (*slot.stage, *slot.passage) = (stage, passage);
                slot.entity
            }
            None => self.commands.spawn((stage, passage)).id(),
        };
        self.routed.send(Routed { stage });
        Ok(())
    }

    /// A visit to the `member`-th client of `pool`, which counts for its load from now, with so many tokens
    /// to be computed.
    fn stage(&mut self, entity: Entity, pool: u16, member: u32, work: &Work, tokens: u32) -> Stage {
        let client = self.pools.member(pool, member).client;
        let tells_prefilled = self.pools.counts_tokens;
        let stage = Stage {
            pending_tokens: tokens,
            tells_prefilled,
            ..Stage::new(entity, client, pool, member, work)
        };
        self.pools.add(pool, member, burden(&stage));
        stage
    }

    fn depart(&mut self, request: &Request, departed: Departed) {
        let turned_away = departed.rejection.is_some();
        self.departed.send(departed);
        self.vacated.send(Vacated { source: request.source, request: request.id, turned_away });
    }
}

/// Where a request walks.
fn ground<'a>(programs: &'a Programs, request: &Request, calendar: &Calendar) -> Ground<'a> {
    Ground { program: programs.program(request.program), models: programs.models(), now: calendar.now() }
}

/// What a routing policy may know.
fn query(entity: Entity, request: &Request, part: Part, prompt_tokens: u32) -> RouteRequest {
    let Request { id, source: class, model, arrived, .. } = *request;
    RouteRequest { id, request: entity, class, model, part, kv_at: None, prompt_tokens, arrived }
}

/// What a visit is routed for.
const fn part(split: Option<Split>) -> Part {
    match split {
        None => Part::Whole,
        Some(Split::Decode) => Part::Decode,
        Some(_) => Part::Prefill,
    }
}

/// What is booked for a visit.
const fn burden(stage: &Stage) -> Burden {
    Burden { prefill_tokens: stage.pending_tokens, kv_tokens: stage.prompt_tokens }
}

/// What is booked for a decode that is planned.
const fn partner_burden(partner: Partner) -> Burden {
    Burden { prefill_tokens: 0, kv_tokens: partner.kv_tokens }
}

/// A request of one visit, as it leaves with it.
fn departed(stage: &Stage, client: u32, calendar: &Calendar) -> Departed {
    let (first, count) = (stage.first_token, stage.output_tokens);
    Departed {
        request: stage.request,
        client,
        started: stage.started,
        times: TokenTimes { first, answer: first, last: calendar.now(), count },
        read: stage.prompt_tokens.into(),
        generated: count.into(),
        cached_tokens: stage.cached_tokens,
        preemptions: stage.preemptions,
        rejection: stage.rejection,
    }
}

/// What a visit to `client` came to.
fn visited(stage: &Stage, passage: &Passage, client: u32) -> Visited {
    let Stage { started, first_token, cached_tokens, preemptions, rejection, .. } = *stage;
    let Passage { way, answer, kept, payload, .. } = *passage;
    Visited {
        client,
        way,
        started,
        first_token,
        answer,
        payload,
        kept,
        cached_tokens,
        preemptions,
        rejection,
    }
}
