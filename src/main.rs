//! The `mist` program: the built-in features and a command line.

use std::process::ExitCode;

use mist::simulation::Simulation;

fn main() -> ExitCode {
    mist::cli::main(Simulation::new())
}
