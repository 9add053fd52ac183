//! Settings that are in order by themselves and yet without effect in the deployment that they are part of.

use bevy_ecs::world::World;

use super::deployment::Group;
use crate::catalog::Precision;
use crate::clients::{Generates, Role};
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

/// How the clients of a group generate text, if they do.
fn generates(group: &Group) -> impl Iterator<Item = Generates> {
    group.deployed.offers().into_iter().filter_map(|offer| offer.generates)
}

const SHARE: &str = "has no effect: prefill and decode share their clients";

impl Effects<'_> {
    /// Reports every setting that has none.
    pub fn report(&self, world: &World, findings: &mut Findings) {
        self.report_coordinator(world, findings);
        self.report_precisions(findings);
        for (at, group) in self.groups.iter().enumerate() {
            let place = |field: &str| format!("clients[{at}].runs.{field}");
            if generates(group).any(|how| how.reserved_tokens > 0) && !self.splits(group) {
                let problem = Problem::new(place("num_reserved_decode_tokens"), SHARE);
                findings.report(problem.help("leave it out, or give clients a `role`"));
            }
            if generates(group).any(|how| how.role == Role::Decode) && self.nobody_sends_to(group) {
                let message = "has nothing to do: those of `role: Both` decode what they prefill";
                let help = "give those that are to send their KV here `role: Prefill`";
                findings.report(Problem::new(place("role"), message).help(help));
            }
            if generates(group).any(|how| how.lends) && !self.borrows(world) {
                let routing = &self.coordinator.routing.name;
                let message = format!("has no effect: the routing policy {routing} borrows no clients");
                let help = "leave it out, or write `routing: MixedPool` in `coordinator`";
                findings.report(Problem::new(place("lends"), message).help(help));
            }
            if group.deployed.wants_kv_that_is_there() && !self.finds_kv(group) {
                let packing = "has no effect: no KV is there before a request comes";
                let help = "write `prefix_caching: Radix` or `BlockHash`, or another `packing`";
                findings.report(Problem::new(place("packing"), packing).help(help));
            }
        }
    }

    fn report_coordinator(&self, world: &World, findings: &mut Findings) {
        if self.models.iter().any(Served::is_split) {
            if self.borrows(world) && !self.groups.iter().flat_map(generates).any(|how| how.lends) {
                let routing = &self.coordinator.routing.name;
                let message = format!("{routing} has nobody to borrow: no client lends itself");
                let help =
                    "write `lends: true` in clients of `role: Prefill` or `Decode`, or `routing: TokenJsq`";
                findings.report(Problem::new("coordinator.routing", message).help(help));
            }
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

    /// Reports KV that those who receive it keep in another precision: it is handed on as it is, in vLLM
    /// (`cache_dtype` is part of what its NIXL connector compares) as in SGLang (`--kv-cache-dtype`).
    fn report_precisions(&self, findings: &mut Findings) {
        for (to, receiver) in self.groups.iter().enumerate() {
            let others = self.groups.iter().enumerate().filter(|(from, _)| *from != to);
            let mut differing =
                others.filter_map(|(from, sender)| Some((from, self.precisions(sender, receiver)?)));
            if let Some((from, [sent, kept])) = differing.next() {
                let sender = &self.groups[from].name;
                let message = format!("is {kept}, but KV comes in {sent} from `{sender}`, clients[{from}]");
                let help = format!("write the same for both, such as `kv_cache: {sent}`");
                findings.report(Problem::new(format!("clients[{to}].runs.kv_cache"), message).help(help));
            }
        }
    }

    /// The precisions of KV that `sender` may send to `receiver`, there and here, if they differ.
    fn precisions(&self, sender: &Group, receiver: &Group) -> Option<[Precision; 2]> {
        let receives = receiver.deployed.offers();
        sender.deployed.offers().into_iter().find_map(|offer| {
            let sent = offer.generates.filter(Generates::may_prefill)?;
            self.is_split(offer.model.as_deref()?).then_some(())?;
            let kept = receives.iter().find(|other| other.model == offer.model)?.generates?;
            let differ = kept.may_decode() && kept.kv_precision != sent.kv_precision;
            differ.then_some([sent.kv_precision, kept.kv_precision])
        })
    }

    /// Whether the routing policy looks at clients that are lent. One that cannot be made is reported elsewhere.
    fn borrows(&self, world: &World) -> bool {
        let found = world.resource::<RoutingRegistry>().resolve(&self.coordinator.routing);
        found.is_ok_and(|found| (found.built)().borrows())
    }

    /// Whether no client that only prefills, or helps out with it, serves a model of `group`.
    fn nobody_sends_to(&self, group: &Group) -> bool {
        let models = group.models();
        let offers = self.groups.iter().flat_map(|other| other.deployed.offers());
        let mut prefills = false;
        for offer in offers.filter(|offer| offer.model.as_ref().is_some_and(|model| models.contains(model))) {
            match offer.generates {
                Some(how) if how.role == Role::Prefill || how.lends => return false,
                Some(how) => prefills |= how.role == Role::Both,
                None => {}
            }
        }
        prefills
    }

    /// Whether KV may be there for a request before it comes to a client of `group`, which keeps none for others:
    /// brought by a stage, sent to it for decode, or left by an earlier visit.
    fn finds_kv(&self, group: &Group) -> bool {
        let comes = self.splits(group) || self.programs.keep_kv();
        self.programs.bring_kv() || comes && generates(group).any(|how| how.may_decode())
    }

    /// Whether some model of a group is prefilled and decoded by different clients.
    fn splits(&self, group: &Group) -> bool {
        group.models().iter().any(|model| self.is_split(model))
    }

    /// Whether `model` is prefilled and decoded by different clients.
    fn is_split(&self, model: &str) -> bool {
        self.models.iter().any(|served| served.is_split() && served.name == model)
    }
}
