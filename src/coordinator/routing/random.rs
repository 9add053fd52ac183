//! Anyone, blindly.

use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Load, RouteRequest, RoutingPolicy};
use crate::engine::Stream;

/// Each request goes to a client drawn uniformly. SGLang router `--policy random`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Random {}

impl RoutingPolicy for Random {
    fn route(&mut self, _: &RouteRequest, load: &Load, stream: &mut Stream) -> usize {
        stream.random_range(0..load.clients())
    }
}
