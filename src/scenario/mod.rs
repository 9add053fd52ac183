//! The scenario language: what a user writes in a `.ron` file, read strictly and checked.
//!
//! A scenario is plain data. This room parses it, fills in every default, applies `--set`,
//! carves platforms into clusters and explains each field; it knows no `World` and runs nothing.
//!
//! Whatever may be swapped by name (a routing policy, an arrival process, a client kind) is an
//! *open choice*: the file holds a [`Choice`], a name with parameters, and the room that owns
//! the choice resolves it against its [`Registry`]. Everything wrong with a file is a
//! [`Problem`]; rendering problems is the command line's business.

mod address;
mod carve;
mod check;
mod choice;
mod document;
mod explain;
mod language;
mod layout;
mod locate;
mod overrides;
mod path;
mod problem;
mod read;
mod registry;
mod resolved;
#[cfg(test)]
pub(crate) mod sample;
mod scan;
mod suggest;

pub use address::NodeSet;
pub use carve::{Carving, Cluster, NodeId, NodeSite, carve};
pub use check::check;
pub use choice::Choice;
pub use document::{Document, Place, Unreadable};
pub use explain::{Kinds, explain};
pub use language::{
    ClientSpec, ClusterSpec, CoordinatorSpec, NodeGroup, PlatformSpec, Scenario, SloSpec, UsdPerHour,
    VERSION, WorkloadSpec,
};
pub use problem::Problem;
pub use registry::{ChoiceError, Registry, Resolved};
pub use suggest::did_you_mean;
