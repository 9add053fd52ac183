//! One after the other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Load, RouteRequest, RoutingPolicy};
use crate::engine::Stream;

/// Requests go to the clients in turn. nginx's default, vLLM production stack `roundrobin`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoundRobin {
    #[serde(skip)]
    next: usize,
}

impl RoutingPolicy for RoundRobin {
    fn route(&mut self, _: &RouteRequest, load: &Load, _: &mut Stream) -> usize {
        let client = self.next;
        self.next = (client + 1) % load.clients();
        client
    }
}
