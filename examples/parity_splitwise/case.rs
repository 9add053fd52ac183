//! What a recorded run of the reference was: told by the name of its folder.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::reference::{Job, Limits, Memory, Router, Rule};

/// Bytes in a GiB.
const GIB: f64 = 1_073_741_824.0;

/// Bytes of memory of a device: the reference's 80 GB GPUs.
const DEVICE: u64 = 85_899_345_920;

/// What users may say where names are not enough.
#[derive(Args, Clone, Debug, Default)]
pub struct Overrides {
    /// The model, instead of what the name tells; likewise the others
    #[arg(long)]
    pub model: Option<String>,
    /// The hardware, as in `perf_knots.csv`
    #[arg(long)]
    pub hardware: Option<String>,
    /// The scheduler, such as `mixed_pool`
    #[arg(long)]
    pub scheduler: Option<String>,
    /// The file of the requests
    #[arg(long)]
    pub trace: Option<PathBuf>,
    /// GPUs of an instance
    #[arg(long = "tp")]
    pub tensor_parallel: Option<u32>,
    /// Bandwidth of the link between two instances (GiB/s)
    #[arg(long)]
    pub bandwidth_gib: Option<f64>,
    /// Output tokens that MIST's own mixed pool expects of a request, instead of the mean of the trace
    #[arg(long)]
    pub expected_output: Option<u32>,
}

/// A run of the reference.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub model: String,
    /// Of those that prefill, and of those that decode.
    pub hardware: [String; 2],
    pub tensor_parallel: u32,
    /// Instances that prefill, or do both, and that only decode.
    pub instances: [usize; 2],
    /// Whether its instances are the reference's ORCA ones.
    pub orca: bool,
    pub rule: Rule,
    pub trace: PathBuf,
    /// Of the link [B/s].
    pub bandwidth: f64,
    /// What makes its requests: `conv` or `code`, and how many come in a second.
    pub load: (String, u32),
}

impl Case {
    /// Reads the name of a folder, such as `splitwiseHH_8P2D_llama70b_conv_20rps_2min_mixed_pool`.
    pub fn parse(name: &str, facts: &Path, overrides: &Overrides) -> Result<Self, String> {
        let parts: Vec<&str> = name.split('_').collect();
        let [kind, size, model, load, rate, span, ..] = parts[..] else {
            return Err("its name is not that of a run".to_owned());
        };
        let orca = kind == "orca";
        let scheduler = overrides.scheduler.clone().unwrap_or_else(|| parts[6..].join("_"));
        let rate: u32 = rate.trim_end_matches("rps").parse().map_err(|_| format!("no rate in `{rate}`"))?;
        let (rule, faster) = rule(&scheduler)?;
        let gib = if scheduler.ends_with("ethernet") { 12.5 } else { 200.0 };
        let trace = overrides.trace.clone();
        Ok(Self {
            name: name.to_owned(),
            model: overrides.model.clone().map_or_else(|| model_name(model), Ok)?,
            hardware: hardware(kind, size, overrides),
            tensor_parallel: overrides.tensor_parallel.unwrap_or(8),
            instances: instances(size)?,
            orca,
            rule,
            trace: trace.map_or_else(|| find_trace(facts, load, rate, span), Ok)?,
            bandwidth: overrides.bandwidth_gib.unwrap_or(gib) * faster * GIB,
            load: (load.to_owned(), rate),
        })
    }

    /// Its schedulers and pools.
    pub fn router(&self) -> Router {
        Router::new(self.rule, self.instances[0], self.instances[1])
    }

    /// Limits of its instances.
    pub fn limits(&self) -> Option<Limits> {
        (!self.orca).then_some(Limits { size: 512, tokens: 2048, preemptions: 4 })
    }

    /// Memory of one of its instances.
    pub fn memory(&self) -> Memory {
        let (weights, token) = if self.model.starts_with("bloom") {
            (329_000_000_000, 4_014_080)
        } else {
            (135_000_000_000, 2_621_440)
        };
        Memory { capacity: DEVICE * u64::from(self.tensor_parallel), weights, token }
    }

    /// Whether small changes of arrivals leave its figures alone, so that they can be compared without the
    /// same order of everything.
    pub fn is_calm(&self) -> bool {
        let (load, rate) = (self.load.0.as_str(), self.load.1);
        let strict = self.instances[1] > 0 && self.rule != Rule::MixedPool;
        let bloom_code = self.model.starts_with("bloom") && load == "code";
        rate <= 20 && !strict && !bloom_code
    }

