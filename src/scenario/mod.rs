//! The scenario language: what a user writes in a `.ron` file, read strictly and checked.
//!
//! A scenario is plain data. This room parses it, fills in every default, applies `--set`,
//! carves platforms into clusters and explains each field; it knows no `World` and runs nothing.
//!
//! Whatever may be swapped by name (a routing policy, an arrival process, a client kind) is an
//! *open choice*: the file holds a [`Choice`], a name with parameters, and the room that owns
//! the choice resolves it against its [`Registry`]. Everything wrong with a file is a
//! [`Problem`]; rendering problems is the command line's business.
//!
//! ```
//! use mist::scenario::{Document, Findings, Scenario, carve};
//!
//! # let text = r#"(mist: 1,
//! #     platforms: [(name: "hgx", nodes: [(name: "gpu", hardware: "H100", count: 8)])],
//! #     clients: [(name: "a", count: 4, cluster: Take(platform: "hgx", nodes: [("gpu", 2)]), runs: Llm)],
//! #     workload: [(name: "chat", model: "m", requests: 9, arrivals: AllAtOnce, lengths: AzureConv)],
//! # )"#;
//! let mut document = Document::parse(text, "scenarios/quickstart.ron").unwrap();
//! // Settles every open choice against its registry and enters what is wrong with it.
//! let mut fill = |_: &mut Scenario, _: &mut Findings| ();
//! document.settle(&["clients[0].count=2".into()], &mut fill).unwrap();
//! let carving = carve(&document.scenario).unwrap();
//! assert_eq!(carving.clusters.len(), 2);
//! let resolved = document.scenario.to_ron().unwrap(); // lies beside every result
//! # assert!(resolved.contains("horizon: None"));
//! ```

mod address;
mod amount;
mod arrange;
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
mod shared_spec;
mod slot;
mod suggest;
mod survey;
mod teach;
mod trace_spec;

pub use address::NodeSet;
pub use amount::{Count, Duration, Tokens};
pub use carve::{Carving, Cluster, NodeId, NodeSite, carve};
pub use check::check;
pub use choice::{Choice, StageChoice};
pub use document::{Document, Place, Unreadable};
pub use explain::{Kinds, explain, reference};
pub use language::{
    ClientSpec, ClusterSpec, CoordinatorSpec, DecodeChoice, KvTransferSpec, LocalLinkSpec, NodeGroup,
    PlatformSpec, Scenario, SloSpec, UsdPerHour, VERSION, WorkloadSpec,
};
pub use problem::{Findings, Problem};
pub use registry::{ChoiceError, Registry, Resolved};
pub(crate) use shared_spec::check_shared;
pub use shared_spec::{Popularity, PrefixSpec, SessionSpec};
pub use suggest::did_you_mean;
pub use trace_spec::TraceSpec;
