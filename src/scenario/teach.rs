//! What to say of a value of the wrong type: what was found, what is wanted, and how to write it.

use std::ops::Range;

use super::arrange::misplaced;
use super::did_you_mean;
use super::explain::words::Form;
use super::locate::unwrap;
use super::scan::{Kind, Node};
use super::slot::Slot;
use super::suggest::{GUESS, suggested};

/// What is wrong with a value, in a user's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lesson {
    /// What was found and what is wanted.
    pub(super) message: String,
    /// How to write it.
    pub(super) help: Option<String>,
    /// The value as it was surely meant.
    pub(super) meant: Option<String>,
    /// The bytes at fault; the whole value if `None`.
    pub(super) span: Option<Range<usize>>,
}

impl Lesson {
    pub(super) fn new(message: String) -> Self {
        Self { message, ..Self::default() }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The value should be written so.
    pub(super) fn write(mut self, meant: String) -> Self {
        self.help = Some(format!("write `{meant}`"));
        self.meant = Some(meant);
        self
    }
}

/// What is wrong with `node` for `slot`; `None` if the types alone do not tell.
pub(super) fn lesson(text: &str, node: &Node, slot: Slot) -> Option<Lesson> {
    let node = unwrap(text, node);
    if let Kind::Group { name, fields, .. } = &node.kind
        && let [only] = fields.as_slice()
        && name.is_empty()
        && only.key.is_none()
        && ["string", "integer", "number", "boolean"].iter().any(|scalar| slot.is(scalar))
    {
        return lesson(text, &only.value, slot); // parameters that are a single value
    }
    let written = &text[node.range.clone()];
    let inner = unquoted(written);
    let found = found(text, node);
    if slot.choice().is_some() {
        return of_open_choice(slot, node, written, &found);
    }
    let units = slot.units();
    if !units.is_empty() {
        return of_units(text, node, slot, &units);
    }
    if let Some(lesson) = misplaced(text, node, slot) {
        return Some(lesson);
    }
    let forms = slot.forms();
    if !forms.is_empty() {
        return of_forms(text, node, &forms, &found).or_else(|| of_content(text, node, slot));
    }
    let wrong = |wanted: &str| Lesson::new(format!("expected {wanted}, found {found}"));
    let scalar = matches!(node.kind, Kind::Scalar);
    if slot.has_fields() {
        return match &node.kind {
            Kind::Group { .. } => None,
            _ => Some(wrong("fields in parentheses").help("write `(name: value, …)`")),
        };
    }
    if slot.is("array") {
        if slot.core()["prefixItems"].is_array() {
            let name = slot.type_name();
            let fits = matches!(node.kind, Kind::Group { .. });
            return (!fits).then(|| wrong(&format!("`{name}`")));
        }
        let fits = matches!(node.kind, Kind::List(_));
        let lesson = || Lesson::new(format!("expected a list, found {found}"));
        return (!fits).then(|| match &node.kind {
            Kind::Map(_) => lesson().help("write `[…]`"),
            _ => lesson().write(format!("[{written}]")),
        });
    }
    if slot.is("string") {
        let fits = scalar && written.ends_with(['"', '#']);
        let help = did_you_mean(written, ["None"]);
        if !fits && scalar && slot.takes_none() && suggested(&help).is_some() {
            let lesson = wrong("text in quotes or `None`").write("None".into());
            return Some(lesson.help(help));
        }
        return (!fits).then(|| match scalar {
            true if inner == written => wrong("text in quotes").write(format!("{written:?}")),
            true => wrong("text in quotes").write(format!("{inner:?}")),
            false => wrong("text in quotes"),
        });
    }
    let number = inner.replace('_', "").parse::<f64>().ok().filter(|_| scalar);
    if slot.is("integer") {
        return of_integer(slot, number, written, &found);
    }
    if slot.is("number") {
        return match number {
            Some(_) if inner == written => None,
            Some(_) => Some(wrong("a number").write(inner.to_owned())),
            None => Some(wrong("a number")),
        };
    }
    if slot.is("boolean") && !matches!(written, "true" | "false") {
        let meant = inner.to_lowercase();
        let lesson = wrong("`true` or `false`");
        return Some(match meant.as_str() {
            "true" | "yes" | "on" | "1" => lesson.write("true".into()),
            "false" | "no" | "off" | "0" => lesson.write("false".into()),
            _ => lesson.help(did_you_mean(&meant, ["true", "false"])),
        });
    }
    None
}

fn of_integer(slot: Slot, number: Option<f64>, written: &str, found: &str) -> Option<Lesson> {
    let (lowest, highest): (i128, i128) = match slot.core()["format"].as_str() {
        Some("int8") => (i8::MIN.into(), i8::MAX.into()),
        Some("int16") => (i16::MIN.into(), i16::MAX.into()),
        Some("int32") => (i32::MIN.into(), i32::MAX.into()),
        Some("int64") => (i64::MIN.into(), i64::MAX.into()),
        Some("uint8") => (0, u8::MAX.into()),
        Some("uint16") => (0, u16::MAX.into()),
        Some("uint32") => (0, u32::MAX.into()),
        _ => (0, u64::MAX.into()),
    };
    let bound = |name: &str| slot.core()[name].as_i64().map(i128::from);
    let (least, most) = (bound("minimum").unwrap_or(lowest), bound("maximum").unwrap_or(highest));
    let plain = unquoted(written);
    let range = least..=most;
    if plain == written && written.parse::<i128>().is_ok_and(|number| range.contains(&number)) {
        return None; // the types take it, so something else is wrong
    }
    let lesson = Lesson::new(format!("expected a whole number, {least} to {most}, found {found}"));
    let fits =
        |number: f64| number.fract() == 0.0 && number.abs() < 2e18 && range.contains(&(number as i128));
    Some(match number {
        Some(number) if fits(number) => lesson.write(format!("{}", number as i128)),
        _ => lesson,
    })
}

fn of_open_choice(slot: Slot, node: &Node, written: &str, found: &str) -> Option<Lesson> {
    let kind = slot.choice().unwrap_or_default();
    let lesson = Lesson::new(format!("expected {}, found {found}", words_of(kind)));
    match &node.kind {
        Kind::Group { name, .. } if name.is_empty() => {
            Some(lesson.help("write its name before the parenthesis"))
        }
        Kind::Group { .. } => None,
        Kind::Scalar => {
            let plain = unquoted(written);
            let is_name = plain.starts_with(|c: char| c.is_alphabetic() || c == '_');
            match plain == written {
                true if is_name => None,
                false if is_name => Some(lesson.write(plain.to_owned())),
                _ => Some(lesson.help("write its name, with parameters in parentheses or without")),
            }
        }
        _ => Some(lesson.help("write its name, with parameters in parentheses or without")),
    }
}

/// `an arrival process`.
fn words_of(kind: &str) -> String {
    match kind {
        "" => "a name, with parameters or without".to_owned(),
        kind => {
            let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
            format!("{article} {kind}")
        }
    }
}

fn of_forms(text: &str, node: &Node, forms: &[Form], found: &str) -> Option<Lesson> {
    let written = &text[node.range.clone()];
    let names = || forms.iter().map(|form| form.name);
    let known = |name: &str| forms.iter().find(|form| form.name == name);
    // A number where an amount may also be drawn.
    let fixed = |number: &str| {
        let is_amount = number.replace('_', "").parse::<f64>().is_ok() && known("Exactly").is_some();
        is_amount.then(|| Lesson::new(format!("expected a name, found {found}")))
    };
    match &node.kind {
        Kind::Group { name, fields, .. } => match known(&text[name.clone()]) {
            // Such as `ms(300)`, and no slip of the pen for the name of a form.
            None if suggested(&did_you_mean(&text[name.clone()], names())).is_none()
                && matches!(fields.as_slice(), [only] if only.key.is_none()
                    && fixed(&text[only.value.range.clone()]).is_some()) =>
            {
                fixed("0").map(|lesson| lesson.write(format!("Exactly({written})")))
            }
            Some(form) if form.held.is_null() && !fields.is_empty() => {
                Some(Lesson::new(format!("`{}` takes no parameters", form.name)).write(form.name.to_owned()))
            }
            None if name.is_empty() => Some(
                Lesson::new("a name is missing before the parenthesis".into())
                    .help(did_you_mean("", names())),
            ),
            _ => None, // the reader says which names there are
        },
        Kind::Scalar => {
            let plain = unquoted(written);
            match known(plain) {
                Some(form) if !form.held.is_null() => Some(
                    Lesson::new(format!("`{plain}` needs parameters")).help(format!("write `{plain}(…)`")),
                ),
                Some(_) if plain != written => Some(
                    Lesson::new(format!("expected a name without quotes, found {found}")).write(plain.into()),
                ),
                Some(_) => None,
                None if fixed(plain).is_some() => {
                    fixed(plain).map(|lesson| lesson.write(format!("Exactly({plain})")))
                }
                None => {
                    let help = did_you_mean(plain, names());
                    let meant = suggested(&help).map(str::to_owned);
                    let message = if plain == written && plain.starts_with(char::is_alphabetic) {
                        format!("unknown value `{plain}`")
                    } else {
                        format!("expected a name, found {found}")
                    };
                    Some(Lesson { meant, ..Lesson::new(message).help(help) })
                }
            }
        }
        _ => Some(Lesson::new(format!("expected a name, found {found}")).help(did_you_mean("", names()))),
    }
}

/// A quantity: a number in the parentheses of its unit.
fn of_units(text: &str, node: &Node, slot: Slot, units: &[Form]) -> Option<Lesson> {
    let what = slot.core()["x-what"].as_str().unwrap_or("a quantity");
    let written = &text[node.range.clone()];
    let all = || units.iter().map(|unit| format!("`{}(…)`", unit.name)).collect::<Vec<_>>().join(", ");
    let known = |name: &str| units.iter().any(|unit| unit.name == name);
    let no_number =
        |found: &str, unit: &str| Lesson::new(format!("expected a number in `{unit}(…)`, found {found}"));
    match &node.kind {
        Kind::Group { name, fields, .. } => {
            let unit = &text[name.clone()];
            match fields.as_slice() {
                _ if !known(unit) && !unit.is_empty() => {
                    let lesson = Lesson::new(format!("`{unit}` is no unit of {what}"));
                    let lesson = Lesson { span: Some(name.clone()), ..lesson };
                    let meant = nearest_unit(unit, units);
                    let guess = did_you_mean(unit, units.iter().map(|unit| unit.name));
                    let help = match meant {
                        Some(meant) => format!("did you mean `{meant}`? Allowed: {}", all()),
                        None if guess.starts_with(GUESS) => guess,
                        None => format!("write {}", all()),
                    };
                    let meant = meant.map(|meant| format!("{meant}{}", &written[unit.len()..]));
                    Some(Lesson { meant, ..lesson.help(help) })
                }
                [only] if only.key.is_none() => {
                    let number = &text[only.value.range.clone()];
                    match number.parse::<f64>() {
                        Ok(value) if unit.is_empty() => Some(bare(value, number, what, units)),
                        Ok(_) => None,
                        Err(_) => Some(no_number(&found(text, &only.value), unit)),
                    }
                }
                [] => Some(no_number("nothing", if unit.is_empty() { units[0].name } else { unit })),
                _ => Some(
                    Lesson::new(format!("{what} is one number in its unit")).help(format!("write {}", all())),
                ),
            }
        }
        Kind::Scalar => {
            let plain = unquoted(written);
            if let Ok(value) = plain.parse::<f64>() {
                return Some(bare(value, plain, what, units));
            }
            let lesson = Lesson::new(format!("expected {what}, found {}", found(text, node)));
            let digits = plain.trim_end_matches(|c: char| c.is_alphabetic() || c == '_' || c == '/');
            let (number, unit) = (digits.trim(), plain[digits.len()..].trim());
            let unit = if known(unit) { Some(unit) } else { nearest_unit(unit, units) };
            Some(match unit {
                Some(unit) if number.parse::<f64>().is_ok() => lesson.write(format!("{unit}({number})")),
                // The quotes hold what is meant: `"ms(5)"`.
                _ if plain != written
                    && units.iter().any(|unit| plain.starts_with(&format!("{}(", unit.name))) =>
                {
                    lesson.write(plain.to_owned())
                }
                _ => lesson.help(format!("write {}", all())),
            })
        }
        _ => Some(
            Lesson::new(format!("expected {what}, found {}", found(text, node)))
                .help(format!("write {}", all())),
        ),
    }
}

/// A number without a unit.
fn bare(value: f64, number: &str, what: &str, units: &[Form]) -> Lesson {
    let has = |name: &str| units.iter().any(|unit| unit.name == name);
    let ways: Vec<String> = if has("s") && has("ms") {
        // Seconds if it is small, as half a second is.
        let (s, ms) = if value.abs() < 10.0 { (value, value * 1e3) } else { (value / 1e3, value) };
        vec![format!("s({s})"), format!("ms({ms})")]
    } else {
        units.iter().map(|unit| format!("{}({number})", unit.name)).collect()
    };
    let help = ways.iter().map(|way| format!("`{way}`")).collect::<Vec<_>>().join(" or ");
    let lesson = Lesson::new(format!("expected {what} with its unit, found the number {number}"));
    Lesson { meant: ways.into_iter().next(), ..lesson.help(format!("write {help}")) }
}

/// The unit that `found` is likely to stand for: alike, or its name in full, as `sec` is of `s`.
fn nearest_unit<'a>(found: &str, units: &[Form<'a>]) -> Option<&'a str> {
    let plain = found.to_lowercase();
    let in_full = |unit: &&Form| {
        let word = unit.doc.unwrap_or_default().to_lowercase();
        let word = word.split(|c: char| !c.is_alphabetic()).next().unwrap_or_default();
        plain.len() >= 3 && word.starts_with(&plain)
    };
    if let Some(unit) = units.iter().find(in_full) {
        return Some(unit.name);
    }
    let help = did_you_mean(found, units.iter().map(|unit| unit.name));
    let name = suggested(&help)?;
    units.iter().map(|unit| unit.name).find(|unit| *unit == name)
}

