//! Finding entries by name.

use thiserror::Error;

use super::text::Entry;
use super::{Accelerator, Model, Price};

/// Everything known by name, in the order of the files: ours first, a user's additions after.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    pub(super) accelerators: Vec<Accelerator>,
    pub(super) models: Vec<Model>,
    pub(super) prices: Vec<Price>,
}

impl Catalog {
    /// All accelerators.
    pub fn accelerators(&self) -> &[Accelerator] {
        &self.accelerators
    }

    /// All models.
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// All prices.
    pub fn prices(&self) -> &[Price] {
        &self.prices
    }

    /// The accelerator of this name.
    ///
    /// # Errors
    /// There is none; the error suggests similar names.
    pub fn accelerator(&self, name: &str) -> Result<&Accelerator, UnknownName> {
        find(&self.accelerators, name)
    }

    /// The model of this name or Hugging Face id.
    ///
    /// # Errors
    /// There is none; the error suggests similar names.
    pub fn model(&self, name: &str) -> Result<&Model, UnknownName> {
        find(&self.models, name).or_else(|unknown| {
            self.models.iter().find(|model| model.hf_id.as_deref() == Some(name)).ok_or(unknown)
        })
    }

    /// The price of this instance.
    ///
    /// # Errors
    /// There is none; the error suggests similar names.
    pub fn price(&self, instance: &str) -> Result<&Price, UnknownName> {
        find(&self.prices, instance)
    }
}

/// A name that the catalog does not have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the catalog has no {what} named `{name}`{}", did_you_mean(suggestions))]
pub struct UnknownName {
    /// What was looked for: `accelerator`, `model` or `price`.
    pub what: &'static str,
    /// The name as written.
    pub name: String,
    /// Names it may stand for, likeliest first.
    pub suggestions: Vec<String>,
}

fn did_you_mean(suggestions: &[String]) -> String {
    let quoted: Vec<String> = suggestions.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => format!("; did you mean {only}?"),
        Some((last, others)) => format!("; did you mean {} or {last}?", others.join(", ")),
    }
}

fn find<'a, T: Entry>(entries: &'a [T], name: &str) -> Result<&'a T, UnknownName> {
    entries.iter().find(|entry| entry.name() == name).ok_or_else(|| UnknownName {
        what: T::WHAT,
        name: name.to_owned(),
        suggestions: suggest(name, entries.iter().map(Entry::name)),
    })
}

/// How alike two names must be, from 0 to 1, when the known one does not contain the one wanted.
const ALIKE: f64 = 0.88;
/// No name has more letters (bytes), and comparing takes time.
const LONGEST: usize = 200;
/// How many names to suggest at most.
const SUGGESTIONS: usize = 3;

/// The names most like `wanted`, whatever its case and punctuation: the same letters first, then those
/// that contain it, then misspellings. Of a hub id only the model counts, not its owner.
fn suggest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let wanted = letters(wanted.rsplit('/').next().unwrap_or_default());
    if wanted.len() > LONGEST {
        return Vec::new();
    }
    let mut ranked: Vec<(f64, &str)> = names
        .map(|name| {
            let letters = letters(name);
            let contained = !wanted.is_empty() && letters.contains(&wanted);
            (strsim::jaro_winkler(&letters, &wanted) + f64::from(u8::from(contained)), name)
        })
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0)); // stable: equals keep the catalog's order
    ranked.into_iter().take(SUGGESTIONS).map(|(_, name)| name.to_owned()).collect()
}

fn letters(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_answer_to_both_their_names() {
        let catalog = Catalog::embedded();
        for model in catalog.models() {
            assert_eq!(catalog.model(&model.name).unwrap(), model);
            if let Some(id) = &model.hf_id {
                assert_eq!(catalog.model(id).unwrap(), model);
            }
        }
    }

    #[test]
    fn an_unknown_name_suggests_what_was_meant() {
        let catalog = Catalog::embedded();
        let devices = |name| catalog.accelerator(name).unwrap_err().suggestions;
        assert_eq!(devices("H100"), ["H100-SXM5-80GB", "H100-PCIe-80GB"]);
        assert_eq!(devices("h100-sxm5-80gb"), ["H100-SXM5-80GB"]);
        assert_eq!(devices("H100 SXM")[0], "H100-SXM5-80GB");
        assert_eq!(devices("A100-80G-SXM")[0], "A100-80GB-SXM4");
        assert!(devices("GB200").contains(&"GB200 (per GPU)".to_owned()));
        assert!(devices("abacus").is_empty());
        assert!(devices("").is_empty());
        let models = |name| catalog.model(name).unwrap_err().suggestions;
        assert_eq!(models("llama-3.1-70b")[0], "Llama-3.1-70B");
        assert_eq!(models("Llama3.1-70B")[0], "Llama-3.1-70B");
        assert_eq!(models("meta-llama/Llama-3.1-70B-Instruct")[0], "Llama-3.1-70B");
        assert_eq!(models("Lama-3.1-70B")[0], "Llama-3.1-70B");
        assert_eq!(
            catalog.accelerator("H100").unwrap_err().to_string(),
            "the catalog has no accelerator named `H100`; did you mean `H100-SXM5-80GB` or `H100-PCIe-80GB`?"
        );
        assert_eq!(
            catalog.price("abacus").unwrap_err().to_string(),
            "the catalog has no price named `abacus`"
        );
    }
}
