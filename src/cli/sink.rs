//! Where a trace goes: stdout, or files that are there whole or not at all.
//!
//! A file is written beside its place and renamed into it. What is there and no plain file, such as
//! `/dev/null` or a pipe, is written to as it is.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::{Builder, TempPath};

use super::failure::Failure;
use super::terminal;
use crate::workload::trace_tools::TraceToolError;

/// A place that a trace is written to.
pub(super) struct Sink {
    out: BufWriter<Box<dyn Write>>,
    /// The file; `None` for stdout.
    target: Option<PathBuf>,
    /// What is to be renamed to the target.
    draft: Option<TempPath>,
}

impl Sink {
    /// The file at `target`, or else stdout. Whether it can be written is found out now.
    pub(super) fn open(target: Option<&Path>, drafts: &Drafts) -> Result<Self, Failure> {
        let Some(target) = target else {
            return Ok(Self::new(Box::new(io::stdout()), None, None));
        };
        let refused =
            |error: io::Error| Failure::input(format!("cannot write {}: {error}", target.display()));
        // Through a link to what it stands for; a name that is free is as it is.
        let place = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        let special = fs::metadata(&place).is_ok_and(|found| !found.is_file());
        if special {
            let file = File::options().write(true).open(&place).map_err(refused)?;
            return Ok(Self::new(Box::new(file), Some(place), None));
        }
        let Some(name) = place.file_name() else {
            return Err(Failure::input(format!("{} does not name a file", target.display())));
        };
        let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty());
        let prefix = format!(".{}.", name.to_string_lossy());
        let mut builder = Builder::new();
        builder.prefix(&prefix);
        as_any_file(&mut builder);
        let made = drafts.make(|| {
            let made = builder.tempfile_in(folder.unwrap_or(Path::new(".")))?;
            let path = made.path().to_owned();
            Ok((made, Some(path)))
        });
        let (file, draft) = made.map_err(refused)?.into_parts();
        Ok(Self::new(Box::new(file), Some(place), Some(draft)))
    }

    fn new(out: Box<dyn Write>, target: Option<PathBuf>, draft: Option<TempPath>) -> Self {
        Self { out: BufWriter::new(out), target, draft }
    }

    /// Has `make` write the trace; whoever reads stdout may stop reading.
    pub(super) fn fill(
        &mut self,
        make: impl FnOnce(&mut dyn Write) -> Result<u64, TraceToolError>,
    ) -> Result<u64, Failure> {
        let error = match make(&mut self.out) {
            Ok(requests) => return Ok(requests),
            Err(error) => error,
        };
        // What is not out yet stays in.
        let _ = mem::replace(&mut self.out, BufWriter::new(Box::new(io::sink()))).into_parts();
        match error {
            TraceToolError::Source(error) => Err(error.into()),
            TraceToolError::Write(error) if error.kind() == ErrorKind::BrokenPipe => Ok(0),
            TraceToolError::Write(error) => Err(self.broken(&error)),
            TraceToolError::Closed => Err(Failure::input(error.to_string())),
        }
    }

    /// Puts the trace in its place.
    pub(super) fn keep(mut self) -> Result<(), Failure> {
        let (Some(draft), Some(target)) = (self.draft.take(), &self.target) else { return Ok(()) };
        draft.persist(target).map_err(|refused| self.broken(&refused.error))
    }

    fn broken(&self, error: &io::Error) -> Failure {
        let target =
            self.target.as_ref().map_or("to stdout".to_owned(), |target| target.display().to_string());
        Failure::Broken(format!("cannot write {target}: {error}"))
    }
}

/// With the rights that a new file has, and not with those of a secret.
#[cfg(unix)]
fn as_any_file(builder: &mut Builder<'_, '_>) {
    use std::os::unix::fs::PermissionsExt;
    builder.permissions(fs::Permissions::from_mode(0o666));
}

#[cfg(not(unix))]
fn as_any_file(_: &mut Builder<'_, '_>) {}

/// What to remove when the user interrupts.
pub(super) struct Drafts(Arc<Mutex<Vec<PathBuf>>>);

impl Drafts {
    /// Nothing yet; from now on ctrl-C and a request to terminate remove what is added.
    pub(super) fn watch() -> Result<Self, Failure> {
        let drafts = Self(Arc::default());
        let paths = Arc::clone(&drafts.0);
        ctrlc::set_handler(move || {
            // Held to the end, so that nothing new is made.
            let paths = paths.lock().unwrap_or_else(PoisonError::into_inner);
            for path in paths.iter().rev() {
                // A draft, or a folder made for it; in its place it has another name and stays.
                let _ = fs::remove_file(path).or_else(|_| fs::remove_dir(path));
            }
            terminal::complain(&Failure::Interrupted);
            process::exit(i32::from(Failure::Interrupted.exit_code()));
        })
        .map_err(|error| Failure::Broken(format!("cannot listen for interrupts: {error}")))?;
        Ok(drafts)
    }

    /// Makes something, and remembers the path of it that is given, unless the user has interrupted.
    pub(super) fn make<T, E>(&self, make: impl FnOnce() -> Result<(T, Option<PathBuf>), E>) -> Result<T, E> {
        let mut paths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (made, path) = make()?;
        paths.extend(path);
        Ok(made)
    }
}
