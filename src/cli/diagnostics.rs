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
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::scenario::{Document, Place, Problem, Unreadable};

/// The columns that a long line is cut to.
const WIDTH: usize = 140;

/// What stands before an argument on the command line.
const SET: &str = "--set ";

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
    let typed = match &place {
        Place::Set(argument, _) => format!("{SET}{argument}"),
        _ => String::new(),
    };
    match place {
        Place::File(range) => group = group.element(quote(source.text, range).path(source.name)),
        Place::Set(_, range) => {
            group = group.element(quote(&typed, range.start + SET.len()..range.end + SET.len()));
        }
        Place::Nowhere if source.name.is_empty() || problem.message.contains(source.name) => {}
        Place::Nowhere => group = group.element(Origin::path(source.name)),
    }
    if !problem.path.is_empty() {
        group = group.element(Level::NOTE.with_name("field").message(problem.path.as_str()));
    }
    if let Some(help) = &problem.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    renderer.decor_style(DecorStyle::Ascii).term_width(WIDTH).render(&[group])
}

/// The line of `text` at `range`, with the part of it marked.
fn quote(text: &str, range: Range<usize>) -> Snippet<'_, Annotation<'_>> {
    Snippet::source(text).annotation(AnnotationKind::Primary.span(first_line(text, range)))
}

