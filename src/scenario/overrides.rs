//! `--set path=value`: changes a value that exists, written in the file or left at its default.
//!
//! The scenario is written out with every default, the value's bytes are replaced, and the whole
//! is read again: so a value set on the command line is held to all that a written one is.

use std::ops::Range;

use super::document::{parse, within};
use super::locate::{children, locate, walk};
use super::path::{Step, To, steps};
use super::read::{options, quoted};
use super::scan::{Kind, Node, scan};
use super::{Document, Problem, did_you_mean};

/// A `--set` argument, kept to be pointed at.
#[derive(Clone, Debug)]
pub(super) struct Override {
    /// The argument as given.
    pub(super) argument: String,
    path: String,
    /// The value's bytes in the argument.
    value: Range<usize>,
    /// The bytes at fault if the argument was not applied.
    fault: Option<Range<usize>>,
}

impl Override {
    /// The bytes of the argument that a problem is about, if it is about what was set here.
    pub(super) fn place(&self, problem: &Problem) -> Option<Range<usize>> {
        if let Some(fault) = &self.fault {
            return (problem.path == self.path).then(|| fault.clone());
        }
        let inner = within(problem, &self.path)?;
        let value = &self.argument[self.value.clone()];
        let part = locate(value, &inner.path).map(|located| match &inner.span {
            Some(span) => located.part(span),
            None => located.value.clone(),
        });
        let shift = |range: Range<usize>| self.value.start + range.start..self.value.start + range.end;
        Some(part.map_or(self.value.clone(), shift))
    }
}

impl Document {
    /// Applies one `--set` argument and says which field it was.
    ///
    /// A word where a string is expected needs no quotes of its own.
    ///
    /// # Errors
    /// The path does not exist or the value does not fit; [`Document::place`] points into the argument.
    pub(super) fn set(&mut self, argument: &str) -> Result<String, Problem> {
        let Some((path, value)) = argument.split_once('=') else {
            let help = "write `--set path=value`, such as `--set seed=7`";
            let problem = Problem::new(argument, "this sets no value").help(help);
            return Err(self.refuse(argument, argument, 0..argument.len(), problem));
        };
        let start = path.len() + 1 + (value.len() - value.trim_start().len());
        let bytes = start..start + value.trim().len();
        let (path, value) = (path.trim(), value.trim());

        let text = options().to_string(&self.scenario).map_err(|error| {
            Problem::new(
                "",
                format!("the scenario cannot be written as RON, so nothing can be set in it: {error}"),
            )
        })?;
        let place = match find(&text, path) {
            Ok(place) => place,
            Err((fault, problem)) => {
                let lead = argument.len() - argument.trim_start().len();
                return Err(self.refuse(argument, path, lead + fault.start..lead + fault.end, problem));
            }
        };
        let kept = Override {
            argument: argument.to_owned(),
            path: path.to_owned(),
            value: bytes.clone(),
            fault: None,
        };
        match replaced(&text, &place, path, value) {
            Ok(scenario) => {
                self.overrides.push(kept);
                self.scenario = scenario;
                self.resolve_paths();
                Ok(path.to_owned())
            }
            Err(problem) => {
                self.overrides.push(kept);
                Err(problem)
            }
        }
    }

    /// Keeps an argument that could not be applied, so that it can be shown.
    fn refuse(&mut self, argument: &str, path: &str, fault: Range<usize>, problem: Problem) -> Problem {
        let (argument, path) = (argument.to_owned(), path.to_owned());
        self.overrides.push(Override { argument, path, value: 0..0, fault: Some(fault) });
        problem
    }
}

/// The bytes of the value at `path`; otherwise the bytes of the path at fault, and the problem.
fn find(text: &str, path: &str) -> Result<Range<usize>, (Range<usize>, Problem)> {
    let nonsense = |fault| {
        (fault, Problem::new(path, "this is no path of a field").help("such as `workload[0].requests`"))
    };
    let steps = steps(path).map_err(nonsense)?;
    let root = scan(text).map_err(|fault| (0..path.len(), Problem::new(path, fault.message)))?;
    let (mut node, mut taken) = walk(text, &root, &steps);
    // The name of a choice may stand in the path, as `mist explain` writes it.
    while let Some(Step { to: To::Field(name), .. }) = steps.get(taken)
        && is_named(text, node, name)
    {
        let (further, count) = walk(text, node, &steps[taken + 1..]);
        (node, taken) = (further, taken + 1 + count);
    }
    let Some(failed) = steps.get(taken) else {
        return if steps.is_empty() { Err(nonsense(0..path.len())) } else { Ok(node.range.clone()) };
    };
    let owner = path[..failed.range.start].trim_end_matches('.');
    let owner = if owner.is_empty() { "the scenario".to_owned() } else { format!("`{owner}`") };
    let (names, places) = children(text, node);
    let message = match &failed.to {
        To::Field(name) => format!("{owner} has no field `{name}`"),
        To::Index(index) => format!("{owner} has no element {index}"),
    };
    let help = match places {
        0 if names.is_empty() => "it holds a single value".to_owned(),
        0 => {
            let name = &path[failed.range.clone()];
            did_you_mean(name, names.iter().map(String::as_str))
        }
        1 => "it has one element: `[0]`".to_owned(),
        _ => format!("it has {places} elements: `[0]` to `[{}]`", places - 1),
    };
    Err((failed.range.clone(), Problem::new(path, message).help(help)))
}

