//! The results folder: written beside its place, then renamed into it, so that it is there whole or not at all.
//!
//! | file | holds |
//! |---|---|
//! | `summary.json` | the summary, as `--format json` prints it |
//! | `requests.csv` | one row a request that left |
//! | `stages.csv` | one row a stage of a request, where a timeline was asked for |
//! | `scenario.resolved.ron` | the scenario with all defaults filled in; running it gives the same bytes |
//! | `provenance.json` | version, digest, seed, and what the run took |
//!
//! Replications leave `replications.json` (as `--format json` prints it) and `replications.csv` (one row a
//! replication, with its seed) in place of the first two; the scenario is that of replication 0. For the
//! requests of one of them, run it alone with its seed.
//!
//! Until the commit everything lies in a hidden sibling `.NAME.XXXXXX`, which is removed when the run fails.
//! An older result in that place is moved aside first, so a crash between the two renames leaves both folders,
//! renamed but whole. Of the older one only the files above are deleted, last; whatever else lies in it, notes
//! or plots, moves into the new one. A link to a folder stays one. A folder that is not a result of MIST is
//! never touched.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::TempDir;

use super::provenance::Provenance;
use super::replications::ReplicationSummary;
use super::request_rows::RequestRows;
use super::timeline::write_stages;
use crate::metrics::{RowSource, StageRecord, Summary};

const PROVENANCE: &str = "provenance.json";
const SUMMARY: &str = "summary.json";
const ROWS: &str = "requests.csv";
const STAGES: &str = "stages.csv";
const SCENARIO: &str = "scenario.resolved.ron";
const REPLICATIONS: [&str; 2] = ["replications.json", "replications.csv"];

/// Whether a file of that name in a results folder is MIST's to delete.
fn is_own(name: &OsStr) -> bool {
    let [json, csv] = REPLICATIONS;
    [SUMMARY, ROWS, STAGES, SCENARIO, PROVENANCE, json, csv].iter().any(|own| name == *own)
}

/// Why results could not be written.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The target has no name or its parent is not a folder.
    #[error("cannot put results into {target}: {parent} is not a folder; create it first")]
    NoParent {
        /// Where results were to go.
        target: PathBuf,
        /// What should be a folder.
        parent: PathBuf,
    },
    /// Something else is in that place.
    #[error(
        "{target} exists and is not a result of MIST (no {PROVENANCE}): choose another folder or remove it"
    )]
    NotOurs {
        /// Where results were to go.
        target: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot write results to {path}: {why}")]
    Io {
        /// The file or folder concerned.
        path: PathBuf,
        /// What the operating system said.
        why: io::Error,
    },
}

/// A results folder in the making; dropped without [`commit`](Self::commit), it leaves nothing.
#[derive(Debug)]
pub struct ResultsFolder {
    target: PathBuf,
    /// The target, or what it is a link to.
    place: PathBuf,
    scratch: TempDir,
}

/// Attaches the path to what the operating system said.
fn at(path: &Path) -> impl FnOnce(io::Error) -> FolderError + '_ {
    move |why| FolderError::Io { path: path.to_owned(), why }
}

