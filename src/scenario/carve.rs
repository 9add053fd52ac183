//! Carves platforms into clusters: which nodes each client has to itself.
//!
//! Nodes are numbered platform by platform, machine by machine, group by group. `Pick`s are set
//! aside first; then each `Take`, in the order of the file, gets the first machine of its platform
//! that still has enough free nodes of every group asked for, and there the lowest free ones.

use std::collections::BTreeMap;

use super::{ClusterSpec, NodeSet, PlatformSpec, Problem, Scenario, check, did_you_mean};

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

/// Most nodes a scenario may have, so that a slip in a count ends in a message.
const MAX_NODES: u64 = 10_000_000;

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

/// The nodes and who has them.
struct Site<'a> {
    scenario: &'a Scenario,
    nodes: Vec<NodeSite>,
    /// The client that has a node, by node.
    owner: Vec<Option<usize>>,
    /// The first node of each platform.
    first: Vec<NodeId>,
    /// By platform: the first machine that may have a free node.
    open: Vec<u32>,
}

impl<'a> Site<'a> {
    fn new(scenario: &'a Scenario) -> Result<Self, Vec<Problem>> {
        let size = |p: &PlatformSpec| u64::from(p.count).saturating_mul(per_machine(p));
        let total = scenario.platforms.iter().fold(0_u64, |total, p| total.saturating_add(size(p)));
        if total > MAX_NODES {
            let message = format!("{total} nodes are more than the {MAX_NODES} that a scenario may have");
            return Err(vec![Problem::new("platforms", message)]);
        }
        let mut nodes = Vec::with_capacity(total as usize);
        let mut first = Vec::new();
        for (platform, spec) in scenario.platforms.iter().enumerate() {
            first.push(nodes.len() as NodeId);
            for instance in 0..spec.count {
                for (group, nodes_of) in spec.nodes.iter().enumerate() {
                    nodes.extend((0..nodes_of.count).map(|index| NodeSite {
                        platform,
                        instance,
                        group,
                        index,
                    }));
                }
            }
        }
        let (owner, open) = (vec![None; nodes.len()], vec![0; first.len()]);
        Ok(Self { scenario, nodes, owner, first, open })
    }

    /// The first node of a group of a machine.
    fn start(&self, platform: usize, instance: u32, group: usize) -> NodeId {
        let spec = &self.scenario.platforms[platform];
        let before: u32 = spec.nodes[..group].iter().map(|group| group.count).sum();
        self.first[platform] + instance * per_machine(spec) as u32 + before
    }

    /// Sets exact nodes aside for `client`.
    fn pick(&mut self, client: usize, sets: &[NodeSet], problems: &mut Vec<Problem>) -> Vec<NodeId> {
        let mut picked = Vec::new();
        for (i, set) in sets.iter().enumerate() {
            let path = format!("clients[{client}].cluster[{i}]");
            let ids = match self.find(set) {
                Ok(ids) => ids,
                Err((message, help)) => {
                    problems.push(Problem { path, message, help, span: None });
                    continue;
                }
            };
            for id in ids {
                let name = &self.scenario.clients[client].name;
                match self.owner[id as usize].replace(client) {
                    None => picked.push(id),
                    Some(other) => {
                        let other = &self.scenario.clients[other].name;
                        let message = if other == name {
                            format!("client `{name}` names node `{}` twice", self.address(id))
                        } else {
                            format!("node `{}` is in two clients, `{other}` and `{name}`", self.address(id))
                        };
                        problems.push(Problem::new(&path, message).help("a node serves one client only"));
                        break;
                    }
                }
            }
        }
        picked
    }

