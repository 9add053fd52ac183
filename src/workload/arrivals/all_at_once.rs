//! Everything at time 0: an offline batch.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ArrivalProcess, End};
use crate::engine::Stream;
use crate::units::SimTime;
use crate::workload::SourceError;

/// Every request arrives at time 0, as in an offline batch. Mirrors `vllm bench serve`
/// without `--request-rate` (whose default is infinite).
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AllAtOnce {}

impl AllAtOnce {
    /// The process itself; endless, the workload's `requests` or its lengths end it.
    pub fn build(self) -> Result<Box<dyn ArrivalProcess>, String> {
        Ok(Box::new(self))
    }
}

impl ArrivalProcess for AllAtOnce {
    fn next(&mut self, _: &mut Stream) -> Result<Option<SimTime>, SourceError> {
        Ok(Some(SimTime::ZERO))
    }

    fn end(&self) -> End {
        End::Nothing
    }
}
