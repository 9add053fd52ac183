//! Reading measurements, one file a format; each says which columns it wants and in which units.
//!
//! A folder is walked in the order of names. Files that no format knows by their name are passed over.

mod aiconfigurator;
mod llmservingsim;
mod plain;
pub(super) mod steps;
pub(super) mod table;

use std::fs;
use std::path::{Path, PathBuf};

use super::CalibrateError;
use super::measurements::Measurements;
use super::measurements::StepSet;
use crate::catalog::Catalog;

/// Folders within folders that are looked into.
const DEEPEST: usize = 8;

/// Everything below `folder` that measures operators of `gpu`.
pub(super) fn gather(folder: &Path, gpu: &str) -> Result<Measurements, CalibrateError> {
    let mut files = Vec::new();
    walk(folder, 0, &mut files)?;
    let mut found = Measurements::default();
    for file in &files {
        let _known = aiconfigurator::read(file, gpu, &mut found)?
            || llmservingsim::read(file, &mut found)?
            || plain::read(file, &mut found)?;
    }
    if found.is_empty() {
        return Err(CalibrateError::Nothing { folder: folder.to_owned() });
    }
    Ok(found)
}

/// Every whole step below `folder`, by deployment and stage; `remarks` are told what was left out.
pub(super) fn whole_steps(
    folder: &Path,
    catalog: &Catalog,
    remarks: &mut Vec<String>,
) -> Result<Vec<StepSet>, CalibrateError> {
    let (mut files, mut found) = (Vec::new(), Vec::new());
    walk(folder, 0, &mut files)?;
    for file in &files {
        steps::read(file, catalog, &mut found, remarks)?;
    }
    Ok(found)
}

fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), CalibrateError> {
    let broken = |error: std::io::Error| CalibrateError::unreadable(folder, &error);
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).map_err(broken)?.filter_map(Result::ok).map(|entry| entry.path()).collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            if depth < DEEPEST {
                walk(&entry, depth + 1, files)?;
            }
        } else {
            files.push(entry);
        }
    }
    Ok(())
}