/// Whether `node` is a choice of that name.
fn is_named(text: &str, node: &Node, choice: &str) -> bool {
    matches!(&node.kind, Kind::Group { name, .. } if text[name.clone()] == *choice)
}

/// The scenario in `text` with the value at `place` replaced.
fn replaced(text: &str, place: &Range<usize>, path: &str, value: &str) -> Result<super::Scenario, Problem> {
    let attempt = |value: &str| {
        // On its own first, so that it cannot spill into the fields beside it.
        match scan(value) {
            Err(_) if value.is_empty() => return Err(Problem::new(path, "a value is missing")),
            Err(fault) => return Err(Problem::new(path, fault.message)),
            Ok(node) if node.range != (0..value.len()) => {
                return Err(Problem::new(path, "expected one value and nothing beside it"));
            }
            Ok(_) => {}
        }
        let mut edited = text.to_owned();
        edited.replace_range(place.clone(), value);
        parse(&edited).map_err(|problem| blame(problem, path))
    };
    let quoted = quoted(value);
    let is_string = text[place.clone()].starts_with('"');
    let has_quotes = value.starts_with(['"', 'r']) && value.ends_with(['"', '#']);
    if value.is_empty() || has_quotes {
        attempt(value)
    } else if is_string && value != "None" {
        attempt(&quoted).or_else(|_| attempt(value))
    } else {
        attempt(value).or_else(|problem| attempt(&quoted).map_err(|_| problem))
    }
}

