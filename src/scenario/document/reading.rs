//! From a text to a scenario, and what is wrong with it.

use schemars::schema_for;

use super::{opening, too_long};
use crate::scenario::locate::locate;
use crate::scenario::read::{ReadError, Sort, read};
use crate::scenario::scan::{Fault, scan};
use crate::scenario::survey::{Survey, survey};
use crate::scenario::{Findings, Problem, Scenario, VERSION};
use crate::text_file::MOST_BYTES;

/// Reads a scenario, whatever is wrong with it first coming as a problem.
pub fn parse(text: &str) -> Result<Scenario, Problem> {
    let shape = scan(text).map(|_| ());
    if let Err(fault) = &shape {
        if fault.too_deep {
            return Err(faulty(fault));
        }
    } else {
        check_version(text)?;
    }
    match shape {
        Ok(()) => {
            let found = look(text);
            let first = found.errors.into_iter().next();
            match (first, found.value) {
                (None, Some(scenario)) => Ok(scenario),
                (Some(error), _) => Err(misread(text, error)),
                (None, None) => Err(Problem::new("", "this is no scenario")),
            }
        }
        Err(fault) => read(text).map_err(|error| match error.sort {
            // Brackets out of order mislead the reader of types, unless it had not come to them.
            Sort::Malformed => faulty(&fault),
            _ if error.span.is_none() => faulty(&fault),
            _ => misread(text, error),
        }),
    }
}

/// Reads as much of a scenario as there is, with what is wrong.
pub(super) fn examine(text: &str) -> Result<(Scenario, Findings), Vec<Problem>> {
    let one = |problem| vec![problem];
    if text.len() as u64 > MOST_BYTES {
        return Err(one(Problem::new("", too_long(text.len() as u64))));
    }
    if scan(text).is_err_and(|fault| fault.mend.is_none()) {
        // No telling what belongs where.
        return parse(text).map(|scenario| (scenario, Findings::default())).map_err(one);
    }
    if let Some(located) = locate(text, "mist") {
        check_version(text)
            .map_err(|problem| one(Problem { span: Some(0..located.value.len()), ..problem }))?;
    }
    let found = look(text);
    if scan(&found.text).is_err() {
        return parse(text).map(|scenario| (scenario, Findings::default())).map_err(one);
    }
    let mut findings = Findings::default();
    for error in found.errors {
        findings.note(misread(text, error));
    }
    found.made_up.into_iter().for_each(|path| findings.make_up(path));
    if found.value.is_some() {
        check_version(&found.text).map_err(one)?;
    }
    match found.value {
        Some(scenario) => Ok((scenario, findings)),
        None => Err(findings.problems().to_vec()),
    }
}

fn faulty(fault: &Fault) -> Problem {
    Problem::new("", &fault.message).span(fault.range.clone())
}

fn look(text: &str) -> Survey<Scenario> {
    survey(text, schema_for!(Scenario).as_value(), &|text| read::<Scenario>(text))
}

/// The version comes first: in another one, every other field may mean something else.
fn check_version(text: &str) -> Result<(), Problem> {
    let Some(located) = locate(text, "mist") else {
        return Err(no_version(text));
    };
    match text[located.value].parse::<u64>() {
        Ok(version) if version == u64::from(VERSION) => Ok(()),
        Ok(version) if version > u64::from(VERSION) => {
            let message =
                format!("written for scenario language {version}, this MIST reads {VERSION}; upgrade");
            Err(Problem::new("mist", message))
        }
        _ => Err(Problem::new("mist", "this is no version of the scenario language")
            .help(format!("write `mist: {VERSION}`"))),
    }
}

fn no_version(text: &str) -> Problem {
    let message = "the version of the scenario language is missing";
    let help = format!("begin the scenario with `mist: {VERSION},`");
    Problem { span: opening(text), ..Problem::new("", message).help(help) }
}

/// A read error as a problem: its bytes counted from the value at its path.
fn misread(text: &str, error: ReadError) -> Problem {
    if error.path.is_empty() && error.sort == Sort::Missing("mist") {
        return no_version(text);
    }
    let lacks = error.path.is_empty() && matches!(error.sort, Sort::Missing(_));
    let ReadError { path, message, help, span, .. } = error;
    let span = span.or_else(|| opening(text).filter(|_| lacks));
    let Some(span) = span else { return Problem { path, message, help, span: None } };
    let owner = if path.is_empty() { None } else { locate(text, &path) };
    match owner.and_then(|owner| owner.count(&span)) {
        Some(span) => Problem { path, message, help, span: Some(span) },
        None => Problem { path: String::new(), message, help, span: Some(span) },
    }
}
