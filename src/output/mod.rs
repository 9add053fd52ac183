//! What a run leaves behind: a report on stdout and a results folder.
//!
//! ```text
//!  Summary, Provenance ─▶ Exporter (table | json | vllm) ─▶ stdout
//!  RequestRecord ───────▶ RequestRows ───────┐
//!  Summary, scenario, provenance ────────────┴─▶ ResultsFolder ─ commit ─▶ in place, whole or not at all
//! ```
//! Replications take the same ways, as a [`ReplicationSummary`] and a [`ReplicationsExporter`] (table | json).
//!
//! One file a format: a new one implements [`Exporter`] and adds a line to [`EXPORTERS`]. Nothing here prints;
//! everything writes to what it is given. Left out: Parquet, Chrome traces, HTML.

pub(crate) mod figures;
mod json;
pub(crate) mod page;
mod provenance;
mod replications;
mod replications_formats;
mod request_rows;
mod results_folder;
#[cfg(test)]
mod sample;
mod stages;
mod table;
mod timeline;
mod vllm;

use std::io::{self, Write};

use crate::metrics::Summary;

pub use json::Json;
pub use provenance::{Digest, Input, Provenance, digest};
pub use replications::{ReplicationSummary, ReplicationsExporter};
pub use request_rows::RequestRows;
pub use results_folder::{FolderError, ResultsFolder};
pub use table::Table;
pub use timeline::{timeline, write_stages};
pub use vllm::Vllm;

/// What an exporter may report on. It prints of the provenance only what the scenario determines, so that
/// stdout stays the same from run to run.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// What came out.
    pub summary: &'a Summary,
    /// What it came from.
    pub provenance: &'a Provenance,
}

/// Writes a report in one format.
pub trait Exporter: Sync {
    /// The name to ask for it by, as in `--format table`.
    fn name(&self) -> &'static str;

    /// Writes the report, a trailing newline included.
    ///
    /// # Errors
    /// When `out` cannot be written to; a closed pipe is an error of kind `BrokenPipe`.
    fn write(&self, report: Report<'_>, out: &mut dyn Write) -> io::Result<()>;

    /// The same for replications; none if the format holds a single run.
    fn for_replications(&self) -> Option<&dyn ReplicationsExporter> {
        None
    }
}

/// All formats, the default first.
pub const EXPORTERS: [&dyn Exporter; 3] = [&Table, &Json, &Vllm];

/// The format of that name.
pub fn exporter(name: &str) -> Option<&'static dyn Exporter> {
    EXPORTERS.into_iter().find(|exporter| exporter.name() == name)
}
