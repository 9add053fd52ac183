//! Explains a field of the language: what it means, what it takes, what stands in it by default.
//!
//! The words are the doc comments of the types, carried by their JSON schemas. What stands inside
//! an open choice comes from the registry that resolves it, entered in [`Kinds`].

mod place;
mod reference;
pub(super) mod words;

use std::collections::{BTreeMap, BTreeSet};

use schemars::{Schema, schema_for};
use serde_json::Value;

use self::place::Place;
pub use self::reference::reference;
use super::path::{To, steps};
use super::{Problem, Registry, Scenario, did_you_mean};

/// The open choices that can be explained: for each kind, the names and their parameters.
#[derive(Clone, Debug, Default)]
pub struct Kinds {
    kinds: BTreeMap<String, BTreeMap<String, Schema>>,
    /// Forms of the files beside a scenario, by what they hold.
    files: BTreeMap<String, Schema>,
}

impl Kinds {
    /// Enters all that `registry` knows, under [`Registry::what`]: the same words as in the
    /// `x-choice` of the fields that hold such a choice.
    pub fn add<B: Send + Sync + 'static>(&mut self, registry: &Registry<B>) -> &mut Self {
        let entries = self.kinds.entry(registry.what().to_owned()).or_default();
        for name in registry.names() {
            if let Some(schema) = registry.schema(name) {
                entries.insert(name.to_owned(), schema.clone());
            }
        }
        self
    }

    /// Enters the form of an entry in the files that hold `what`.
    pub fn file(&mut self, what: &str, entry: Schema) -> &mut Self {
        self.files.insert(what.to_owned(), entry);
        self
    }

    /// The forms of files, in alphabetical order.
    fn files(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.files.iter().map(|(what, schema)| (what.as_str(), schema.as_value()))
    }

    /// The kinds, in alphabetical order.
    fn names(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().map(String::as_str)
    }

    /// The names of a kind of choice, each with the schema of its parameters.
    fn of(&self, kind: &str) -> impl Iterator<Item = (&str, &Value)> {
        let entries = self.kinds.get(kind).into_iter().flatten();
        entries.map(|(name, schema)| (name.as_str(), schema.as_value()))
    }
}

/// What `path` is for, in plain text: `workload.arrivals.rate`, `clients[0].cluster`, or `""` for
/// the top level.
///
/// Indices may be left out. Inside an open choice a field may follow at once, as in a scenario, or
/// after a name of the choice: `workload.arrivals.Poisson.rate`. A name alone is looked for everywhere, and
/// may be that of a [form of file](Kinds::file).
///
/// # Errors
/// There is no such field.
pub fn explain(path: &str, kinds: &Kinds) -> Result<String, Problem> {
    let language = schema_for!(Scenario);
    let files = kinds.files().filter(|(what, _)| what.split(' ').next() == Some(path));
    let files: Vec<String> = files.map(|(what, entry)| Place::choice(what, entry).text(kinds)).collect();
    if !files.is_empty() {
        return Ok(files.join("\n"));
    }
    let mut places = vec![Place::root(language.as_value())];
    let bad_path = |_| Problem::new(path, "this is no path of a field").help("such as `workload.requests`");
    for step in steps(path).map_err(bad_path)? {
        let To::Field(name) = &step.to else { continue };
        let mut next = find(&places, name, kinds);
        if next.is_empty() && step.range.start == 0 {
            let files = kinds.files().filter(|(what, _)| what.split(' ').next() == Some(name));
            next = files.map(|(what, entry)| Place::choice(what, entry)).collect();
        }
        if next.is_empty() {
            if name == path
                && let Some(text) = elsewhere(name, kinds, &language)
            {
                return Ok(text);
            }
            let owner = path[..step.range.start].trim_end_matches('.');
            let owner = if owner.is_empty() { "a scenario".to_owned() } else { format!("`{owner}`") };
            let names: Vec<&str> =
                places.iter().flat_map(|place| place.children(kinds)).map(|(name, _)| name).collect();
            let help = did_you_mean(name, names);
            return Err(Problem::new(path, format!("{owner} has no field `{name}`")).help(help));
        }
        places = next;
    }
    Ok(places.iter().map(|place| place.text(kinds)).collect::<Vec<_>>().join("\n"))
}

/// What a name alone stands for, wherever that is; all places by their path if there are several.
fn elsewhere(wanted: &str, kinds: &Kinds, language: &Schema) -> Option<String> {
    let mut places = vec![Place::root(language.as_value())];
    let mut found: Vec<Place> = Vec::new();
    let mut met = BTreeSet::new();
    while let Some(place) = places.pop() {
        for (name, child) in place.children(kinds) {
            // A kind of choice may hold itself, and is entered where it is first met.
            let again = child.kind().is_some_and(|kind| !met.insert(kind));
            if name.eq_ignore_ascii_case(wanted) {
                found.push(child.clone());
            }
            if !again {
                places.push(child);
            }
        }
    }
    match found.as_slice() {
        [] => None,
        [only] => Some(only.text(kinds)),
        several => {
            let mut rows: Vec<(String, String)> = several
                .iter()
                .map(|place| (place.path().to_owned(), words::first_sentence(&place.description())))
                .collect();
            rows.sort();
            rows.dedup();
            Some(format!("{wanted}\n{}", words::table("It stands for:", &rows)))
        }
    }
}

