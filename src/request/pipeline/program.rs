//! A compiled pipeline: a list of operations, through which requests go one after the other.

use std::sync::Arc;

use bevy_ecs::resource::Resource;

use super::when::When;
use crate::request::StageKind;
use crate::scenario::{Count, Duration, Tokens};

/// A compiled pipeline.
pub struct Program {
    pub(super) ops: Vec<Op>,
    /// The names under which time is accounted, in the order of the pipeline.
    pub(super) labels: Vec<String>,
    /// Whether some stage takes the model that the request asks for.
    pub(super) asks_model: bool,
    /// Whether requests of its class take others too, so that all of them have journeys.
    pub(super) mixed: bool,
}

/// One operation. Numbers are positions in the program; without another one the next follows.
pub(super) enum Op {
    Visit {
        stage: Arc<dyn StageKind>,
        pool: u16,
        label: u8,
        /// That of the next prefill, if not the request's.
        model: Option<u16>,
    },
    Generate(Generate),
    Pass {
        model: u16,
        scores: bool,
        label: u8,
    },
    Wait {
        takes: Duration,
        adds: Tokens,
        label: u8,
    },
    Parallel {
        arms: Vec<u32>,
        after: u32,
    },
    Search {
        width: u32,
        keep: u32,
        rounds: u32,
        after: u32,
    },
    /// The end of a branch.
    Join,
    /// Begins a repetition.
    Loop {
        times: Option<Count>,
        after: u32,
    },
    /// Ends a round.
    Again {
        start: u32,
        until: Option<When>,
    },
    Branch {
        cases: Vec<(When, u32)>,
        otherwise: u32,
    },
    Jump(u32),
    ChooseModel {
        cases: Vec<(When, u16)>,
        otherwise: Option<u16>,
    },
    End,
}

/// A prefill, a decode, or both in one visit.
#[derive(Clone, Copy)]
pub(super) struct Generate {
    /// Whether it begins with a prefill, and whose.
    pub prefill: Option<By>,
    pub reason: Option<Tokens>,
    pub answer: Option<Tokens>,
    /// Whether a later stage goes on with its KV.
    pub keep: bool,
    /// Of prefill, reasoning and answer.
    pub labels: [u8; 3],
    /// Of the way of KV from prefill to decode, where they may have clients of their own.
    pub transfer: Option<u8>,
}

/// Whose prefill it is.
#[derive(Clone, Copy)]
pub(super) enum By {
    /// The model that the request asks for.
    Asked,
    /// This one.
    Model(u16),
}

impl Generate {
    /// Whether it is a prefill and nothing else.
    pub const fn is_prefill_only(&self) -> bool {
        self.reason.is_none() && self.answer.is_none()
    }
}

/// A model that LLM clients serve, as pipelines see it.
#[derive(Clone, Debug)]
pub struct Served {
    /// Its name in the catalog.
    pub name: String,
    /// The pool of the clients that prefill it.
    pub prefill: u16,
    /// The pool of the clients that decode it; the same one where prefill and decode share clients.
    pub decode: u16,
    /// Longest text that its clients take (tokens).
    pub max_model_len: u32,
    /// Size of the KV cache of one token (bytes).
    pub kv_bytes_per_token: f64,
}

impl Served {
    /// Whether a prefill and the decode that follows are two visits.
    pub const fn is_split(&self) -> bool {
        self.prefill != self.decode
    }
}

/// Every pipeline of a scenario, and the models they may run.
#[derive(Resource, Clone, Default)]
pub struct Programs {
    programs: Vec<Arc<Program>>,
    models: Vec<Served>,
}

impl Programs {
    /// These pipelines over these models.
    pub fn new(programs: Vec<Program>, models: Vec<Served>) -> Self {
        Self { programs: programs.into_iter().map(Arc::new).collect(), models }
    }

    /// How many pipelines there are.
    pub fn len(&self) -> usize {
        self.programs.len()
    }

    /// Whether there is no pipeline.
    pub fn is_empty(&self) -> bool {
        self.programs.is_empty()
    }

    /// The `at`-th pipeline.
    pub fn program(&self, at: u16) -> &Program {
        &self.programs[usize::from(at)]
    }

    /// The models, as payloads number them.
    pub fn models(&self) -> &[Served] {
        &self.models
    }

    /// Whether KV moves between clients in the `at`-th pipeline.
    pub fn moves_kv(&self, at: u16) -> bool {
        let split = |by: By| match by {
            By::Model(model) => self.models[usize::from(model)].is_split(),
            By::Asked => self.models.iter().any(Served::is_split),
        };
        let ops = &self.program(at).ops;
        ops.iter().any(|op| matches!(op, Op::Generate(Generate { prefill: Some(by), .. }) if split(*by)))
    }

    /// Whether clients keep KV of a request for a later visit.
    pub fn keep_kv(&self) -> bool {
        self.any(|op| matches!(op, Op::Generate(Generate { keep: true, .. })))
    }

    /// Whether some stage brings KV of a request's text from where it is kept.
    pub fn bring_kv(&self) -> bool {
        self.any(|op| matches!(op, Op::Visit { stage, .. } if stage.brings_kv()))
    }

    fn any(&self, is: impl Fn(&Op) -> bool) -> bool {
        self.programs.iter().any(|program| program.ops.iter().any(&is))
    }

    /// Whether requests for `model` through the `at`-th pipeline make a single visit: prefill and
    /// decode on one client.
    pub fn is_single_visit(&self, at: u16, model: u16) -> bool {
        self.program(at).plain() && self.models.get(usize::from(model)).is_some_and(|model| !model.is_split())
    }
}

impl Program {
    /// The names under which time is accounted.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Whether some stage takes the model that the request asks for.
    pub const fn asks_model(&self) -> bool {
        self.asks_model
    }

    /// Whether it is prefill and decode of the request's own model and length, and nothing else.
    pub fn plain(&self) -> bool {
        !self.mixed && self.is_one_generation()
    }

    fn is_one_generation(&self) -> bool {
        matches!(
            self.ops[..],
            [
                Op::Generate(Generate {
                    prefill: Some(By::Asked),
                    reason: None,
                    answer: Some(Tokens::Share(1.0)),
                    ..
                }),
                Op::End
            ]
        )
    }

    /// Whether a visit at `place` generates tokens of a request's answer.
    pub fn generates(&self, place: u32) -> bool {
        matches!(self.ops.get(place as usize), Some(Op::Generate(_)))
    }

    /// The parameters of the stage that a visit at `place` runs, if they are an `S`.
    pub fn stage<S: StageKind>(&self, place: u32) -> Option<&S> {
        match self.ops.get(place as usize) {
            Some(Op::Visit { stage, .. }) => (stage.as_ref() as &dyn std::any::Any).downcast_ref(),
            _ => None,
        }
    }
}
