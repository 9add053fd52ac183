//! First come, first served.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Order, PackingPolicy, Waiting};

/// First come, first served; a sequence that was preempted goes back to the head of the queue.
///
/// What vLLM (`--scheduling-policy fcfs`) and SGLang (`--schedule-policy fcfs`) do unless told otherwise:
/// <https://github.com/vllm-project/vllm/blob/v0.10.0/vllm/v1/core/sched/request_queue.py>. With
/// `SGLang` batching it goes to the tail, as there.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Fcfs {}

impl PackingPolicy for Fcfs {
    fn order(&self) -> Order {
        Order::Arrival
    }

    fn key(&self, _: &Waiting) -> i128 {
        0
    }
}
