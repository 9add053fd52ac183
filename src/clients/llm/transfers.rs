//! KV on its way from one LLM client to another, and how stages come to a client with or without it.
//!
//! ```text
//!  Delivered ─▶ ask for room ──there is──▶ KV sets out ──KvLanded──▶ the sequence joins the queue,
//!                 │      ▲                 (pinned where it is)      the KV it left is released
//!                 ▼      │
//!              in line ──┴── Room, when a step is over
//! ```
//! What a prefill left stays where it is until it has been sent. Other KV that waits in line may be evicted in the
//! meantime, as may that of clients that lend; then the prompt is computed anew at the new client. At a client of
//! several models no room is taken beforehand.

use bevy_ecs::entity::Entity;
use bevy_ecs::prelude::{BevyError, Query, ResMut};
use bevy_ecs::system::SystemParam;

use super::batching::Receive;
use super::client::LlmClient;
use super::shelf::Shelf;
use super::stride::StrideEnd;
use super::{Idle, KvLanded, KvRetry, Room, StrideEnded};
use crate::clients::Usage;
use crate::engine::{Calendar, Rx, Tx};
use crate::request::pipeline::Work;
use crate::request::{Moved, Passage, ReleaseKv, Stage, StageDone, Text};
use crate::stats::TokenGaps;
use crate::units::SimTime;

/// What it takes to bring stages and KV to clients.
#[derive(SystemParam)]
pub(super) struct Courier<'w, 's> {
    clients: Query<'w, 's, (&'static mut LlmClient, &'static mut Usage, Option<&'static mut Shelf>)>,
    stages: Query<'w, 's, (&'static mut Stage, Option<&'static mut Passage>)>,
    texts: Query<'w, 's, &'static Text>,
    gaps: ResMut<'w, TokenGaps>,
    calendar: ResMut<'w, Calendar>,
    idle: Tx<'w, Idle>,
}

/// A stage, as its client is to see it.
struct Asked {
    request: Entity,
    work: Work,
    base: Option<u32>,
}

/// What becomes of a stage that reaches its client.
pub(super) enum Accepted {
    /// It waits in the queue.
    Queued,
    /// The KV that it goes on with has to come from another client.
    Elsewhere,
    /// The client cannot serve it, and told it why.
    TurnedAway,
}

impl Courier<'_, '_> {
    fn asked(&self, stage: Entity) -> Result<Asked, BevyError> {
        let (stage, passage) = self.stages.get(stage)?;
        let base = passage.and_then(|passage| passage.base);
        Ok(Asked { request: stage.request, work: stage.work(passage), base })
    }

    fn moved(&self, stage: Entity) -> Result<Option<Moved>, BevyError> {
        Ok(self.stages.get(stage)?.1.and_then(|passage| passage.moved))
    }

    /// Whether the KV that a stage goes on with has to come from another client.
    pub fn is_elsewhere(&self, stage: Entity) -> Result<bool, BevyError> {
        Ok(self.moved(stage)?.is_some())
    }

    /// A stage reaches its client and joins its queue, if nothing is against it.
    pub fn accept(&mut self, stage: Entity, client: Entity) -> Result<Accepted, BevyError> {
        // The way of most stages: each entity is looked up once.
        let (mut visit, passage) = self.stages.get_mut(stage)?;
        let passage = passage.as_deref();
        let (work, base) = (visit.work(passage), passage.and_then(|passage| passage.base));
        let moved = passage.and_then(|passage| passage.moved);
        let (mut llm, mut usage, _) = self.clients.get_mut(client)?;
        let rejection = llm.refuses(&work, base);
        if rejection.is_some() {
            visit.rejection = rejection;
            if let Some(Moved { from, release: true, .. }) = moved {
                self.release(from.into())?;
            }
            return Ok(Accepted::TurnedAway);
        }
        if moved.is_some() {
            return Ok(Accepted::Elsewhere);
        }
        let (request, now) = (visit.request, self.calendar.now());
        if self.calendar.is_first_tick() {
            llm.catch_up(now, &mut usage, &mut self.gaps);
        }
        llm.announce(request);
        let text = text_for(&llm, &self.texts, request);
        let cut = llm.enqueue(stage, &work, base, text, now);
        post(&mut self.calendar, client, llm.index(), cut);
        if !llm.is_busy() {
            self.idle.send(Idle(client));
        }
        Ok(Accepted::Queued)
    }