    /// The nodes of an address, or why there are none.
    fn find(&self, set: &NodeSet) -> Result<std::ops::Range<NodeId>, (String, Option<String>)> {
        let platform = self.platform(&set.platform)?;
        let spec = &self.scenario.platforms[platform];
        if set.instance >= spec.count {
            let message = format!("there is no `{}[{}]`", set.platform, set.instance);
            return Err((message, Some(format!("platform `{}` has a count of {}", spec.name, spec.count))));
        }
        let group = self.group(platform, &set.group)?;
        let count = spec.nodes[group].count;
        if set.nodes.end > count {
            let message = format!("there is no node {} in group `{}`", set.nodes.end - 1, set.group);
            let help = format!("each `{}` has {count}, numbered from 0", spec.name);
            return Err((message, Some(help)));
        }
        let start = self.start(platform, set.instance, group);
        Ok(start + set.nodes.start..start + set.nodes.end)
    }

    /// Takes free nodes for every client of an entry.
    fn take(
        &mut self,
        client: usize,
        count: u32,
        platform: &str,
        wanted: &[(String, u32)],
    ) -> Result<Vec<Cluster>, Problem> {
        let path = format!("clients[{client}].cluster");
        let problem =
            |part: &str, (message, help)| Problem { path: path.clone() + part, message, help, span: None };
        let platform = self.platform(platform).map_err(|error| problem(".platform", error))?;
        let spec = &self.scenario.platforms[platform];
        let mut groups = Vec::new();
        for (i, (name, nodes)) in wanted.iter().enumerate() {
            let group =
                self.group(platform, name).map_err(|error| problem(&format!(".nodes[{i}][0]"), error))?;
            let has = spec.nodes[group].count;
            if *nodes > has {
                let message =
                    format!("{nodes} `{name}` nodes are wanted, but each `{}` has {has}", spec.name);
                return Err(problem(&format!(".nodes[{i}][1]"), (message, None)));
            }
            groups.push((group, *nodes));
        }
        let mut clusters = Vec::new();
        let mut machine = self.open[platform];
        // By group: below these no node of the machine is free.
        let mut from = vec![0; groups.len()];
        while clusters.len() < count as usize {
            let Some(nodes) =
                (machine < spec.count).then(|| self.free(platform, machine, &groups, &mut from))
            else {
                return Err(self.too_few(client, platform, &groups, clusters.len()));
            };
            let Some(nodes) = nodes else {
                machine += 1;
                from.fill(0);
                continue;
            };
            for &id in &nodes {
                self.owner[id as usize] = Some(client);
            }
            clusters.push(Cluster { client, instance: clusters.len() as u32, nodes });
        }
        while self.open[platform] < spec.count && self.is_full(platform, self.open[platform]) {
            self.open[platform] += 1;
        }
        Ok(clusters)
    }

    /// The lowest free nodes of a machine, if it has enough of each group, looked for in each from the
    /// node `from` on, which moves past those found.
    fn free(
        &self,
        platform: usize,
        machine: u32,
        groups: &[(usize, u32)],
        from: &mut [u32],
    ) -> Option<Vec<NodeId>> {
        let mut nodes = Vec::new();
        for (&(group, wanted), from) in groups.iter().zip(from) {
            let before = nodes.len();
            nodes.extend(self.free_of(platform, machine, group, *from).take(wanted as usize));
            if nodes.len() - before < wanted as usize {
                return None;
            }
            let past = nodes.last().map(|last| last + 1 - self.start(platform, machine, group));
            *from = past.unwrap_or(*from);
        }
        Some(nodes)
    }

    /// The free nodes of a group of a machine, from its node `from` on.
    fn free_of(
        &self,
        platform: usize,
        machine: u32,
        group: usize,
        from: u32,
    ) -> impl Iterator<Item = NodeId> {
        let start = self.start(platform, machine, group);
        let end = start + self.scenario.platforms[platform].nodes[group].count;
        (start + from..end).filter(|&id| self.owner[id as usize].is_none())
    }

    fn is_full(&self, platform: usize, machine: u32) -> bool {
        let groups = self.scenario.platforms[platform].nodes.len();
        (0..groups).all(|group| self.free_of(platform, machine, group, 0).next().is_none())
    }

