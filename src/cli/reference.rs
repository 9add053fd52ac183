//! `mist reference`: the whole scenario language on one page.

use super::failure::Failure;
use super::terminal;
use crate::scenario;
use crate::simulation::Simulation;

/// Prints every field and every choice, in Markdown.
pub(super) fn reference(simulation: &Simulation) -> Result<(), Failure> {
    terminal::print(scenario::reference(&simulation.kinds()).as_bytes())
}
