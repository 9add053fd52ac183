//! Whatever name of a scenario that ships is mistyped, the right one is suggested.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use mist::catalog::Catalog;
use mist::simulation::{RunError, Simulation};

const SCENARIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");

/// Every scenario that ships.
pub(crate) fn shipped() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = ["", "examples"]
        .iter()
        .filter_map(|folder| fs::read_dir(Path::new(SCENARIOS).join(folder)).ok())
        .flat_map(|entries| entries.map(|entry| entry.unwrap().path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "ron"))
        .collect();
    files.sort();
    files
}

/// Where the names of a text are: fields, names of choices and units, and strings of the catalog.
fn names(text: &str) -> Vec<std::ops::Range<usize>> {
    let mut names = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let c = rest.chars().next().unwrap();
        if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if c == '"' {
            let end = rest[1..].find('"').unwrap() + 1;
            let key = ["hardware: ", "model: ", "price: "].iter().find(|key| text[..at].ends_with(**key));
            if key.is_some() && !rest[1..end].contains('/') {
                names.push(at + 1..at + end);
            }
            at += end + 1;
        } else if c.is_alphabetic() {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            names.push(at..at + end);
            at += end;
        } else if c.is_ascii_digit() {
            at += rest.find(|c: char| !(c.is_alphanumeric() || "._".contains(c))).unwrap_or(rest.len());
        } else {
            at += c.len_utf8();
        }
    }
    names
}

/// Slips of the fingers: a letter dropped, two swapped, one doubled, another case.
fn slips(name: &str) -> BTreeSet<String> {
    let chars: Vec<char> = name.chars().collect();
    let text = |chars: Vec<char>| chars.into_iter().collect::<String>();
    let mut slips = BTreeSet::new();
    for at in 0..chars.len() {
        let mut dropped = chars.clone();
        dropped.remove(at);
        let mut doubled = chars.clone();
        doubled.insert(at, chars[at]);
        let mut swapped = chars.clone();
        swapped.swap(at, (at + 1).min(chars.len() - 1));
        slips.extend([dropped, doubled, swapped].map(text));
    }
    slips.extend([name.to_uppercase(), name.to_lowercase()]);
    // What is no name any more is another fault.
    slips.retain(|slip| slip != name && slip.starts_with(|c: char| c.is_alphabetic()));
    slips
}

/// The names suggested first: those between the first quotes of each, as far as they are equals.
fn suggested(help: &str) -> Vec<&str> {
    let guess = help.split_once('?').map_or(help, |(guess, _)| guess);
    guess.split('`').skip(1).step_by(2).collect()
}

#[test]
fn the_right_name_is_suggested() {
    let simulation = Simulation::new();
    let (mut tried, mut failed) = (0, Vec::new());
    let mut done = BTreeSet::new();
    for path in shipped() {
        let text = fs::read_to_string(&path).unwrap();
        // A trace that is not there is no slip.
        let wrong_before =
            simulation.read(text.clone(), path.to_str().unwrap()).err().map(|error| error.to_string());
        for range in names(&text) {
            let name = &text[range.clone()];
            // The same name in the same place of another scenario teaches nothing new.
            let before =
                text[..range.start].trim_end().rsplit(|c: char| !c.is_alphanumeric()).find(|w| !w.is_empty());
            if !done.insert((before.map(str::to_owned), name.to_owned())) {
                continue;
            }
            let catalog = Catalog::embedded();
            for slip in slips(name) {
                if catalog.price(&slip).is_ok()
                    || catalog.model(&slip).is_ok()
                    || catalog.accelerator(&slip).is_ok()
                    || UNITS.contains(&slip.as_str())
                {
                    continue; // the right name of something else
                }
                let mut mistyped = text.clone();
                mistyped.replace_range(range.clone(), &slip);
                let Err(error) = simulation.read(mistyped, path.to_str().unwrap()) else { continue };
                if wrong_before == Some(error.to_string()) {
                    continue;
                }
                let RunError::Scenario(invalid) = error else { panic!("{slip}: {error}") };
                tried += 1;
                let problems = invalid.problems();
                let problem = problems.iter().find(|problem| problem.message.contains(&format!("`{slip}`")));
                let names =
                    problem.and_then(|problem| problem.help.as_deref()).map(suggested).unwrap_or_default();
                let distance = |other: &str| strsim(&slip, other);
                let first = names.first().copied().unwrap_or_default();
                let equals = names.contains(&name) && distance(first) <= distance(name);
                if first != name && !equals {
                    failed.push(format!("{name} as {slip}: {problems:?}"));
                }
            }
        }
    }
    assert!(tried > 1_000, "{tried}");
    assert!(failed.is_empty(), "{} of {tried}:\n{}", failed.len(), failed.join("\n"));
}

/// Units that are slips of each other.
const UNITS: [&str; 6] = ["ns", "us", "ms", "s", "min", "h"];

/// Slips between two names, whatever their case and punctuation.
fn strsim(a: &str, b: &str) -> usize {
    let letters =
        |text: &str| -> Vec<char> { text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect() };
    let (a, b) = (letters(a), letters(b));
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                let swapped = if swapped { rows[i - 2][j - 2] + 1 } else { usize::MAX };
                replaced.min(swapped).min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1)
            };
        }
    }
    rows[a.len()][b.len()]
}
