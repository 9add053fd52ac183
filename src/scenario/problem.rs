//! What is wrong with a scenario, in a form that the command line can show beside the text.

use std::fmt;
use std::ops::Range;

use super::path::strip;
use super::survey::MOST;

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

    /// The same problem in a length that can be read, however long the words are that it quotes.
    fn short(mut self) -> Self {
        const LONGEST: usize = 2_000;
        for text in [Some(&mut self.message), self.help.as_mut()].into_iter().flatten() {
            if text.len() > LONGEST {
                text.truncate(text.floor_char_boundary(LONGEST / 4));
                text.push('…');
            }
        }
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

/// What is known to be wrong with a scenario, and which of its values cannot be relied upon.
///
/// A scenario with faults is looked through to the end, with the faulty values made up; what is then
/// wrong because of those is no further fault of the user's, and is left out here; so is what comes
/// after the first fifty.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    problems: Vec<Problem>,
    /// The fields whose values were made up or are wrong.
    unsound: Vec<String>,
    /// The open choices that could not be settled and stand as they were written.
    open: Vec<String>,
}

impl Findings {
    /// Enters a problem, unless it hangs on a value that is not sound; its field is not sound from now.
    pub fn report(&mut self, problem: Problem) {
        if self.problems.len() < MOST && self.is_sound(&problem.path) {
            self.make_up(problem.path.clone());
            self.problems.push(problem.short());
        }
    }

    /// Enters every problem of `problems`, judged by what was known before.
    pub fn report_all(&mut self, problems: impl IntoIterator<Item = Problem>) {
        let before = self.unsound.len();
        for problem in problems {
            if self.problems.len() < MOST && touches_none(&self.unsound[..before], &problem.path) {
                self.make_up(problem.path.clone());
                self.problems.push(problem.short());
            }
        }
    }

    /// Enters a problem whatever it hangs on.
    pub(super) fn note(&mut self, problem: Problem) {
        self.problems.push(problem.short());
    }

    /// Whatever hangs on the value at `path` is not to be held against the user.
    pub(super) fn make_up(&mut self, path: impl Into<String>) {
        self.unsound.push(path.into());
    }

    /// Enters what was found in the value at `prefix`.
    pub fn absorb(&mut self, inner: Self, prefix: &str) {
        let before = self.unsound.len();
        for problem in inner.problems {
            let problem = problem.under(prefix);
            if touches_none(&self.unsound[..before], &problem.path) {
                self.problems.push(problem);
            }
        }
        self.unsound.extend(inner.unsound.iter().map(|path| join(prefix, path)));
        self.open.extend(inner.open.iter().map(|path| join(prefix, path)));
    }

    /// Moves the bytes that problems of the whole value point at.
    pub fn shift(&mut self, to: impl Fn(usize) -> usize) {
        let whole = self.problems.iter_mut().filter(|problem| problem.path.is_empty());
        for span in whole.filter_map(|problem| problem.span.as_mut()) {
            *span = to(span.start)..to(span.end);
        }
    }

    /// The open choice at `path` stands as it was written, to be settled again.
    pub(super) fn leave_open(&mut self, path: &str) {
        self.make_up(path);
        self.open.push(path.to_owned());
    }

    /// Forgets what was found in choices that will be settled again.
    pub(super) fn reopen(&mut self) {
        for path in std::mem::take(&mut self.open) {
            self.forget(&path);
        }
    }

    /// Forgets what was found in the value at `path`, which has been replaced.
    pub(super) fn forget(&mut self, path: &str) {
        self.problems.retain(|problem| strip(&problem.path, path).is_none());
        self.unsound.retain(|unsound| strip(unsound, path).is_none());
    }

    /// Whether the value at `path` can be relied upon, with all it holds.
    pub fn is_sound(&self, path: &str) -> bool {
        touches_none(&self.unsound, path)
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// What is wrong.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

/// Whether `path` is neither inside one of `others` nor around it.
fn touches_none(others: &[String], path: &str) -> bool {
    !others.iter().any(|other| strip(path, other).is_some() || strip(other, path).is_some())
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
    fn what_hangs_on_a_fault_is_no_further_one() {
        let mut findings = Findings::default();
        findings.note(Problem::new("a[0]", "field `n` is missing"));
        findings.make_up("a[0].n");
        for (path, is_told) in [("a[0].n.x", false), ("a[0].n", false), ("a[0]", false), ("a[0].m", true)] {
            let before = findings.problems().len();
            findings.report(Problem::new(path, "wrong"));
            assert_eq!(findings.problems().len() > before, is_told, "{path}");
        }
        assert!(!findings.is_sound("a") && findings.is_sound("b"));
        findings.forget("a[0].m");
        assert!(findings.is_sound("a[0].m"));
    }

    #[test]
    fn a_long_quotation_is_cut() {
        let mut findings = Findings::default();
        findings.report(Problem::new("a", "é".repeat(5_000)));
        assert!(findings.problems()[0].message.len() < 1_000);
    }

    #[test]
    fn a_problem_prints_on_one_line() {
        let problem = Problem::new("rate", "too small").help("use 1").under("workload[0]");
        assert_eq!(problem.to_string(), "workload[0].rate: too small (use 1)");
    }
}
