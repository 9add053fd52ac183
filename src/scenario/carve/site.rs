//! The nodes while they are given out, and who has them.

use super::{Cluster, NodeId, NodeSite};
use crate::scenario::{NodeSet, PlatformSpec, Problem, Scenario, did_you_mean};

/// Most nodes a scenario may have, so that a slip in a count ends in a message.
const MAX_NODES: u64 = 10_000_000;

/// The nodes and who has them.
pub(super) struct Site<'a> {
    scenario: &'a Scenario,
    pub nodes: Vec<NodeSite>,
    /// The client that has a node, by node.
    owner: Vec<Option<usize>>,
    /// The first node of each platform.
    first: Vec<NodeId>,
    /// By platform: the first machine that may have a free node.
    open: Vec<u32>,
}

impl<'a> Site<'a> {
    pub fn new(scenario: &'a Scenario) -> Result<Self, Vec<Problem>> {
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
    pub fn pick(&mut self, client: usize, sets: &[NodeSet], problems: &mut Vec<Problem>) -> Vec<NodeId> {
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
    pub fn take(
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
