//! Who can run what: the pools of clients that stages are routed in, and the programs of pipelines.

use std::cell::RefCell;

use bevy_ecs::world::World;

use super::deployment::Group;
use super::effects::Effects;
use super::recorded;
use crate::catalog::{Catalog, ModelError};
use crate::clients::{Generates, model_problem};
use crate::request::StageKind;
use crate::request::pipeline::{self, Program, Programs, Served, StageRegistry};
use crate::scenario::{Findings, Problem, Scenario, WorkloadSpec, did_you_mean};
use crate::workload::{Asks, Vocabulary, Wording};

/// Pipelines over the clients of a deployment.
pub(super) struct Directory {
    /// The pipelines, one a class of traffic, and the models they may run.
    pub programs: Programs,
    /// The groups of clients in each pool.
    pub pools: Vec<Seats>,
    /// What each class of traffic asks for.
    pub asks: Vec<Asks>,
    /// The same in the words of traces.
    pub wordings: Vec<Wording>,
    /// What the rows of a class that is recorded may ask for.
    pub vocabularies: Vec<Vocabulary>,
}

/// The groups of clients that sit in a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seats {
    /// Those at home in it.
    pub homes: Vec<usize>,
    /// Those that may be asked to help out.
    pub guests: Vec<usize>,
}

/// The groups, with the pools that stages were found to need so far.
struct Book<'a> {
    groups: &'a [Group],
    catalog: &'a Catalog,
    models: Vec<Served>,
    pools: RefCell<Vec<Seats>>,
}

impl Directory {
    /// Compiles the pipelines of `scenario` over its `groups`. What is wrong goes to `findings`; then
    /// there may be no directory.
    pub fn plan(
        scenario: &Scenario,
        groups: &[Group],
        catalog: &Catalog,
        world: &World,
        findings: &mut Findings,
    ) -> Option<Self> {
        let book = Book::new(groups, catalog);
        let registry = world.resource::<StageRegistry>();
        let (mut programs, mut asks) = (Vec::new(), Vec::new());
        let (mut wordings, mut vocabularies) = (Vec::new(), Vec::new());
        for (at, class) in scenario.workload.iter().enumerate() {
            let path = format!("workload[{at}]");
            if class.priority != 0 && !groups.iter().any(|group| group.deployed.reads_priority()) {
                let message = "has no effect: no client packs its requests by priority";
                let help = "leave it out, or write `packing: Priority` in the `Llm` clients";
                findings.report(Problem::new(format!("{path}.priority"), message).help(help));
            }
            let stages = format!("{path}.pipeline");
            let compiled = match pipeline::build(&class.pipeline, registry) {
                Ok(steps) => pipeline::compile(&steps, &book),
                // Where the choices were settled that was reported.
                Err(error) => Err(vec![error.into_problem("")]),
            };
            let wrong = |problem: Problem| problem.under(&stages);
            let program = compiled.map_err(|wrongs| wrongs.into_iter().map(wrong).collect::<Vec<_>>());
            let recorded = match recorded::look_through(class, &book, &book.served(), registry) {
                Ok(recorded) => recorded,
                Err(problem) => {
                    findings.report(problem.under(&path));
                    continue;
                }
            };
            let rows_ask = recorded.programs.iter().any(Program::asks_model);
            let asks_model = program.as_ref().ok().map(|program| program.asks_model() || rows_ask);
            match (program, asks_model.map(|asks_model| book.asked(class, asks_model))) {
                (Ok(program), Some(Ok(model))) => {
                    let first = programs.len() as u16;
                    asks.push(Asks { program: first, model, priority: class.priority });
                    let asked = book.models.get(usize::from(model));
                    let moves = asked.is_some_and(Served::is_split);
                    let named = asked.map(|model| model.name.clone());
                    let model = named.filter(|_| program.asks_model()).unwrap_or_default();
                    let mut all = vec![program];
                    let recorded::Recorded { vocabulary, programs: others, mixed } = recorded;
                    all.extend(others);
                    for program in &mut all {
                        program.drop_idle_transfers(&book.models, moves || mixed);
                    }
                    if all.len() > 1 || mixed {
                        Program::mix(&mut all);
                    }
                    programs.extend(all);
                    vocabularies.push(vocabulary.shifted(first + 1));
                    let pipeline = recorded::write(&class.pipeline, registry);
                    wordings.push(Wording { model, pipeline });
                }
                (Err(problems), _) => findings.report_all(problems),
                (_, Some(Err(problem))) => findings.report(problem.under(&path)),
                (Ok(_), None) => {}
            }
        }
        let programs = Programs::new(programs, book.models.clone());
        if scenario.coordinator.kv_transfer.is_none()
            && (0..programs.len() as u16).any(|program| programs.moves_kv(program))
        {
            let message =
                "prefill and decode have clients of their own, but nothing says how KV moves between them";
            let help = "write `kv_transfer: (bandwidth: gb_per_s(50))`";
            findings.report(Problem::new("coordinator", message).help(help));
        }
        let coordinator = &scenario.coordinator;
        Effects { coordinator, groups, models: &book.models, programs: &programs }.report(world, findings);
        let pools = book.pools.into_inner();
        let whole = asks.len() == scenario.workload.len();
        whole.then_some(Self { programs, pools, asks, wordings, vocabularies })
    }
}

