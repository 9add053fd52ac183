//! Settings that are in order by themselves and yet without effect in the deployment that they are part of.

use bevy_ecs::world::World;

use super::deployment::Group;
use crate::clients::Generates;
use crate::coordinator::routing::RoutingRegistry;
use crate::request::pipeline::{Programs, Served};
use crate::scenario::{CoordinatorSpec, DecodeChoice, Findings, Problem};

/// A deployment, as far as it decides what settings come to.
pub(super) struct Effects<'a> {
    pub coordinator: &'a CoordinatorSpec,
    pub groups: &'a [Group],
    pub models: &'a [Served],
    pub programs: &'a Programs,
}

const SHARE: &str = "has no effect: prefill and decode share their clients";

impl Effects<'_> {
    /// Reports every setting that has none.
    pub fn report(&self, world: &World, findings: &mut Findings) {
        self.report_coordinator(world, findings);
        for (at, group) in self.groups.iter().enumerate() {
            let place = |field: &str| format!("clients[{at}].runs.{field}");
            let generates = || group.deployed.offers().into_iter().filter_map(|offer| offer.generates);
            if generates().any(|how: Generates| how.reserved_tokens > 0) && !self.splits(group) {
                let problem = Problem::new(place("num_reserved_decode_tokens"), SHARE);
                findings.report(problem.help("leave it out, or give clients a `role`"));
            }
            if generates().any(|how: Generates| how.lends) && !self.borrows(world) {
                let routing = &self.coordinator.routing.name;
                let message = format!("has no effect: the routing policy {routing} borrows no clients");
                let help = "leave it out, or write `routing: MixedPool` in `coordinator`";
                findings.report(Problem::new(place("lends"), message).help(help));
            }
            if group.deployed.wants_kv_that_is_there() && !self.splits(group) && !self.programs.hand_on_kv() {
                let packing = "has no effect: no KV is there before a request comes";
                let help = "write `prefix_caching: Radix` or `BlockHash`, or another `packing`";
                findings.report(Problem::new(place("packing"), packing).help(help));
            }
        }
    }

    fn report_coordinator(&self, world: &World, findings: &mut Findings) {
        if self.models.iter().any(Served::is_split) {
            return;
        }
        let help = "leave it out, or give clients a `role`";
        if self.coordinator.decode_choice == DecodeChoice::AtArrival {
            findings.report(Problem::new("coordinator.decode_choice", SHARE).help(help));
        }
        if self.borrows(world) {
            let routing = &self.coordinator.routing.name;
            let message =
                format!("{routing} has nobody to borrow from: prefill and decode share their clients");
            let help = "write `routing: TokenJsq`, or give clients a `role`";
            findings.report(Problem::new("coordinator.routing", message).help(help));
        }
    }

    /// Whether the routing policy looks at clients that are lent. One that cannot be made is reported elsewhere.
    fn borrows(&self, world: &World) -> bool {
        let found = world.resource::<RoutingRegistry>().resolve(&self.coordinator.routing);
        found.is_ok_and(|found| (found.built)().borrows())
    }

    /// Whether some model of a group is prefilled and decoded by different clients.
    fn splits(&self, group: &Group) -> bool {
        let models = group.models();
        self.models.iter().any(|served| served.is_split() && models.contains(&served.name))
    }
}
