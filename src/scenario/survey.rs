//! Everything wrong with a text at once: judge it, note the fault, mend that, judge it again.
//!
//! The judge is the strict reader itself, so nothing that it accepts is ever called wrong. A mend
//! says what was surely meant where that is clear (`requests` for `reqests`); otherwise it makes a
//! value up, and what hangs on a value that was made up is not held against the user. The mended text
//! is read no further than for more faults.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

use super::arrange::misplaced;
use super::locate::{locate, unwrap};
use super::path::{Step, steps, strip};
use super::problem::join;
use super::read::{ReadError, Sort};
use super::scan::{Fault, Kind, Node, scan};
use super::slot::{self, Slot};
use super::suggest::suggested;
use super::teach::{Lesson, lesson};

/// Faults beyond which a text is left to its writer.
pub(super) const MOST: usize = 50;

/// Bytes that are judged at most, over all rounds; the first round is free.
pub(super) const WORK: usize = 16 << 20;

/// What there is to say about a text, and what it comes to when that is mended.
#[derive(Debug)]
pub(super) struct Survey<T> {
    /// What is wrong, in the order of the text; spans count in the text as it was given.
    pub(super) errors: Vec<ReadError>,
    /// What the mended text holds; `None` if it could not be mended.
    pub(super) value: Option<T>,
    /// The mended text.
    pub(super) text: String,
    /// The fields whose values were made up, or were put right by a guess.
    pub(super) made_up: Vec<String>,
}

/// Judges `text`, of the type that `schema` is of, until nothing new is wrong with it.
pub(super) fn survey<T>(
    text: &str,
    schema: &Value,
    judge: &dyn Fn(&str) -> Result<T, ReadError>,
) -> Survey<T> {
    let mut mender = Mender {
        original: text,
        text: Cow::Borrowed(text),
        origin: Vec::new(),
        slot: Slot::root(schema),
        tries: BTreeMap::new(),
        made_up: Vec::new(),
        guessed: Vec::new(),
        errors: Vec::new(),
    };
    mender.punctuation();
    let mut value = None;
    for _ in 0..=(WORK / text.len().max(1)).min(4 * MOST) {
        match judge(&mender.text) {
            Ok(read) => {
                value = Some(read);
                break;
            }
            Err(error) => {
                if !mender.mend(error) || mender.errors.len() >= MOST {
                    break;
                }
            }
        }
    }
    let Mender { text: mended, mut made_up, guessed, mut errors, .. } = mender;
    made_up.extend(guessed);
    errors.sort_by_cached_key(|error| start(text, error));
    Survey { errors, value, text: mended.into_owned(), made_up }
}

/// Where an error begins in the text.
fn start(text: &str, error: &ReadError) -> usize {
    match &error.span {
        Some(span) => span.start,
        None => locate(text, &error.path).map_or(0, |located| located.value.start),
    }
}

struct Mender<'a> {
    original: &'a str,
    text: Cow<'a, str>,
    /// For each byte of `text`, the byte of `original` it came from or replaced; empty until mended.
    origin: Vec<u32>,
    slot: Slot<'a>,
    /// How often each fault was met.
    tries: BTreeMap<String, usize>,
    made_up: Vec<String>,
    /// Single values that are there, but under misspelt names or without units: what they come to beside others is no
    /// further fault.
    guessed: Vec<String>,
    errors: Vec<ReadError>,
}

/// A change of the text.
struct Mend {
    range: Range<usize>,
    with: String,
    /// The field whose value this makes up.
    makes_up: Option<String>,
    /// The field, a single value, whose misspelt name or missing unit this puts right.
    guesses: Option<String>,
}

impl Mend {
    fn meant(range: Range<usize>, with: impl Into<String>) -> Self {
        Self { range, with: with.into(), makes_up: None, guesses: None }
    }

    fn made_up(range: Range<usize>, with: String, field: Option<String>) -> Self {
        Self { range, with, makes_up: field, guesses: None }
    }
}