/// A value of many lines is marked on its first line only, and whole characters are.
fn first_line(text: &str, range: Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(range.start);
    let end = text.ceil_char_boundary(range.end).max(start);
    start..text[start..end].find('\n').map_or(end, |line| start + line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Findings, Registry, Scenario, carve, sample};
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
    fn fill(scenario: &mut Scenario, findings: &mut Findings) {
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

        let path = "coordinator.routing".to_owned();
        let mut choices = vec![(path, &mut scenario.coordinator.routing, &routing)];
        for (i, class) in scenario.workload.iter_mut().enumerate() {
            let class_arrivals = class.arrivals.as_mut().unwrap();
            choices.push((format!("workload[{i}].arrivals"), class_arrivals, &arrivals));
        }
        for (path, choice, registry) in choices {
            registry.settle(choice, &path, findings);
        }
    }

    #[test]
    fn nothing_is_said_of_a_good_scenario() {
        assert_eq!(check_with(sample::TEXT, &["workload[0].arrivals.rate=per_s(3)"]), "");
    }

    #[test]
    fn an_unknown_field_is_shown_with_the_known_ones() {
        assert_eq!(
            check("hardware:", "hardwear:"),
            r#"error: unknown field `hardwear`
 --> a.ron:6:55
  |
6 |         (name: "hgx", count: 2, nodes: [(name: "gpu", hardwear: "H100-SXM5-80GB", count: 8)]),
  |                                                       ^^^^^^^^
  |
  = field: platforms[0].nodes[0]
  = help: did you mean `hardware`? Allowed: `name`, `hardware`, `count`
"#
        );
    }

    #[test]
    fn an_unknown_policy_is_shown_with_a_suggestion() {
        assert_eq!(
            check("Poisson(rate", "Poison (rate"),
            r"error: unknown arrival process `Poison`
  --> a.ron:21:23
   |
21 |             arrivals: Poison (rate: per_s(240)),
   |                       ^^^^^^
   |
   = field: workload[0].arrivals
   = help: did you mean `Poisson`? Allowed: `Poisson`
"
        );
    }

    #[test]
    fn a_bad_rate_is_marked_whatever_stands_before_it() {
        for rate in ["per_s(-240)", "per_s(NaN)", "per_s(inf)", "per_s(0)"] {
            let said = check("Poisson(rate: per_s(240))", &format!("Poisson /* ( */ (\n rate: {rate})"));
            assert!(said.starts_with("error: a rate must be finite and above zero, found "), "{said}");
            let marked = format!("22 |  rate: {rate}),\n   |        {}\n", "^".repeat(rate.len()));
            assert!(said.contains(&marked), "{said}");
            assert!(said.contains("= field: workload[0].arrivals.rate\n"), "{said}");
        }
        let unknown = check("Poisson(rate: per_s(240))", "Poisson /* ( */ (\n rat: per_s(240))");
        assert!(unknown.contains("22 |  rat: per_s(240)),\n   |  ^^^\n"), "{unknown}");
    }

    #[test]
    fn a_newer_version_asks_for_an_upgrade() {
        assert_eq!(
            check("mist: 1", "mist: 2"),
            r"error: written for scenario language 2, this MIST reads 1; upgrade
 --> a.ron:3:11
  |
3 |     mist: 2,
  |           ^
  |
  = field: mist
"
        );
        assert_eq!(
            check("mist: 1,", ""),
            r"error: the version of the scenario language is missing
 --> a.ron:2:1
  |
2 | (
  | ^
  |
  = help: begin the scenario with `mist: 1,`
"
        );
    }

    #[test]
    fn zero_clients_and_too_many_are_shown() {
        assert_eq!(
            check("count: 4", "count: 0"),
            r"error: must be at least 1, found 0
  --> a.ron:11:20
   |
11 |             count: 0,
   |                    ^
   |
   = field: clients[0].count
"
        );
        assert_eq!(
            check("count: 4", "count: 9"),
            r#"error: client `llama` wants 18 `gpu` nodes of platform `hgx` (9 × 2 `gpu`), but only 16 `gpu` are left
  --> a.ron:12:22
   |
12 |             cluster: Take(platform: "hgx", nodes: [("gpu", 2)]),
   |                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
   |
   = field: clients[0].cluster
   = help: 8 such clients fit; lower the client's count or raise the platform's
"#
        );
        let none = check_with(sample::TEXT, &["clients=[]"]);
        assert!(none.starts_with("error: at least one client is needed, found none\n"), "{none}");
    }

    #[test]
    fn a_node_in_two_clients_is_shown_at_the_second() {
        let second = "Pick([\"hgx[0].gpu[0]\"])), (name: \"other\", runs: Llm, cluster: Pick([\"hgx[1].gpu[7]\", \"hgx[0].gpu[0]\"])";
        let text = sample::with(
            "cluster: Take(platform: \"hgx\", nodes: [(\"gpu\", 2)])",
            &format!("runs: Llm, cluster: {second}"),
        );
        let text = text.replace("count: 4", "count: 1");
        let text = text.replacen("            runs: Llm(model: \"Llama-3.1-70B\", batching: Chunked(max_num_batched_tokens: 8192)),\n", "", 1);
        let said = check_with(&text, &[]);
        assert!(
            said.starts_with("error: node `hgx[0].gpu[0]` is in two clients, `llama` and `other`\n"),
            "{said}"
        );
        assert!(said.contains("= field: clients[1].cluster[1]\n"), "{said}");
    }

    #[test]
    fn an_open_bracket_is_shown_where_it_opens() {
        let said = check("rate: per_s(240)),", "rate: per_s(240),");
        assert!(
            said.starts_with("error: a comma is missing before this\n --> ") || said.contains("never closed"),
            "{said}"
        );
        assert_eq!(
            check("nodes: [(\"gpu\", 2)]),", "nodes: [(\"gpu\", 2)),"),
            r#"error: this bracket is never closed by `]`
  --> a.ron:12:51
   |
12 |             cluster: Take(platform: "hgx", nodes: [("gpu", 2)),
   |                                                   ^
"#
        );
    }

    #[test]
    fn what_is_set_on_the_command_line_is_shown_there() {
        assert_eq!(
            check_with(sample::TEXT, &["seed=3", "workload[0].reqests=5"]),
            r"error: `workload[0]` has no field `reqests`
  |
1 | --set workload[0].reqests=5
  |                   ^^^^^^^
  |
  = field: workload[0].reqests
  = help: did you mean `requests`? Allowed: `name`, `model`, `priority`, `pipeline`, `requests`, `trace`, `arrivals`, `lengths`, `prefix`, `sessions`, `slo`
"
        );
        let rate = check_with(sample::TEXT, &["workload[0].arrivals.rate=per_s(0)"]);
        assert!(rate.contains("1 | --set workload[0].arrivals.rate=per_s(0)\n"), "{rate}");
        let policy = check_with(sample::TEXT, &["coordinator.routing=Robin"]);
        assert!(policy.contains("help: did you mean `RoundRobin`?"), "{policy}");
    }

    #[test]
    fn several_problems_follow_one_another() {
        let text = sample::with("count: 4", "count: 0").replace("\"chat\"", "\"\"");
        let said = check_with(&text, &[]);
        assert_eq!(said.matches("error: ").count(), 2, "{said}");
        assert!(said.contains("\n\nerror: a name is needed"), "{said}");
    }

    #[test]
    fn a_careless_span_is_shown_all_the_same() {
        let mut document = sample::document();
        document.text = document.text.replace("llama", "lläma");
        let span = |span: Range<usize>| Problem::new("clients[0].name", "odd").span(span);
        for span in [span(4..5), span(3..4), span(90..99), Problem::new("", "odd").span(9_999..10_000)] {
            assert!(render(&document, &[span], false).starts_with("error: odd\n"));
        }
    }

    #[test]
    fn colour_comes_only_when_asked_for() {
        let problem = Problem::new("sed", "a scenario has no field `sed`").help("did you mean `seed`?");
        assert_eq!(
            render_bare(&problem, false),
            "error: a scenario has no field `sed`\n |\n = field: sed\n = help: did you mean `seed`?\n"
        );
        assert!(render_bare(&problem, true).contains('\x1b'));
        assert!(!check("count: 4", "count: 0").contains('\x1b'));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_once() {
        let unreadable = Document::load(std::path::Path::new("/no/such.ron")).unwrap_err();
        let said = render_unreadable(&unreadable, false);
        assert!(said.starts_with("error: cannot read the scenario `/no/such.ron`: "), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}
