//! A scenario's clients on their clusters: what hardware each has, what it can do there, what it costs.

use std::collections::BTreeMap;

use bevy_ecs::world::World;

use super::directory::Directory;
use crate::catalog::{self, Accelerator, Catalog, ModelError};
use crate::clients::{ClientRegistry, Deployed, Fact, Site, model_problem, unknown_name};
use crate::metrics::Price;
use crate::scenario::{Carving, Cluster, Findings, PlatformSpec, Problem, Scenario, carve};

/// The deployment that a scenario describes.
pub struct Deployment {
    /// One entry a client entry of the scenario, in its order.
    pub groups: Vec<Group>,
    /// What all of it costs by the hour.
    pub price: Price,
    pub(super) carving: Carving,
    pub(super) directory: Directory,
}

/// What a client calls the facts that a run should not pass over.
const WARNING: &str = "warning";

/// The identical clients of one entry.
pub struct Group {
    /// The entry's name.
    pub name: String,
    /// Clients in it.
    pub clients: u32,
    /// The kind of client, as the scenario names it.
    pub kind: String,
    /// Accelerators of each.
    pub accelerators: u32,
    pub(super) deployed: Box<dyn Deployed>,
}

impl Group {
    /// What `mist check` says about each client.
    pub fn facts(&self) -> Vec<Fact> {
        self.deployed.facts().into_iter().filter(|fact| fact.name != WARNING).collect()
    }

    /// What whoever reads the results should know of each client.
    pub(super) fn warnings(&self) -> impl Iterator<Item = String> {
        let facts = self.deployed.facts().into_iter();
        facts.filter(|fact| fact.name == WARNING).map(|fact| fact.value)
    }

    /// The models the clients serve, if any.
    pub fn models(&self) -> Vec<String> {
        self.deployed.offers().into_iter().filter_map(|offer| offer.model).collect()
    }
}

impl Deployment {
    /// Whether any client keeps the KV of prefixes for other requests.
    pub(super) fn caches_prefixes(&self) -> bool {
        self.groups.iter().any(|group| group.deployed.caches_prefixes())
    }

    /// Works the deployment out from a scenario whose choices are settled. What is wrong goes to
    /// `findings`, as far as it can be told beside what is wrong already; then there is no deployment.
    pub(super) fn plan(scenario: &Scenario, world: &World, findings: &mut Findings) -> Option<Self> {
        let catalog = match Catalog::open(scenario.catalog.as_ref().map(AsRef::as_ref)) {
            Ok(catalog) => catalog,
            Err(error) => {
                findings.report(Problem::new("catalog", error.to_string()));
                return None; // no telling which names there are
            }
        };
        let catalog = &*catalog;
        let hardware = Hardware::look_up(scenario, catalog, findings);
        check_names(scenario, catalog, world, findings);
        if !can_be_carved(scenario, findings) {
            return None;
        }
        let carving = match carve(scenario) {
            Ok(carving) => carving,
            Err(problems) => {
                findings.report_all(problems);
                return None;
            }
        };
        let mut groups = Vec::new();
        for (at, client) in scenario.clients.iter().enumerate() {
            // All clients of an entry take the same nodes of equal machines, so one speaks for all.
            let Some(cluster) = carving.clusters.iter().find(|cluster| cluster.client == at) else {
                continue;
            };
            let path = format!("clients[{at}].runs");
            let Some(nodes) = hardware.of(cluster, &carving).filter(|_| findings.is_sound(&path)) else {
                continue;
            };
            let kind = world.resource::<ClientRegistry>().resolve(&client.runs);
            let site = Site { catalog, nodes: &nodes, world };
            let deployed =
                kind.map_err(|error| vec![error.into_problem("")]).and_then(|kind| kind.built.deploy(&site));
            match deployed {
                Ok(deployed) => groups.push(Group {
                    name: client.name.clone(),
                    clients: client.count,
                    kind: client.runs.name.clone(),
                    accelerators: nodes.iter().filter(|node| node.is_accelerator()).count() as u32,
                    deployed,
                }),
                Err(wrong) => findings.report_all(wrong.into_iter().map(|problem| problem.under(&path))),
            }
        }
        let directory = (groups.len() == scenario.clients.len())
            .then(|| Directory::plan(scenario, &groups, catalog, world, findings))
            .flatten();
        let price = match hardware.price(scenario, &carving, catalog) {
            Ok(price) => price,
            Err(problem) => {
                findings.report(problem);
                return None;
            }
        };
        let directory = directory.filter(|_| findings.is_empty())?;
        Some(Self { groups, price, carving, directory })
    }

    /// Numbers the node groups of all platforms.
    pub(super) fn sku(scenario: &Scenario, platform: usize, group: usize) -> u16 {
        let before: usize = scenario.platforms[..platform].iter().map(|platform| platform.nodes.len()).sum();
        (before + group) as u16
    }
}

/// Whether nodes can be shared out: with one wrong count, nobody's share is known.
fn can_be_carved(scenario: &Scenario, findings: &Findings) -> bool {
    let platforms = scenario.platforms.iter().enumerate().flat_map(|(at, platform)| {
        let path = format!("platforms[{at}]");
        let nodes = (0..platform.nodes.len()).map(|node| format!("{path}.nodes[{node}]"));
        let fields = nodes.flat_map(|node| ["name", "count"].map(|field| format!("{node}.{field}")));
        fields.chain(["name", "count"].map(|field| format!("{path}.{field}"))).collect::<Vec<_>>()
    });
    let clients = (0..scenario.clients.len())
        .flat_map(|at| ["count", "cluster"].map(|field| format!("clients[{at}].{field}")));
    !scenario.platforms.is_empty()
        && !scenario.clients.is_empty()
        && platforms.chain(clients).all(|path| findings.is_sound(&path))
}

