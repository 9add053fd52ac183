//! Problems with a scenario as text, beside the lines they are about:
//!
//! ```text
//! error: unknown field `platfroms`
//!  --> quickstart.ron:3:5
//!   |
//! 3 |     platfroms: [
//!   |     ^^^^^^^^^
//!   |
//!   = help: did you mean `platforms`? Allowed: `mist`, `name`, …
//! ```

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::scenario::{Document, Place, Problem, Unreadable};

/// The columns that a long line is cut to.
const WIDTH: usize = 140;

/// Renders the problems of a scenario that could be read.
pub fn render(document: &Document, problems: &[Problem], colour: bool) -> String {
    let source = Source { name: &document.name, text: &document.text };
    all(problems, |problem| report(source, problem, document.place(problem), colour))
}

/// Renders the problems of a scenario that could not be read.
pub fn render_unreadable(unreadable: &Unreadable, colour: bool) -> String {
    let source = Source { name: &unreadable.name, text: &unreadable.text };
    all(&unreadable.problems, |problem| report(source, problem, unreadable.place(problem), colour))
}

/// Renders a problem that no file holds, such as a path that `mist explain` does not know.
pub fn render_bare(problem: &Problem, colour: bool) -> String {
    all(std::slice::from_ref(problem), |problem| {
        report(Source { name: "", text: "" }, problem, Place::Nowhere, colour)
    })
}

/// A text to quote from.
#[derive(Clone, Copy)]
struct Source<'a> {
    name: &'a str,
    text: &'a str,
}

fn all(problems: &[Problem], report: impl Fn(&Problem) -> String) -> String {
    problems.iter().map(|problem| report(problem) + "\n").collect::<Vec<_>>().join("\n")
}

fn report(source: Source, problem: &Problem, place: Place, colour: bool) -> String {
    let title = Level::ERROR.primary_title(problem.message.as_str());
    let mut group = Group::with_title(title);
    match place {
        Place::File(range) => group = group.element(quote(source.text, range, source.name)),
        Place::Set(argument, range) => group = group.element(quote(argument, range, "--set")),
        Place::Nowhere if source.name.is_empty() || problem.message.contains(source.name) => {}
        Place::Nowhere => group = group.element(Origin::path(source.name)),
    }
    if !problem.path.is_empty() && !problem.message.contains(&format!("`{}`", problem.path)) {
        group = group.element(Level::NOTE.with_name("field").message(problem.path.as_str()));
    }
    if let Some(help) = &problem.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    renderer.decor_style(DecorStyle::Ascii).term_width(WIDTH).render(&[group])
}

/// The line of `text` at `range`, with the part of it marked.
fn quote<'a>(
    text: &'a str,
    range: Range<usize>,
    name: &'a str,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    Snippet::source(text).path(name).annotation(AnnotationKind::Primary.span(first_line(text, range)))
}

/// A value of many lines is marked on its first line only.
fn first_line(text: &str, range: Range<usize>) -> Range<usize> {
    let end = text.get(range.clone()).and_then(|marked| marked.find('\n'));
    range.start..end.map_or(range.end, |end| range.start + end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Registry, Scenario, carve, sample};
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    /// The sample after an edit, as far as reading, `--set` and checking go.
    fn check_with(text: &str, sets: &[&str]) -> String {
        let mut document = match Document::parse(text, "a.ron") {
            Ok(document) => document,
            Err(unreadable) => return render_unreadable(&unreadable, false),
        };
        let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        let problems = document.settle(&sets, &mut fill).and_then(|()| carve(&document.scenario).map(|_| ()));
        problems.map_or_else(|problems| render(&document, &problems, false), |()| String::new())
    }

    fn check(from: &str, to: &str) -> String {
        check_with(&sample::with(from, to), &[])
    }

    /// Resolves the routing policy and the arrivals.
    fn fill(scenario: &mut Scenario) -> Vec<Problem> {
        #[derive(Serialize, Deserialize, JsonSchema)]
        struct RoundRobin;
        #[derive(Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        struct Poisson {
            rate: crate::units::PerSecond,
        }
        let mut routing = Registry::new("routing policy");
        routing.register("RoundRobin", |_: RoundRobin| Ok(()));
        let mut arrivals = Registry::new("arrival process");
        arrivals.register("Poisson", |_: Poisson| Ok(()));

        let mut problems = Vec::new();
        let path = "coordinator.routing".to_owned();
        let mut choices = vec![(path, &mut scenario.coordinator.routing, &routing)];
        for (i, class) in scenario.workload.iter_mut().enumerate() {
            choices.push((format!("workload[{i}].arrivals"), &mut class.arrivals, &arrivals));
        }
        for (path, choice, registry) in choices {
            match registry.resolve(choice) {
                Ok(resolved) => *choice = resolved.choice,
                Err(error) => problems.push(error.into_problem(&path)),
            }
        }
        problems
    }

    #[test]
    fn nothing_is_said_of_a_good_scenario() {
        assert_eq!(check_with(sample::TEXT, &["workload[0].arrivals.rate=per_s(3)"]), "");
    }

    #[test]
    fn show() {
        for text in [
            check("    platforms:", "    platfroms:"),
            check("hardware:", "hardwear:"),
            check("Poisson(rate", "Poison (rate"),
            check("rate: per_s(240)", "rate: per_s(-240)"),
            check("rate: per_s(240)", "rate: per_s(NaN)"),
            check("Poisson(rate: per_s(240))", "Poisson /* a */ (\n    rat: per_s(240))"),
            check("mist: 1", "mist: 2"),
            check("mist: 1,", ""),
            check("count: 4", "count: 0"),
            check("count: 4", "count: 9"),
            check("hardware: \"H100-SXM5-80GB\", ", ""),
            check("seed: 42,", "seed: 42"),
            check("clients: [", "clients: [], coordinator: (routing: Robin), // ["),
            check_with(sample::TEXT, &["workload[0].reqests=5"]),
            check_with(sample::TEXT, &["workload[0].arrivals.rate=per_s(0)"]),
            check_with(sample::TEXT, &["coordinator.routing=Robin"]),
            render_bare(
                &Problem::new("sed", "a scenario has no field `sed`").help("did you mean `seed`?"),
                false,
            ),
        ] {
            println!("{text}--------");
        }
    }
}
