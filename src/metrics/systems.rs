//! The system that records what enters and what departs.

use bevy_ecs::prelude::{BevyError, Commands, Query, Res, ResMut};

use super::{Recorder, RequestRecord};
use crate::clients::Client;
use crate::engine::{Calendar, Rx};
use crate::request::{Departed, Entered, Request, Stage};

/// `Observe`: arrivals are counted, departures recorded and despawned.
pub(super) fn record(
    mut entered: Rx<Entered>,
    mut departed: Rx<Departed>,
    mut recorder: ResMut<Recorder>,
    requests: Query<&Request>,
    stages: Query<&Stage>,
    clients: Query<&Client>,
    calendar: Res<Calendar>,
    mut commands: Commands,
) -> Result<(), BevyError> {
    let now = calendar.now();
    for Entered { source } in entered.drain() {
        recorder.arrived(source, now);
    }
    for Departed { request: entity, stage: visit } in departed.drain() {
        let (request, stage) = (requests.get(entity)?, stages.get(visit)?);
        if let Some(why) = stage.rejection {
            recorder.rejected(request.source, why, request.arrived, now);
        } else {
            recorder.completed(&RequestRecord {
                id: request.id,
                source: request.source,
                client: clients.get(stage.client)?.index,
                arrived: request.arrived,
                started: stage.started,
                first_token: stage.first_token,
                done: now,
                prompt_tokens: request.prompt_tokens,
                output_tokens: request.output_tokens,
                preemptions: stage.preemptions,
            })?;
        }
        commands.entity(entity).despawn();
        commands.entity(visit).despawn();
    }
    Ok(())
}
