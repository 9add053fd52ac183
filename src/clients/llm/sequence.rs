//! A sequence: what a client knows of a request it serves.

use bevy_ecs::entity::Entity;

use crate::request::pipeline::Work;
use crate::units::SimTime;

/// Names a sequence within its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeqId(pub(super) u32);

/// Where a sequence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// In the queue, without KV.
    Waiting,
    /// Admitted, its prompt not complete.
    Prefilling,
    /// Takes part in every decode step.
    Decoding,
    /// Keeps its KV but takes no part in steps.
    Paused,
    /// Its KV is in host memory.
    Swapped,
    /// The slot is empty.
    Gone,
}

/// A request on a client. The client keeps the token counts it needs, so that a step never touches
/// the request's entity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sequence {
    pub stage: Entity,
    pub state: State,
    /// Number in the order in which requests reached the client.
    pub arrival: u64,
    /// When it reached it.
    pub arrived: SimTime,
    pub prompt: u32,
    /// Tokens to generate in all. The world's knowledge: no policy may see it.
    pub output: u32,
    /// Tokens generated before the current decode run began.
    pub generated: u32,
    /// Tokens that the current prefill computes: the prompt, and what was generated before a preemption.
    pub goal: u32,
    /// Tokens of the goal computed.
    pub computed: u32,
    /// Blocks held when the sequence last entered or left the decode set; while it is swapped out, those that
    /// it will take.
    pub blocks: u32,
    /// Whether every block it will ever need is held already.
    pub reserved: bool,
    /// Number of the current admission, unique within the client.
    pub admission: u64,
    /// Decode steps the client had taken when the sequence entered the decode set.
    pub entered: u64,
    /// Tokens of the output that precede the answer.
    pub reason: u32,
    /// Tokens at the start of the prompt whose KV comes with the request, until it is preempted.
    pub fetched: u32,
    /// The holding it goes on with.
    pub base: Option<u32>,
    /// Full blocks of it, or else of the prefix cache, that the sequence shares, while it runs.
    pub shared: u32,
    /// Whether its KV is kept when it is done.
    pub keep: bool,
    /// Whether that stays until it has been sent to another client.
    pub hands_on: bool,
    pub started: SimTime,
    pub first_token: SimTime,
    /// When the first token of the answer was out.
    pub answer: SimTime,
    pub last_token: SimTime,
    pub preemptions: u16,
}

impl Sequence {
    pub fn new(stage: Entity, work: &Work, base: Option<u32>, arrival: u64, arrived: SimTime) -> Self {
        let Work { prompt_tokens: prompt, output_tokens: output, .. } = *work;
        Self {
            stage,
            state: State::Waiting,
            arrival,
            arrived,
            prompt,
            output,
            reason: work.reason_tokens,
            fetched: work.fetched_tokens,
            base,
            shared: 0,
            keep: work.keep,
            hands_on: work.hands_on,
            generated: 0,
            goal: prompt,
            computed: 0,
            blocks: 0,
            reserved: false,
            admission: 0,
            entered: 0,
            started: SimTime::MAX,
            first_token: SimTime::MAX,
            answer: SimTime::MAX,
            last_token: work.last_token.unwrap_or(SimTime::MAX),
            preemptions: 0,
        }
    }

    /// The decode step of its client after which it is complete, while it decodes.
    pub fn completion(&self) -> u64 {
        self.entered + u64::from(self.output - self.generated)
    }

    /// The decode step of its client after which the first token of the answer is out, while it decodes
    /// and that is yet to come.
    pub fn milestone(&self) -> Option<u64> {
        let ahead = (self.reason + 1).checked_sub(self.generated).filter(|ahead| *ahead > 0)?;
        (self.reason > 0).then(|| self.entered + u64::from(ahead))
    }

    /// Most tokens whose KV it can ever hold: the last token generated is never computed.
    pub fn longest(&self) -> u32 {
        (self.prompt + self.output).saturating_sub(1)
    }
}

/// When steps that land were run.
#[derive(Clone, Copy, Debug)]
pub struct StrideTimes {
    /// When the first began.
    pub begun: SimTime,
    /// When the last ended.
    pub ended: SimTime,
    /// When what the last gave out was with those who read it: later where a front end hands it on.
    pub read: SimTime,
}

/// What landing steps means for the stages of a client.
#[derive(Clone, Debug, Default)]
pub struct Landed {
    /// Stages whose first token is out.
    pub first_tokens: Vec<FirstToken>,
    /// Stages that are done.
    pub finished: Vec<Finished>,
}

/// A stage whose first token is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstToken {
    /// The stage.
    pub stage: Entity,
    /// When the step began that first computed some of it.
    pub started: SimTime,
    /// When the token was out.
    pub at: SimTime,
}

/// A stage that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The stage to hand back.
    pub stage: Entity,
    /// When the first token behind the reasoning was out.
    pub answer: SimTime,
    /// The holding in which its KV is kept, and the tokens that this covers.
    pub kept: Option<(u32, u32)>,
    /// How often it was preempted.
    pub preemptions: u16,
    /// Tokens of the prompt that were in the prefix cache when it was first admitted.
    pub cached_tokens: u32,
}