impl<'a> Book<'a> {
    fn new(groups: &'a [Group], catalog: &'a Catalog) -> Self {
        let mut book = Self { groups, catalog, models: Vec::new(), pools: RefCell::default() };
        let offers: Vec<(usize, String, Generates)> = groups
            .iter()
            .enumerate()
            .flat_map(|(at, group)| group.deployed.offers().into_iter().map(move |offer| (at, offer)))
            .filter_map(|(at, offer)| Some((at, offer.model?, offer.generates?)))
            .collect();
        for (_, name, first) in &offers {
            if book.models.iter().any(|served| served.name == *name) {
                continue;
            }
            let those = |can: fn(&Generates) -> bool| {
                let serving = offers.iter().filter(|(_, model, how)| model == name && can(how));
                serving.map(|(at, ..)| *at).collect::<Vec<_>>()
            };
            let seats = |homes, guests| Seats { homes: those(homes), guests: those(guests) };
            let prefill =
                book.pool_of(seats(|how| how.role.prefills(), |how| how.lends && !how.role.prefills()));
            let decode =
                book.pool_of(seats(|how| how.role.decodes(), |how| how.lends && !how.role.decodes()));
            let longest = offers.iter().filter(|(_, model, _)| model == name);
            let longest = longest.map(|(.., how)| how.max_model_len).min();
            book.models.push(Served {
                name: name.clone(),
                prefill,
                decode,
                max_model_len: longest.unwrap_or(first.max_model_len),
                kv_bytes_per_token: first.kv_bytes_per_token,
            });
        }
        book
    }

    /// The models that are served, in the order of their numbers.
    fn served(&self) -> Vec<(String, bool)> {
        self.models.iter().map(|model| (model.name.clone(), model.is_split())).collect()
    }

    /// Their names.
    fn names(&self) -> impl Iterator<Item = &str> {
        self.models.iter().map(|served| served.name.as_str())
    }

    /// The pool of these groups.
    fn pool_of(&self, seats: Seats) -> u16 {
        let mut pools = self.pools.borrow_mut();
        let at = pools.iter().position(|pool| *pool == seats).unwrap_or_else(|| {
            pools.push(seats);
            pools.len() - 1
        });
        at as u16
    }

