//! Why the program did not do what it was asked, and the exit code that says so.

use super::diagnostics::{render, render_bare, render_unreadable};
use crate::output::FolderError;
use crate::scenario::Problem;
use crate::simulation::{InvalidScenario, RunError};
use crate::workload::SourceError;

/// Why there is no result.
pub(super) enum Failure {
    /// The arguments make no sense, or only help was asked for.
    Arguments(clap::Error),
    /// The scenario makes no sense.
    Scenario(InvalidScenario),
    /// Something else that was given makes no sense.
    Input(Problem),
    /// Values among the arguments make no sense.
    Values(Vec<Problem>),
    /// It made sense, and then something broke.
    Broken(String),
    /// The user stopped it.
    Interrupted,
}

impl Failure {
    /// Bad input, said in one sentence that names the file.
    pub(super) fn input(message: impl Into<String>) -> Self {
        Self::Input(Problem::new("", message))
    }

    /// The results cannot be kept, as is found out before the run.
    pub(super) fn no_place(error: &FolderError) -> Self {
        Self::input(error.to_string())
    }

    /// What the shell is told.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            // 2, or 0 for help and version.
            Self::Arguments(error) => error.exit_code() as u8,
            Self::Scenario(_) | Self::Input(_) | Self::Values(_) => 2,
            Self::Broken(_) => 1,
            Self::Interrupted => 130,
        }
    }

    /// What the user is told on stderr.
    pub(super) fn text(&self, colour: bool) -> String {
        match self {
            Self::Arguments(error) if colour => error.render().ansi().to_string(),
            Self::Arguments(error) => error.render().to_string(),
            Self::Scenario(InvalidScenario::Unreadable(unreadable)) => render_unreadable(unreadable, colour),
            Self::Scenario(InvalidScenario::Wrong { document, problems }) => {
                render(document, problems, colour)
            }
            Self::Input(problem) => render_bare(problem, colour),
            Self::Values(problems) => {
                let each: Vec<_> = problems.iter().map(|problem| render_bare(problem, colour)).collect();
                each.join("\n")
            }
            Self::Broken(message) => render_bare(&Problem::new("", message), colour),
            Self::Interrupted => "interrupted: no results\n".to_owned(),
        }
    }
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        Self::Arguments(error)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Scenario(invalid) => Self::Scenario(invalid),
            RunError::Source(_) | RunError::Trace(_) => Self::input(error.to_string().trim_end()),
            RunError::Engine(_) | RunError::Rows(_) | RunError::Stuck { .. } => {
                Self::Broken(error.to_string().trim_end().to_owned())
            }
            RunError::Stopped => Self::Interrupted,
        }
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        Self::input(error.to_string())
    }
}