impl ResultsFolder {
    /// Starts a results folder that is to end up at `target`. To be called before the run, for it finds out
    /// whether the result can be kept.
    ///
    /// # Errors
    /// When the parent is missing or cannot be written to, or something other than a result is there.
    pub fn create(target: &Path) -> Result<Self, FolderError> {
        let place = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        let parent = match place.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => target,
        };
        let Some(name) = place.file_name().filter(|_| parent.is_dir()) else {
            return Err(FolderError::NoParent { target: target.to_owned(), parent: parent.to_owned() });
        };
        check_replaceable(target)?;
        let prefix = format!(".{}.", name.to_string_lossy());
        let scratch = tempfile::Builder::new().prefix(&prefix).tempdir_in(parent).map_err(at(parent))?;
        Ok(Self { target: target.to_owned(), place, scratch })
    }

    /// Where the results will be.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Opens `requests.csv`, to be fed while the run goes on. `caches`: whether any client has a prefix cache.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn request_rows(
        &self,
        sources: Vec<RowSource>,
        clients: Vec<String>,
        caches: bool,
    ) -> Result<RequestRows<File>, FolderError> {
        let path = self.scratch.path().join(ROWS);
        let rows = File::create(&path).and_then(|file| RequestRows::new(file, sources, clients, caches));
        rows.map_err(at(&path))
    }

    /// Writes `summary.json`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_summary(&self, summary: &Summary) -> Result<(), FolderError> {
        self.write_json(SUMMARY, summary)
    }

    /// Writes `stages.csv`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_stages(&self, rows: &[StageRecord]) -> Result<(), FolderError> {
        let path = self.scratch.path().join(STAGES);
        File::create(&path).and_then(|file| write_stages(rows, file)).map_err(at(&path))
    }

    /// Writes `replications.json` and `replications.csv`.
    ///
    /// # Errors
    /// When one cannot be written.
    pub fn write_replications(&self, summary: &ReplicationSummary) -> Result<(), FolderError> {
        let [json, csv] = REPLICATIONS;
        self.write_json(json, summary)?;
        let path = self.scratch.path().join(csv);
        File::create(&path).and_then(|file| summary.write_csv(file)).map_err(at(&path))
    }

    /// Writes `scenario.resolved.ron`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_scenario(&self, resolved: &str) -> Result<(), FolderError> {
        self.write(SCENARIO, resolved.as_bytes())
    }

    /// Writes the provenance and moves the folder into its place.
    ///
    /// # Errors
    /// When it cannot be written or moved; nothing of it is left then, and an older result is back in place.
    pub fn commit(self, provenance: &Provenance) -> Result<PathBuf, FolderError> {
        self.write_json(PROVENANCE, provenance)?;
        // Once more: the run may have taken hours.
        check_replaceable(&self.target)?;
        let old = if self.place.exists() {
            let mut aside = self.scratch.path().as_os_str().to_owned();
            aside.push(".old");
            let aside = PathBuf::from(aside);
            fs::rename(&self.place, &aside).map_err(at(&self.target))?;
            Some(aside)
        } else {
            None
        };
        if let Err(why) = fs::rename(self.scratch.path(), &self.place) {
            if let Some(aside) = old {
                // The first failure is the one to report.
                let _ = fs::rename(aside, &self.place);
            }
            return Err(FolderError::Io { path: self.target, why });
        }
        // The scratch folder is in place under its final name: nothing is left to clean up.
        let _ = self.scratch.keep();
        if let Some(aside) = old {
            empty_into(&aside, &self.place).map_err(at(&aside))?;
        }
        Ok(self.target)
    }

    fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), FolderError> {
        let mut text =
            serde_json::to_vec_pretty(value).map_err(io::Error::from).map_err(at(Path::new(name)))?;
        text.push(b'\n');
        self.write(name, &text)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), FolderError> {
        let path = self.scratch.path().join(name);
        fs::write(&path, bytes).map_err(at(&path))
    }
}

/// Deletes an older result, all but what is not MIST's, which moves on into the newer one.
fn empty_into(older: &Path, newer: &Path) -> io::Result<()> {
    for entry in fs::read_dir(older)? {
        let entry = entry?;
        let name = entry.file_name();
        if is_own(&name) && !entry.file_type()?.is_dir() {
            fs::remove_file(entry.path())?;
        } else {
            fs::rename(entry.path(), newer.join(name))?;
        }
    }
    fs::remove_dir(older)
}

