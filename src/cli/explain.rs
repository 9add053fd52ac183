//! `mist explain`: the documentation of a field of the scenario language.

use super::failure::Failure;
use super::terminal::Terminal;
use crate::scenario;
use crate::simulation::Simulation;

/// Prints what the field at `path` means, what may stand there and what does by default.
pub(super) fn explain(path: &str, simulation: &Simulation, terminal: &Terminal) -> Result<(), Failure> {
    let text = scenario::explain(path, &simulation.kinds()).map_err(Failure::Input)?;
    terminal.print(text.as_bytes())
}
