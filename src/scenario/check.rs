//! What a scenario must hold to, beyond the types of its fields.

use std::collections::BTreeMap;

use super::{ClusterSpec, Problem, Scenario, WorkloadSpec, check_shared};

/// Everything wrong with `scenario` that needs neither catalog nor registries to see.
pub fn check(scenario: &Scenario) -> Vec<Problem> {
    let mut problems = Vec::new();
    let Scenario { platforms, clients, workload, .. } = scenario;

    if scenario.name.as_ref().is_some_and(|name| name.trim().is_empty()) {
        let help = "leave it out, and it is the file's";
        problems.push(Problem::new("name", "a name is needed, found an empty one").help(help));
    }
    if scenario.name.as_deref().is_some_and(is_unprintable) {
        problems.push(Problem::new("name", UNPRINTABLE));
    }

    at_least_one("platforms", platforms.len(), "platform", &mut problems);
    let groups = platforms.iter().map(|platform| platform.nodes.len()).sum();
    at_most("platforms", groups, "groups of nodes", &mut problems);
    names("platforms", platforms.iter().map(|p| p.name.as_str()), &mut problems);
    for (i, platform) in platforms.iter().enumerate() {
        let path = format!("platforms[{i}]");
        positive(format!("{path}.count"), platform.count.into(), &mut problems);
        no_brackets(format!("{path}.name"), &platform.name, &mut problems);
        at_least_one(&format!("{path}.nodes"), platform.nodes.len(), "group of nodes", &mut problems);
        names(&format!("{path}.nodes"), platform.nodes.iter().map(|g| g.name.as_str()), &mut problems);
        for (j, group) in platform.nodes.iter().enumerate() {
            positive(format!("{path}.nodes[{j}].count"), group.count.into(), &mut problems);
            no_brackets(format!("{path}.nodes[{j}].name"), &group.name, &mut problems);
        }
        if platform.price.is_some() && platform.usd_per_hour.is_some() {
            let message = "`price` and `usd_per_hour` are both given, so one would have no effect";
            problems.push(Problem::new(format!("{path}.usd_per_hour"), message).help("remove one of them"));
        }
    }

    at_least_one("clients", clients.len(), "client", &mut problems);
    names("clients", clients.iter().map(|c| c.name.as_str()), &mut problems);
    for (i, client) in clients.iter().enumerate() {
        positive(format!("clients[{i}].count"), client.count.into(), &mut problems);
        cluster(&format!("clients[{i}]"), client.count, &client.cluster, &mut problems);
    }

    at_least_one("workload", workload.len(), "class of traffic", &mut problems);
    at_most("workload", workload.len(), "classes of traffic", &mut problems);
    names("workload", workload.iter().map(|w| w.name.as_str()), &mut problems);
    for (i, class) in workload.iter().enumerate() {
        positive(format!("workload[{i}].requests"), class.requests.unwrap_or(1), &mut problems);
        origin(i, class, &mut problems);
        problems
            .extend(check_shared(class).into_iter().map(|problem| problem.under(&format!("workload[{i}]"))));
    }

    if let Some(horizon) = scenario.horizon.filter(|horizon| horizon.as_secs() <= 0.0) {
        let message = format!("the horizon must be above zero, found {} s", horizon.as_secs());
        problems
            .push(Problem::new("horizon", message).help("leave it out for none, or write such as `h(1)`"));
    }
    problems
}

fn cluster(path: &str, count: u32, cluster: &ClusterSpec, problems: &mut Vec<Problem>) {
    match cluster {
        ClusterSpec::Take { nodes, .. } => {
            at_least_one(&format!("{path}.cluster.nodes"), nodes.len(), "group of nodes", problems);
            names_at(
                nodes
                    .iter()
                    .enumerate()
                    .map(|(i, (group, _))| (format!("{path}.cluster.nodes[{i}][0]"), group.as_str())),
                problems,
            );
            for (i, &(_, count)) in nodes.iter().enumerate() {
                positive(format!("{path}.cluster.nodes[{i}][1]"), count.into(), problems);
            }
        }
        ClusterSpec::Pick(nodes) => {
            at_least_one(&format!("{path}.cluster"), nodes.len(), "node", problems);
            if count > 1 {
                let message = format!("`Pick` names the nodes of one client, but there are {count}");
                let help = "write one client a `Pick`, or use `Take(platform: …, nodes: …)`";
                problems.push(Problem::new(format!("{path}.cluster"), message).help(help));
            }
        }
    }
}

fn at_least_one(path: &str, found: usize, what: &str, problems: &mut Vec<Problem>) {
    if found == 0 {
        problems.push(Problem::new(path, format!("at least one {what} is needed, found none")));
    }
}

/// They are numbered in 16 bits.
fn at_most(path: &str, found: usize, what: &str, problems: &mut Vec<Problem>) {
    const MOST: usize = u16::MAX as usize;
    if found > MOST {
        problems.push(Problem::new(path, format!("at most {MOST} {what} are possible, found {found}")));
    }
}

fn positive(path: String, count: u64, problems: &mut Vec<Problem>) {
    if count == 0 {
        problems.push(Problem::new(path, "must be at least 1, found 0"));
    }
}

/// Platforms and groups are addressed as `platform[0].group[1]`.
fn no_brackets(path: String, name: &str, problems: &mut Vec<Problem>) {
    if name.contains(['[', ']']) {
        problems.push(Problem::new(path, format!("the name `{name}` must not hold brackets")));
    }
}

