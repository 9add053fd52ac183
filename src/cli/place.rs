//! Where the results of a run go, and that nothing is left there when there are none.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::failure::Failure;
use super::options::Keep;
use crate::output::{FolderError, Provenance, ReplicationSummary, ResultsFolder};
use crate::scenario::Problem;
use crate::simulation::Outcome;

/// What the parent of all results is called, in the current folder.
const RESULTS: &str = "results";

/// A place for results; dropped without [`commit`](Self::commit), it leaves nothing.
pub(super) struct Place {
    // Dropped in this order: the folder goes before the parent that was made for it.
    folder: ResultsFolder,
    _parent: Option<MadeFolder>,
}

impl Place {
    /// A place for the results of the scenario of that name, if they are to be kept. Whether they can be
    /// is found out now.
    pub(super) fn reserve(keep: &Keep, name: &str) -> Result<Option<Self>, Failure> {
        let (target, parent) = match keep {
            Keep::Nowhere => return Ok(None),
            Keep::At(folder) if folder.file_name().is_none() => {
                let message = format!("`--results {}` does not name a folder", folder.display());
                return Err(Failure::Input(
                    Problem::new("", message).help("name it, such as `--results out`"),
                ));
            }
            Keep::At(folder) => (folder.clone(), None),
            Keep::ByName => {
                (Path::new(RESULTS).join(folder_name(name)?), MadeFolder::make(Path::new(RESULTS))?)
            }
        };
        let folder = ResultsFolder::create(&target).map_err(|error| Failure::no_place(&error))?;
        Ok(Some(Self { folder, _parent: parent }))
    }

    /// The folder in the making.
    pub(super) fn folder(&self) -> &ResultsFolder {
        &self.folder
    }

    /// Puts the outcome in its place and says where that is.
    pub(super) fn commit(self, outcome: &Outcome, provenance: &Provenance) -> Result<PathBuf, Failure> {
        let mut written = self.folder.write_summary(&outcome.summary);
        if !outcome.stages.is_empty() {
            written = written.and_then(|()| self.folder.write_stages(&outcome.stages));
        }
        self.finish(written, &outcome.resolved, provenance)
    }

    /// The same for replications, of which the first had the scenario `resolved`.
    pub(super) fn commit_replications(
        self,
        summary: &ReplicationSummary,
        resolved: &str,
        provenance: &Provenance,
    ) -> Result<PathBuf, Failure> {
        let written = self.folder.write_replications(summary);
        self.finish(written, resolved, provenance)
    }

    fn finish(
        self,
        written: Result<(), FolderError>,
        resolved: &str,
        provenance: &Provenance,
    ) -> Result<PathBuf, Failure> {
        let Self { folder, _parent } = self;
        written
            .and_then(|()| folder.write_scenario(resolved))
            .and_then(|()| folder.commit(provenance))
            .map_err(|error| Failure::Broken(error.to_string()))
    }
}

/// A scenario's name as the name of one folder in `results/`, never a way out of there.
fn folder_name(name: &str) -> Result<&str, Failure> {
    if is_one_name(name) {
        Ok(name)
    } else {
        let problem = Problem::new("name", format!("`{name}` cannot be the name of a results folder"));
        Err(Failure::Input(problem.help("rename the scenario, or say where with --results DIR")))
    }
}

/// Whether `name` names something in a folder, and no way out of it or further into it.
pub(super) fn is_one_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name)
}

/// A folder that was not there before; it goes again when nothing came into it.
pub(super) struct MadeFolder(PathBuf);

impl MadeFolder {
    /// Makes the folder, unless it is there.
    pub(super) fn make(folder: &Path) -> Result<Option<Self>, Failure> {
        if folder.exists() {
            return Ok(None);
        }
        let refused = |error| Failure::input(format!("cannot make the folder {}: {error}", folder.display()));
        fs::create_dir(folder).map_err(refused)?;
        Ok(Some(Self(folder.to_owned())))
    }
}

impl Drop for MadeFolder {
    fn drop(&mut self) {
        // Refused when something lies in it, ours or others', which is as it should be.
        let _ = fs::remove_dir(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_folder_or_refused() {
        for name in ["quickstart", "two words", "a.b", "..."] {
            assert_eq!(folder_name(name).ok(), Some(name));
        }
        for name in ["", ".", "..", "a/b", "/a", "a/", "../a"] {
            assert_eq!(folder_name(name).map_err(|failure| failure.exit_code()), Err(2), "{name}");
        }
    }
}
