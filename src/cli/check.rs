//! `mist check`: what a scenario comes to, without running it.

use super::failure::Failure;
use super::options::ScenarioOptions;
use super::terminal;
use crate::metrics;
use crate::output::figures::{plain, thousands, usd};
use crate::output::page::{FIRM, Page};
use crate::scenario::{ClientSpec, ClusterSpec, PlatformSpec, Scenario, SloSpec, WorkloadSpec, carve};
use crate::simulation::{Deployment, Group, Run, Simulation};
use crate::units::{Bandwidth, Span};

/// Prints what the scenario was understood to be.
pub(super) fn check(options: ScenarioOptions, simulation: Simulation) -> Result<(), Failure> {
    let run = options.apply(simulation).load(&options.file)?;
    terminal::print(describe(&run).as_bytes())
}

fn describe(run: &Run) -> String {
    let (scenario, deployment) = (run.scenario(), run.deployment());
    let mut page = Page::new(80, 22);
    page.heading(&format!("{} is ready to run", scenario.name.as_deref().unwrap_or("the scenario")));
    page.row(1, "seed", &scenario.seed.to_string());
    page.row(1, "ends", &end(scenario));
    page.row(1, "price", &price(&deployment.price));
    page.heading("Platforms");
    for (at, platform) in scenario.platforms.iter().enumerate() {
        page.row(1, &platform.name, &machines(platform));
        page.row(2, "in use", &in_use(scenario, at));
        page.row(2, "price", &listing(platform));
    }
    page.heading("Clients");
    for (client, group) in scenario.clients.iter().zip(&deployment.groups) {
        clients(&mut page, client, group);
    }
    page.heading("Routing");
    page.row(1, "policy", &scenario.coordinator.routing.to_string());
    page.row(1, "latency", &time(scenario.coordinator.latency));
    if let Some(link) = &scenario.coordinator.kv_transfer {
        page.row(1, "KV moves at", &speed(link.bandwidth, link.latency));
        if let Some(local) = &link.local {
            page.row(1, "", &format!("{} within a machine", speed(local.bandwidth, local.latency)));
        }
        page.row(1, "decoder chosen", &format!("{:?}", scenario.coordinator.decode_choice));
    }
    for (model, serving) in pools(deployment) {
        page.row(1, &model, &serving);
    }
    page.heading("Workload");
    for class in &scenario.workload {
        traffic(&mut page, class);
    }
    let notes = run.notes();
    if !notes.is_empty() {
        page.heading("Notes");
    }
    for note in notes {
        page.row(1, &note.path, &note.message);
    }
    page.into_text()
}

fn end(scenario: &Scenario) -> String {
    let done = "when every request has left";
    scenario.horizon.map_or(done.to_owned(), |horizon| format!("{done}, at {} at the latest", time(horizon)))
}

fn price(price: &metrics::Price) -> String {
    match price {
        metrics::Price::UsdPerHour(amount) => format!("{} an hour", usd(*amount)),
        metrics::Price::Unknown(why) => format!("not known: {why}"),
    }
}

fn machines(platform: &PlatformSpec) -> String {
    let nodes: Vec<String> = (platform.nodes.iter())
        .map(|group| format!("{} × {} (`{}`)", group.count, group.hardware, group.name))
        .collect();
    let machines = if platform.count == 1 { "machine" } else { "machines" };
    format!("{} {machines} with {}", thousands(platform.count.into()), nodes.join(" and "))
}

/// How many nodes of each group are in a cluster.
fn in_use(scenario: &Scenario, platform: usize) -> String {
    let carving = carve(scenario).unwrap_or_default(); // it was carved before, when it was deployed
    let spec = &scenario.platforms[platform];
    let mut used = vec![0; spec.nodes.len()];
    for node in carving.clusters.iter().flat_map(|cluster| &cluster.nodes) {
        let site = &carving.nodes[*node as usize];
        if site.platform == platform {
            used[site.group] += 1;
        }
    }
    let share = |(group, used): (&crate::scenario::NodeGroup, u64)| {
        let total = u64::from(group.count) * u64::from(spec.count);
        format!("{} of {} `{}`", thousands(used), thousands(total), group.name)
    };
    spec.nodes.iter().zip(used).map(share).collect::<Vec<_>>().join(", ")
}

fn listing(platform: &PlatformSpec) -> String {
    match (&platform.price, platform.usd_per_hour) {
        (Some(instance), _) => format!("a machine in use costs what a {instance} does"),
        (None, Some(amount)) => format!("{} an hour for a machine in use", usd(amount.get())),
        (None, None) => "each accelerator in use costs its share of the largest listed instance".to_owned(),
    }
}

