//! Whoever has the least to do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Load, RouteRequest, RoutingPolicy};
use crate::engine::Stream;

/// Each request goes to the client with the fewest requests outstanding, waiting and running alike;
/// the first of equals. O(log n) in the number of clients.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeastOutstanding {}

impl RoutingPolicy for LeastOutstanding {
    fn route(&mut self, _: &RouteRequest, load: &Load, _: &mut Stream) -> usize {
        load.least_outstanding()
    }
}