    /// A stage joins the queue of its client; the stride under way is cut where that may change the next step.
    pub fn enqueue(&mut self, stage: Entity, client: Entity) -> Result<(), BevyError> {
        let Asked { request, work, base } = self.asked(stage)?;
        self.at_client(client, |llm, texts, now| {
            llm.announce(request);
            llm.enqueue(stage, &work, base, text_for(llm, texts, request), now)
        })
    }

    /// A stage comes to a client of several models, to wait for its turn; `true` if it is turned away.
    pub fn take_turn(&mut self, stage: Entity, client: Entity) -> Result<bool, BevyError> {
        let Asked { request, work, base } = self.asked(stage)?;
        let now = self.calendar.now();
        let (mut llm, mut usage, shelf) = self.clients.get_mut(client)?;
        if self.calendar.is_first_tick() {
            llm.catch_up(now, &mut usage, &mut self.gaps);
        }
        let Some(mut shelf) = shelf else { return Ok(false) };
        let text = text_for(&llm, &self.texts, request);
        let rejection = match shelf.accept(&mut llm, stage, (work, base), text, now) {
            Ok(cut) => {
                post(&mut self.calendar, client, llm.index(), cut);
                None
            }
            Err(rejection) => Some(rejection),
        };
        if !llm.is_busy() {
            self.idle.send(Idle(client));
        }
        if rejection.is_some() {
            self.stages.get_mut(stage)?.0.rejection = rejection;
        }
        Ok(rejection.is_some())
    }

    /// KV that is kept on a client is no longer needed there.
    pub fn release(&mut self, ReleaseKv { client, model, id }: ReleaseKv) -> Result<(), BevyError> {
        if let (_, _, Some(mut shelf)) = self.clients.get_mut(client)?
            && shelf.release(model, id)
        {
            return Ok(());
        }
        self.at_client(client, |llm, _, now| llm.release_kv(id, now))
    }

    /// Asks for room for the KV of a stage, and lines it up if there is none.
    pub fn ask_or_line_up(&mut self, stage: Entity, client: Entity) -> Result<(), BevyError> {
        let sets_out = self.ask(stage, client)?;
        // It may have come to a step boundary just now, and so be idle.
        self.at_client(client, |llm, _, _| {
            if !sets_out {
                llm.line_up(stage);
            }
            None
        })
    }

    /// Asks for room for the KV of a stage, which then sets out; `false` if it has to wait.
    fn ask(&mut self, stage: Entity, client: Entity) -> Result<bool, BevyError> {
        let Some(moved) = self.moved(stage)? else { return Ok(true) };
        let Asked { request, work, .. } = self.asked(stage)?;
        let now = self.calendar.now();
        let (mut llm, mut usage, _) = self.clients.get_mut(client)?;
        if self.calendar.is_first_tick() {
            llm.catch_up(now, &mut usage, &mut self.gaps);
        }
        let (receive, cut) = llm.receive(request, &work, now, (&mut usage, &mut self.gaps));
        post(&mut self.calendar, client, llm.index(), cut);
        match receive {
            Receive::IfRoom if self.is_there(moved)? => self.set_out(stage, client)?,
            // Noticed only now, as it would make a difference when somebody looks.
            Receive::IfRoom => self.start_anew(stage, client, moved)?,
            Receive::Later => return Ok(false),
            Receive::Retry(span) => self.calendar.after(span, KvRetry { stage, client }),
        }
        Ok(true)
    }

    /// Whether KV that is to move was not evicted while it waited.
    fn is_there(&self, Moved { from, .. }: Moved) -> Result<bool, BevyError> {
        let (source, _, shelf) = self.clients.get(from.client)?;
        Ok(shelf.is_some() || source.scheduler().holds(from.id))
    }

    /// The KV of a stage is gone: all of its text is computed at the new client.
    fn start_anew(&mut self, stage: Entity, client: Entity, moved: Moved) -> Result<(), BevyError> {
        if let (_, Some(mut passage)) = self.stages.get_mut(stage)? {
            passage.moved = None;
            let coming = std::mem::take(&mut passage.work.fetched_tokens);
            self.clients.get_mut(client)?.0.cancel(coming, self.calendar.now());
        }
        if moved.release {
            self.release(moved.from.into())?;
        }
        self.enqueue(stage, client)
    }

