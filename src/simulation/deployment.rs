//! A scenario's clients on their clusters: what hardware each has, what it can do there, what it costs.

use std::collections::BTreeMap;

use bevy_ecs::world::World;

use crate::catalog::{self, Accelerator, Catalog};
use crate::clients::{ClientRegistry, Deployed, Fact, Site, model_problem, unknown_name};
use crate::metrics::Price;
use crate::scenario::{Carving, Cluster, PlatformSpec, Problem, Scenario, carve, did_you_mean};

/// The deployment that a scenario describes.
pub struct Deployment {
    /// One entry a client entry of the scenario, in its order.
    pub groups: Vec<Group>,
    /// What all of it costs by the hour.
    pub price: Price,
    pub(super) carving: Carving,
    /// The model each class of traffic asks for, by its name in the catalog.
    pub(super) workload_models: Vec<String>,
}

/// The identical clients of one entry.
pub struct Group {
    /// The entry's name.
    pub name: String,
    /// Clients in it.
    pub clients: u32,
    /// Accelerators of each.
    pub accelerators: u32,
    pub(super) deployed: Box<dyn Deployed>,
}

impl Group {
    /// What `mist check` says about each client.
    pub fn facts(&self) -> Vec<Fact> {
        self.deployed.facts()
    }

    /// The model the clients serve.
    pub fn model(&self) -> &str {
        self.deployed.model()
    }
}

impl Deployment {
    /// Works the deployment out from a scenario whose choices are settled.
    pub(super) fn plan(scenario: &Scenario, world: &World) -> Result<Self, Vec<Problem>> {
        let own;
        let catalog = match &scenario.catalog {
            None => Catalog::embedded(),
            Some(folder) => {
                own = Catalog::with_folder(folder.as_ref())
                    .map_err(|error| vec![Problem::new("catalog", error.to_string())])?;
                &own
            }
        };
        let hardware = Hardware::look_up(scenario, catalog)?;
        let carving = carve(scenario)?;
        let mut groups = Vec::new();
        let mut problems = Vec::new();
        for (at, client) in scenario.clients.iter().enumerate() {
            // All clients of an entry take the same nodes of equal machines, so one speaks for all.
            let Some(cluster) = carving.clusters.iter().find(|cluster| cluster.client == at) else {
                continue;
            };
            let nodes = hardware.of(cluster, &carving);
            let path = format!("clients[{at}].runs");
            let kind = world.resource::<ClientRegistry>().resolve(&client.runs);
            let site = Site { catalog, nodes: &nodes, world };
            let deployed =
                kind.map_err(|error| vec![error.into_problem("")]).and_then(|kind| kind.built.deploy(&site));
            match deployed {
                Ok(deployed) => groups.push(Group {
                    name: client.name.clone(),
                    clients: client.count,
                    accelerators: nodes.iter().filter(|node| node.is_accelerator()).count() as u32,
                    deployed,
                }),
                Err(wrong) => problems.extend(wrong.into_iter().map(|problem| problem.under(&path))),
            }
        }
        let mut workload_models = Vec::new();
        if problems.is_empty() {
            match asked_for(scenario, &groups, catalog) {
                Ok(models) => workload_models = models,
                Err(wrong) => problems.extend(wrong),
            }
        }
        let price = match hardware.price(scenario, &carving, catalog) {
            Ok(price) => price,
            Err(problem) => {
                problems.push(problem);
                Price::Unknown(String::new())
            }
        };
        if problems.is_empty() { Ok(Self { groups, price, carving, workload_models }) } else { Err(problems) }
    }

    /// Numbers the node groups of all platforms.
    pub(super) fn sku(scenario: &Scenario, platform: usize, group: usize) -> u16 {
        let before: usize = scenario.platforms[..platform].iter().map(|platform| platform.nodes.len()).sum();
        (before + group) as u16
    }
}

/// The catalogued hardware of each platform's node groups.
struct Hardware<'a> {
    groups: Vec<Vec<&'a Accelerator>>,
}

impl<'a> Hardware<'a> {
    fn look_up(scenario: &Scenario, catalog: &'a Catalog) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut groups = Vec::new();
        for (p, platform) in scenario.platforms.iter().enumerate() {
            let mut found = Vec::new();
            for (g, group) in platform.nodes.iter().enumerate() {
                match catalog.accelerator(&group.hardware) {
                    Ok(accelerator) => found.push(accelerator),
                    Err(unknown) => {
                        let path = format!("platforms[{p}].nodes[{g}].hardware");
                        problems.push(unknown_name(&path, &unknown));
                    }
                }
            }
            groups.push(found);
        }
        if problems.is_empty() { Ok(Self { groups }) } else { Err(problems) }
    }

    fn of(&self, cluster: &Cluster, carving: &Carving) -> Vec<&'a Accelerator> {
        let site = |node: &u32| &carving.nodes[*node as usize];
        cluster.nodes.iter().map(site).map(|site| self.groups[site.platform][site.group]).collect()
    }

    /// A machine with a price costs all of it as soon as one client is on it; without one, every
    /// accelerator in a cluster costs its listed share of an instance.
    fn price(&self, scenario: &Scenario, carving: &Carving, catalog: &Catalog) -> Result<Price, Problem> {
        let mut machines: BTreeMap<(usize, u32), Vec<&Accelerator>> = BTreeMap::new();
        for node in carving.clusters.iter().flat_map(|cluster| &cluster.nodes) {
            let site = &carving.nodes[*node as usize];
            machines
                .entry((site.platform, site.instance))
                .or_default()
                .push(self.groups[site.platform][site.group]);
        }
        let mut usd_per_hour = 0.0;
        for ((platform, _), nodes) in machines {
            let spec = &scenario.platforms[platform];
            if let Some(usd) = spec.usd_per_hour {
                usd_per_hour += usd.get();
            } else if let Some(instance) = &spec.price {
                let path = format!("platforms[{platform}].price");
                let price = catalog.price(instance).map_err(|unknown| unknown_name(&path, &unknown))?;
                fits(&path, price, &self.groups[platform], spec)?;
                usd_per_hour += price.usd_per_hour;
            } else {
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

/// The model each class of traffic asks for, by its name in the catalog; somebody must serve it.
fn asked_for(scenario: &Scenario, groups: &[Group], catalog: &Catalog) -> Result<Vec<String>, Vec<Problem>> {
    let served: Vec<&str> = groups.iter().map(Group::model).collect();
    let (mut models, mut problems) = (Vec::new(), Vec::new());
    for (at, workload) in scenario.workload.iter().enumerate() {
        let path = format!("workload[{at}].model");
        match catalog.model_or_config(&workload.model) {
            Ok(model) if served.contains(&model.name.as_str()) => models.push(model.name.clone()),
            Ok(model) => {
                let message = format!("no client serves `{}`", model.name);
                let help = did_you_mean(&model.name, served.iter().copied());
                problems.push(Problem::new(path, message).help(help));
            }
            Err(error) => problems.push(model_problem(&path, &error)),
        }
    }
    if problems.is_empty() { Ok(models) } else { Err(problems) }
}
