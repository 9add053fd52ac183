//! Whoever has the fewest tokens to do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Load, RouteRequest, RoutingPolicy};
use crate::engine::Stream;

/// Join the shortest queue, by tokens: each request goes to the client with the fewest tokens pending, the
/// first of equals: the prompt tokens that are not computed yet, and one for each request that is there.
/// O(log n) in the number of clients. splitwise-sim `token_jsq`, Dynamo's KV router without overlap weight.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenJsq {}

impl RoutingPolicy for TokenJsq {
    fn route(&mut self, _: &RouteRequest, load: &Load, _: &mut Stream) -> usize {
        load.least_pending()
    }

    fn counts_tokens(&self) -> bool {
        true
    }
}