/// What `name` may mean inside `places`: a field, a name of a choice, or a field inside one.
fn find<'a>(places: &[Place<'a>], name: &str, kinds: &'a Kinds) -> Vec<Place<'a>> {
    let children: Vec<_> = places.iter().flat_map(|place| place.children(kinds)).collect();
    let direct: Vec<Place> =
        children.iter().filter(|(child, _)| *child == name).map(|(_, place)| place.clone()).collect();
    if !direct.is_empty() {
        return direct;
    }
    let entered = children.into_iter().filter(|(_, place)| place.is_entry()).map(|(_, place)| place);
    let fields = entered.flat_map(|place| place.children(kinds));
    fields.filter(|(child, _)| *child == name).map(|(_, place)| place).collect()
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::scenario::Choice;
    use crate::units::PerSecond;

    /// Independent arrivals at a constant rate.
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Poisson {
        /// Requests per second, above zero.
        rate: PerSecond,
    }

    /// An inference server.
    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(default)]
    struct Llm {
        /// Tokens in a block. Mirrors `--block-size`.
        block_size: u32,
        /// How steps are formed.
        #[schemars(extend("x-choice" = "batching policy"))]
        batching: Choice,
    }

    impl Default for Llm {
        fn default() -> Self {
            Self { block_size: 16, batching: Choice::named("Chunked") }
        }
    }

    /// Prefill in pieces.
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Chunked {
        /// Most tokens in a step.
        limit: Option<u32>,
    }

    fn kinds() -> Kinds {
        let mut arrivals = Registry::new("arrival process");
        arrivals.register("Poisson", |_: Poisson| Ok(()));
        let mut clients = Registry::new("client kind");
        clients.register("Llm", |_: Llm| Ok(()));
        let mut batching = Registry::new("batching policy");
        batching.register("Chunked", |_: Chunked| Ok(()));
        let mut kinds = Kinds::default();
        kinds.add(&arrivals).add(&clients).add(&batching);
        kinds
    }

    fn text(path: &str) -> String {
        explain(path, &kinds()).unwrap()
    }

    #[test]
    fn a_field_is_explained_in_its_own_words() {
        assert_eq!(
            text("clients[0].count"),
            "clients.count: whole number\n\
             \n    How many such clients there are, each on a cluster of its own; at least 1. Default: 1. Mirrors the\
             \n    number of vLLM or SGLang servers started behind a router.\n"
        );
        assert!(
            text("horizon").starts_with("horizon: ns(…) | us(…) | ms(…) | s(…) | min(…) | h(…), or None\n"),
            "{}",
            text("horizon")
        );
        assert!(text("horizon").contains("    ms(number)   Milliseconds."), "{}", text("horizon"));
    }

    #[test]
    fn the_top_level_lists_every_field() {
        let top = text("");
        assert!(top.starts_with("a scenario\n"), "{top}");
        for field in ["mist: whole number", "workload: list of (…)", "name: text, or None"] {
            assert!(top.contains(field), "{field} is not in\n{top}");
        }
    }

    #[test]
    fn closed_choices_list_their_forms() {
        let cluster = text("clients.cluster");
        assert!(cluster.contains("Pick(list of text)  Exactly these nodes"), "{cluster}");
        let nodes = text("clients.cluster.nodes");
        assert!(nodes.starts_with("clients.cluster.Take.nodes: list of (text, whole number)\n"), "{nodes}");
        assert_eq!(text("clients.cluster.Take.nodes"), nodes);
        assert!(text("clients.cluster.Pick").contains("Exactly these nodes"));
        assert!(text("clients").contains("cluster: Take(…) | Pick(…)  "), "{}", text("clients"));
    }

    #[test]
    fn open_choices_are_explained_from_their_registry() {
        let arrivals = text("workload.arrivals");
        assert!(arrivals.contains("Poisson  Independent arrivals at a constant rate."), "{arrivals}");
        let rate = text("workload[0].arrivals.rate");
        assert!(rate.starts_with("workload.arrivals.Poisson.rate: per_s(…) | per_min(…)\n"), "{rate}");
        assert!(rate.contains("Requests per second, above zero."), "{rate}");
        assert_eq!(text("workload.arrivals.Poisson.rate"), rate);
        let block = text("clients.runs.block_size");
        assert!(block.contains("    Default: 16.\n"), "{block}");
        let limit = text("clients.runs.batching.limit");
        assert!(
            limit.starts_with("clients.runs.Llm.batching.Chunked.limit: whole number, or None\n"),
            "{limit}"
        );
        assert!(text("clients.runs.batching").contains("Default: Chunked."));
    }

    #[test]
    fn an_unknown_field_gets_a_suggestion() {
        let problem = explain("workload.reqests", &kinds()).unwrap_err();
        assert_eq!(problem.message, "`workload` has no field `reqests`");
        assert!(problem.help.unwrap().starts_with("did you mean `requests`?"));
        assert_eq!(explain("sed", &kinds()).unwrap_err().message, "a scenario has no field `sed`");
        assert!(explain("seed.x", &kinds()).is_err());
        assert!(explain("a..b", &kinds()).is_err());
    }

    #[test]
    fn a_name_alone_is_found_wherever_it_stands() {
        let said = |name: &str| explain(name, &kinds()).unwrap();
        assert!(said("Poisson").starts_with("workload.arrivals.Poisson"), "{}", said("Poisson"));
        assert!(said("block_size").starts_with("clients.runs.Llm.block_size: "), "{}", said("block_size"));
        assert!(said("count").contains("platforms.count"), "{}", said("count"));
        assert!(explain("nowhere", &kinds()).is_err());
    }

    #[test]
    fn every_field_of_the_language_is_documented() {
        let mut paths = vec![String::new()];
        let kinds = kinds();
        let language = schema_for!(Scenario);
        let mut places = vec![Place::root(language.as_value())];
        while let Some(place) = places.pop() {
            for (name, child) in place.children(&kinds) {
                assert!(!child.description().is_empty(), "`{name}` in {paths:?} has no documentation");
                paths.push(name.to_owned());
                places.push(child);
            }
        }
        assert!(paths.len() > 40);
    }
}