    /// The model that a class of traffic asks for.
    fn asked(&self, class: &WorkloadSpec, asks_model: bool) -> Result<u16, Problem> {
        use pipeline::Directory as _;
        match (&class.model, asks_model) {
            (Some(model), true) => self.model(model).map_err(|problem| problem.under("model")),
            (None, true) => {
                let message = "missing field `model`: a stage of the pipeline takes the request's model";
                let served: Vec<_> = self.models.iter().map(|model| format!("\"{}\"", model.name)).collect();
                let problem = Problem::new("", message);
                Err(if served.is_empty() {
                    problem
                } else {
                    problem.help(format!("write `model: {}`", served.join("` or `model: ")))
                })
            }
            (Some(_), false) => {
                let message = "has no effect: every stage of the pipeline names its own model";
                Err(Problem::new("model", message).help("leave it out"))
            }
            (None, false) => Ok(0),
        }
    }
}

impl pipeline::Directory for Book<'_> {
    fn check(&self, stage: &dyn StageKind) -> Vec<Problem> {
        let mut problems = stage.check(self.catalog);
        // What one of the clients heeds has an effect.
        let runs = self.groups.iter().filter(|group| group.kind == stage.client());
        let ignored = runs.map(|group| group.deployed.ignores(stage)).min_by_key(Vec::len);
        problems.extend(ignored.unwrap_or_default());
        problems
    }

    fn moves_kv(&self, model: Option<&str>) -> bool {
        let of = |served: &&Served| model.is_none_or(|model| served.name == model);
        // A model from a file goes by its name there, which any of them may be.
        let known = model.is_some_and(|model| self.models.iter().any(|served| served.name == model));
        self.models.iter().filter(|served| !known || of(served)).any(Served::is_split)
    }

    fn pool(&self, kind: &str, model: Option<&str>) -> Result<u16, Problem> {
        let of_kind = |at: &usize| self.groups[*at].kind == kind;
        let serves = |at: &usize| {
            let offers = self.groups[*at].deployed.offers();
            model.is_none_or(|model| offers.iter().any(|offer| offer.model.as_deref() == Some(model)))
        };
        let all: Vec<usize> = (0..self.groups.len()).filter(of_kind).collect();
        if all.is_empty() {
            let kinds: Vec<&str> = self.groups.iter().map(|group| group.kind.as_str()).collect();
            let message = format!("it takes a client that runs `{kind}`, and there is none");
            let help = format!("add one to `clients`, which run {}", kinds.join(", "));
            return Err(Problem::new("", message).help(help));
        }
        let those: Vec<usize> = all.into_iter().filter(serves).collect();
        if those.is_empty() {
            let model = model.unwrap_or_default();
            return Err(Problem::new("", format!("no client that runs `{kind}` serves `{model}`")));
        }
        Ok(self.pool_of(Seats { homes: those, guests: Vec::new() }))
    }

    fn model(&self, name: &str) -> Result<u16, Problem> {
        let serving = |name: &str| self.models.iter().position(|served| served.name == name);
        // A client's model may come from a file, and then has its name from there.
        let at = if let Some(at) = serving(name) {
            Some(at)
        } else {
            let model = self.catalog.model_or_config(name).map_err(|error| {
                let problem = model_problem("", &error);
                // Of the models there are, those that somebody serves.
                match error {
                    ModelError::Unknown(_) => problem.help(did_you_mean(name, self.names())),
                    ModelError::Config(_) => problem,
                }
            })?;
            serving(&model.name)
        };
        let at = at.ok_or_else(|| {
            let message = format!("no client serves `{name}`");
            Problem::new("", message).help(did_you_mean(name, self.names()))
        })?;
        let Served { prefill, decode, .. } = self.models[at];
        let pools = self.pools.borrow();
        for (pool, verb, role) in [(prefill, "prefills", "Prefill"), (decode, "decodes", "Decode")] {
            if pools[usize::from(pool)].homes.is_empty() {
                let message = format!("no client {verb} `{name}`");
                let help =
                    format!("add one with `role: {role}`, or leave out the `role` of those that serve it");
                return Err(Problem::new("", message).help(help));
            }
        }
        Ok(at as u16)
    }
}