    /// The requests of its trace.
    pub fn jobs(&self) -> Result<Vec<Job>, String> {
        let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", self.trace.display());
        let mut rows = csv::Reader::from_path(&self.trace).map_err(|error| wrong(&error))?;
        let columns = rows.headers().map_err(|error| wrong(&error))?.clone();
        let column = |name: &str| {
            columns.iter().position(|other| other == name).ok_or_else(|| wrong(&format!("no column {name}")))
        };
        let (arrival, prompt, output) =
            (column("arrival_timestamp")?, column("prompt_size")?, column("token_size")?);
        let job = |row: Result<csv::StringRecord, csv::Error>| {
            let row = row.map_err(|error| wrong(&error))?;
            let number = |at: usize| row[at].parse::<f64>().map_err(|error| wrong(&error));
            let (prompt, output) = (number(prompt)? as u32, number(output)? as u32);
            Ok(Job { arrival: number(arrival)?, prompt, output })
        };
        rows.records().map(job).collect()
    }
}

fn model_name(short: &str) -> Result<String, String> {
    match short {
        "llama70b" => Ok("llama2-70b".to_owned()),
        "bloom176b" => Ok("bloom-176b".to_owned()),
        _ => Err(format!("no model is known as `{short}`; say `--model`")),
    }
}

/// `10H100`, or `8P2D`.
fn instances(size: &str) -> Result<[usize; 2], String> {
    let wrong = || format!("`{size}` tells no number of instances");
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
    let first = digits(size);
    let rest = &size[first.len()..];
    let second = rest.strip_prefix('P').map(digits);
    let number = |text: &str| text.parse::<usize>().map_err(|_| wrong());
    Ok([number(&first)?, second.map_or(Ok(0), |second| number(&second))?])
}

/// `splitwiseHHcap` has H100s, those that decode with their power capped; `baselineA` A100s.
fn hardware(kind: &str, size: &str, overrides: &Overrides) -> [String; 2] {
    if let Some(hardware) = &overrides.hardware {
        return [hardware.clone(), hardware.clone()];
    }
    let letters = kind.trim_start_matches("splitwise").trim_start_matches("baseline");
    let name = |letter: Option<char>, capped: bool| match (letter, capped) {
        (Some('A'), _) => "a100-80gb",
        (_, true) => "h100-80gb-pcap",
        _ => "h100-80gb",
    };
    let first = if size.ends_with("A100") { Some('A') } else { letters.chars().next() };
    let second = letters.chars().nth(1).or(first);
    [name(first, false).to_owned(), name(second, letters.ends_with("cap")).to_owned()]
}

/// How a scheduler of the reference decides, and how many times faster its link is than it says.
fn rule(scheduler: &str) -> Result<(Rule, f64), String> {
    let overlaps = if scheduler.starts_with("overlap") { 10.0 } else { 1.0 };
    match scheduler {
        "round_robin" | "kv_round_robin" | "kv_round_robin_ethernet" => Ok((Rule::RoundRobin, 1.0)),
        "jsq" | "kv_jsq" | "overlap_kv_jsq" => Ok((Rule::Jsq, overlaps)),
        "token_jsq" => Ok((Rule::TokenJsq, 1.0)),
        // Its settings name the class that overlaps.
        "kv_token_jsq" | "overlap_kv_token_jsq" => Ok((Rule::TokenJsq, 10.0)),
        "mixed_pool" => Ok((Rule::MixedPool, 1.0)),
        _ => Err(format!("its scheduler `{scheduler}` is not known; say `--scheduler`")),
    }
}

/// The trace whose name tells the same load, rate and span.
fn find_trace(facts: &Path, load: &str, rate: u32, span: &str) -> Result<PathBuf, String> {
    let folder = facts.join("traces");
    let files = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut found: Vec<PathBuf> = files.flatten().map(|file| file.path()).collect();
    found.sort();
    let fits = |path: &PathBuf| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let words: Vec<&str> = stem.split('_').collect();
        let rate = [rate.to_string(), format!("{rate}rps")];
        words.contains(&load)
            && words.contains(&span)
            && rate.iter().any(|rate| words.contains(&rate.as_str()))
    };
    found
        .into_iter()
        .find(fits)
        .ok_or_else(|| format!("no trace {load} {rate} {span} in {}", folder.display()))
}
