//! A scenario file as it was read: the text, the scenario in it, and where each field lies.

mod reading;

use std::ops::Range;
use std::path::{Path, PathBuf, absolute};

use self::reading::examine;
pub(super) use self::reading::parse;
use super::locate::{Located, locate, nearest};
use super::overrides::Override;
use super::scan::{Kind, scan};
use super::survey::WORK;
use super::{Findings, Problem, Scenario, check, path};
use crate::text_file::{self, MOST_BYTES};

/// A scenario with the text it came from.
#[derive(Clone, Debug)]
pub struct Document {
    /// The text as written.
    pub text: String,
    /// What to call the text in messages: the path it was read from.
    pub name: String,
    /// The folder that relative paths in the scenario start from.
    pub base_dir: PathBuf,
    /// What the text says, with `--set` applied.
    pub scenario: Scenario,
    pub(super) overrides: Vec<Override>,
    findings: Findings,
}

fn too_long(length: u64) -> String {
    format!("{length} bytes are more than the {MOST_BYTES} that a scenario may have")
}

/// A text that could not be read, with what is wrong in it; as much of a [`Document`] as there is.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// The text as written; empty if not even that could be had.
    pub text: String,
    /// What to call the text in messages.
    pub name: String,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// Where a problem lies: in the file or on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// These bytes of the scenario's text.
    File(Range<usize>),
    /// These bytes of a `--set` argument.
    Set(&'a str, Range<usize>),
    /// No bytes in particular.
    Nowhere,
}

/// Reads and checks a scenario in one call after another: [`load`](Document::load), then
/// [`settle`](Document::settle).
impl Document {
    /// Reads the scenario file at `path`.
    ///
    /// # Errors
    /// The file cannot be read, is of another version, or does not hold a scenario.
    pub fn load(path: &Path) -> Result<Self, Box<Unreadable>> {
        Self::open(path).and_then(Self::strict)
    }

    /// Reads the scenario in `text`, called `name` in messages: the path it has or would have.
    ///
    /// # Errors
    /// The text is of another version or does not hold a scenario: everything that is wrong with it.
    pub fn parse(text: impl Into<String>, name: impl Into<String>) -> Result<Self, Box<Unreadable>> {
        Self::examine(text, name).and_then(Self::strict)
    }

    /// Reads as much of the scenario file at `path` as there is, as [`examine`](Self::examine) does.
    ///
    /// # Errors
    /// The file cannot be read, is of another version, or is not to be understood at all.
    pub fn open(path: &Path) -> Result<Self, Box<Unreadable>> {
        let name = path.display().to_string();
        match text_file::read(path) {
            Ok(text) => Self::examine(text, name),
            Err(error) => {
                let problem = Problem::new("", format!("cannot read the scenario `{name}`: {error}"));
                Err(Box::new(Unreadable { text: String::new(), name, problems: vec![problem] }))
            }
        }
    }

    /// Reads as much of the scenario in `text` as there is; what is wrong with the rest stands in the
    /// [`findings`](Self::findings), and in its place stand values that fit. Such a scenario is good for
    /// finding more that is wrong with it and for nothing else.
    ///
    /// # Errors
    /// The text is of another version or is not to be understood at all.
    pub fn examine(text: impl Into<String>, name: impl Into<String>) -> Result<Self, Box<Unreadable>> {
        let (text, name) = (text.into(), name.into());
        let (mut scenario, findings) = match examine(&text) {
            Ok(found) => found,
            Err(problems) => return Err(Box::new(Unreadable { text, name, problems })),
        };
        let file = Path::new(&name);
        if scenario.name.is_none() {
            scenario.name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        }
        let base_dir = file.parent().map(Path::to_owned).unwrap_or_default();
        let base_dir = whole(&base_dir);
        let mut document = Self { text, base_dir, name, scenario, overrides: Vec::new(), findings };
        document.resolve_paths();
        Ok(document)
    }

    /// The document, if nothing is wrong with it.
    fn strict(self) -> Result<Self, Box<Unreadable>> {
        if self.findings.is_empty() {
            return Ok(self);
        }
        let problems = self.problems();
        Err(Box::new(Unreadable { text: self.text, name: self.name, problems }))
    }

