//! `mist tiers`: how long it takes to get KV out of memory, by its size.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::columns::{Align, table};
use super::failure::Failure;
use super::options::{TableForm, TiersOptions};
use super::terminal;
use crate::catalog::{Catalog, Precision};
use crate::clients::model_problem;
use crate::memory::tiers::{Hierarchy, MissedLookups, TierSpec};
use crate::output::figures::{figure, percent, plain, thousands};
use crate::scenario::{Choice, Problem, did_you_mean};
use crate::units::{Bandwidth, ByteSize, Fraction, SimSpan, Span};

/// Smallest and largest size: those of the MIST paper's Fig. 8b, as powers of two (bytes).
const SIZES: std::ops::RangeInclusive<u32> = 18..=30;

/// Prints a row a size.
pub(super) fn tiers(options: &TiersOptions) -> Result<(), Failure> {
    let tiers = named(&options.tiers)?;
    let chained = tiers.iter().any(|tier| tier.hit_rate < Fraction::ONE);
    if let Some(problem) = TierSpec::check(&tiers).into_iter().next().filter(|_| chained) {
        return Err(Failure::Input(Problem { path: String::new(), ..problem }));
    }
    let bytes_per_token = options.model.as_deref().map(kv_bytes_per_token).transpose()?;
    let sheet = Sheet::new(&tiers, bytes_per_token);
    let text = match options.form {
        TableForm::Table => sheet.table(),
        TableForm::Json => serde_json::to_string_pretty(&sheet).map(|text| text + "\n").map_err(broken)?,
        TableForm::Csv => sheet.csv().map_err(broken)?,
    };
    terminal::print(text.as_bytes())
}

fn broken(error: impl std::fmt::Display) -> Failure {
    Failure::Broken(format!("cannot write the table: {error}"))
}

/// KV of one token in 16 bit (bytes).
fn kv_bytes_per_token(model: &str) -> Result<f64, Failure> {
    let model = Catalog::embedded()
        .model_or_config(model)
        .map_err(|error| Failure::Input(model_problem("", &error)))?;
    let bytes = model.kv_bytes_per_token(Precision::Bf16);
    if bytes > 0.0 { Ok(bytes) } else { Err(Failure::input(format!("{} keeps no KV cache", model.name))) }
}

/// What may stand in the parentheses after a tier's name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Figures {
    #[serde(default)]
    lookup: Option<Span>,
    #[serde(default)]
    bandwidth: Option<Bandwidth>,
    #[serde(default)]
    hit_rate: Option<Fraction>,
    #[serde(default)]
    capacity: Option<ByteSize>,
}

/// The tiers as they are written, or the paper's if none are.
fn named(written: &[String]) -> Result<Vec<TierSpec>, Failure> {
    if written.is_empty() {
        return Ok(TierSpec::of_the_paper().into());
    }
    let (tiers, problems): (Vec<_>, Vec<_>) = written.iter().map(|text| one(text)).partition(Result::is_ok);
    let problems: Vec<Problem> = problems.into_iter().filter_map(Result::err).collect();
    if !problems.is_empty() {
        return Err(Failure::Values(problems));
    }
    let tiers: Vec<TierSpec> = tiers.into_iter().flatten().collect();
    for (at, tier) in tiers.iter().enumerate() {
        if tiers[..at].iter().any(|other| other.name == tier.name) {
            return Err(Failure::input(format!("`{}` is the name of two tiers", tier.name)));
        }
    }
    Ok(tiers)
}

fn one(text: &str) -> Result<TierSpec, Problem> {
    const FORM: &str =
        "such as `DDR4`, `DDR4(hit_rate: 0.6)` or `CXL(lookup: ns(300), bandwidth: gb_per_s(50))`";
    let wrong = |message: String| Problem::new("", format!("tier `{text}`: {message}")).help(FORM);
    let options = ron::Options::default().with_default_extension(ron::extensions::Extensions::IMPLICIT_SOME);
    let choice: Choice = options.from_str(text).map_err(|error| wrong(error.code.to_string()))?;
    let given: Figures =
        options.from_str(&format!("({})", choice.params)).map_err(|error| wrong(error.code.to_string()))?;
    let mut known = TierSpec::of_the_paper().into_iter().filter(|tier| tier.name == choice.name);
    let (lookup, bandwidth) = match (known.next(), given.lookup, given.bandwidth) {
        (Some(known), lookup, bandwidth) => {
            (lookup.unwrap_or(known.lookup), bandwidth.unwrap_or(known.bandwidth))
        }
        (None, Some(lookup), Some(bandwidth)) => (lookup, bandwidth),
        _ => {
            let known = TierSpec::of_the_paper();
            let near = did_you_mean(&choice.name, known.iter().map(|tier| tier.name.as_str()));
            let message = "needs its `lookup` and its `bandwidth`, as it is not among those known";
            return Err(wrong(message.to_owned()).help(format!("{near}; or {FORM}")));
        }
    };
    let hit_rate = given.hit_rate.unwrap_or(Fraction::ONE);
    Ok(TierSpec { name: choice.name, lookup, bandwidth, hit_rate, capacity: given.capacity })
}

