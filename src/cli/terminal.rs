//! The streams of the process: results on stdout, everything else on stderr.

use std::env;
use std::io::{self, ErrorKind, IsTerminal, Write};

use super::failure::Failure;

/// Writes results to stdout. Whoever reads them may stop reading: that is no failure.
pub(super) fn print(results: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(results).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Broken(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Says something on stderr. When nobody can hear it there is nobody to tell.
pub(super) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Says why there is no result; help that was asked for goes to stdout.
pub(super) fn complain(failure: &Failure) {
    let _ = match failure {
        Failure::Arguments(error) if !error.use_stderr() => error.print(),
        failure => io::stderr().write_all(failure.text(colourful()).as_bytes()),
    };
}

/// Whether someone watches stderr, so that it may move.
pub(super) fn watched() -> bool {
    io::stderr().is_terminal()
}

/// Whether problems may be coloured: `NO_COLOR` turns that off unless it is empty.
fn colourful() -> bool {
    watched() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
