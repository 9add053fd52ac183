//! Lengths from a table that `mist derive lengths` wrote.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{JointQuantiles, LengthSource};
use crate::text_file;

/// Lengths drawn from a table that `mist derive lengths` made of a trace: its distribution of
/// prompts and outputs and how the two depend on each other.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// The table's file; a relative path starts at the scenario's folder. Required.
    pub path: PathBuf,
}

impl Table {
    /// Reads the table. `folder` is where a relative path starts.
    ///
    /// # Errors
    /// The file cannot be read or is not such a table.
    pub fn build(self, folder: &Path) -> Result<Box<dyn LengthSource>, String> {
        let path = folder.join(&self.path);
        let text =
            text_file::read(&path).map_err(|error| format!("cannot open {}: {error}", path.display()))?;
        let table = JointQuantiles::parse(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Box::new(table))
    }
}
