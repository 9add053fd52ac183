//! The systems of the workload: requests come in, and in a closed loop departures bring new ones.

use bevy_ecs::prelude::{BevyError, Commands, Res, ResMut};

use super::source::Drawn;
use super::{Asks, Lengths, Sources};
use crate::engine::{Calendar, Rx, Streams, Tx, Wake};
use crate::request::pipeline::{Journey, Programs};
use crate::request::{Arrived, Entered, Payload, Request, Vacated};

/// The next request of the `source`-th source is due.
#[derive(Clone, Copy)]
pub(super) struct Due {
    pub source: u16,
}

impl Wake for Due {
    const PRIORITY: u8 = 32;

    fn pack(self) -> [u64; 2] {
        [u64::from(self.source), 0]
    }

    fn unpack(words: [u64; 2]) -> Self {
        Self { source: words[0] as u16 }
    }
}

/// `Arrive`: due requests enter the world; each open source schedules its next one.
pub(super) fn arrive(
    mut due: Rx<Due>,
    mut sources: ResMut<Sources>,
    mut calendar: ResMut<Calendar>,
    programs: Res<Programs>,
    streams: Res<Streams>,
    mut commands: Commands,
    mut arrived: Tx<Arrived>,
    mut entered: Tx<Entered>,
) -> Result<(), BevyError> {
    let now = calendar.now();
    for Due { source } in due.drain() {
        // Everything due at one instant enters in one tick, so that no client starts without it.
        let mut next = Some(now);
        while next == Some(now) {
            let drawn = sources.draw(source)?;
            if let Some(Drawn { id, asks, lengths }) = drawn {
                let Asks { program, model, priority } = asks;
                let Lengths { prompt_tokens, output_tokens } = lengths;
                let request = Request {
                    id,
                    source,
                    program,
                    model,
                    priority,
                    prompt_tokens,
                    output_tokens,
                    arrived: now,
                };
                let mut spawned = commands.spawn(request);
                if !programs.is_single_visit(program, model) {
                    let payload = Payload::new(prompt_tokens, output_tokens, model);
                    let labels = programs.program(program).labels().len();
                    spawned.insert(Journey::new(payload, labels, streams.stream("pipeline", id), now));
                }
                arrived.send(Arrived(spawned.id()));
                entered.send(Entered { source });
            }
            next = sources.next_arrival(source)?.map(|at| at.max(now));
        }
        if let Some(next) = next {
            calendar.at(next, Due { source });
        }
    }
    sources.stop_if_over(&mut calendar);
    Ok(())
}

/// `Arrive`: departures free slots of closed loops; after the last one the simulation is over.
pub(super) fn refill(mut vacated: Rx<Vacated>, mut sources: ResMut<Sources>, mut calendar: ResMut<Calendar>) {
    let now = calendar.now();
    for Vacated { source } in vacated.drain() {
        if let Some(at) = sources.depart(source, now) {
            calendar.at(at, Due { source });
        }
    }
    sources.stop_if_over(&mut calendar);
}
