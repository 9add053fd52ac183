//! The systems of LLM clients, one a phase.

use bevy_ecs::prelude::{BevyError, Local, Query, Res, ResMut};

use super::client::LlmClient;
use super::sequence::Landed;
use super::shelf::Shelf;
use super::transfers::{Accepted, Courier};
use super::{Drained, Formed, Idle, Llm, Room, Shared, Streamed, StrideEnded, StrideWatch, Swapped};
use crate::clients::{Delivered, Usage};
use crate::engine::{Calendar, Rx, Tx};
use crate::request::{KvHandle, Passage, PrefillDone, ReleaseKv, Stage, StageDone};
use crate::stats::TokenGaps;

/// `Land`: strides that end now take effect, in the order of their clients.
pub(super) fn land_strides(
    mut ended: Rx<StrideEnded>,
    mut clients: Query<(&mut LlmClient, &mut Usage)>,
    mut stages: Query<(&mut Stage, Option<&mut Passage>)>,
    mut gaps: ResMut<TokenGaps>,
    mut done: Tx<StageDone>,
    mut prefilled: Tx<PrefillDone>,
    mut idle: Tx<Idle>,
    mut landed: Local<Landed>,
    mut calendar: ResMut<Calendar>,
) -> Result<(), BevyError> {
    ended.items().sort_by_key(|end| end.index);
    for StrideEnded { client, epoch, .. } in ended.drain() {
        let (mut llm, mut usage) = clients.get_mut(client)?;
        if !llm.land(epoch, &mut usage, &mut gaps, &mut landed) {
            continue;
        }
        idle.send(Idle(client));
        let streamed = llm.streamed_at();
        for first in landed.first_tokens.drain(..) {
            let (mut stage, _) = stages.get_mut(first.stage)?;
            stage.started = first.started;
            stage.first_token = streamed.unwrap_or(first.at);
            if stage.tells_prefilled {
                prefilled.send(PrefillDone(first.stage));
            }
        }
        for finished in landed.finished.drain(..) {
            let (mut stage, passage) = stages.get_mut(finished.stage)?;
            stage.cached_tokens = finished.cached_tokens;
            stage.preemptions = finished.preemptions;
            if let Some(mut passage) = passage {
                let (index, model) = (llm.index(), stage.model);
                passage.answer = finished.answer.max(stage.first_token);
                passage.kept =
                    finished.kept.map(|(id, tokens)| KvHandle { client, index, model, id, tokens });
            }
            match streamed {
                None => done.send(StageDone(finished.stage)),
                Some(at) => calendar.at(at, Streamed(finished.stage)),
            }
        }
    }
    Ok(())
}

/// `Land`: answers that a front end streams have reached the client.
pub(super) fn end_streams(mut streamed: Rx<Streamed>, mut done: Tx<StageDone>) {
    for Streamed(stage) in streamed.drain() {
        done.send(StageDone(stage));
    }
}

/// `Admit`: clients drop KV that is no longer needed, before newcomers ask for room.
pub(super) fn release_kv(mut released: Rx<ReleaseKv>, mut courier: Courier) -> Result<(), BevyError> {
    for kv in released.drain() {
        courier.release(kv)?;
    }
    Ok(())
}

/// `Admit`: stages that reach a client join its queue or are turned away; the stride under way is
/// cut where the newcomer may change the next step.
pub(super) fn accept_stages(
    mut delivered: Rx<Delivered<Llm>>,
    mut courier: Courier,
    mut done: Tx<StageDone>,
) -> Result<(), BevyError> {
    for Delivered { stage, client, .. } in delivered.drain() {
        match courier.accept(stage, client)? {
            Accepted::Queued => {}
            Accepted::Elsewhere => courier.ask_or_line_up(stage, client)?,
            Accepted::TurnedAway => done.send(StageDone(stage)),
        }
    }
    Ok(())
}

/// `Admit`: the same for clients of several models, where a stage may wait for its model's turn.
pub(super) fn accept_shared(
    mut delivered: Rx<Delivered<Shared>>,
    mut courier: Courier,
    mut done: Tx<StageDone>,
) -> Result<(), BevyError> {
    for Delivered { stage, client, .. } in delivered.drain() {
        if courier.is_elsewhere(stage)? {
            courier.set_out(stage, client)?;
        } else if courier.take_turn(stage, client)? {
            done.send(StageDone(stage));
        }
    }
    Ok(())
}

/// `Land`: models that were being loaded are there, in the order of their clients.
pub(super) fn land_swaps(
    mut swapped: Rx<Swapped>,
    mut clients: Query<(&mut LlmClient, &mut Shelf, &mut Usage)>,
    calendar: Res<Calendar>,
    mut idle: Tx<Idle>,
) -> Result<(), BevyError> {
    swapped.items().sort_by_key(|swapped| swapped.index);
    for Swapped { client, .. } in swapped.drain() {
        let (mut llm, mut shelf, mut usage) = clients.get_mut(client)?;
        shelf.end(&mut llm, calendar.now(), &mut usage);
        idle.send(Idle(client));
    }
    Ok(())
}

/// `Batch`: idle clients compose their next step.
pub(super) fn form_steps(
    mut idle: Rx<Idle>,
    mut clients: Query<&mut LlmClient>,
    mut formed: Tx<Formed>,
    mut room: Tx<Room>,
    mut drained: Tx<Drained>,
) -> Result<(), BevyError> {
    for Idle(client) in idle.drain() {
        let mut llm = clients.get_mut(client)?;
        if llm.first_in_line().is_some() {
            room.send(Room(client));
        }
        if llm.form() {
            formed.send(Formed(client));
        } else if llm.is_shared() {
            drained.send(Drained(client));
        }
    }
    Ok(())
}

/// `Batch`: clients of several models that have nothing to do for one begin to load the next.
pub(super) fn swap_models(
    mut drained: Rx<Drained>,
    mut clients: Query<(&LlmClient, &mut Shelf)>,
    mut calendar: ResMut<Calendar>,
) -> Result<(), BevyError> {
    for Drained(client) in drained.drain() {
        let (llm, mut shelf) = clients.get_mut(client)?;
        if let Some(end) = shelf.begin(llm, calendar.now()) {
            calendar.at(end, Swapped { client, index: llm.index() });
        }
    }
    Ok(())
}

/// `Price`: composed steps are priced and their ends go into the calendar.
pub(super) fn price_steps(
    formed: Rx<Formed>,
    clients: Query<&mut LlmClient>,
    calendar: ResMut<Calendar>,
) -> Result<(), BevyError> {
    price(formed, clients, calendar, |_| {})
}

/// The same where somebody wants to see the strides.
pub(super) fn price_watched_steps(
    formed: Rx<Formed>,
    clients: Query<&mut LlmClient>,
    calendar: ResMut<Calendar>,
    mut watch: ResMut<StrideWatch>,
) -> Result<(), BevyError> {
    price(formed, clients, calendar, |llm| {
        if let Some(stride) = llm.stride() {
            (watch.0)(llm.index(), &stride);
        }
    })
}

fn price(
    mut formed: Rx<Formed>,
    mut clients: Query<&mut LlmClient>,
    mut calendar: ResMut<Calendar>,
    mut show: impl FnMut(&LlmClient),
) -> Result<(), BevyError> {
    let now = calendar.now();
    for Formed(client) in formed.drain() {
        let mut llm = clients.get_mut(client)?;
        let end = llm.price(now);
        show(&llm);
        calendar.at(end.time, StrideEnded { client, index: llm.index(), epoch: end.epoch });
    }
    Ok(())
}