    fn too_few(&self, client: usize, platform: usize, groups: &[(usize, u32)], fit: usize) -> Problem {
        let (spec, client_spec) = (&self.scenario.platforms[platform], &self.scenario.clients[client]);
        let count_of = |group: usize| -> usize {
            (0..spec.count).map(|machine| self.free_of(platform, machine, group, 0).count()).sum()
        };
        let list = |number: &dyn Fn(usize, u32) -> usize| {
            let each = groups
                .iter()
                .map(|&(group, wanted)| format!("{} `{}`", number(group, wanted), spec.nodes[group].name));
            each.collect::<Vec<_>>().join(" and ")
        };
        let wanted = list(&|_, wanted| wanted as usize * client_spec.count as usize);
        let left = list(&|group, wanted| count_of(group) + fit * wanted as usize);
        let message = format!(
            "client `{}` wants {wanted} nodes of platform `{}` ({} × {}), but only {left} are left",
            client_spec.name,
            spec.name,
            client_spec.count,
            list(&|_, wanted| wanted as usize),
        );
        let help = format!("{fit} such clients fit; lower the client's count or raise the platform's");
        Problem::new(format!("clients[{client}].cluster"), message).help(help)
    }

    fn platform(&self, name: &str) -> Result<usize, (String, Option<String>)> {
        let platforms = &self.scenario.platforms;
        platforms.iter().position(|platform| platform.name == name).ok_or_else(|| {
            let help = did_you_mean(name, platforms.iter().map(|platform| platform.name.as_str()));
            (format!("unknown platform `{name}`"), Some(help))
        })
    }

    fn group(&self, platform: usize, name: &str) -> Result<usize, (String, Option<String>)> {
        let spec = &self.scenario.platforms[platform];
        spec.nodes.iter().position(|group| group.name == name).ok_or_else(|| {
            let help = did_you_mean(name, spec.nodes.iter().map(|group| group.name.as_str()));
            (format!("platform `{}` has no group `{name}`", spec.name), Some(help))
        })
    }

    fn address(&self, id: NodeId) -> NodeSet {
        let NodeSite { platform, instance, group, index } = self.nodes[id as usize];
        let spec = &self.scenario.platforms[platform];
        let (platform, group) = (spec.name.clone(), spec.nodes[group].name.clone());
        NodeSet { platform, instance, group, nodes: index..index + 1 }
    }
}

