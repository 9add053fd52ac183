//! Who gets which nodes, and what is said where there are too few.

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
    let clients = vec![client("a", 1, pick(&["hgx[0].gpu[0..2]"])), client("b", 1, pick(&["hgx[0].gpu[1]"]))];
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
