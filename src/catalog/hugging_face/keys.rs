//! The keys of a JSON object, read by type, with a record of which were.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// What is wrong with a key: to be read one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The path of the key.
    pub(super) key: String,
    /// What is wrong with it.
    pub(super) problem: String,
}

/// A JSON object. A key that holds `null` counts as absent, but as read.
pub(super) struct Keys<'a> {
    /// What stands before every key: nothing, or the path of the object and a dot.
    path: String,
    object: &'a Map<String, Value>,
    read: RefCell<BTreeSet<&'a str>>,
    /// The keys that were asked for and are not there.
    missed: RefCell<BTreeSet<String>>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(object: &'a Map<String, Value>) -> Self {
        Self { path: String::new(), object, read: RefCell::default(), missed: RefCell::default() }
    }

    /// The error that something is wrong with `key`.
    pub(super) fn fault(&self, key: &str, problem: impl Into<String>) -> Fault {
        Fault { key: format!("{}{key}", self.path), problem: problem.into() }
    }

    /// What `key` holds, unread: `null`, `false`, zero and what is empty say that something is not there.
    pub(super) fn says(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|value| match value {
            Value::Null => false,
            Value::Bool(on) => *on,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) => !text.is_empty(),
            Value::Array(list) => !list.is_empty(),
            Value::Object(object) => !object.is_empty(),
        })
    }

    /// All keys.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.object.keys().map(String::as_str)
    }

    /// The keys nobody asked for, with their path.
    pub(super) fn unread(&self) -> impl Iterator<Item = String> {
        let read = self.read.borrow();
        let unread: Vec<String> = self
            .names()
            .filter(|name| !read.contains(name))
            .map(|name| format!("{}{name}", self.path))
            .collect();
        unread.into_iter()
    }

    /// What to say of the keys nobody asked for that are nearly ones that were.
    pub(super) fn misspelt(&self) -> impl Iterator<Item = String> {
        /// Letters in which they differ at most.
        const TYPO: usize = 2;
        /// A key with fewer says nothing.
        const SHORT: usize = 8;
        let (read, missed) = (self.read.borrow(), self.missed.borrow());
        let near = |name: &str| missed.iter().find(|key| strsim::osa_distance(name, key) <= TYPO).cloned();
        let unread = self.names().filter(|name| !read.contains(name) && name.len() >= SHORT);
        let said = |name: &str| {
            let meant = near(name)?;
            Some(format!("`{}{name}` has no effect; did you mean `{meant}`?", self.path))
        };
        unread.filter_map(said).collect::<Vec<_>>().into_iter()
    }

    fn value(&self, key: &str) -> Option<&'a Value> {
        let Some((key, value)) = self.object.get_key_value(key) else {
            self.missed.borrow_mut().insert(key.to_owned());
            return None;
        };
        self.read.borrow_mut().insert(key);
        Some(value).filter(|value| !value.is_null())
    }

    fn typed<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Fault> {
        self.value(key)
            .map(|value| {
                read(value)
                    .ok_or_else(|| self.fault(key, format!("must be {expected}, found {}", shown(value))))
            })
            .transpose()
    }

    /// A whole number.
    pub(super) fn whole(&self, key: &str) -> Result<Option<u32>, Fault> {
        self.typed(key, "a whole number below 2³²", whole)
    }

    /// A whole number from 1, under the first of these names that is there.
    pub(super) fn size(&self, names: &[&str]) -> Result<Option<u32>, Fault> {
        for name in names {
            let size = self.typed(name, "a whole number from 1 to 2³² − 1", |value| {
                whole(value).filter(|size| *size > 0)
            })?;
            if size.is_some() {
                return Ok(size);
            }
        }
        Ok(None)
    }

    /// A truth value.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, Fault> {
        self.typed(key, "true or false", Value::as_bool)
    }

    /// A text.
    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, Fault> {
        self.typed(key, "a text", Value::as_str)
    }

    /// A list of texts.
    pub(super) fn texts(&self, key: &str) -> Result<Option<Vec<&'a str>>, Fault> {
        self.typed(key, "a list of texts", |value| value.as_array()?.iter().map(Value::as_str).collect())
    }

    /// A list of whole numbers, `true` and `false` being 1 and 0.
    pub(super) fn wholes(&self, key: &str) -> Result<Option<Vec<u32>>, Fault> {
        self.typed(key, "a list of whole numbers", |value| {
            let number = |value: &Value| whole(value).or(value.as_bool().map(u32::from));
            value.as_array()?.iter().map(number).collect()
        })
    }

    /// Whether `key` holds a list.
    pub(super) fn is_list(&self, key: &str) -> bool {
        self.object.get(key).is_some_and(Value::is_array)
    }

    /// An object.
    pub(super) fn object(&self, key: &str) -> Result<Option<Self>, Fault> {
        let object = self.typed(key, "an object", Value::as_object)?;
        let path = format!("{}{key}.", self.path);
        Ok(object.map(|object| Self { path, ..Self::new(object) }))
    }
}

fn whole(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|whole| whole.try_into().ok())
}

/// A value as a message shows it, however long it is.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) if text.chars().count() > 60 => "a long text".to_owned(),
        short => format!("`{short}`"),
    }
}
