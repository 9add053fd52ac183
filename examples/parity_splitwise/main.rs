//! Compares MIST with recorded runs of splitwise-sim: `parity_splitwise FACTS_DIR`.
//!
//! Every folder of `FACTS_DIR/splitwise` that holds a `requests.csv` is a run; what it was is told by its
//! name, the requests come from `traces/`, the step times from `perf_knots.csv`. Each is simulated twice:
//!
//! - with the **reference**'s scheduler and instances, quirks included, registered through MIST's extension
//!   points: each request must be served at the same times;
//! - with MIST's **own** policies, which mean the same without the quirks: figures must be near.
//!
//! Exits with 1 where the first is not so. The options say what the names do not.

mod case;
mod deploy;
#[allow(unreachable_pub)]
mod reference;
mod results;
mod run;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use case::{Case, Overrides};
use clap::Parser;
use deploy::Policies;
use results::{Figures, most_off, recorded};

/// Most that a request may be off with the reference's policies [s]: each step is rounded to half a ns.
const SAME: f64 = 1e-5;

/// Most that means and makespan may be off where they are near, and P99.
const NEAR: [f64; 2] = [0.005, 0.02];

/// Compares MIST with recorded runs of splitwise-sim, request by request.
#[derive(Parser)]
struct Options {
    /// The folder of facts, or the folder `splitwise` in it
    facts: PathBuf,
    /// Compare only runs whose folder's name holds this
    #[arg(long, default_value = "")]
    only: String,
    /// Fail where there is nothing to compare with
    #[arg(long)]
    required: bool,
    #[command(flatten)]
    overrides: Overrides,
}

/// The runs that are recorded.
fn runs(options: &Options) -> Vec<String> {
    let folders = std::fs::read_dir(&options.facts).into_iter().flatten().flatten();
    let runs = folders.filter(|folder| folder.path().join("requests.csv").is_file());
    let mut names: Vec<String> =
        runs.map(|folder| folder.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.contains(&options.only));
    names.sort();
    names
}

fn percent(values: &[f64]) -> String {
    values.iter().map(|value| format!("{:>8.3}", 100.0 * value)).collect::<Vec<_>>().concat()
}

/// Compares one run; whether it is within bounds.
fn compare(name: &str, options: &Options) -> Result<bool, String> {
    let case = Case::parse(name, &options.facts, &options.overrides)?;
    let reference = recorded(&options.facts.join(name).join("requests.csv"))?;
    let figures = Figures::of(&reference);
    println!("{name} ({})", if case.is_calm() { "calm" } else { "sensitive" });
    let mut good = true;
    for policies in [Policies::Reference, Policies::Own] {
        let own = run::simulate(&case, policies, options)?;
        if own.len() != reference.len() {
            println!("  {policies:?}: {} requests served, {} recorded", own.len(), reference.len());
            good = false;
            continue;
        }
        let (means, p99) = Figures::of(&own).deviations(&figures);
        let most = most_off(&own, &reference);
        let within = |values: &[f64], bound: f64| values.iter().all(|value| value.abs() <= bound);
        let near = within(&means, NEAR[0]) && within(&p99, NEAR[1]);
        let (fine, verdict) = match policies {
            Policies::Reference if most <= SAME => (true, "same"),
            // Where transfers ask again in lockstep, the order of equal times decides.
            Policies::Reference if !case.is_calm() && within(&means, NEAR[1]) && within(&p99, NEAR[1]) => {
                (true, "near")
            }
            Policies::Reference => (false, "OFF"),
            Policies::Own => (true, if near { "near" } else { "apart" }),
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
    let mut options = Options::parse();
    if options.facts.join("splitwise").is_dir() {
        options.facts.push("splitwise");
    }
    let names = runs(&options);
    if names.is_empty() {
        println!("parity_splitwise: skipped: no recorded runs in {}", options.facts.display());
        return ExitCode::from(u8::from(options.required));
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
