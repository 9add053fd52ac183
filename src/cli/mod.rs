//! The command line: arguments in, results out.
//!
//! ```text
//!  argv ─▶ args (clap) ─▶ options (checked) ─▶ a verb ─┬─▶ stdout: results, the same every time
//!                                                      ├─▶ stderr: progress, problems
//!                                                      └─▶ exit code
//! ```
//!
//! A program with plugins of its own has the same command line in one line of `main`:
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use mist::simulation::Simulation;
//!
//! fn main() -> ExitCode {
//!     mist::cli::main(Simulation::new()) // .with(my_plugin)
//! }
//! ```
//!
//! One file a verb. This room alone prints, reads the wall clock and the environment, and listens for
//! signals; nothing below it does.
//!
//! | exit code | means |
//! |---|---|
//! | 0 | done, or whoever read stdout went away |
//! | 1 | the run failed, or its results could not be written |
//! | 2 | bad input: arguments, scenario, catalog, trace, a target that cannot hold results |
//! | 130 | interrupted |

mod args;
mod calibrate;
mod check;
mod columns;
mod derive;
mod diagnostics;
mod explain;
mod failure;
mod inputs;
mod list;
mod options;
mod place;
mod price;
mod progress;
mod reference;
mod replicate;
mod run;
mod sink;
mod terminal;
mod tiers;
mod trace;
mod validate;

use std::process::ExitCode;

use failure::Failure;
use options::Command;

use crate::simulation::Simulation;

/// Does what the arguments of this process say, with the features of `simulation`.
pub fn main(simulation: Simulation) -> ExitCode {
    match obey(simulation) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            terminal::complain(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

fn obey(simulation: Simulation) -> Result<(), Failure> {
    match Command::from_process()? {
        Command::Run(options) => match options.replications {
            Some(replications) => replicate::replicate(options, replications, simulation),
            None => run::run(options, simulation),
        },
        Command::Check(options) => check::check(options, simulation),
        Command::Explain { path } => explain::explain(&path, &simulation),
        Command::Reference => reference::reference(&simulation),
        Command::List(options) => list::list(&options),
        Command::Trace(what) => trace::trace(what, simulation),
        Command::Derive(what) => derive::derive(&what),
        Command::Tiers(options) => tiers::tiers(&options),
        Command::Validate(options) => validate::validate(&options),
        Command::Price(options) => price::price(&options, &simulation),
        Command::Calibrate(options) => calibrate::calibrate(&options),
    }
}
