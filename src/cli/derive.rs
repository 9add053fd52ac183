//! `mist derive`: assets from raw data. What is printed is the asset, byte for byte.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use super::failure::Failure;
use super::options::{Catalogued, Derive};
use super::terminal;
use crate::catalog::{hardware_from_csv, models_from_csv, prices_from_csv};
use crate::runtime::collectives_from_csv;
use crate::workload::{About, SourceError, derive_lengths, trace};

/// Prints the asset.
pub(super) fn derive(what: &Derive) -> Result<(), Failure> {
    let text = match what {
        Derive::Lengths { trace, format, name, source, licence } => {
            lengths(trace, format.as_deref(), About { name, source, licence })?
        }
        Derive::Catalog { what, file } => catalog(*what, file)?,
        Derive::Collectives { file } => collectives_from_csv(open(file)?).map_err(|error| {
            Failure::input(format!("{}:{}: {}", file.display(), error.line, error.problem))
        })?,
    };
    terminal::print(text.as_bytes())
}

fn lengths(path: &Path, format: Option<&str>, about: About<'_>) -> Result<String, Failure> {
    let rows = trace::open(path, format)?;
    derive_lengths(rows, about).map_err(|error| match error {
        // The table knows its name only, and the user wants to know the file.
        SourceError::Empty { .. } => SourceError::Empty { path: path.to_owned() }.into(),
        SourceError::TooManyRows => Failure::input(format!("{}: {error}", path.display())),
        named => named.into(),
    })
}

fn catalog(what: Catalogued, path: &Path) -> Result<String, Failure> {
    let table = open(path)?;
    let text = match what {
        Catalogued::Hardware => hardware_from_csv(table),
        Catalogued::Models => models_from_csv(table),
        Catalogued::Prices => prices_from_csv(table),
    };
    text.map_err(|error| Failure::input(format!("{}:{}: {}", path.display(), error.line, error.problem)))
}

fn open(path: &Path) -> Result<BufReader<File>, Failure> {
    File::open(path)
        .map(BufReader::new)
        .map_err(|error| Failure::input(format!("cannot open {}: {error}", path.display())))
}