/// The one value that a form of a closed choice holds.
fn of_content(text: &str, node: &Node, slot: Slot) -> Option<Lesson> {
    let Kind::Group { name, fields, .. } = &node.kind else { return None };
    let [only] = fields.as_slice() else { return None };
    let inside = slot.entered(text, node).filter(|_| only.key.is_none())?;
    let lesson = lesson(text, &only.value, inside)?;
    let form = &text[name.clone()];
    let around = |meant: String| format!("{form}({meant})");
    let span = lesson.span.clone().or_else(|| Some(only.value.range.clone()));
    Some(Lesson { meant: lesson.meant.map(around), span, ..lesson })
}

/// What stands there, in words.
pub(super) fn found(text: &str, node: &Node) -> String {
    /// Longer values are not quoted in full.
    const LONG: usize = 40;
    let written = &text[node.range.clone()];
    match &node.kind {
        Kind::List(_) => "a list".into(),
        Kind::Map(_) => "a map".into(),
        Kind::Group { name, .. } if name.is_empty() => "values in parentheses".into(),
        Kind::Group { name, .. } => format!("`{}(…)`", &text[name.clone()]),
        Kind::Scalar if written.chars().count() > LONG => {
            format!("`{}…`", written.chars().take(LONG).collect::<String>())
        }
        Kind::Scalar if written.starts_with('"') => format!("the text `{written}`"),
        Kind::Scalar => format!("`{written}`"),
    }
}

/// The text inside quotes, of either sort; anything else is itself.
fn unquoted(written: &str) -> &str {
    let inside = |quote| written.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inside('"').or_else(|| inside('\'')).unwrap_or(written)
}
