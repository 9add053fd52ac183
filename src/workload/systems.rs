//! The systems of the workload: requests come in, and departures bring others.

use bevy_ecs::prelude::{BevyError, Commands, Res, ResMut};
use bevy_ecs::system::SystemParam;

use super::error::on_the_clock;
use super::source::Drawn;
use super::{Asks, Lengths, SourceError, Sources};
use crate::engine::{Calendar, Rx, Streams, Tx, Wake};
use crate::request::pipeline::{Journey, Programs};
use crate::request::{Arrived, Entered, Payload, Request, Vacated};
use crate::units::SimTime;

/// A request of the `source`-th source is due.
#[derive(Clone, Copy)]
pub(super) struct Due {
    pub source: u16,
    /// Its place among those that follow others; the next one without.
    pub follower: Option<u32>,
}

impl Wake for Due {
    const PRIORITY: u8 = 32;

    fn pack(self) -> [u64; 2] {
        [u64::from(self.source), self.follower.map_or(0, |place| u64::from(place) + 1)]
    }

    fn unpack(words: [u64; 2]) -> Self {
        Self { source: words[0] as u16, follower: words[1].checked_sub(1).map(|place| place as u32) }
    }
}

/// `Arrive`: due requests enter the world; each open source schedules its next one.
pub(super) fn arrive(
    mut due: Rx<Due>,
    mut sources: ResMut<Sources>,
    mut calendar: ResMut<Calendar>,
    mut gate: Gate,
) -> Result<(), BevyError> {
    let now = calendar.now();
    for Due { source, follower } in due.drain() {
        if follower.is_some() {
            gate.admit(sources.draw(source, follower)?, source, now);
            continue;
        }
        // Everything due at one instant enters in one tick, so that no client starts without it.
        let mut next = Some(now);
        while next == Some(now) {
            gate.admit(sources.draw(source, None)?, source, now);
            next = sources.next_arrival(source, now)?.map(|at| at.max(now));
        }
        if let Some(next) = next {
            calendar.at(next, Due { source, follower: None });
        }
    }
    schedule_due(&mut sources, &mut calendar)?;
    sources.stop_if_over(&mut calendar);
    Ok(())
}

/// What it takes to let a request in.
#[derive(SystemParam)]
pub(super) struct Gate<'w, 's> {
    programs: Res<'w, Programs>,
    streams: Res<'w, Streams>,
    commands: Commands<'w, 's>,
    arrived: Tx<'w, Arrived>,
    entered: Tx<'w, Entered>,
}

impl Gate<'_, '_> {
    /// Lets it in, if there is one.
    fn admit(&mut self, drawn: Option<Drawn>, source: u16, now: SimTime) {
        let Some(Drawn { id, asks: Asks { program, model, priority }, lengths, text }) = drawn else {
            return;
        };
        let Lengths { prompt_tokens, output_tokens } = lengths;
        let request =
            Request { id, source, program, model, priority, prompt_tokens, output_tokens, arrived: now };
        let mut spawned = match text {
            Some(text) => self.commands.spawn((request, text)),
            None => self.commands.spawn(request),
        };
        if !self.programs.is_single_visit(program, model) {
            let payload = Payload::new(prompt_tokens, output_tokens, model);
            let labels = self.programs.program(program).labels().len();
            spawned.insert(Journey::new(payload, labels, self.streams.stream("pipeline", id), now));
        }
        self.arrived.send(Arrived(spawned.id()));
        self.entered.send(Entered { source });
    }
}

/// `Arrive`: departures free slots of closed loops and bring what waits for them; after the last one the
/// simulation is over.
pub(super) fn refill(
    mut vacated: Rx<Vacated>,
    mut sources: ResMut<Sources>,
    mut calendar: ResMut<Calendar>,
) -> Result<(), BevyError> {
    let now = calendar.now();
    for Vacated { source, request, turned_away } in vacated.drain() {
        if let Some(at) = sources.depart(source, request, turned_away, now) {
            calendar.at(at, Due { source, follower: None });
        }
    }
    schedule_due(&mut sources, &mut calendar)?;
    sources.stop_if_over(&mut calendar);
    Ok(())
}

/// Puts what is due after others are over into the calendar.
fn schedule_due(sources: &mut Sources, calendar: &mut Calendar) -> Result<(), SourceError> {
    for (at, source, place) in sources.due() {
        calendar.at(on_the_clock(at)?, Due { source, follower: Some(place) });
    }
    Ok(())
}