impl Mender<'_> {
    /// Mends slips of punctuation, such as a comma that is missing.
    fn punctuation(&mut self) {
        while let Err(Fault { range, message, mend: Some(meant), .. }) = scan(&self.text)
            && self.errors.len() < MOST
        {
            let (path, help, span) = (String::new(), None, Some(self.origin(&range)));
            self.errors.push(ReadError { path, message, help, span, sort: Sort::Malformed });
            self.apply(Mend::meant(range, meant));
        }
    }

    /// Notes `error` unless it is the consequence of another one, and mends it if that can be done.
    fn mend(&mut self, mut error: ReadError) -> bool {
        let Ok(root) = scan(&self.text) else {
            error.span = error.span.map(|span| self.origin(&span));
            self.errors.push(error);
            return false;
        };
        let text = self.text.clone();
        if let (Sort::Malformed, Some(span)) = (&error.sort, &error.span) {
            // The reader stumbled inside a word, which is the value before the place.
            let (path, _, slot) = slot::at(&text, &root, self.slot, span.start.saturating_sub(1));
            if slot.is_some() {
                error = ReadError { path, span: None, sort: Sort::Value, ..error };
            }
        }
        let consequence = self.made_up.iter().any(|made_up| {
            strip(&error.path, made_up).is_some()
                || (matches!(error.sort, Sort::Value) && strip(made_up, &error.path).is_some())
        });
        let mut steps = steps(&error.path).unwrap_or_default();
        if !matches!(error.sort, Sort::Missing(_) | Sort::Twice)
            && let Some(outer) = self.misplaced(&text, &root, &steps)
        {
            // The reader stumbled inside of what is arranged wrongly.
            (error.sort, error.span) = (Sort::Value, None);
            error.path.truncate(outer.checked_sub(1).map_or(0, |last| steps[last].range.end));
            steps.truncate(outer);
        }
        let (node, slot, taken) = self.slot.walk(&text, &root, &steps);
        let there = taken == steps.len();
        if let (Sort::UnknownField(name), Some(slot)) = (&error.sort, slot) {
            let guessed = error.help.as_deref().and_then(suggested).is_some();
            let inside = slot.entered(&text, node);
            error.help = inside.and_then(|inside| inside.mirror(name, !guessed)).or(error.help);
        }
        if let (Sort::UnknownField(name), None, true) = (&error.sort, &error.span, there) {
            // Of a choice inside a choice the reader knows no bytes.
            error.span = named(&text, node, name, false).map(|[key, ..]| key);
        }
        let about_a_value = matches!(error.sort, Sort::Value | Sort::UnknownVariant);
        let lesson = slot.filter(|_| there && about_a_value).and_then(|slot| lesson(&text, node, slot));
        let mends = if there { mends(&text, &error, node, slot, lesson.as_ref()) } else { Vec::new() };

        let tries = self.tries.entry(key(&error)).or_default();
        let met = std::mem::replace(tries, *tries + 1);
        if met == 0 && consequence {
            return false;
        }
        if met == 0 {
            self.note(error, lesson, there.then_some(node));
        }
        match mends.into_iter().nth(met) {
            Some(mend) => self.apply(mend),
            None => return false,
        }
        true
    }

    /// How many of `steps` lead to the outermost value on their way whose parts are arranged wrongly.
    fn misplaced(&self, text: &str, root: &Node, steps: &[Step]) -> Option<usize> {
        (0..=steps.len()).find(|&count| {
            let (node, slot, taken) = self.slot.walk(text, root, &steps[..count]);
            taken == count && slot.is_some_and(|slot| misplaced(text, node, slot).is_some())
        })
    }

    /// Keeps an error in a user's words, its bytes counted in the original text.
    fn note(&mut self, mut error: ReadError, lesson: Option<Lesson>, node: Option<&Node>) {
        if let Some(Lesson { message, help, span, .. }) = lesson {
            error.message = message;
            error.help = help;
            error.span = span.or(error.span);
        }
        // A path is enough, unless a mend has led there.
        let moved = locate(self.original, &error.path).is_none() && !error.path.is_empty();
        let bytes = error.span.clone().or_else(|| node.filter(|_| moved).map(|node| node.range.clone()));
        error.span = bytes.map(|bytes| self.origin(&bytes));
        if moved {
            error.path = String::new();
        }
        self.errors.push(error);
    }

    /// The bytes of the original text that bytes of the mended one came from.
    fn origin(&self, range: &Range<usize>) -> Range<usize> {
        if self.origin.is_empty() {
            return range.clone();
        }
        let len = self.original.len();
        let at = |at: usize| self.origin.get(at).map_or(len, |&at| at as usize);
        let start = at(range.start);
        let end = if range.is_empty() { start } else { at(range.end - 1) + 1 };
        let end = self.original.ceil_char_boundary(end.clamp(start, len));
        self.original.floor_char_boundary(start)..end
    }

    fn apply(&mut self, mend: Mend) {
        if self.origin.is_empty() {
            self.origin = (0..self.text.len() as u32).collect();
        }
        let Mend { range, with, makes_up, guesses } = mend;
        let from = self.origin.get(range.start).copied().unwrap_or(self.original.len() as u32);
        self.origin.splice(range.clone(), std::iter::repeat_n(from, with.len()));
        self.text.to_mut().replace_range(range, &with);
        self.made_up.extend(makes_up);
        self.guessed.extend(guesses);
    }
}