fn clients(page: &mut Page, client: &ClientSpec, group: &Group) {
    let cluster = match &client.cluster {
        ClusterSpec::Take { platform, nodes } => {
            let nodes: Vec<_> = nodes.iter().map(|(group, count)| format!("{count} `{group}`")).collect();
            format!("{} of `{platform}`", nodes.join(" and "))
        }
        ClusterSpec::Pick(sets) => sets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    let each = if group.clients == 1 { "on" } else { "each on" };
    let count = thousands(group.clients.into());
    page.row(1, &group.name, &format!("{count} × {}, {each} {cluster}", client.runs.name));
    for fact in group.facts() {
        page.row(2, fact.name, &fact.value);
    }
    page.row(2, "settings", &client.runs.params.replace(": ", &format!(":{FIRM}")));
}

/// Each model with the clients that serve it, in the order of the scenario.
fn pools(deployment: &Deployment) -> Vec<(String, String)> {
    let mut pools: Vec<(String, u64, Vec<&str>)> = Vec::new();
    for group in &deployment.groups {
        for model in group.models() {
            match pools.iter_mut().find(|pool| pool.0 == model) {
                Some((_, clients, names)) => {
                    *clients += u64::from(group.clients);
                    names.push(&group.name);
                }
                None => pools.push((model, group.clients.into(), vec![&group.name])),
            }
        }
    }
    let words = |(model, clients, names): (_, u64, Vec<&str>)| {
        let noun = if clients == 1 { "client" } else { "clients" };
        (model, format!("{} {noun}: {}", thousands(clients), names.join(", ")))
    };
    pools.into_iter().map(words).collect()
}

fn traffic(page: &mut Page, class: &WorkloadSpec) {
    let requests = class.requests.map_or("as many as come".to_owned(), thousands);
    let asked = class.model.as_ref().map_or(String::new(), |model| format!(" for {model}"));
    page.row(1, &class.name, &format!("{requests} requests{asked}"));
    let stages: Vec<String> = class.pipeline.iter().map(|stage| stage.0.to_string()).collect();
    page.row(2, "pipeline", &stages.join(" → "));
    if let Some(trace) = &class.trace {
        page.row(2, "trace", &trace.path.display().to_string());
        if trace.speedup != 1.0 {
            page.row(2, "speed", &format!("{} times as recorded", trace.speedup));
        }
    }
    for (name, choice) in [("arrivals", &class.arrivals), ("lengths", &class.lengths)] {
        if let Some(choice) = choice {
            page.row(2, name, &choice.to_string());
        }
    }
    let spaced = |text: String| text.replace(':', ": ").replace(',', ", ");
    if !class.prefix.is_empty() {
        page.row(2, "prefix", &spaced(ron::to_string(&class.prefix).unwrap_or_default()));
    }
    if let Some(sessions) = &class.sessions {
        page.row(2, "sessions", &spaced(ron::to_string(sessions).unwrap_or_default()));
    }
    page.row(2, "targets", &targets(&class.slo));
}

fn targets(slo: &SloSpec) -> String {
    let SloSpec { ttft, tpot, e2e } = slo;
    let targets: Vec<String> = [("TTFT", ttft), ("TPOT", tpot), ("E2E", e2e)]
        .into_iter()
        .filter_map(|(name, target)| Some(format!("{name} ≤ {}", time((*target)?))))
        .collect();
    if targets.is_empty() { "none".to_owned() } else { targets.join(", ") }
}

/// A length of time in the unit that suits it.
fn speed(bandwidth: Bandwidth, latency: Span) -> String {
    format!("{} GB/s, after {}", plain(bandwidth.bytes_per_s() / 1e9), time(latency))
}

fn time(span: Span) -> String {
    match span.as_secs() {
        0.0 => "0 s".to_owned(),
        seconds if seconds < 1e-3 => format!("{} µs", plain(seconds * 1e6)),
        seconds if seconds < 1.0 => format!("{} ms", plain(seconds * 1e3)),
        seconds => format!("{} s", plain(seconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        let times = [0.0, 0.0002, 0.05, 0.0125, 1.0, 90.0, 3600.0].map(|s| time(Span::from_secs(s)));
        assert_eq!(times, ["0 s", "200 µs", "50 ms", "12.5 ms", "1 s", "90 s", "3,600 s"]);
    }
}
