//! `assets/collectives.ron` from a table of fitted curves.
//!
//! The table is CSV with a row per system, library, operation and number of GPUs; of its columns `system`, `version`,
//! `op`, `kernel`, `n`, `p_alpha_us`, `p_busbw_GBps`, `p` and `p_mape` count: a fit of
//! `t = (α^p + (wire bytes/B)^p)^(1/p)` and its mean absolute error in percent.

use std::fmt::Write as _;
use std::io::Read;

use thiserror::Error;

use super::fits::{Fit, Library, Operation};

/// Systems of the table, and the devices of the catalog that they are.
const SYSTEMS: [(&str, &[&str]); 7] = [
    ("h100_sxm", &["H100-SXM5-80GB"]),
    ("h200_sxm", &["H200-SXM-141GB"]),
    ("a100_sxm", &["A100-80GB-SXM4", "A100-40GB-SXM4"]),
    ("b200_sxm", &["B200-SXM"]),
    ("gb200", &["GB200 (per GPU)"]),
    ("rtx_pro_6000_server", &["RTX-PRO-6000-Server"]),
    ("l40s", &["L40S"]),
];

const HEAD: &str = "\
// Collectives as measured: t = (latency^s + (wire bytes/bandwidth)^s)^(1/s), s the sharpness.
// Origin: fits of NVIDIA aiconfigurator's tables (Apache-2.0) of NCCL and of vLLM's own all-reduce.
// Left out: L40S on 4 and 8 GPUs, whose host has no peer-to-peer and is a property of its own.
// Written by `mist derive collectives comm_fit.csv`: change the table.
[
";

/// Why a table cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {problem}")]
pub struct CollectivesError {
    /// Line of the file, from 1.
    pub line: u64,
    /// What is wrong there.
    pub problem: String,
}

/// The text of the asset.
///
/// # Errors
/// A missing column, a cell that is no number, a system or an operation that is not known.
pub fn collectives_from_csv(reader: impl Read) -> Result<String, CollectivesError> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(reader);
    let at = |line, problem| CollectivesError { line, problem };
    let header = reader.headers().map_err(|error| at(1, error.to_string()))?.clone();
    let column = |name: &str| {
        header
            .iter()
            .position(|head| head == name)
            .ok_or_else(|| at(1, format!("column `{name}` is missing")))
    };
    let (system, op, kernel, n) = (column("system")?, column("op")?, column("kernel")?, column("n")?);
    let (alpha, bandwidth, sharpness) = (column("p_alpha_us")?, column("p_busbw_GBps")?, column("p")?);
    let (version, error) = (column("version")?, column("p_mape")?);
    let mut text = HEAD.to_owned();
    for record in reader.records() {
        let record =
            record.map_err(|error| at(error.position().map_or(1, csv::Position::line), error.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let cell = |column: usize| record.get(column).unwrap_or_default();
        let number = |column: usize| {
            let parsed = cell(column).parse::<f64>().ok().filter(|number| number.is_finite());
            parsed.ok_or_else(|| {
                at(line, format!("column `{}`: expected a number, found `{}`", &header[column], cell(column)))
            })
        };
        let known = SYSTEMS.iter().find(|(name, _)| *name == cell(system));
        let (_, hardware) = known.ok_or_else(|| at(line, format!("unknown system `{}`", cell(system))))?;
        let operation = match cell(op) {
            "all_reduce" => Operation::AllReduce,
            "all_gather" => Operation::AllGather,
            "alltoall" => Operation::AllToAll,
            "reduce_scatter" => continue,
            other => return Err(at(line, format!("unknown operation `{other}`"))),
        };
        let library = match cell(kernel) {
            "NCCL" => Library::Nccl,
            "vLLM_custom_graph" => Library::VllmGraph,
            "vLLM_custom_eager" => Library::VllmEager,
            other => return Err(at(line, format!("unknown kernel `{other}`"))),
        };
        let ranks = number(n)? as u32;
        if cell(system) == "l40s" && ranks > 2 {
            continue;
        }
        let fit = Fit {
            hardware: hardware.iter().map(|name| (*name).to_owned()).collect(),
            operation,
            library,
            version: cell(version).to_owned(),
            ranks,
            latency_us: number(alpha)?,
            gb_per_s: number(bandwidth)?,
            sharpness: number(sharpness)?,
            error_percent: number(error)?,
        };
        let row = ron::to_string(&fit).map_err(|error| at(line, error.to_string()))?;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "    {row},");
    }
    text.push_str("]\n");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "system,version,op,kernel,n,p_alpha_us,p_busbw_GBps,p,p_mape\n";

    #[test]
    fn a_row_becomes_an_entry() {
        let table = format!("{HEADER}h100_sxm,2.29.2,all_reduce,NCCL,2,5.92,334.38,0.55,5.3\n");
        let text = collectives_from_csv(table.as_bytes()).unwrap();
        let fits: Vec<Fit> = ron::from_str(&text).unwrap();
        assert_eq!((fits[0].ranks, fits[0].latency_us), (2, 5.92));
    }

    #[test]
    fn a_broken_table_is_shown_where_it_breaks() {
        let error = |rows: &str| collectives_from_csv(rows.as_bytes()).unwrap_err().to_string();
        assert_eq!(error("system,op\n"), "line 1: column `kernel` is missing");
        let row = |cells: &str| error(&format!("{HEADER}{cells}\n"));
        assert_eq!(row("v100,1,all_reduce,NCCL,2,1,1,1,1"), "line 2: unknown system `v100`");
        assert_eq!(
            row("h100_sxm,1,all_reduce,NCCL,2,fast,1,1,1"),
            "line 2: column `p_alpha_us`: expected a number, found `fast`"
        );
    }
}