/// What tells a fault from others.
fn key(error: &ReadError) -> String {
    match &error.sort {
        Sort::UnknownField(name) => format!("{}/{name}", error.path),
        Sort::Missing(name) => format!("{}+{name}", error.path),
        Sort::Twice => format!("{}/{}", error.path, error.message),
        Sort::UnknownVariant | Sort::Value | Sort::Malformed => error.path.clone(),
    }
}

/// The ways to mend `error` of `node`, the most faithful first.
fn mends(
    text: &str,
    error: &ReadError,
    node: &Node,
    slot: Option<Slot>,
    lesson: Option<&Lesson>,
) -> Vec<Mend> {
    let inside = slot.and_then(|slot| slot.entered(text, node));
    let mut mends = Vec::new();
    match &error.sort {
        Sort::UnknownField(name) => {
            let Some([key, gone, whole]) = named(text, node, name, false) else { return mends };
            let absent = |name: &&str| named(text, node, name, false).is_none();
            if let Some(meant) = error.help.as_deref().and_then(suggested).filter(absent) {
                let guesses = is_scalar(text, node, name).then(|| join(&error.path, meant));
                mends.push(Mend { guesses, ..Mend::meant(key, meant) });
            }
            if let Some((missing, sample)) = only_missing(text, node, slot) {
                // The field that is missing is surely this one under another name.
                let makes_up = Some(join(&error.path, missing));
                mends.push(Mend::made_up(whole, format!("{missing}: {sample}"), makes_up));
            }
            mends.push(Mend::meant(gone, ""));
        }
        Sort::Twice => {
            let name = error.span.clone().map(|span| text[span].trim_start_matches("r#").to_owned());
            let doubled = name.and_then(|name| named(text, node, &name, true));
            mends.extend(doubled.map(|[_, gone, _]| Mend::meant(gone, "")));
        }
        Sort::Missing(name) => {
            let sample = inside.and_then(|inside| inside.field(name)).and_then(Slot::sample);
            if let (Some(sample), Some(at)) = (sample, first(text, node)) {
                let makes_up = Some(join(&error.path, name));
                mends.push(Mend::made_up(at..at, format!("{name}: {sample}, "), makes_up));
            }
        }
        // A name that closed choices do not have, or open ones.
        Sort::UnknownVariant | Sort::Value => {
            let nearest = error.help.as_deref().and_then(suggested);
            let written = unwrap(text, node);
            let word = match &written.kind {
                Kind::Group { name, .. } => name.clone(),
                _ => written.range.clone(),
            };
            let named = error.message.contains(&format!("`{}`", &text[word.clone()]));
            let chooses = slot.is_some_and(|slot| slot.choice().is_some() || !slot.forms().is_empty());
            if let Some(meant) = nearest.filter(|_| named && chooses && !word.is_empty()) {
                // A guess, good for reading on in what it holds.
                let bare =
                    matches!(written.kind, Kind::Scalar) && slot.is_some_and(|slot| slot.choice().is_none());
                let makes_up = bare.then(|| error.path.clone());
                mends.push(Mend::made_up(word, meant.to_owned(), makes_up));
            }
        }
        Sort::Malformed => {}
    }
    if matches!(error.sort, Sort::Value | Sort::UnknownVariant) {
        // Of a choice inside a choice, what is meant is known from what was said.
        let told = || error.help.as_deref().filter(|_| slot.is_none()).and_then(told).map(str::to_owned);
        if let Some(meant) = lesson.and_then(|lesson| lesson.meant.clone()).or_else(told) {
            // Which unit was meant is a guess.
            let guesses = slot.is_some_and(|slot| !slot.units().is_empty()).then(|| error.path.clone());
            mends.push(Mend { guesses, ..Mend::meant(node.range.clone(), meant) });
        }
        if let Kind::Group { name, fields, .. } = &node.kind
            && fields.first().is_none_or(|field| field.key.is_some())
            && inside.is_some_and(Slot::has_fields)
            && slot.is_some_and(|slot| slot.forms().is_empty())
            && !name.is_empty()
        {
            mends.push(Mend::meant(name.clone(), "")); // `Platform(…)` for `(…)`
        }
        if let Some(sample) = slot.and_then(Slot::sample) {
            mends.push(Mend::made_up(node.range.clone(), sample, Some(error.path.clone())));
        }
    }
    mends
}

