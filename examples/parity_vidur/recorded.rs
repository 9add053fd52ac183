//! What the reference recorded of a run.

use std::error::Error;
use std::path::Path;

use serde::Deserialize;

use super::tables::open;
use super::vidur::Load;

/// A run, as its folder has it.
pub struct Recorded {
    pub load: Vec<Load>,
    /// By number.
    pub requests: Vec<Request>,
    /// In the order of the file; none if there is no such file.
    pub batches: Option<Vec<Batch>>,
}

/// A row of `requests.csv` (s).
#[derive(Clone, Copy, Deserialize)]
pub struct Request {
    id: usize,
    pub scheduled_at: Option<f64>,
    pub prefill_completed_at: Option<f64>,
    pub completed_at: Option<f64>,
    pub num_restarts: Option<u16>,
    completed: Option<f64>,
    /// The replica that served it, if that was recorded.
    #[serde(alias = "replica_id")]
    pub replica: Option<usize>,
}

impl Request {
    /// Whether it was served to the end.
    pub fn is_completed(&self) -> bool {
        self.completed.is_none_or(|completed| completed > 0.0) && self.completed_at.is_some()
    }
}

/// A row of `batches.csv` (s).
#[derive(Clone, Copy, Deserialize)]
pub struct Batch {
    #[serde(alias = "replica_id")]
    pub replica: usize,
    pub scheduled_at: f64,
    pub completed_at: f64,
    pub size: u32,
    pub prefill_tokens: u64,
    pub decode_tokens: u64,
}

/// A row of `trace.csv`.
#[derive(Deserialize)]
struct Row {
    arrived_at: f64,
    num_prefill_tokens: u32,
    num_decode_tokens: u32,
}

impl Recorded {
    /// Whether `folder` holds a run.
    pub fn is_in(folder: &Path) -> bool {
        let has = |name: &str| folder.join(name).exists() || folder.join(format!("{name}.gz")).exists();
        has("trace.csv") && has("requests.csv")
    }

    /// Reads the run in `folder`.
    pub fn read(folder: &Path) -> Result<Self, Box<dyn Error>> {
        let load = rows(folder, "trace.csv")?.into_iter().map(|row: Row| Load {
            arrived_at: row.arrived_at,
            prefill_tokens: row.num_prefill_tokens,
            decode_tokens: row.num_decode_tokens,
        });
        let load: Vec<Load> = load.collect();
        let mut requests: Vec<Request> = rows(folder, "requests.csv")?;
        requests.sort_by_key(|request| request.id);
        let listed = requests.iter().enumerate().all(|(at, request)| request.id == at);
        if !listed || requests.len() != load.len() {
            return Err("requests.csv does not list each request of trace.csv once, from 0 on".into());
        }
        let recorded = ["batches.csv", "batches.csv.gz"].iter().any(|name| folder.join(name).exists());
        let batches = if recorded { Some(rows(folder, "batches.csv")?) } else { None };
        Ok(Self { load, requests, batches })
    }

    /// The replica of each request in the order of arrival, if all were recorded.
    pub fn replicas(&self) -> Option<Vec<usize>> {
        let mut order: Vec<usize> = (0..self.load.len()).collect();
        order.sort_by(|a, b| self.load[*a].arrived_at.total_cmp(&self.load[*b].arrived_at));
        order.into_iter().map(|at| self.requests[at].replica).collect()
    }
}

fn rows<T: for<'de> Deserialize<'de>>(folder: &Path, name: &str) -> Result<Vec<T>, Box<dyn Error>> {
    let rows = csv::Reader::from_reader(open(folder, name)?).into_deserialize();
    let rows: Result<Vec<T>, csv::Error> = rows.collect();
    rows.map_err(|why| format!("{name}: {why}").into())
}