/// Nothing there, an empty folder, or a result of MIST.
fn check_replaceable(target: &Path) -> Result<(), FolderError> {
    if fs::symlink_metadata(target).is_err() {
        return Ok(());
    }
    let empty = || fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_none());
    let ours = || {
        fs::read(target.join(PROVENANCE)).is_ok_and(|text| {
            serde_json::from_slice::<serde_json::Value>(&text)
                .is_ok_and(|json| json.get("mist_version").is_some())
        })
    };
    if empty() || ours() { Ok(()) } else { Err(FolderError::NotOurs { target: target.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::RowSink;
    use crate::output::sample;

    fn entries(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn write_all(target: &Path, scenario: &str) -> Result<PathBuf, FolderError> {
        let (summary, provenance) = sample::run();
        let folder = ResultsFolder::create(target)?;
        let mut rows = folder.request_rows(Vec::new(), Vec::new(), false)?;
        folder.write_summary(&summary)?;
        folder.write_scenario(scenario)?;
        rows.finish().unwrap();
        folder.commit(&provenance)
    }

    #[test]
    fn a_committed_folder_is_whole_and_replaces_an_older_one() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("run.1");
        fs::create_dir(&target).unwrap();
        for scenario in ["(first)", "(second)"] {
            assert_eq!(write_all(&target, scenario).unwrap(), target);
            assert_eq!(entries(parent.path()), ["run.1"]);
            assert_eq!(
                entries(&target),
                ["provenance.json", "requests.csv", "scenario.resolved.ron", "summary.json"]
            );
            assert_eq!(fs::read_to_string(target.join("scenario.resolved.ron")).unwrap(), scenario);
        }
        let provenance: Provenance =
            serde_json::from_slice(&fs::read(target.join(PROVENANCE)).unwrap()).unwrap();
        assert_eq!(provenance, sample::run().1);
    }

    #[test]
    fn a_run_that_fails_leaves_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let folder = ResultsFolder::create(&parent.path().join("run")).unwrap();
        let _rows = folder.request_rows(Vec::new(), Vec::new(), false).unwrap();
        folder.write_scenario("()").unwrap();
        assert_eq!(entries(parent.path()).len(), 1);
        drop(folder);
        assert!(entries(parent.path()).is_empty());
    }

    #[test]
    fn what_is_not_ours_is_not_touched() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("thesis");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("chapter.tex"), "years of work").unwrap();
        let message = write_all(&target, "()").unwrap_err().to_string();
        assert!(message.contains("thesis") && message.contains("is not a result of MIST"), "{message}");
        assert_eq!(entries(parent.path()), ["thesis"]);

        // It may also turn up while the run goes on.
        let target = parent.path().join("run");
        let folder = ResultsFolder::create(&target).unwrap();
        fs::write(&target, "a file now").unwrap();
        assert!(matches!(folder.commit(&sample::run().1), Err(FolderError::NotOurs { .. })));
        assert_eq!(fs::read_to_string(&target).unwrap(), "a file now");
        assert_eq!(entries(parent.path()), ["run", "thesis"]);
    }

    #[test]
    fn what_others_put_beside_a_result_outlives_it() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("run");
        write_all(&target, "(first)").unwrap();
        fs::write(target.join("notes.md"), "kept").unwrap();
        fs::create_dir_all(target.join("plots/a")).unwrap();
        fs::write(target.join("replications.csv"), "of an older result").unwrap();
        write_all(&target, "(second)").unwrap();
        assert_eq!(entries(parent.path()), ["run"]);
        let ours = ["provenance.json", "requests.csv", "scenario.resolved.ron", "summary.json"];
        assert_eq!(entries(&target), ["notes.md", "plots", ours[0], ours[1], ours[2], ours[3]]);
        assert_eq!(fs::read_to_string(target.join("notes.md")).unwrap(), "kept");
        assert!(target.join("plots/a").is_dir());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_stays_one() {
        let parent = tempfile::tempdir().unwrap();
        let link = parent.path().join("link");
        fs::create_dir_all(parent.path().join("disk/run")).unwrap();
        std::os::unix::fs::symlink("disk/run", &link).unwrap();
        for _ in 0..2 {
            assert_eq!(write_all(&link, "()").unwrap(), link);
            assert!(link.is_symlink());
            assert_eq!(entries(&parent.path().join("disk")), ["run"]);
            assert!(parent.path().join("disk/run/summary.json").is_file());
        }
        let nowhere = parent.path().join("nowhere");
        std::os::unix::fs::symlink("disk/none", &nowhere).unwrap();
        assert!(matches!(ResultsFolder::create(&nowhere), Err(FolderError::NotOurs { .. })));
    }

    #[test]
    fn a_missing_or_unwritable_parent_is_an_error_before_the_run() {
        let parent = tempfile::tempdir().unwrap();
        let message = ResultsFolder::create(&parent.path().join("no/such")).unwrap_err().to_string();
        assert!(message.contains("create it first"), "{message}");
        assert!(ResultsFolder::create(Path::new("/")).is_err());
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(ResultsFolder::create(&file.join("run")), Err(FolderError::NoParent { .. })));
    }
}