    /// Applies each `--set` argument, fills in the parameters of open choices and checks the rest.
    ///
    /// `fill` [settles](super::Registry::settle) every open choice of the scenario against its
    /// registry. It is called once more after every `--set`, which may have put a new choice there.
    ///
    /// # Errors
    /// Everything wrong with the text, with the arguments and with the scenario that results.
    pub fn settle(
        &mut self,
        sets: &[String],
        fill: &mut dyn FnMut(&mut Scenario, &mut Findings),
    ) -> Result<(), Vec<Problem>> {
        let read = std::mem::take(&mut self.findings);
        let mut settled = Findings::default();
        fill(&mut self.scenario, &mut settled);
        for set in sets {
            match self.set(set) {
                Ok(path) => {
                    settled.forget(&path);
                    settled.reopen();
                    fill(&mut self.scenario, &mut settled);
                }
                Err(problem) => {
                    settled.note(problem);
                    // Who knows what was to be set.
                    settled.make_up("");
                    break;
                }
            }
        }
        self.findings = read;
        self.findings.absorb(settled, "");
        self.findings.report_all(check(&self.scenario));
        if self.findings.is_empty() { Ok(()) } else { Err(self.problems()) }
    }

    /// What is known to be wrong; whoever checks more enters it here.
    pub fn findings(&mut self) -> &mut Findings {
        &mut self.findings
    }

    /// What is known to be wrong, in the order of the text; what comes from the command line is last.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = self.findings.problems().to_vec();
        // Each is looked for in the whole text.
        problems.truncate((WORK / self.text.len().max(1)).max(1));
        problems.sort_by_cached_key(|problem| match self.place(problem) {
            Place::Nowhere => (0, 0),
            Place::File(range) => (1, range.start),
            Place::Set(..) => (2, 0),
        });
        problems
    }

    /// Where `problem` lies: the bytes of the value at its path, or of its nearest owner.
    pub fn place(&self, problem: &Problem) -> Place<'_> {
        for set in self.overrides.iter().rev() {
            if let Some(range) = set.place(problem) {
                return Place::Set(&set.argument, range);
            }
        }
        place_in(&self.text, problem).map_or(Place::Nowhere, Place::File)
    }

    /// `path` from the scenario's own folder, if it is relative.
    pub fn resolve_path(&self, path: &str) -> PathBuf {
        self.base_dir.join(path)
    }

    /// Makes the paths that this room knows of absolute.
    pub(super) fn resolve_paths(&mut self) {
        if let Some(catalog) = &self.scenario.catalog {
            self.scenario.catalog = Some(self.resolve_path(catalog).to_string_lossy().into_owned());
        }
    }
}

impl Unreadable {
    /// Where `problem` lies in the text.
    pub fn place(&self, problem: &Problem) -> Place<'static> {
        place_in(&self.text, problem).map_or(Place::Nowhere, Place::File)
    }
}

/// An absolute folder; the folder itself if there is no telling.
fn whole(folder: &Path) -> PathBuf {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

/// The bytes of `text` that a problem is about.
pub(super) fn place_in(text: &str, problem: &Problem) -> Option<Range<usize>> {
    if problem.path.is_empty() {
        let span = problem.span.clone()?;
        return text.get(span.clone()).map(|_| span);
    }
    let located = locate(text, &problem.path);
    let part = |located: &Located| match &problem.span {
        Some(span) => {
            let part = located.part(span);
            // What was mended before it was judged, such as quotes around a name, shifts the count.
            text.floor_char_boundary(part.start)..text.ceil_char_boundary(part.end)
        }
        None => located.value.clone(),
    };
    let owner = || nearest(text, &problem.path).map(|owner| owner.value).or_else(|| opening(text));
    located.as_ref().map(part).or_else(owner)
}

/// The parenthesis that opens a scenario, where fields that it lacks would stand behind.
fn opening(text: &str) -> Option<Range<usize>> {
    let root = scan(text).ok()?;
    match root.kind {
        Kind::Group { open, .. } => Some(open..open + 1),
        _ => None,
    }
}

/// The part of `problem`'s path beyond `prefix`, as a problem of the text that stands there.
pub(super) fn within(problem: &Problem, prefix: &str) -> Option<Problem> {
    let path = path::strip(&problem.path, prefix)?.to_owned();
    Some(Problem { path, ..problem.clone() })
}

#[cfg(test)]
mod tests;
