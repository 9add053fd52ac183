//! The files a scenario draws on: a result says what was in them, for they may change.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::output::{Digest, Input};
use crate::scenario::{Choice, Scenario};

/// Every file that `scenario`, whose paths are absolute, was read from, in the order it names them.
/// A file that cannot be read now is left out: what needed it has said so.
pub(super) fn inputs(scenario: &Scenario) -> Vec<Input> {
    let mut paths: Vec<PathBuf> = Vec::new();
    if let Some(catalog) = &scenario.catalog {
        let folder = Path::new(catalog);
        paths.extend(["hardware.ron", "models.ron", "prices.ron"].map(|file| folder.join(file)));
    }
    for client in &scenario.clients {
        paths.extend(
            path_in(&client.runs, "model").filter(|path| path.extension().is_some_and(|e| e == "json")),
        );
    }
    for class in &scenario.workload {
        paths.extend(class.trace.as_ref().map(|trace| trace.path.clone()));
        let choices = class.arrivals.iter().chain(&class.lengths);
        paths.extend(choices.filter_map(|choice| path_in(choice, "path")));
    }
    let mut seen = Vec::new();
    paths.retain(|path| {
        !seen.contains(path) && {
            seen.push(path.clone());
            true
        }
    });
    paths.iter().filter_map(|path| input(path).ok()).collect()
}

fn path_in(choice: &Choice, field: &str) -> Option<PathBuf> {
    choice.get(field).and_then(|text| ron::from_str::<PathBuf>(text).ok())
}

fn input(path: &Path) -> io::Result<Input> {
    let (mut file, mut digest, mut bytes) = (File::open(path)?, Digest::default(), 0);
    let mut chunk = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            let path = path.to_string_lossy().into_owned();
            return Ok(Input { path, bytes, digest: digest.to_string() });
        }
        digest.update(&chunk[..read]);
        bytes += read as u64;
    }
}