/// How many nodes a machine has.
fn per_machine(platform: &PlatformSpec) -> u64 {
    platform.nodes.iter().map(|group| u64::from(group.count)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{ClientSpec, NodeGroup, sample};

    fn client(name: &str, count: u32, cluster: ClusterSpec) -> ClientSpec {
        ClientSpec { name: name.into(), count, cluster, ..sample::scenario().clients[0].clone() }
    }

    fn take(nodes: &[(&str, u32)]) -> ClusterSpec {
        let nodes = nodes.iter().map(|&(group, count)| (group.to_owned(), count)).collect();
        ClusterSpec::Take { platform: "hgx".into(), nodes }
    }

    fn pick(nodes: &[&str]) -> ClusterSpec {
        ClusterSpec::Pick(nodes.iter().map(|&node| node.to_owned().try_into().unwrap()).collect())
    }

    /// Two machines of four `gpu` and two `cpu`: nodes 0–3, 4–5, 6–9, 10–11.
    fn scenario(clients: Vec<ClientSpec>) -> Scenario {
        let mut scenario = sample::scenario();
        let group = |name: &str, count| NodeGroup { name: name.into(), hardware: name.into(), count };
        scenario.platforms[0].nodes = vec![group("gpu", 4), group("cpu", 2)];
        scenario.clients = clients;
        scenario
    }

    fn nodes(clients: Vec<ClientSpec>) -> Vec<Vec<NodeId>> {
        carve(&scenario(clients)).unwrap().clusters.into_iter().map(|cluster| cluster.nodes).collect()
    }

    fn fail(clients: Vec<ClientSpec>) -> Vec<String> {
        carve(&scenario(clients)).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn takes_get_the_next_free_nodes_of_one_machine() {
        assert_eq!(nodes(vec![client("a", 2, take(&[("gpu", 3)]))]), [vec![0, 1, 2], vec![6, 7, 8]]);
        assert_eq!(
            nodes(vec![client("a", 1, take(&[("gpu", 3)])), client("b", 2, take(&[("cpu", 1), ("gpu", 1)]))]),
            [vec![0, 1, 2], vec![4, 3], vec![10, 6]]
        );
    }

    #[test]
    fn picks_are_set_aside_first() {
        let clients = vec![
            client("a", 2, take(&[("gpu", 2)])),
            client("b", 1, pick(&["hgx[0].gpu[1..3]", "hgx[1].cpu[1]"])),
        ];
        assert_eq!(nodes(clients), [vec![0, 3], vec![6, 7], vec![1, 2, 11]]);
    }

    #[test]
    fn sites_know_their_hardware() {
        let scenario = scenario(vec![client("a", 1, pick(&["hgx[1].cpu[0]"]))]);
        let carving = carve(&scenario).unwrap();
        let site = &carving.nodes[carving.clusters[0].nodes[0] as usize];
        assert_eq!(*site, NodeSite { platform: 0, instance: 1, group: 1, index: 0 });
        assert_eq!(site.hardware(&scenario), "cpu");
    }

    #[test]
    fn a_node_in_two_clients_is_refused() {
        let clients =
            vec![client("a", 1, pick(&["hgx[0].gpu[0..2]"])), client("b", 1, pick(&["hgx[0].gpu[1]"]))];
        assert_eq!(
            fail(clients),
            [
                "clients[1].cluster[0]: node `hgx[0].gpu[1]` is in two clients, `a` and `b` (a node serves one client only)"
            ]
        );
        let twice = fail(vec![client("a", 1, pick(&["hgx[0].gpu[0]", "hgx[0].gpu[0]"]))]);
        assert!(twice[0].contains("client `a` names node `hgx[0].gpu[0]` twice"), "{twice:?}");
    }

    #[test]
    fn running_out_says_how_many_are_left() {
        assert_eq!(
            fail(vec![client("a", 1, take(&[("gpu", 1)])), client("b", 4, take(&[("gpu", 2)]))]),
            [
                "clients[1].cluster: client `b` wants 8 `gpu` nodes of platform `hgx` (4 × 2 `gpu`), but only 7 `gpu` are \
              left (3 such clients fit; lower the client's count or raise the platform's)"
            ]
        );
    }

    #[test]
    fn nodes_that_do_not_exist_are_named() {
        for (cluster, message) in [
            (
                take(&[("gpus", 1)]),
                "clients[0].cluster.nodes[0][0]: platform `hgx` has no group `gpus` (did you mean `gpu`?",
            ),
            (
                take(&[("gpu", 5)]),
                "clients[0].cluster.nodes[0][1]: 5 `gpu` nodes are wanted, but each `hgx` has 4",
            ),
            (pick(&["hgz[0].gpu[0]"]), "clients[0].cluster[0]: unknown platform `hgz` (did you mean `hgx`?"),
            (
                pick(&["hgx[2].gpu[0]"]),
                "clients[0].cluster[0]: there is no `hgx[2]` (platform `hgx` has a count of 2)",
            ),
            (pick(&["hgx[0].gpu[2..5]"]), "clients[0].cluster[0]: there is no node 4 in group `gpu`"),
        ] {
            let found = fail(vec![client("a", 1, cluster)]);
            assert!(found[0].starts_with(message), "{found:?}");
        }
    }

    #[test]
    fn absurd_counts_end_in_a_message() {
        let mut scenario = scenario(vec![client("a", 1, take(&[("gpu", 1)]))]);
        scenario.platforms[0].count = u32::MAX;
        scenario.platforms[0].nodes[0].count = u32::MAX;
        assert!(carve(&scenario).unwrap_err()[0].message.contains("more than the 10000000"));
    }
}
