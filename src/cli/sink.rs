//! Where a trace goes: stdout, or files that are there whole or not at all.
//!
//! A file is written beside its place and renamed into it. What is there and no plain file, such as
//! `/dev/null` or a pipe, is written to as it is.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::{Builder, TempPath};

use super::failure::Failure;
use super::terminal;
use crate::workload::trace_tools::TraceToolError;

/// A place that a trace is written to.
pub(super) struct Sink {
    out: Box<dyn Write>,
    /// The file; `None` for stdout.
    target: Option<PathBuf>,
    /// What is to be renamed to the target.
    draft: Option<TempPath>,
}

impl Sink {
    /// The file at `target`, or else stdout. Whether it can be written is found out now.
    pub(super) fn open(target: Option<&Path>, drafts: &Drafts) -> Result<Self, Failure> {
        let Some(target) = target else {
            return Ok(Self { out: Box::new(BufWriter::new(io::stdout())), target: None, draft: None });
        };
        let refused =
            |error: io::Error| Failure::input(format!("cannot write {}: {error}", target.display()));
        // Through a link to what it stands for; a name that is free is as it is.
        let place = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        let special = fs::metadata(&place).is_ok_and(|found| !found.is_file());
        if special {
            let file = File::options().write(true).open(&place).map_err(refused)?;
            return Ok(Self { out: Box::new(BufWriter::new(file)), target: Some(place), draft: None });
        }
        let Some(name) = place.file_name() else {
            return Err(Failure::input(format!("{} does not name a file", target.display())));
        };
        let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty());
        let prefix = format!(".{}.", name.to_string_lossy());
        let mut builder = Builder::new();
        builder.prefix(&prefix);
        as_any_file(&mut builder);
        let made = builder.tempfile_in(folder.unwrap_or(Path::new("."))).map_err(refused)?;
        let (file, draft) = made.into_parts();
        drafts.add(&draft);
        Ok(Self { out: Box::new(BufWriter::new(file)), target: Some(place), draft: Some(draft) })
    }

    /// Has `make` write the trace; whoever reads stdout may stop reading.
    pub(super) fn fill(
        &mut self,
        make: impl FnOnce(&mut dyn Write) -> Result<u64, TraceToolError>,
    ) -> Result<u64, Failure> {
        match make(&mut self.out) {
            Ok(requests) => Ok(requests),
            Err(TraceToolError::Source(error)) => Err(error.into()),
            Err(TraceToolError::Write(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(0),
            Err(TraceToolError::Write(error)) => Err(self.broken(&error)),
            Err(closed @ TraceToolError::Closed) => Err(Failure::input(closed.to_string())),
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
            for path in paths.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                // A draft, or a folder made for it; in its place it has another name and stays.
                let _ = fs::remove_file(path).or_else(|_| fs::remove_dir(path));
            }
            terminal::complain(&Failure::Interrupted);
            process::exit(i32::from(Failure::Interrupted.exit_code()));
        })
        .map_err(|error| Failure::Broken(format!("cannot listen for interrupts: {error}")))?;
        Ok(drafts)
    }

    /// Adds a path; the last added is removed first.
    pub(super) fn add(&self, path: &Path) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(0, path.to_owned());
    }
}
