//! The system that records what enters and what departs.

use bevy_ecs::prelude::{BevyError, Commands, Query, Res, ResMut};

use super::{Recorder, RequestRecord, Unfinished};
use crate::engine::{Calendar, Rx};
use crate::request::pipeline::{Journey, TokenTimes};
use crate::request::{Departed, Entered, Request};
use crate::units::SimTime;

/// `Observe`: arrivals are counted, departures recorded and despawned.
pub(super) fn record(
    mut entered: Rx<Entered>,
    mut departed: Rx<Departed>,
    mut recorder: ResMut<Recorder>,
    requests: Query<(&Request, Option<&Journey>)>,
    calendar: Res<Calendar>,
    mut commands: Commands,
) -> Result<(), BevyError> {
    let now = calendar.now();
    for Entered { source } in entered.drain() {
        recorder.arrived(source, now);
    }
    for departed in departed.drain() {
        let (request, journey) = requests.get(departed.request)?;
        if let Some(why) = departed.rejection {
            let Request { id, source, arrived, prompt_tokens, .. } = *request;
            let started = Some(departed.started).filter(|at| *at <= now);
            let turned_away = Unfinished { id, source, arrived, prompt_tokens, started, first_token: None };
            recorder.rejected(&turned_away, why, now)?;
        } else {
            let known = |at: SimTime| at.min(now); // what there was none of counts as the end
            let TokenTimes { first, answer, last, count } = departed.times;
            // Reasoning without an answer ends with its last token.
            let answer = answer.min(last);
            let record = RequestRecord {
                id: request.id,
                source: request.source,
                client: departed.client,
                arrived: request.arrived,
                started: known(departed.started),
                first_token: known(first),
                answer: known(answer),
                last_token: known(last),
                done: now,
                prompt_tokens: request.prompt_tokens,
                output_tokens: count,
                read_tokens: departed.read,
                generated_tokens: departed.generated,
                cached_tokens: departed.cached_tokens.min(request.prompt_tokens),
                preemptions: departed.preemptions,
            };
            recorder.completed(&record, journey.map_or(&[], Journey::laps))?;
        }
        commands.entity(departed.request).despawn();
    }
    Ok(())
}
