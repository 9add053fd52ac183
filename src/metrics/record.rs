//! What is known about one request when it leaves.

use crate::units::{SimSpan, SimTime};

/// A request that completed: `arrived ≤ started ≤ first_token ≤ answer ≤ last_token ≤ done`.
///
/// Latencies follow `vllm bench serve`, seen by a client next to the router: they include queueing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestRecord {
    /// Stable id, in order of arrival.
    pub id: u64,
    /// The workload source it came from, by its place in the scenario.
    pub source: u16,
    /// The client that had it last, by its place among the clients.
    pub client: u32,
    /// When it entered the system.
    pub arrived: SimTime,
    /// When it was first scheduled into a step.
    pub started: SimTime,
    /// When the first token of its last generation existed, reasoning included; `done` if it generated
    /// none.
    pub first_token: SimTime,
    /// When the first token behind the reasoning existed; `first_token` if it did not reason,
    /// `last_token` if it did nothing else.
    pub answer: SimTime,
    /// When the last token of its last generation existed.
    pub last_token: SimTime,
    /// When the last stage of its pipeline was over.
    pub done: SimTime,
    /// Prompt tokens, as they arrived.
    pub prompt_tokens: u32,
    /// Output tokens of its last generation, the first included.
    pub output_tokens: u32,
    /// Tokens that models read for it in all: prompts with what stages put into them, once for each prefill,
    /// scoring or classification.
    pub read_tokens: u64,
    /// Tokens generated in all, those of other stages and of branches that were dropped included.
    pub generated_tokens: u64,
    /// Tokens of the prompt whose KV was in the client's prefix cache.
    pub cached_tokens: u32,
    /// Times it lost its KV blocks and had to start over.
    pub preemptions: u16,
}

impl RequestRecord {
    /// Time to first token: from arrival to the first output token.
    pub fn ttft(&self) -> SimSpan {
        self.first_token.since(self.arrived)
    }

    /// Time to the first token of the answer: from arrival to the first token behind the reasoning.
    pub fn ttfat(&self) -> SimSpan {
        self.answer.since(self.arrived)
    }

    /// Time from the first output token to the last.
    pub fn decode(&self) -> SimSpan {
        self.last_token.since(self.first_token)
    }

    /// Time per output token after the first, half up to the ns; none for one token. Where the last token
    /// ends the request, (E2E − TTFT)/(n − 1).
    pub fn tpot(&self) -> Option<SimSpan> {
        let gaps = u64::from(self.output_tokens.saturating_sub(1));
        (gaps > 0).then(|| SimSpan::from_ns((self.decode().as_ns() + gaps / 2) / gaps))
    }

    /// End-to-end latency: from arrival to the end of the last stage.
    pub fn e2e(&self) -> SimSpan {
        self.done.since(self.arrived)
    }

    /// From arrival to the first step that worked on it.
    pub fn queueing(&self) -> SimSpan {
        self.started.since(self.arrived)
    }
}

/// A request that did not complete: turned away, or still in flight when the clock stopped, at the horizon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// Stable id, in order of arrival.
    pub id: u64,
    /// The workload source it came from.
    pub source: u16,
    /// When it entered the system.
    pub arrived: SimTime,
    /// Prompt tokens, as they arrived.
    pub prompt_tokens: u32,
    /// When it was first scheduled into a step, as far as that is known.
    pub started: Option<SimTime>,
    /// When its first output token existed, if it does.
    pub first_token: Option<SimTime>,
}

/// A stage that a request went through, as results tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageRecord {
    /// The request, by its place in the order of arrival.
    pub request: u64,
    /// Its source.
    pub source: String,
    /// The stage.
    pub stage: String,
    /// The branch of a parallel pipeline or a search, counted from 0, as `1` or, inside another one, `1.0`;
    /// empty outside of branches. Each round of a search counts anew.
    pub branch: String,
    /// The client; empty where it waited for something outside.
    pub client: String,
    /// When it was given to the client.
    pub routed: SimTime,
    /// When the client began to work on it.
    pub started: SimTime,
    /// When it was over.
    pub done: SimTime,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Arrives at 100 ns, starts at 150, first token at 300, done at 1,000.
    pub(crate) fn record(output_tokens: u32) -> RequestRecord {
        RequestRecord {
            id: 0,
            source: 0,
            client: 0,
            arrived: SimTime::from_ns(100),
            started: SimTime::from_ns(150),
            first_token: SimTime::from_ns(300),
            answer: SimTime::from_ns(300),
            last_token: SimTime::from_ns(1_000),
            done: SimTime::from_ns(1_000),
            prompt_tokens: 10,
            output_tokens,
            read_tokens: 10,
            generated_tokens: output_tokens.into(),
            cached_tokens: 0,
            preemptions: 0,
        }
    }

    #[test]
    fn latencies_are_vllms() {
        let request = record(8);
        assert_eq!(request.ttft(), SimSpan::from_ns(200));
        assert_eq!(request.e2e(), SimSpan::from_ns(900));
        assert_eq!(request.queueing(), SimSpan::from_ns(50));
        assert_eq!(request.tpot(), Some(SimSpan::from_ns(100)));
        assert_eq!(record(4).tpot(), Some(SimSpan::from_ns(233)));
        assert_eq!(record(1).tpot(), None);
    }
}
