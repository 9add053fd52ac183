//! The RON form of catalog files: one list, one entry a paragraph, absent figures left out.

use std::fmt;
use std::marker::PhantomData;

use ron::extensions::Extensions;
use ron::ser::PrettyConfig;
use serde::de::{DeserializeOwned, Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// What the three kinds of entries have in common.
pub(super) trait Entry: Clone + Serialize + DeserializeOwned {
    /// What one is called in messages.
    const WHAT: &'static str;
    /// The file of a catalog folder that holds them.
    const FILE: &'static str;

    /// The name, unique within its kind.
    fn name(&self) -> &str;

    /// Whether the figures make sense; if not, what is wrong.
    fn check(&self) -> Result<(), String>;
}

/// Refuses a figure that is not finite and above zero.
pub(super) fn positive(field: &str, value: Option<f64>) -> Result<(), String> {
    match value {
        Some(value) if !(value.is_finite() && value > 0.0) => {
            Err(format!("`{field}` must be finite and above zero, found {value}"))
        }
        _ => Ok(()),
    }
}

/// Entries that passed their check and have different names.
pub(super) struct Entries<T>(pub(super) Vec<T>);

impl<'de, T: Entry> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(EntriesVisitor(PhantomData))
    }
}

struct EntriesVisitor<T>(PhantomData<T>);

impl<'de, T: Entry> Visitor<'de> for EntriesVisitor<T> {
    type Value = Entries<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of {}s", T::WHAT)
    }

    /// Checks each entry as it is read, while the parser still knows where it is.
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Entries<T>, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element::<T>()? {
            accept(&entries, &entry).map_err(A::Error::custom)?;
            entries.push(entry);
        }
        Ok(Entries(entries))
    }
}

/// Whether `entry` makes sense by itself and beside those before it.
pub(super) fn accept<T: Entry>(before: &[T], entry: &T) -> Result<(), String> {
    let about = |problem| format!("{} `{}`: {problem}", T::WHAT, entry.name());
    if before.iter().any(|other| other.name() == entry.name()) {
        return Err(about("the name is used twice".to_owned()));
    }
    entry.check().map_err(about)
}

/// Reads a catalog file.
pub(super) fn read<T: Entry>(text: &str) -> Result<Vec<T>, ron::error::SpannedError> {
    options().from_str::<Entries<T>>(text).map(|entries| entries.0)
}

/// Writes a catalog file: `header` as comments, then the entries.
pub(super) fn write<T: Entry>(header: &str, entries: &[T]) -> String {
    let style = PrettyConfig::new().depth_limit(1).new_line("\n");
    let mut text: String =
        header.lines().map(|line| format!("// {line}").trim_end().to_owned() + "\n").collect();
    text += "[\n";
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        let paragraph = options()
            .to_string_pretty(entry, style.clone())
            .expect("an entry holds only numbers, strings and plain enums, which RON can write");
        for line in paragraph.lines() {
            text.extend(["    ", line, "\n"]);
        }
        text.insert(text.len() - 1, ',');
    }
    text + "]\n"
}

fn options() -> ron::Options {
    ron::Options::default().with_default_extension(Extensions::IMPLICIT_SOME)
}
