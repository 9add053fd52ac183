//! The settings of a run: from the name of its folder, a JSON file in it, and the command line.
//!
//! Later ones count. Parts of a name, between `_` or `-`: `sarathi512` (chunk size), `vllm`, `orca`, `ft`;
//! `16rep`; `rr`, `lor`, `random`; `blocks2048`, `cap64`, `chunk256`, `maxtok8192`, `wm0.05`, `bs32`
//! (block size), `seed7`; the number may also come first. Others are taken for load, model or hardware.
//! In JSON any key counts that is named like an option or like a setting of the reference, wherever it is.

use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};

use clap::Parser;
use serde_json::Value;

use super::vidur::{Global, Kind, Settings};

/// Compares MIST with recorded runs of Vidur, batch by batch.
#[derive(Parser)]
pub struct Options {
    /// The folder of facts, or the folder `vidur` in it
    pub facts: Option<PathBuf>,
    /// Compare only runs whose folder's name holds this
    #[arg(long)]
    pub only: Option<String>,
    /// The folder of the predictor's tables, or its name in `predictor_tables`
    #[arg(long)]
    pub tables: Option<PathBuf>,
    /// Fail where there is nothing to compare with
    #[arg(long)]
    pub required: bool,
    /// A setting for all runs, such as `blocks=2048`
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
}

/// The settings of the run in `folder`, and the tables that it names.
pub fn settings(folder: &Path, options: &Options) -> Result<(Settings, Option<String>), Box<dyn Error>> {
    let mut found = Found::default();
    for part in name(folder).split(['_', '-']) {
        found.read_part(part);
    }
    for file in ["config.json", "settings.json", "meta.json"] {
        let path = folder.join(file);
        if path.exists() {
            let value: Value = serde_json::from_reader(File::open(&path)?)?;
            found.read_json("", &value);
        }
    }
    for assignment in &options.set {
        let (key, value) = assignment.split_once('=').ok_or("a setting is NAME=VALUE")?;
        if !found.set(key, value) {
            return Err(format!("`{assignment}` is no setting").into());
        }
    }
    if found.stages > 1 {
        return Err(format!("{} pipeline stages: clients here have one", found.stages).into());
    }
    Ok((found.settings, found.tables))
}

/// The last part of a path.
pub fn name(folder: &Path) -> String {
    folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[derive(Default)]
struct Found {
    settings: Settings,
    stages: u32,
    tables: Option<String>,
}

impl Found {
    /// Takes in a part of a folder's name.
    fn read_part(&mut self, part: &str) {
        let is_digit = |c: char| c.is_ascii_digit() || c == '.';
        let (word, number) = if part.starts_with(is_digit) {
            let end = part.find(|c| !is_digit(c)).unwrap_or(part.len());
            (&part[end..], &part[..end])
        } else {
            part.split_at(part.find(is_digit).unwrap_or(part.len()))
        };
        let key = match word {
            "rep" | "reps" | "replica" | "replicas" => "replicas",
            "blocks" | "blk" | "nb" => "blocks",
            "cap" | "batch" => "batch_size_cap",
            "sarathi" | "chunk" | "cs" => "chunk_size",
            "maxtok" | "mtib" => "max_tokens_in_batch",
            "wm" | "watermark" => "watermark",
            "bs" => "block_size",
            "pp" => "num_pipeline_stages",
            "seed" => "seed",
            _ => "",
        };
        if !number.is_empty() {
            self.set(key, number);
        }
        if !self.set("scheduler", word) {
            self.set("global_scheduler", word);
        }
    }

    /// Takes in all settings in `value`, whose key is `key`.
    fn read_json(&mut self, key: &str, value: &Value) {
        match value {
            Value::Object(fields) => {
                for (field, value) in fields {
                    // `replica_scheduler_config: {name: …}`
                    let typed = matches!(field.as_str(), "name" | "type") && key.contains("scheduler");
                    self.read_json(if typed { key } else { field }, value);
                }
            }
            Value::String(text) => drop(self.set(key, text)),
            Value::Number(number) => drop(self.set(key, &number.to_string())),
            _ => {}
        }
    }

    /// Takes in a setting; `false` if it is none, or has no such value.
    fn set(&mut self, key: &str, value: &str) -> bool {
        let Self { settings, stages, tables } = self;
        match key {
            "scheduler"
            | "replica_scheduler"
            | "replica_scheduler_config"
            | "replica_scheduler_config_type" => {
                let kind = match value.to_ascii_lowercase().as_str() {
                    "sarathi" => Kind::Sarathi,
                    "vllm" => Kind::Vllm,
                    "orca" => Kind::Orca,
                    "ft" | "fastertransformer" | "faster_transformer" => Kind::FasterTransformer,
                    _ => return false,
                };
                settings.scheduler = kind;
                true
            }
            "global_scheduler" | "global" | "global_scheduler_config" | "global_scheduler_config_type" => {
                let global = match value.to_ascii_lowercase().as_str() {
                    "rr" | "round_robin" | "roundrobin" => Global::RoundRobin,
                    "lor" => Global::Lor,
                    "random" | "rand" => Global::Random,
                    _ => return false,
                };
                settings.global = global;
                true
            }
            "replicas" | "num_replicas" => parsed(value, &mut settings.replicas),
            "blocks" | "num_blocks" => {
                // Zero is the reference's word for as many as memory holds.
                value == "0" || parsed(value, &mut settings.blocks)
            }
            "block_size" => parsed(value, &mut settings.block_size),
            "batch_size_cap" | "cap" => parsed(value, &mut settings.batch_size_cap),
            "chunk_size" | "chunk" => parsed(value, &mut settings.chunk_size),
            "max_tokens_in_batch" => parsed(value, &mut settings.max_tokens_in_batch),
            "watermark" | "watermark_blocks_fraction" => parsed(value, &mut settings.watermark),
            "max_tokens" | "max_request_tokens" => parsed(value, &mut settings.max_tokens),
            "slots" => parsed(value, &mut settings.slots),
            "seed" => parsed(value, &mut settings.seed),
            "draws_before" => parsed(value, &mut settings.draws_before),
            "num_pipeline_stages" | "pipeline_parallel_size" => parsed(value, stages),
            "tables" | "predictor_tables" => {
                *tables = Some(value.to_owned());
                true
            }
            _ => false,
        }
    }
}

fn parsed<T: std::str::FromStr>(value: &str, into: &mut T) -> bool {
    let parsed = value.parse();
    parsed.map(|value| *into = value).is_ok()
}
