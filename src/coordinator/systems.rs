//! The systems of the coordinator.

use bevy_ecs::prelude::{BevyError, Commands, Query, Res, ResMut};

use super::Routed;
use super::pool::Pools;
use super::routing::RouteRequest;
use crate::clients::Client;
use crate::engine::{Calendar, Rx, Tx};
use crate::request::{Arrived, Departed, Request, Stage, StageDone, Vacated};
use crate::units::SimTime;

/// `Route`: stages come back; their requests depart.
pub(super) fn collect(
    mut done: Rx<StageDone>,
    mut pools: ResMut<Pools>,
    stages: Query<&Stage>,
    requests: Query<&Request>,
    mut departed: Tx<Departed>,
    mut vacated: Tx<Vacated>,
) -> Result<(), BevyError> {
    for StageDone(entity) in done.drain() {
        let stage = stages.get(entity)?;
        pools.pools[stage.pool as usize].load.remove(stage.member as usize);
        departed.send(Departed { request: stage.request, stage: entity });
        vacated.send(Vacated { source: requests.get(stage.request)?.source });
    }
    Ok(())
}

/// `Route`: each new request gets a client, and a stage there.
pub(super) fn route(
    mut arrived: Rx<Arrived>,
    mut pools: ResMut<Pools>,
    requests: Query<&Request>,
    mut commands: Commands,
    mut routed: Tx<Routed>,
) -> Result<(), BevyError> {
    for Arrived(entity) in arrived.drain() {
        let request = requests.get(entity)?;
        let pool = &mut pools.pools[request.pool as usize];
        let Request { id, prompt_tokens, arrived, .. } = *request;
        let query = RouteRequest { id, prompt_tokens, arrived };
        let member = pool.policy.route(&query, &pool.load, &mut pool.stream);
        let Some(client) = pool.clients.get(member).copied() else {
            let clients = pool.clients.len();
            return Err(format!("the routing policy chose client {member} of a pool of {clients}").into());
        };
        pool.load.add(member);
        let stage = commands.spawn(Stage {
            request: entity,
            pool: request.pool,
            member: member as u32,
            client,
            prompt_tokens,
            output_tokens: request.output_tokens,
            started: SimTime::MAX,
            first_token: SimTime::MAX,
            preemptions: 0,
            rejection: None,
        });
        routed.send(Routed { stage: stage.id(), client });
    }
    Ok(())
}

/// `Carry`: routed stages set out for their clients.
pub(super) fn carry(
    mut routed: Rx<Routed>,
    pools: Res<Pools>,
    clients: Query<&Client>,
    mut calendar: ResMut<Calendar>,
) -> Result<(), BevyError> {
    let lands = calendar.now() + pools.latency;
    for Routed { stage, client } in routed.drain() {
        calendar.post(lands, clients.get(client)?.inbox, [stage.to_bits(), client.to_bits()]);
    }
    Ok(())
}
