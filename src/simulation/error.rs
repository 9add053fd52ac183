//! Why there is no outcome.

use crate::engine::EngineError;
use crate::scenario::{Document, Problem, Unreadable};
use crate::units::SimTime;
use crate::workload::SourceError;

/// Why a simulation did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The scenario is wrong.
    #[error(transparent)]
    Scenario(#[from] InvalidScenario),
    /// A trace cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A trace turned out wrong in the middle of the run.
    #[error("{0}")]
    Trace(bevy_ecs::error::BevyError),
    /// The engine failed, or a system in it.
    #[error(transparent)]
    Engine(EngineError),
    /// A row of a request could not be written.
    #[error("cannot write the rows of requests: {0}")]
    Rows(std::io::Error),
    /// Requests are left that nothing will ever finish.
    #[error(
        "nothing is left to do at {now}, but {requests} requests are in flight: a policy never admits or never finishes them"
    )]
    Stuck {
        /// When it came to that.
        now: SimTime,
        /// Requests in flight.
        requests: u64,
    },
    /// Whoever watched the run stopped it.
    #[error("stopped")]
    Stopped,
}

/// A scenario that cannot be run, with everything that is wrong with it.
pub enum InvalidScenario {
    /// It could not be read.
    Unreadable(Box<Unreadable>),
    /// It could be read, but does not make sense.
    Wrong {
        /// What was read.
        document: Box<Document>,
        /// What is wrong with it.
        problems: Vec<Problem>,
    },
}

impl InvalidScenario {
    /// What is wrong.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Unreadable(unreadable) => &unreadable.problems,
            Self::Wrong { problems, .. } => problems,
        }
    }
}

impl std::fmt::Debug for InvalidScenario {
    /// As `Display`: `main` prints errors it returns by `Debug`, and the whole document helps nobody.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::fmt::Display for InvalidScenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let problems: Vec<_> = self.problems().iter().map(ToString::to_string).collect();
        f.write_str(&problems.join("\n"))
    }
}

impl std::error::Error for InvalidScenario {}

impl From<EngineError> for RunError {
    /// A system that passes on a source's error is no failure of the engine.
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::System { error, .. } if error.is::<SourceError>() => Self::Trace(error),
            error => Self::Engine(error),
        }
    }
}
