//! Carves platforms into clusters: which nodes each client has to itself.
//!
//! Nodes are numbered platform by platform, machine by machine, group by group. `Pick`s are set
//! aside first; then each `Take`, in the order of the file, gets the first machine of its platform
//! that still has enough free nodes of every group asked for, and there the lowest free ones.

mod site;

use std::collections::BTreeMap;

use self::site::Site;
use super::{ClusterSpec, Problem, Scenario, check};

/// The number of a node in [`Carving::nodes`].
pub type NodeId = u32;

/// One node: where it stands and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSite {
    /// Index into the scenario's `platforms`.
    pub platform: usize,
    /// Which machine of that platform, from zero.
    pub instance: u32,
    /// Index into the platform's `nodes`.
    pub group: usize,
    /// Which node of the group, from zero.
    pub index: u32,
}

impl NodeSite {
    /// The name of the node's hardware in the catalog.
    pub fn hardware<'a>(&self, scenario: &'a Scenario) -> &'a str {
        &scenario.platforms[self.platform].nodes[self.group].hardware
    }
}

/// The nodes of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Index into the scenario's `clients`.
    pub client: usize,
    /// Which of the clients of that entry, from zero.
    pub instance: u32,
    /// Its nodes, in the order in which they were asked for.
    pub nodes: Vec<NodeId>,
}

/// Every node there is, and the cluster of every client, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carving {
    /// The nodes, by [`NodeId`]; not every one need be in a cluster.
    pub nodes: Vec<NodeSite>,
    /// The clusters: all of the first client entry, then all of the second, and so on.
    pub clusters: Vec<Cluster>,
}

/// Carves the platforms of `scenario` into one cluster for each client.
///
/// # Errors
/// A node in two clients, nodes that do not exist, too few of them, or what [`check`] finds.
pub fn carve(scenario: &Scenario) -> Result<Carving, Vec<Problem>> {
    let mut problems = check(scenario);
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut site = Site::new(scenario)?;
    let mut clusters: BTreeMap<usize, Vec<Cluster>> = BTreeMap::new();
    for (client, spec) in scenario.clients.iter().enumerate() {
        if let ClusterSpec::Pick(sets) = &spec.cluster {
            let nodes = site.pick(client, sets, &mut problems);
            clusters.insert(client, vec![Cluster { client, instance: 0, nodes }]);
        }
    }
    for (client, spec) in scenario.clients.iter().enumerate() {
        if let ClusterSpec::Take { platform, nodes } = &spec.cluster {
            match site.take(client, spec.count, platform, nodes) {
                Ok(taken) => {
                    clusters.insert(client, taken);
                }
                Err(problem) => problems.push(problem),
            }
        }
    }
    if problems.is_empty() {
        Ok(Carving { nodes: site.nodes, clusters: clusters.into_values().flatten().collect() })
    } else {
        Err(problems)
    }
}

#[cfg(test)]
mod tests;
