//! The streams of the process: results on stdout, everything else on stderr.

use std::env;
use std::io::{self, ErrorKind, IsTerminal, Write};

use super::failure::Failure;

/// How to speak to the user.
pub(super) struct Terminal {
    /// Whether someone watches stderr, so that it may move.
    pub(super) watched: bool,
    /// Whether problems may be coloured.
    colour: bool,
}

impl Terminal {
    /// What this process was started with; `NO_COLOR` turns colours off, unless it is empty.
    pub(super) fn of_process() -> Self {
        let watched = io::stderr().is_terminal();
        let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { watched, colour: watched && !plain }
    }

    /// Writes results to stdout. Whoever reads them may stop reading: that is no failure.
    pub(super) fn print(&self, results: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(results).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(Failure::Broken(format!("cannot write to stdout: {error}")))
            }
            _ => Ok(()),
        }
    }

    /// Says something on stderr. When nobody can hear it there is nobody to tell.
    pub(super) fn say(&self, line: &str) {
        let _ = writeln!(io::stderr(), "{line}");
    }

    /// Says why there is no result; help that was asked for goes to stdout.
    pub(super) fn complain(&self, failure: &Failure) {
        let _ = match failure {
            Failure::Arguments(error) if !error.use_stderr() => error.print(),
            failure => io::stderr().write_all(failure.text(self.colour).as_bytes()),
        };
    }
}
