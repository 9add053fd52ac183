//! What is wrong with a scenario, in a form that the command line can show beside the text.

use std::fmt;
use std::ops::Range;

/// Something wrong with a scenario: where, what, and what to do about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    /// The field's path, such as `workload[0].arrivals.rate`; empty for the whole file.
    pub path: String,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// How to mend it: a suggestion, the values that are allowed.
    pub help: Option<String>,
    /// The bytes to point at, counted from the start of the value at `path`; all of it if `None`.
    ///
    /// An open choice counts as if its parenthesis followed its name at once: `Name(…)`.
    pub span: Option<Range<usize>>,
}

impl Problem {
    /// A problem with the value at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), help: None, span: None }
    }

    /// Adds how to mend it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Points at part of the value only.
    #[must_use]
    pub fn span(mut self, span: Range<usize>) -> Self {
        self.span = Some(span);
        self
    }

    /// The same problem seen from the field at `prefix` that holds the value.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        self.path = join(prefix, &self.path);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, " ({help})"))
    }
}

impl std::error::Error for Problem {}

/// Joins two parts of a path: `a` and `b` to `a.b`, `a` and `[0]` to `a[0]`.
pub(super) fn join(prefix: &str, path: &str) -> String {
    let dot = if prefix.is_empty() || path.is_empty() || path.starts_with('[') { "" } else { "." };
    format!("{prefix}{dot}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_join_like_a_reader_writes_them() {
        for (prefix, path, joined) in
            [("", "a", "a"), ("a", "", "a"), ("a", "b", "a.b"), ("a", "[2].b", "a[2].b"), ("", "[0]", "[0]")]
        {
            assert_eq!(join(prefix, path), joined);
        }
    }

    #[test]
    fn a_problem_prints_on_one_line() {
        let problem = Problem::new("rate", "too small").help("use 1").under("workload[0]");
        assert_eq!(problem.to_string(), "workload[0].rate: too small (use 1)");
    }
}
