//! `mist list`: what the catalog knows, how well it knows it, and from where.

use std::fmt::Debug;

use super::columns::{Align, WIDTH, table};
use super::failure::Failure;
use super::options::{Catalogued, ListOptions, Listing};
use super::terminal;
use crate::catalog::{Accelerator, Catalog, Model, Precision, Price, Terms, UnknownName};
use crate::output::figures::{plain, thousands};
use crate::output::page::Page;
use crate::runtime::profile::Profile;

use Align::{Numbers, Words};

/// Prints the entries whose name holds the filter; a single one in full.
pub(super) fn list(options: &ListOptions) -> Result<(), Failure> {
    let catalog = Catalog::open(options.catalog.as_deref());
    let catalog = catalog.map_err(|error| Failure::input(error.to_string()))?;
    let filter = options.filter.as_deref().unwrap_or_default();
    let text = match options.what {
        Listing::Catalogued(Catalogued::Hardware) => {
            show(catalog.accelerators(), filter, |name| catalog.accelerator(name))
        }
        Listing::Catalogued(Catalogued::Models) => show(catalog.models(), filter, |name| catalog.model(name)),
        Listing::Catalogued(Catalogued::Prices) => show(catalog.prices(), filter, |name| catalog.price(name)),
        Listing::Profiles => profiles(filter),
    };
    terminal::print(text?.as_bytes())
}

/// The profiles that ship: what each answers for, and what it was made of.
fn profiles(filter: &str) -> Result<String, Failure> {
    let wanted = filter.to_lowercase();
    let named: Vec<&str> = Profile::shipped().filter(|name| name.to_lowercase().contains(&wanted)).collect();
    if named.is_empty() {
        let known: Vec<&str> = Profile::shipped().collect();
        let message = format!("no profile `{filter}` ships; there are {}", known.join(", "));
        return Err(Failure::input(message));
    }
    let mut page = Page::new(WIDTH, 21);
    for text in named.into_iter().filter_map(Profile::embedded) {
        let profile = Profile::read(text).map_err(|error| Failure::Broken(error.to_string()))?;
        let kinds = profile.gemm.iter().map(|table| format!("{} ({})", table.kind, table.table));
        page.row(0, &profile.gpu, &format!("products: {}", kinds.collect::<Vec<_>>().join(", ")));
        page.row(0, "", &format!("from {}, {}; `{}`", profile.source, profile.licence, profile.command));
    }
    Ok(page.into_text())
}

/// An entry of the catalog as a row of a table.
trait Listed {
    /// The columns; the source comes last and is not among them.
    const HEADS: &[(&'static str, Align)];

    /// The names it goes by.
    fn names(&self) -> Vec<&str>;

    /// A cell for each column.
    fn cells(&self) -> Vec<String>;

    /// What there is no room for in a table.
    fn more(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Where it comes from.
    fn source(&self) -> &str;

    /// What its user should know.
    fn note(&self) -> Option<&str> {
        None
    }
}

fn show<'a, T: Listed>(
    entries: &'a [T],
    filter: &'a str,
    look_up: impl Fn(&'a str) -> Result<&'a T, UnknownName>,
) -> Result<String, Failure> {
    let wanted = filter.to_lowercase();
    let fits = |entry: &&T| entry.names().iter().any(|name| name.to_lowercase().contains(&wanted));
    let found: Vec<&T> = entries.iter().filter(fits).collect();
    match found[..] {
        // It is not there, and the catalog knows what may have been meant.
        [] => look_up(filter).map(in_full).map_err(|unknown| Failure::input(unknown.to_string())),
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
    let heads: Vec<_> = T::HEADS.iter().copied().chain([("SRC", Words)]).collect();
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
    for (head, cell) in entry.more() {
        page.row(0, head, &cell);
    }
    page.row(0, "SOURCE", entry.source());
    if let Some(note) = entry.note() {
        page.row(0, "NOTE", note);
    }
    page.into_text()
}

impl Listed for Accelerator {
    const HEADS: &[(&'static str, Align)] = &[
        ("NAME", Words),
        ("CLASS", Words),
        ("GiB", Numbers),
        ("GB/s", Numbers),
        ("BF16 TF", Numbers), // TFLOP/s
        ("FP8 TF", Numbers),
        ("LINK", Numbers), // GB/s to peers, a direction
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
            known(self.scale_up.as_ref().and_then(|links| links.gb_per_s)),
            known(self.tdp_w),
            word(self.verified),
        ]
    }

    fn more(&self) -> Vec<(&'static str, String)> {
        let mut more = vec![("MEMORY", self.memory.kind.clone())];
        if let Some(links) = &self.scale_up {
            let each = links.gb_per_s.map(|gb_per_s| format!("{} GB/s a direction, ", plain(gb_per_s)));
            let each = each.unwrap_or_default();
            more.push(("LINKS", format!("{each}{}, {} devices at most", links.kind, links.domain)));
        }
        let rates = [("FP4 TF", self.dense_tflops.fp4), ("INT8 TOP", self.dense_tflops.int8)];
        let rates = rates.into_iter().chain([("HOST GB/s", self.host_link_gb_per_s)]);
        more.extend(rates.filter_map(|(head, rate)| Some((head, plain(rate?)))));
        more
    }

    fn source(&self) -> &str {
        &self.source
    }

    fn note(&self) -> Option<&str> {
        Some(&self.note).filter(|note| !note.is_empty()).map(String::as_str)
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

    fn note(&self) -> Option<&str> {
        Some(&self.note).filter(|note| !note.is_empty()).map(String::as_str)
    }
}

impl Listed for Price {
    const HEADS: &[(&'static str, Align)] =
        &[("INSTANCE", Words), ("HARDWARE", Words), ("$/h", Numbers), ("TERMS", Words), ("SEEN", Words)];

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
        ]
    }

    fn more(&self) -> Vec<(&'static str, String)> {
        let evidence = ("EVIDENCE", word(self.evidence));
        [("PROVIDER", self.provider.clone()), evidence].to_vec()
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