fn names<'a>(path: &str, names: impl Iterator<Item = &'a str>, problems: &mut Vec<Problem>) {
    names_at(names.enumerate().map(|(i, name)| (format!("{path}[{i}].name"), name)), problems);
}

const UNPRINTABLE: &str = "a name must not hold line breaks or other control characters";

/// Whether a terminal would take part of the name for a command.
fn is_unprintable(name: &str) -> bool {
    name.contains(char::is_control) && !name.trim().is_empty()
}

/// Names must be there and differ.
fn names_at<'a>(names: impl Iterator<Item = (String, &'a str)>, problems: &mut Vec<Problem>) {
    let mut seen = BTreeMap::new();
    for (path, name) in names {
        if is_unprintable(name) {
            problems.push(Problem::new(path, UNPRINTABLE));
        } else if name.trim().is_empty() {
            problems.push(Problem::new(path, "a name is needed, found an empty one"));
        } else if let Some(first) = seen.get(name) {
            problems.push(Problem::new(path, format!("the name `{name}` is already taken by `{first}`")));
        } else {
            seen.insert(name, path);
        }
    }
}

/// Requests come from a trace, or from arrivals and lengths; from exactly one of the two.
fn origin(i: usize, class: &WorkloadSpec, problems: &mut Vec<Problem>) {
    let drawn = [("arrivals", &class.arrivals), ("lengths", &class.lengths)];
    for (field, choice) in drawn {
        match (&class.trace, choice) {
            (Some(_), Some(_)) => {
                let message = format!("`{field}` has no effect beside a `trace`");
                let help = format!(
                    "leave out either; to take only one of the two from a trace, use `{field}: Trace(…)`"
                );
                problems.push(Problem::new(format!("workload[{i}].{field}"), message).help(help));
            }
            (None, None) => {
                let help = "give `arrivals` and `lengths`, or a `trace` that holds both";
                problems.push(
                    Problem::new(format!("workload[{i}]"), format!("missing field `{field}`")).help(help),
                );
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{WorkloadSpec, sample};

    /// The path and the message of every problem after `edit`.
    fn after(edit: impl FnOnce(&mut Scenario)) -> Vec<String> {
        let mut scenario = sample::scenario();
        edit(&mut scenario);
        check(&scenario).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_good_scenario_has_no_problems() {
        assert!(after(|_| ()).is_empty());
    }

    #[test]
    fn something_is_needed_of_everything() {
        assert_eq!(after(|s| s.clients.clear()), ["clients: at least one client is needed, found none"]);
        assert_eq!(
            after(|s| s.workload.clear()),
            ["workload: at least one class of traffic is needed, found none"]
        );
        assert_eq!(
            after(|s| s.platforms.clear()),
            ["platforms: at least one platform is needed, found none"]
        );
        assert_eq!(after(|s| s.clients[0].count = 0), ["clients[0].count: must be at least 1, found 0"]);
        assert_eq!(
            after(|s| s.workload[0].requests = Some(0)),
            ["workload[0].requests: must be at least 1, found 0"]
        );
        assert_eq!(
            after(|s| {
                s.clients[0].count = 1;
                s.clients[0].cluster = ClusterSpec::Pick(vec![]);
            }),
            ["clients[0].cluster: at least one node is needed, found none"]
        );
    }

    #[test]
    fn there_is_a_most_of_what_is_numbered() {
        let one = sample::scenario().workload[0].clone();
        let many = |count: usize| {
            (0..count).map(|at| WorkloadSpec { name: at.to_string(), ..one.clone() }).collect()
        };
        assert!(after(|s| s.workload = many(65_535)).is_empty());
        let refused = ["workload: at most 65535 classes of traffic are possible, found 65536"];
        assert_eq!(after(|s| s.workload = many(65_536)), refused);
    }

    #[test]
    fn names_are_there_and_differ() {
        assert_eq!(
            after(|s| s.clients.push(s.clients[0].clone())),
            ["clients[1].name: the name `llama` is already taken by `clients[0].name`"]
        );
        assert_eq!(
            after(|s| s.workload[0].name = " ".into()),
            ["workload[0].name: a name is needed, found an empty one"]
        );
        assert_eq!(
            after(|s| s.name = Some("\t".into())),
            ["name: a name is needed, found an empty one (leave it out, and it is the file's)"]
        );
        assert_eq!(
            after(|s| s.platforms[0].name = "a[0]".into()),
            ["platforms[0].name: the name `a[0]` must not hold brackets"]
        );
        let unprintable = "a name must not hold line breaks or other control characters";
        assert_eq!(after(|s| s.name = Some("a\x1b[2J".into())), [format!("name: {unprintable}")]);
        assert_eq!(
            after(|s| s.workload[0].name = "a\nb".into()),
            [format!("workload[0].name: {unprintable}")]
        );
    }

    #[test]
    fn what_would_have_no_effect_is_refused() {
        let both = after(|s| {
            s.platforms[0].price = Some("p5".into());
            s.platforms[0].usd_per_hour = Some(1.0.try_into().unwrap());
        });
        assert!(both[0].starts_with("platforms[0].usd_per_hour: `price` and `usd_per_hour`"), "{both:?}");
        let picked = after(|s| {
            s.clients[0].count = 2;
            s.clients[0].cluster = ClusterSpec::Pick(vec!["hgx[0].gpu[0]".to_owned().try_into().unwrap()]);
        });
        assert!(picked[0].contains("`Pick` names the nodes of one client, but there are 2"), "{picked:?}");
        assert_eq!(after(|s| s.horizon = Some(crate::units::Span::from_secs(0.0))).len(), 1);
    }
}