/// The rest of the scenario was read before, so whatever is wrong now came with the value at `path`.
fn blame(problem: Problem, path: &str) -> Problem {
    if within(&problem, path).is_some() {
        problem
    } else {
        Problem { path: path.to_owned(), span: None, ..problem }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::scenario::{Choice, Place, Problem, sample};
    use crate::units::Span;

    /// The sample after some `--set`s, without registries.
    fn set(arguments: &[&str]) -> Result<crate::scenario::Scenario, (Problem, String)> {
        let mut document = sample::document();
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        match document.settle(&arguments, &mut |_, _| ()) {
            Ok(()) => Ok(document.scenario),
            Err(problems) => {
                let pointed_at = match document.place(&problems[0]) {
                    Place::Set(argument, range) => argument[range].to_owned(),
                    place => format!("{place:?}"),
                };
                Err((problems[0].clone(), pointed_at))
            }
        }
    }

    /// What went wrong, and the part of the argument pointed at.
    fn fail(argument: &str) -> (String, String) {
        let (problem, pointed_at) = set(&[argument]).unwrap_err();
        (problem.message, pointed_at)
    }

    #[test]
    fn written_values_and_defaults_can_be_set() {
        let scenario = set(&[
            "seed=7",
            "workload[0].requests = 100",
            "workload[0].arrivals.Poisson.rate=per_s(9)",
            "clients[0].runs.batching=Continuous",
            "clients[0].cluster.Take.nodes[0][1]=4",
            "horizon=s(30)",
            "coordinator.latency=us(5)",
            "workload[0].slo.e2e=s(9)",
        ])
        .unwrap();
        assert_eq!((scenario.seed, scenario.workload[0].requests), (7, Some(100)));
        assert_eq!(scenario.workload[0].arrivals, Some(Choice::new("Poisson", "rate: per_s(9)")));
        assert_eq!(scenario.clients[0].runs.params, "model: \"Llama-3.1-70B\", batching: Continuous");
        assert_eq!(scenario.horizon, Some(Span::from_secs(30.0)));
        assert_eq!(scenario.workload[0].slo.e2e, Some(Span::from_secs(9.0)));
        assert_eq!(set(&["seed=1", "seed=2"]).unwrap().seed, 2);
    }

    #[test]
    fn strings_need_no_quotes() {
        for (argument, name) in [("name=fast", "fast"), ("name=\"fast\"", "fast"), ("name=a b (c", "a b (c")]
        {
            assert_eq!(set(&[argument]).unwrap().name.unwrap(), name, "{argument}");
        }
        let scenario = set(&["workload[0].model=Llama-3.1-8B", "clients[0].runs.model=Qwen3-8B"]).unwrap();
        assert_eq!(scenario.workload[0].model.as_deref(), Some("Llama-3.1-8B"));
        assert!(scenario.clients[0].runs.params.starts_with("model: \"Qwen3-8B\""));
        assert_eq!(set(&["name=None"]).unwrap().name, None);
        assert!(set(&["platforms[0].price=p5.48xlarge"]).unwrap().platforms[0].price.is_some());
    }

    #[test]
    fn a_path_that_does_not_exist_is_pointed_at() {
        let (problem, pointed_at) = set(&["workload[0].reqests=5"]).unwrap_err();
        assert_eq!(problem.message, "`workload[0]` has no field `reqests`");
        assert!(problem.help.unwrap().starts_with("did you mean `requests`?"));
        assert_eq!(pointed_at, "reqests");
        let (problem, pointed_at) = set(&["clients[3].name=x"]).unwrap_err();
        assert_eq!((problem.message.as_str(), pointed_at.as_str()), ("`clients` has no element 3", "[3]"));
        assert_eq!(problem.help.unwrap(), "it has one element: `[0]`");
        assert_eq!(fail("seed"), ("this sets no value".into(), "seed".into()));
        assert_eq!(fail("a..b=3"), ("this is no path of a field".into(), "..b".into()));
        assert_eq!(fail("=3").0, "this is no path of a field");
        assert_eq!(fail("seed.x=3"), ("`seed` has no field `x`".into(), "x".into()));
    }

    #[test]
    fn a_bad_value_is_pointed_at() {
        assert_eq!(
            fail("seed=many"),
            ("expected a whole number, 0 to 18446744073709551615, found `many`".into(), "many".into())
        );
        assert_eq!(fail("horizon=ms(-1)").1, "ms(-1)");
        assert_eq!(fail("seed=1, name: 3").1, "1, name: 3");
        assert_eq!(fail("seed=").0, "a value is missing");
        assert_eq!(
            fail("workload[0].slo=(ttft: ms(1), tpt: s(1))"),
            ("unknown field `tpt`".into(), "tpt".into())
        );
        assert_eq!(
            fail("clients[0].cluster=Tke(platform: \"hgx\")"),
            ("unknown value `Tke`".into(), "Tke".into())
        );
        assert_eq!(fail("clients[0].count=0"), ("must be at least 1, found 0".into(), "0".into()));
        assert_eq!(fail("clients=[]"), ("at least one client is needed, found none".into(), "[]".into()));
        assert!(fail("mist=2").0.contains("written for scenario language 2"));
        assert_eq!(fail("seed=(((").1, "(((");
        assert_eq!(fail("seed=#:]é").0, "comments begin with `//`");
    }

    proptest! {
        #[test]
        fn no_argument_makes_it_panic(
            path in "(seed|name|catalog|clients\\[0\\]\\.(runs|cluster|name)(\\.model)?|[a-z.=\\[\\]0]{0,8})",
            value in "[\\[\\](){},:\"'/*#rb\\\\ é1=-]{0,12}|\\PC{0,8}",
        ) {
            let argument = format!("{path}={value}");
            let mut document = sample::document();
            if let Err(problems) = document.settle(std::slice::from_ref(&argument), &mut |_, _| ()) {
                match document.place(&problems[0]) {
                    Place::Set(shown, range) => prop_assert!(shown.get(range).is_some()),
                    place => prop_assert!(false, "{argument}: {problems:?} at {place:?}"),
                }
            }
        }
    }

    #[test]
    fn a_later_problem_with_a_set_value_points_at_the_argument() {
        let mut document = sample::document();
        document.settle(&["clients[0].runs=Llm (model: \"x\")".into()], &mut |_, _| ()).unwrap();
        let place = |problem: Problem| match document.place(&problem) {
            Place::Set(argument, range) => argument[range].to_owned(),
            Place::File(range) => format!("file: {}", &document.text[range]),
            Place::Nowhere => "nowhere".into(),
        };
        assert_eq!(place(Problem::new("clients[0].runs.model", "unknown")), "\"x\"");
        assert_eq!(place(Problem::new("clients[0].runs", "unknown").span(4..9)), "model");
        assert_eq!(place(Problem::new("clients[0].name", "taken")), "file: \"llama\"");
        assert_eq!(place(Problem::new("", "all")), "nowhere");
    }
}
