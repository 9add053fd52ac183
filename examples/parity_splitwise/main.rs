//! Compares MIST with recorded runs of splitwise-sim: `parity_splitwise FACTS_DIR`.
//!
//! Every folder of `FACTS_DIR/splitwise` that holds a `requests.csv` is a run; what it was is told by its
//! name, the requests come from `traces/`, the step times from `perf_knots.csv`. Each is simulated twice:
//!
//! - with the **reference**'s scheduler and instances, quirks included, registered through MIST's extension
//!   points: each request must be served at the same times;
//! - with MIST's **own** policies, which mean the same without the quirks: figures must be near.
//!
//! Exits with 1 where they are not. Options: `--run PART` of a name, and `--model`, `--hardware`, `--scheduler`,
//! `--trace FILE`, `--tp`, `--bandwidth-gib` instead of what the name tells; `--expected-output` tokens for MIST's
//! own mixed pool, instead of the mean of the trace; `--reference` or `--own` for one of the two alone.

mod case;
mod deploy;
#[allow(unreachable_pub)]
mod reference;
mod results;
mod run;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use case::{Case, Overrides};
use deploy::Policies;
use results::{Figures, most_off, recorded};

/// Most that a request may be off with the reference's policies [s]: each step is rounded to half a ns.
const SAME: f64 = 1e-5;

/// Most that means and makespan may be off with MIST's own in calm runs.
const NEAR: f64 = 0.01;

struct Options {
    facts: PathBuf,
    /// Of a name.
    part: String,
    policies: Vec<Policies>,
    overrides: Overrides,
}

fn options() -> Result<Options, String> {
    let mut words = std::env::args().skip(1);
    let mut facts = None;
    let mut options = Options {
        facts: PathBuf::new(),
        part: String::new(),
        policies: vec![Policies::Reference, Policies::Own],
        overrides: Overrides::default(),
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        let overrides = &mut options.overrides;
        match word.as_str() {
            "--run" => options.part = value()?,
            "--model" => overrides.model = Some(value()?),
            "--hardware" => overrides.hardware = Some(value()?),
            "--scheduler" => overrides.scheduler = Some(value()?),
            "--trace" => overrides.trace = Some(value()?.into()),
            "--tp" => overrides.tensor_parallel = Some(value()?.parse().map_err(|_| "--tp needs a number")?),
            "--bandwidth-gib" => {
                overrides.bandwidth_gib =
                    Some(value()?.parse().map_err(|_| "--bandwidth-gib needs a number")?);
            }
            "--expected-output" => {
                let number = value()?.parse().map_err(|_| "--expected-output needs a number")?;
                overrides.expected_output = Some(number);
            }
            "--reference" => options.policies = vec![Policies::Reference],
            "--own" => options.policies = vec![Policies::Own],
            _ if word.starts_with('-') => return Err(format!("unknown option {word}")),
            _ => facts = Some(PathBuf::from(word)),
        }
    }
    options.facts = facts.ok_or("usage: parity_splitwise FACTS_DIR [--run PART]")?.join("splitwise");
    Ok(options)
}

/// The runs that are recorded.
fn runs(options: &Options) -> Vec<String> {
    let folders = std::fs::read_dir(&options.facts).into_iter().flatten().flatten();
    let runs = folders.filter(|folder| folder.path().join("requests.csv").is_file());
    let mut names: Vec<String> =
        runs.map(|folder| folder.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.contains(&options.part));
    names.sort();
    names
}

fn percent(values: &[f64]) -> String {
    values.iter().map(|value| format!("{:>8.3}", 100.0 * value)).collect()
}

/// Compares one run; whether it is within bounds.
fn compare(name: &str, options: &Options) -> Result<bool, String> {
    let case = Case::parse(name, &options.facts, &options.overrides)?;
    let reference = recorded(&options.facts.join(name).join("requests.csv"))?;
    let figures = Figures::of(&reference);
    println!("{name} ({})", if case.is_calm() { "calm" } else { "sensitive" });
    let mut good = true;
    for policies in &options.policies {
        let own = run::simulate(&case, *policies, options)?;
        if own.len() != reference.len() {
            println!("  {policies:?}: {} requests served, {} recorded", own.len(), reference.len());
            good = false;
            continue;
        }
        let (means, p99) = Figures::of(&own).deviations(&figures);
        let most = most_off(&own, &reference);
        let within = |values: &[f64], bound: f64| values.iter().all(|value| value.abs() <= bound);
        let near = within(&means, NEAR) && within(&p99, case.p99_floor());
        let all_within = |bound: f64| within(&means, bound) && within(&p99, bound);
        let (fine, verdict) = match policies {
            Policies::Reference if most <= SAME => (true, "same"),
            // Where transfers ask again in lockstep, the order of equal times decides.
            Policies::Reference if !case.is_calm() && all_within(0.02) => (true, "near"),
            Policies::Own if near => (true, "near"),
            Policies::Own if !case.is_calm() => (true, "no bound"),
            _ => (false, "OFF"),
        };
        good &= fine;
        println!(
            "  {:<9} mean{} |p99{} | most off {most:.1e} s  {verdict}",
            format!("{policies:?}"),
            percent(&means),
            percent(&p99)
        );
    }
    Ok(good)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    let names = runs(&options);
    if names.is_empty() {
        println!("skipped: no recorded runs in {}", options.facts.display());
        return ExitCode::SUCCESS;
    }
    println!("deviations in %: means of TTFT, TBT, E2E, and makespan; P99 of TTFT, TBT, E2E");
    let mut good = true;
    for name in &names {
        match compare(name, &options) {
            Ok(fine) => good &= fine,
            Err(message) => {
                println!("{name}\n  cannot be compared: {message}");
                good = false;
            }
        }
    }
    println!("{} runs, {}", names.len(), if good { "all within bounds" } else { "NOT all within bounds" });
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Where the models of the reference are.
fn catalog() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/parity_splitwise/catalog"))
}