/// The value that a help says is to be written, if it is one alone.
fn told(help: &str) -> Option<&str> {
    help.strip_prefix("write `")?.strip_suffix('`').filter(|value| !value.contains(['`', '…']))
}

/// The one field that `node` must have and has not, with a sample of its value.
fn only_missing<'a>(text: &str, node: &Node, slot: Option<Slot<'a>>) -> Option<(&'a str, String)> {
    let inside = slot?.entered(text, node)?;
    let mut missing = inside.required().filter(|name| named(text, node, name, false).is_none());
    let only = missing.next().filter(|_| missing.next().is_none())?;
    Some((only, inside.field(only)?.sample()?))
}

/// Where the first field of `node` stands or would stand.
fn first(text: &str, node: &Node) -> Option<usize> {
    match &unwrap(text, node).kind {
        Kind::Group { open, fields, .. } => match fields.as_slice() {
            [only] if only.key.is_none() => first(text, &only.value),
            _ => Some(open + 1),
        },
        _ => None,
    }
}

/// Whether the field `name` of `node` holds a single value.
fn is_scalar(text: &str, node: &Node, name: &str) -> bool {
    let Kind::Group { fields, .. } = &unwrap(text, node).kind else { return false };
    let is = |key: &Range<usize>| text[key.clone()].trim_start_matches("r#") == name;
    let mut found = fields.iter().filter(|field| field.key.as_ref().is_some_and(is));
    found.next().is_some_and(|field| matches!(unwrap(text, &field.value).kind, Kind::Scalar))
}

/// The field `name` of `node`, the last of that name if `last`: its key, the bytes to take
/// out so that it is gone, and key and value together.
fn named(text: &str, node: &Node, name: &str, last: bool) -> Option<[Range<usize>; 3]> {
    let Kind::Group { fields, .. } = &unwrap(text, node).kind else { return None };
    if let [only] = fields.as_slice()
        && only.key.is_none()
    {
        return named(text, &only.value, name, last);
    }
    let is = |key: &Range<usize>| text[key.clone()].trim_start_matches("r#") == name;
    let mut found = (0..fields.len()).filter(|&at| fields[at].key.as_ref().is_some_and(is));
    let at = if last { found.next_back() } else { found.next() }?;
    let key = fields[at].key.clone()?;
    let value = &fields[at].value;
    let begin = |at: usize| fields[at].key.as_ref().map_or(fields[at].value.range.start, |key| key.start);
    let gone = if at + 1 < fields.len() {
        key.start..begin(at + 1)
    } else if at > 0 {
        fields[at - 1].value.range.end..value.range.end
    } else {
        key.start..value.range.end
    };
    // A lone field may be followed by a comma, which would then stand alone.
    let comma = (fields.len() == 1).then(|| text[gone.end..].find(',')).flatten();
    let gone = match comma {
        Some(comma) if text[gone.end..gone.end + comma].trim().is_empty() => gone.start..gone.end + comma + 1,
        _ => gone,
    };
    let whole = key.start..value.range.end;
    Some([key, gone, whole])
}

#[cfg(test)]
mod tests;