    /// The KV of a stage sets out for its client.
    pub fn set_out(&mut self, stage: Entity, client: Entity) -> Result<(), BevyError> {
        let Some(moved) = self.moved(stage)? else { return Ok(()) };
        let (mut source, mut usage, shelf) = self.clients.get_mut(moved.from.client)?;
        if shelf.is_none() {
            source.send_kv(moved.from.id);
        }
        usage.kv_sent_bytes += moved.bytes;
        self.calendar.after(moved.takes, KvLanded { stage, client });
        Ok(())
    }

    /// It has landed; `true` if the stage is turned away all the same.
    fn land(&mut self, stage: Entity, client: Entity) -> Result<bool, BevyError> {
        let Some(moved) = self.moved(stage)? else { return Ok(false) };
        let Asked { request, work, .. } = self.asked(stage)?;
        let now = self.calendar.now();
        if let (_, Some(mut passage)) = self.stages.get_mut(stage)? {
            passage.moved = None;
            passage.way = Some([SimTime::from_ns(now.as_ns().saturating_sub(moved.takes.as_ns())), now]);
        }
        let (_, mut usage, shelf) = self.clients.get_mut(client)?;
        usage.kv_received_bytes += moved.bytes;
        let turned_away = if shelf.is_some() {
            self.take_turn(stage, client)?
        } else {
            self.at_client(client, |llm, _, now| {
                llm.announce(request);
                llm.enqueue_landed(stage, &work, now)
            })?;
            false
        };
        let Moved { from, release, .. } = moved;
        if self.clients.get(from.client)?.2.is_none() {
            self.at_client(from.client, |llm, _, now| llm.sent_kv(request, from.id, now))?;
        }
        if release {
            self.release(from.into())?;
        }
        Ok(turned_away)
    }

    /// Does something to a client that may cut its stride, and lets it compose a step if it is idle.
    fn at_client(
        &mut self,
        client: Entity,
        change: impl FnOnce(&mut LlmClient, &Query<&'static Text>, SimTime) -> Option<StrideEnd>,
    ) -> Result<(), BevyError> {
        let now = self.calendar.now();
        let (mut llm, mut usage, _) = self.clients.get_mut(client)?;
        if self.calendar.is_first_tick() {
            llm.catch_up(now, &mut usage, &mut self.gaps);
        }
        let cut = change(&mut llm, &self.texts, now);
        post(&mut self.calendar, client, llm.index(), cut);
        if !llm.is_busy() {
            self.idle.send(Idle(client));
        }
        Ok(())
    }
}

/// What the prompt of `request` consists of, if that is known and matters to its client.
fn text_for<'a>(llm: &LlmClient, texts: &'a Query<&'static Text>, request: Entity) -> Option<&'a Text> {
    llm.scheduler().caches_prefixes().then(|| texts.get(request).ok()).flatten()
}

/// The stride of a client was cut.
fn post(calendar: &mut Calendar, client: Entity, index: u32, cut: Option<StrideEnd>) {
    if let Some(StrideEnd { time, epoch }) = cut {
        calendar.at(time, StrideEnded { client, index, epoch });
    }
}

/// `Admit`: KV that moved has landed; its stages join the queues of their clients.
pub(super) fn land_kv(
    mut landed: Rx<KvLanded>,
    mut courier: Courier,
    mut done: Tx<StageDone>,
) -> Result<(), BevyError> {
    for KvLanded { stage, client } in landed.drain() {
        if courier.land(stage, client)? {
            done.send(StageDone(stage));
        }
    }
    Ok(())
}

/// `Admit`: KV that was to ask again does.
pub(super) fn retry_transfers(mut due: Rx<KvRetry>, mut courier: Courier) -> Result<(), BevyError> {
    for KvRetry { stage, client } in due.drain() {
        courier.ask_or_line_up(stage, client)?;
    }
    Ok(())
}

/// `Batch`: what runs has its blocks: KV that stands in line sets out as far as there is room.
pub(super) fn start_transfers(mut room: Rx<Room>, mut courier: Courier) -> Result<(), BevyError> {
    for Room(client) in room.drain() {
        while let Some(stage) = courier.clients.get(client)?.0.first_in_line() {
            if !courier.ask(stage, client)? {
                break;
            }
            courier.clients.get_mut(client)?.0.let_in_first();
        }
    }
    Ok(())
}
