//! The scenario language: what a user writes in a `.ron` file, read strictly and checked.
//!
//! A scenario is plain data. This room parses it, fills in every default, applies `--set`,
//! carves platforms into clusters and explains each field; it knows no `World` and runs nothing.
//!
//! Whatever may be swapped by name (a routing policy, an arrival process, a client kind) is an
//! *open choice*: the file holds a [`Choice`], a name with parameters, and the room that owns
//! the choice resolves it against its [`Registry`]. Everything wrong with a file is a
//! [`Problem`]; rendering problems is the command line's business.

mod choice;
mod problem;
mod read;
mod registry;
mod suggest;

pub use choice::Choice;
pub use problem::Problem;
pub use registry::{ChoiceError, Registry, Resolved};
pub use suggest::did_you_mean;