/// Names of the catalog, and settings that are wrong wherever a client is deployed.
fn check_names(scenario: &Scenario, catalog: &Catalog, world: &World, findings: &mut Findings) {
    let mut problems = Vec::new();
    for (at, platform) in scenario.platforms.iter().enumerate() {
        let known = platform.price.as_ref().map(|instance| catalog.price(instance));
        if let Some(Err(unknown)) = known {
            problems.push(unknown_name(&format!("platforms[{at}].price"), &unknown));
        }
    }
    for (at, client) in scenario.clients.iter().enumerate() {
        let path = format!("clients[{at}].runs");
        if let Ok(kind) = world.resource::<ClientRegistry>().resolve(&client.runs) {
            let wrong = kind.built.check(catalog);
            problems.extend(wrong.into_iter().map(|problem| problem.under(&path)));
        }
    }
    for (at, workload) in scenario.workload.iter().enumerate() {
        let model = workload.model.as_ref().map(|model| catalog.model_or_config(model));
        if let Some(Err(error)) = model {
            let problem = model_problem(&format!("workload[{at}].model"), &error);
            let is_file = matches!(error, ModelError::Config(_));
            // The client that serves it has said so.
            if !(is_file && problems.iter().any(|told: &Problem| told.message == problem.message)) {
                problems.push(problem);
            }
        }
    }
    findings.report_all(problems);
}

/// The catalogued hardware of each platform's node groups, as far as it is known.
struct Hardware<'a> {
    groups: Vec<Vec<Option<&'a Accelerator>>>,
}

impl<'a> Hardware<'a> {
    fn look_up(scenario: &Scenario, catalog: &'a Catalog, findings: &mut Findings) -> Self {
        let mut groups = Vec::new();
        for (p, platform) in scenario.platforms.iter().enumerate() {
            let mut found = Vec::new();
            for (g, group) in platform.nodes.iter().enumerate() {
                let accelerator = catalog.accelerator(&group.hardware);
                if let Err(unknown) = &accelerator {
                    let path = format!("platforms[{p}].nodes[{g}].hardware");
                    findings.report(unknown_name(&path, unknown));
                }
                found.push(accelerator.ok());
            }
            groups.push(found);
        }
        Self { groups }
    }

    /// The nodes of a cluster; `None` if one is not known.
    fn of(&self, cluster: &Cluster, carving: &Carving) -> Option<Vec<&'a Accelerator>> {
        let site = |node: &u32| &carving.nodes[*node as usize];
        cluster.nodes.iter().map(site).map(|site| self.groups[site.platform][site.group]).collect()
    }

    /// A machine with a price costs all of it as soon as one client is on it; without one, every
    /// accelerator in a cluster costs its listed share of an instance.
    fn price(&self, scenario: &Scenario, carving: &Carving, catalog: &Catalog) -> Result<Price, Problem> {
        let mut machines: BTreeMap<(usize, u32), Vec<&Accelerator>> = BTreeMap::new();
        for node in carving.clusters.iter().flat_map(|cluster| &cluster.nodes) {
            let site = &carving.nodes[*node as usize];
            let nodes = machines.entry((site.platform, site.instance)).or_default();
            nodes.extend(self.groups[site.platform][site.group]);
        }
        let mut usd_per_hour = 0.0;
        for ((platform, _), nodes) in machines {
            let spec = &scenario.platforms[platform];
            if let Some(usd) = spec.usd_per_hour {
                usd_per_hour += usd.get();
            } else if let Some(instance) = &spec.price {
                let path = format!("platforms[{platform}].price");
                let price = catalog.price(instance).map_err(|unknown| unknown_name(&path, &unknown))?;
                let groups: Option<Vec<_>> = self.groups[platform].iter().copied().collect();
                if let Some(groups) = groups {
                    fits(&path, price, &groups, spec)?;
                }
                usd_per_hour += price.usd_per_hour;
            } else {
                let has_none = self.groups[platform].iter().flatten().all(|node| !node.is_accelerator());
                if has_none {
                    let message =
                        format!("`{}` has no accelerator to go by; say its `usd_per_hour`", spec.name);
                    return Ok(Price::Unknown(message));
                }
                for node in nodes.into_iter().filter(|node| node.is_accelerator()) {
                    let Some(price) = catalog.default_price(&node.name) else {
                        return Ok(Price::Unknown(format!("no on-demand price is listed for {}", node.name)));
                    };
                    usd_per_hour += price.usd_per_gpu_hour();
                }
            }
        }
        Ok(Price::UsdPerHour(usd_per_hour))
    }
}

/// Whether a machine of the scenario is what the priced instance has in it.
fn fits(
    path: &str,
    price: &catalog::Price,
    groups: &[&Accelerator],
    spec: &PlatformSpec,
) -> Result<(), Problem> {
    let named = groups.iter().zip(&spec.nodes).filter(|(hardware, _)| hardware.is_accelerator());
    let has: Vec<String> =
        named.map(|(hardware, group)| format!("{} × {}", group.count, hardware.name)).collect();
    let sold = format!("{} × {}", price.gpus, price.accelerator);
    if has == [sold.as_str()] {
        return Ok(());
    }
    let message =
        format!("`{}` has {sold}, but a machine of `{}` has {}", price.instance, spec.name, has.join(", "));
    Err(Problem::new(path, message).help("name an instance with the same hardware, or say `usd_per_hour`"))
}
