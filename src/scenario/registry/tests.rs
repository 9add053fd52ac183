//! Choices by name: their defaults, their forms, what is wrong with them.

use serde::Deserialize;

use super::*;
use crate::units::{PerSecond, Span};

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Poisson {
    /// Requests per second.
    rate: PerSecond,
    #[serde(default)]
    offset: Option<Span>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct RoundRobin;

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Llm {
    batching: Choice,
    block_size: u32,
}

impl Default for Llm {
    fn default() -> Self {
        Self { batching: Choice::new("Poisson", "rate: per_s(1)"), block_size: 16 }
    }
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Fixed(u32);

fn registry() -> Registry<String> {
    let mut registry = Registry::new("test policy");
    registry
        .register("Poisson", |p: Poisson| Ok(format!("{p:?}")))
        .register("RoundRobin", |p: RoundRobin| Ok(format!("{p:?}")))
        .register("Llm", |p: Llm| Ok(p.batching.to_string()))
        .register("Fixed", |p: Fixed| if p.0 > 9 { Err("too much".into()) } else { Ok(p.0.to_string()) });
    registry
}

fn resolve(text: &str) -> Result<Resolved<String>, ChoiceError> {
    registry().resolve(&ron::from_str(text).unwrap())
}

/// The field, the message and the part of `text` pointed at.
fn fail(text: &str) -> (String, String, Option<&str>) {
    let error = resolve(text).unwrap_err();
    (error.field, error.message, error.span.map(|span| &text[span]))
}

#[test]
fn defaults_are_filled_in() {
    let filled = |text: &str| resolve(text).unwrap().choice.to_string();
    assert_eq!(filled("Poisson(rate: per_min(90))"), "Poisson(rate: per_s(1.5), offset: None)");
    assert_eq!(
        filled("Poisson(rate: per_s(1), offset: ms(5))"),
        "Poisson(rate: per_s(1.0), offset: s(0.005))"
    );
    assert_eq!(filled("Llm"), "Llm(batching: Poisson(rate: per_s(1)), block_size: 16)");
    assert_eq!(filled("Fixed(7)"), "Fixed(7)");
    for text in ["RoundRobin", "RoundRobin()", "RoundRobin( /* none */ )"] {
        assert_eq!(filled(text), "RoundRobin", "{text}");
    }
}

#[test]
fn what_is_filled_in_resolves_to_itself() {
    for text in
        ["Poisson(rate: per_min(90), offset: ms(5))", "Llm(block_size: 32)", "Fixed(3)", "RoundRobin()"]
    {
        let once = resolve(text).unwrap().choice;
        assert_eq!(registry().resolve(&once).unwrap().choice, once);
    }
}

#[test]
fn parameters_come_and_go_as_json() {
    let registry = registry();
    let json = "{\"rate\":{\"per_s\":1.5},\"offset\":{\"s\":0.005}}";
    let choice = registry.read_json("Poisson", json).unwrap();
    assert_eq!(choice.to_string(), "Poisson(rate: per_s(1.5), offset: s(0.005))");
    assert_eq!(registry.write_json(&choice).unwrap(), json);
    let nested = registry.read_json("Llm", "{\"batching\":\"Poisson(rate: per_s(2))\"}").unwrap();
    assert_eq!(nested.to_string(), "Llm(batching: Poisson(rate: per_s(2)), block_size: 16)");
    let written = registry.write_json(&nested).unwrap();
    assert_eq!(registry.read_json("Llm", &written).unwrap(), nested);
    let wrong = |name: &str, json: &str| registry.read_json(name, json).unwrap_err();
    assert!(wrong("Poison", "{}").help.unwrap().starts_with("did you mean `Poisson`?"));
    let field = wrong("Llm", "{\"block_sise\":3}");
    assert_eq!(
        (field.message.as_str(), field.help.unwrap().contains("`block_size`")),
        ("unknown field `block_sise`", true)
    );
    assert_eq!(wrong("Poisson", "{\"rate\":{\"per_s\":-1}}").field, "rate");
}

#[test]
fn an_unknown_name_lists_the_known_ones() {
    let error = resolve("Poison(rate: per_s(1))").unwrap_err();
    assert_eq!(error.message, "unknown test policy `Poison`");
    assert_eq!(
        error.help.unwrap(),
        "did you mean `Poisson`? Allowed: `Fixed`, `Llm`, `Poisson`, `RoundRobin`"
    );
    assert_eq!(error.span, Some(0..6));
}

#[test]
fn bad_parameters_are_pointed_at() {
    let unknown = fail("Poisson(rate: per_s(1), ofset: ms(1))");
    assert_eq!(unknown, (String::new(), "unknown field `ofset`".into(), Some("ofset")));
    let negative = fail("Poisson(rate: per_s(-2))");
    assert_eq!(negative, ("rate".into(), "a rate must be finite and above zero, found -2".into(), None));
    assert_eq!(fail("Poisson").1, "missing field `rate`");
    assert_eq!(fail("RoundRobin(1)").1, "`RoundRobin` takes no parameters");
    assert_eq!(fail("Fixed(10)").1, "too much");
    assert_eq!(fail("Poisson(rate: NaN)").0, "rate");
    assert_eq!(fail("Poisson(rate: per_s(NaN))").1, "a rate must be finite and above zero, found NaN");
}

#[test]
fn errors_become_problems_of_the_field_that_holds_the_choice() {
    let negative = resolve("Poisson(rate: per_s(-2))").unwrap_err().into_problem("workload[0].arrivals");
    assert_eq!(negative.path, "workload[0].arrivals.rate");
    let unknown = resolve("Llm(batch: 3)").unwrap_err().into_problem("clients[0].runs");
    assert_eq!((unknown.path.as_str(), unknown.span), ("clients[0].runs", Some(4..9)));
}

#[test]
fn schemas_carry_the_documentation() {
    let registry = registry();
    let schema = serde_json::to_string(registry.schema("Poisson").unwrap()).unwrap();
    assert!(schema.contains("Requests per second."), "{schema}");
    assert!(registry.schema("Nope").is_none());
}