/// The figures, ready to be printed.
#[derive(Serialize)]
struct Sheet<'a> {
    tiers: &'a [TierSpec],
    /// Bytes of KV a token, if a model is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    kv_bytes_per_token: Option<f64>,
    rows: Vec<Row>,
}

/// How long it takes to get KV of one size.
#[derive(Serialize)]
struct Row {
    size_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<u64>,
    /// From each tier alone, if it is there (s); null where it is too large to be.
    read_s: Vec<Option<f64>>,
    /// From the tiers one after another, on average, where they may miss (s).
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_s: Option<f64>,
    /// The probability that no tier has it and it is computed anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    recomputed_frac: Option<f64>,
}

impl<'a> Sheet<'a> {
    fn new(tiers: &'a [TierSpec], kv_bytes_per_token: Option<f64>) -> Self {
        let hierarchy =
            Hierarchy { tiers: tiers.iter().map(TierSpec::tier).collect(), missed: MissedLookups::Free };
        // Tiers that always hit are no hierarchy but memories to be compared.
        let chained = hierarchy.tiers.iter().any(|tier| tier.hit_rate < 1.0);
        let row = |power: u32| {
            let bytes = f64::from(1_u32 << power);
            let expected = Some(hierarchy.expected(bytes)).filter(|_| chained);
            let read = |tier: &crate::memory::tiers::MemoryTier| {
                (bytes <= tier.capacity_bytes).then(|| tier.read_s(bytes))
            };
            Row {
                size_bytes: 1_u64 << power,
                tokens: kv_bytes_per_token.map(|each| (bytes / each) as u64),
                read_s: hierarchy.tiers.iter().map(read).collect(),
                expected_s: expected.map(|expected| expected.seconds),
                recomputed_frac: expected.map(|expected| expected.miss_frac),
            }
        };
        Self { tiers, kv_bytes_per_token, rows: SIZES.map(row).collect() }
    }

    /// As people read it: each cell in the unit that suits it.
    fn table(&self) -> String {
        let first = &self.rows[0];
        let mut heads = vec![("SIZE", Align::Numbers)];
        heads.extend(first.tokens.map(|_| ("TOKENS", Align::Numbers)));
        heads.extend(self.tiers.iter().map(|tier| (tier.name.as_str(), Align::Numbers)));
        heads.extend(first.expected_s.map(|_| ("EXPECTED", Align::Numbers)));
        heads.extend(first.recomputed_frac.map(|_| ("RECOMPUTED", Align::Numbers)));
        let rows: Vec<Vec<String>> = self.rows.iter().map(Row::cells).collect();
        let mut text = table(&heads, &rows);
        text.push('\n');
        for tier in self.tiers {
            let holds = tier
                .capacity
                .map_or(String::new(), |size| format!(", holds {} GB", plain(size.bytes() / 1e9)));
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{}: {} GB/s after {}, hits {}{holds}",
                tier.name,
                plain(tier.bandwidth.bytes_per_s() / 1e9),
                in_unit(tier.lookup.as_secs(), plain),
                percent(tier.hit_rate.get()),
            );
        }
        text
    }

    /// A row a size, plain numbers.
    fn csv(&self) -> Result<String, Box<dyn std::error::Error>> {
        let mut out = csv::Writer::from_writer(Vec::new());
        let first = &self.rows[0];
        let mut heads = vec!["size_bytes".to_owned()];
        heads.extend(first.tokens.map(|_| "tokens".to_owned()));
        heads.extend(self.tiers.iter().map(|tier| format!("{}_s", tier.name)));
        heads.extend(first.expected_s.map(|_| "expected_s".to_owned()));
        heads.extend(first.recomputed_frac.map(|_| "recomputed_frac".to_owned()));
        out.write_record(heads)?;
        for row in &self.rows {
            let mut cells = vec![row.size_bytes.to_string()];
            cells.extend(row.tokens.map(|tokens| tokens.to_string()));
            cells.extend(row.read_s.iter().map(|s| s.map_or(String::new(), |s| s.to_string())));
            cells.extend(row.expected_s.map(|s| s.to_string()));
            cells.extend(row.recomputed_frac.map(|share| share.to_string()));
            out.write_record(cells)?;
        }
        Ok(String::from_utf8(out.into_inner()?)?)
    }
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let mut cells = vec![size(self.size_bytes)];
        cells.extend(self.tokens.map(thousands));
        cells.extend(self.read_s.iter().map(|read| read.map_or("–".to_owned(), duration)));
        cells.extend(self.expected_s.map(duration));
        cells.extend(self.recomputed_frac.map(percent));
        cells
    }
}

/// A power of two in its unit: `256 KiB`.
fn size(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{} KiB", bytes >> 10),
        0x10_0000..0x4000_0000 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
}

/// Four digits in the largest unit that leaves one before the point: `1.828 us`.
fn duration(seconds: f64) -> String {
    in_unit(seconds, figure)
}

fn in_unit(seconds: f64, digits: fn(f64) -> String) -> String {
    let (value, unit) = match SimSpan::from_secs_f64(seconds).as_ns() {
        0..1_000 => (seconds * 1e9, "ns"),
        1_000..1_000_000 => (seconds * 1e6, "us"),
        1_000_000..1_000_000_000 => (seconds * 1e3, "ms"),
        _ => (seconds, "s"),
    };
    format!("{} {unit}", digits(value))
}
