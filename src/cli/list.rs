//! `mist list`: what the catalog knows, how well it knows it, and from where.

use std::fmt::Debug;

use super::columns::{Align, WIDTH, table};
use super::failure::Failure;
use super::options::{Catalogued, ListOptions};
use super::page::Page;
use super::terminal::Terminal;
use crate::catalog::{Accelerator, Catalog, Model, Precision, Price, Terms, UnknownName};
use crate::output::figures::{plain, thousands};
use crate::scenario::Problem;

use Align::{Numbers, Words};

/// Prints the entries whose name holds the filter; a single one in full.
pub(super) fn list(options: &ListOptions, terminal: &Terminal) -> Result<(), Failure> {
    let own;
    let catalog = match &options.catalog {
        None => Catalog::embedded(),
        Some(folder) => {
            own = Catalog::with_folder(folder).map_err(|error| Failure::input(error.to_string()))?;
            &own
        }
    };
    let filter = options.filter.as_str();
    let text = match options.what {
        Catalogued::Hardware => show(catalog.accelerators(), filter, || catalog.accelerator(filter).err()),
        Catalogued::Models => show(catalog.models(), filter, || catalog.model(filter).err()),
        Catalogued::Prices => show(catalog.prices(), filter, || catalog.price(filter).err()),
    };
    terminal.print(text?.as_bytes())
}

/// An entry of the catalog as a row of a table.
trait Listed {
    /// The columns; the source comes last and is not among them.
    const HEADS: &[(&'static str, Align)];

    /// The names it goes by.
    fn names(&self) -> Vec<&str>;

    /// A cell for each column.
    fn cells(&self) -> Vec<String>;

    /// Where it comes from.
    fn source(&self) -> &str;

    /// What its user should know.
    fn note(&self) -> &str {
        ""
    }
}

fn show<T: Listed>(
    entries: &[T],
    filter: &str,
    unknown: impl Fn() -> Option<UnknownName>,
) -> Result<String, Failure> {
    let fits = |entry: &&T| entry.names().iter().any(|name| name.to_lowercase().contains(filter));
    let found: Vec<&T> = entries.iter().filter(fits).collect();
    match found[..] {
        [] => Err(nothing_found(filter, unknown())),
        [one] => Ok(in_full(one)),
        _ => Ok(in_a_table(&found)),
    }
}

/// A row an entry, then the sources they refer to.
fn in_a_table<T: Listed>(entries: &[&T]) -> String {
    let mut sources: Vec<&str> = Vec::new();
    let mut rows = Vec::new();
    for entry in entries {
        let source = entry.source();
        let at = sources.iter().position(|known| *known == source).unwrap_or_else(|| {
            sources.push(source);
            sources.len() - 1
        });
        let mut cells = entry.cells();
        cells.push(format!("[{}]", at + 1));
        rows.push(cells);
    }
    let heads: Vec<_> = T::HEADS.iter().copied().chain([("SOURCE", Words)]).collect();
    let mut page = Page::new(WIDTH, 6);
    for (at, source) in sources.iter().enumerate() {
        page.row(0, &format!("[{}]", at + 1), source);
    }
    format!("{}\n{}", table(&heads, &rows), page.into_text())
}

/// Everything the columns hold, and what there is no room for in a table.
fn in_full<T: Listed>(entry: &T) -> String {
    let mut page = Page::new(WIDTH, 14);
    for ((head, _), cell) in T::HEADS.iter().zip(entry.cells()) {
        page.row(0, head, &cell);
    }
    page.row(0, "SOURCE", entry.source());
    if !entry.note().is_empty() {
        page.row(0, "NOTE", entry.note());
    }
    page.into_text()
}

fn nothing_found(filter: &str, unknown: Option<UnknownName>) -> Failure {
    let problem = Problem::new("", format!("nothing of that name is in the catalog: `{filter}`"));
    let near = unknown.map(|unknown| unknown.suggestions).unwrap_or_default();
    let near: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
    Failure::Input(if near.is_empty() {
        problem
    } else {
        problem.help(format!("did you mean {}?", near.join(" or ")))
    })
}

impl Listed for Accelerator {
    const HEADS: &[(&'static str, Align)] = &[
        ("NAME", Words),
        ("CLASS", Words),
        ("GiB", Numbers),
        ("GB/s", Numbers),
        ("BF16 TF/s", Numbers),
        ("FP8 TF/s", Numbers),
        ("TDP W", Numbers),
        ("VERIFIED", Words),
    ];

    fn names(&self) -> Vec<&str> {
        vec![&self.name]
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            word(self.class),
            plain(self.memory.gib),
            plain(self.memory.gb_per_s),
            known(self.dense_tflops.bf16),
            known(self.dense_tflops.fp8),
            known(self.tdp_w),
            word(self.verified),
        ]
    }

    fn source(&self) -> &str {
        &self.source
    }

    fn note(&self) -> &str {
        &self.note
    }
}

impl Listed for Model {
    const HEADS: &[(&'static str, Align)] = &[
        ("NAME", Words),
        ("KIND", Words),
        ("10⁹ PARAMS", Numbers),
        ("ACTIVE", Numbers),
        ("KV KiB/TOKEN", Numbers),
        ("CONTEXT", Numbers),
        ("VERIFIED", Words),
    ];

    fn names(&self) -> Vec<&str> {
        [Some(self.name.as_str()), self.hf_id.as_deref()].into_iter().flatten().collect()
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            word(self.kind),
            plain(self.parameters() as f64 / 1e9),
            if self.is_moe() { plain(self.active_parameters() as f64 / 1e9) } else { String::new() },
            plain(self.kv_bytes_per_token(Precision::Bf16) / 1024.0),
            thousands(self.max_context.into()),
            word(self.verified),
        ]
    }

    fn source(&self) -> &str {
        &self.source
    }

    fn note(&self) -> &str {
        &self.note
    }
}

impl Listed for Price {
    const HEADS: &[(&'static str, Align)] = &[
        ("INSTANCE", Words),
        ("HARDWARE", Words),
        ("$/h", Numbers),
        ("TERMS", Words),
        ("SEEN", Words),
        ("EVIDENCE", Words),
    ];

    fn names(&self) -> Vec<&str> {
        vec![&self.instance, &self.accelerator, &self.provider]
    }

    fn cells(&self) -> Vec<String> {
        let terms = match self.terms {
            Terms::OnDemand => "on demand",
            Terms::CapacityBlock => "block",
            Terms::Unstated => "unstated",
        };
        vec![
            self.instance.clone(),
            format!("{} × {}", self.gpus, self.accelerator),
            format!("{:.2}", self.usd_per_hour),
            terms.to_owned(),
            self.seen.clone(),
            word(self.evidence),
        ]
    }

    fn source(&self) -> &str {
        &self.source
    }
}

/// A variant without fields in lower case: the words users know it by.
fn word(variant: impl Debug) -> String {
    format!("{variant:?}").to_lowercase()
}

/// A figure, or a dash where it is not known.
fn known(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), plain)
}
