//! `hardware.csv` → `hardware.ron`.

use std::io::Read;

use super::super::{Accelerator, Class, DenseRates, Memory, MemoryFigure, ScaleUp, Verified};
use super::table::{ImportError, Row, import};

const COLUMNS: [&str; 18] = [
    "name",
    "vendor",
    "class",
    "bf16_dense_tflops",
    "fp8_dense_tflops",
    "fp4_dense_tflops",
    "int8_dense_tops",
    "mem_gb",
    "mem_type",
    "mem_bw_GBps",
    "scaleup_bw_GBps_per_dir",
    "scaleup_kind",
    "scaleup_domain",
    "host_link_GBps_per_dir",
    "tdp_w",
    "verified",
    "source",
    "note",
];

/// What another simulator assumes, for comparison: no fact about the device.
const IGNORED: [&str; 1] = ["genz_value(TF/GB/BW/ICN)"];

const COMMENT: &str = "\
Accelerators, processors and memory devices, with their peak figures.
Origin: a table of makers' documents and of simulators' files drawn from them; each entry names its source,
and `verified` says how well it is known; `(memory)` in a source means recalled, not looked up.
Written by `mist derive hardware hardware.csv`: change the table, or lay a folder of your own over this file.";

/// Memory as the NVIDIA driver reports it (`nvidia-smi`, total) [GiB], where we know it. Makers advertise
/// more than an engine can use, by up to 7 % where error correction lives in the same memory (L40S).
const REPORTED_GIB: [(&str, f64); 4] =
    [("A100-80GB-SXM4", 80.0), ("H100-SXM5-80GB", 79.6), ("H200-SXM-141GB", 140.4), ("L40S", 45.0)];

/// Devices that reach each other's memory without the host's in between, where those are fewer than a domain has: whole
/// steps on 4 and 8 L40S take as long as collectives through the host's memory do.
const PEERS: [(&str, u32); 1] = [("L40S", 2)];

/// The text of `hardware.ron` from a table of devices.
///
/// Columns: `name, vendor, class, bf16_dense_tflops, fp8_dense_tflops, fp4_dense_tflops,
/// int8_dense_tops, mem_gb, mem_type, mem_bw_GBps, scaleup_bw_GBps_per_dir, scaleup_kind,
/// scaleup_domain, host_link_GBps_per_dir, tdp_w, verified, source, note`. `mem_gb` is read as GiB unless
/// we know what the driver reports; GB/s are 10⁹ B/s; `verified` is V (vendor), P (partly), D (derived),
/// M (from memory) or U (announced).
///
/// # Errors
/// The table has other columns, or a row does not fit.
pub fn hardware_from_csv(reader: impl Read) -> Result<String, ImportError> {
    import(reader, &COLUMNS, &IGNORED, COMMENT, device)
}

fn device(row: &Row<'_>) -> Result<Accelerator, ImportError> {
    let name = row.filled("name")?;
    let reported = REPORTED_GIB.iter().find(|(device, _)| *device == name);
    let (gib, figure) = match reported {
        Some((_, gib)) => (*gib, MemoryFigure::Reported),
        None => (row.number("mem_gb")?, MemoryFigure::Nominal),
    };
    Ok(Accelerator {
        name: name.to_owned(),
        vendor: Some(row.filled("vendor")?).filter(|vendor| *vendor != "-").map(str::to_owned),
        class: row.one_of(
            "class",
            &[
                ("GPU", Class::Gpu),
                ("GPU (2 GCD)", Class::Gpu),    // the note says so too
                ("GPU(announced)", Class::Gpu), // `verified` says so too
                ("TPU", Class::Tpu),
                ("ASIC", Class::Asic),
                ("CPU", Class::Cpu),
                ("MEM", Class::Memory),
            ],
        )?,
        dense_tflops: DenseRates {
            bf16: row.number_if_any("bf16_dense_tflops")?,
            fp8: row.number_if_any("fp8_dense_tflops")?,
            fp4: row.number_if_any("fp4_dense_tflops")?,
            int8: row.number_if_any("int8_dense_tops")?,
        },
        memory: Memory {
            gib,
            figure,
            kind: row.filled("mem_type")?.to_owned(),
            gb_per_s: row.number("mem_bw_GBps")?,
        },
        scale_up: scale_up(row)?,
        host_link_gb_per_s: row.number_if_any("host_link_GBps_per_dir")?,
        tdp_w: row.number_if_any("tdp_w")?,
        verified: verified(row)?,
        source: row.filled("source")?.to_owned(),
        note: row.text("note").to_owned(),
    })
}

fn scale_up(row: &Row<'_>) -> Result<Option<ScaleUp>, ImportError> {
    let gb_per_s = row.number_if_any("scaleup_bw_GBps_per_dir")?;
    let kind = row.text("scaleup_kind").to_owned();
    match row.number_if_any("scaleup_domain")? {
        Some(domain) => {
            let peers = PEERS.iter().find(|(name, _)| *name == row.text("name")).map(|(_, peers)| *peers);
            Ok(Some(ScaleUp { gb_per_s, kind, domain, peers }))
        }
        None if gb_per_s.is_none() && kind.is_empty() => Ok(None),
        None => Err(row.refuse("scaleup_domain", "a number, as the row has scale-up links")),
    }
}

/// The letters of the `verified` column.
pub(super) fn verified(row: &Row<'_>) -> Result<Verified, ImportError> {
    row.one_of(
        "verified",
        &[
            ("V", Verified::Vendor),
            ("P", Verified::Partly),
            ("D", Verified::Derived),
            ("M", Verified::Recalled),
            ("U", Verified::Announced),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "name,vendor,class,bf16_dense_tflops,fp8_dense_tflops,fp4_dense_tflops,int8_dense_tops,\
        mem_gb,mem_type,mem_bw_GBps,scaleup_bw_GBps_per_dir,scaleup_kind,scaleup_domain,\
        host_link_GBps_per_dir,tdp_w,verified,source,note";
    const L40S: &str =
        "L40S,NVIDIA,GPU,362.05,733,,733,48,GDDR6,864,32,PCIe4 x16,8,32,350,V,a sheet,no NVLink";

    fn derive(header: &str, row: &str) -> Result<String, ImportError> {
        hardware_from_csv(format!("{header}\n{row}\n").as_bytes())
    }

    #[test]
    fn a_row_becomes_a_paragraph_with_the_reported_memory() {
        let text = derive(HEADER, L40S).unwrap();
        let paragraph = text.split_once("[\n").unwrap().1;
        assert_eq!(
            paragraph,
            r#"    (
        name: "L40S",
        vendor: "NVIDIA",
        class: Gpu,
        dense_tflops: (bf16: 362.05, fp8: 733.0, int8: 733.0),
        memory: (gib: 45.0, figure: Reported, kind: "GDDR6", gb_per_s: 864.0),
        scale_up: (gb_per_s: 32.0, kind: "PCIe4 x16", domain: 8, peers: 2),
        host_link_gb_per_s: 32.0,
        tdp_w: 350.0,
        verified: Vendor,
        source: "a sheet",
        note: "no NVLink",
    ),
]
"#
        );
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_line() {
        let problem = |header: &str, row: &str| derive(header, row).unwrap_err().to_string();
        assert_eq!(problem(&HEADER.replace(",tdp_w", ""), L40S), "line 1: column `tdp_w` is missing");
        assert!(problem(&format!("{HEADER},colour"), L40S).starts_with("line 1: unknown column `colour`"));
        assert_eq!(
            problem(HEADER, &L40S.replace("864", "fast")),
            "line 2: column `mem_bw_GBps`: expected a number of this size, found `fast`"
        );
        assert_eq!(
            problem(HEADER, &L40S.replace(",V,", ",Q,")),
            "line 2: column `verified`: expected one of V, P, D, M, U, found `Q`"
        );
        assert!(problem(HEADER, &format!("{L40S},more")).starts_with("line 2: "));
        assert_eq!(
            problem(HEADER, &L40S.replace("350", "-350")),
            "line 2: accelerator `L40S`: `tdp_w` must be finite and above zero, found -350"
        );
        assert_eq!(
            problem(HEADER, &format!("{L40S}\n{L40S}")),
            "line 3: accelerator `L40S`: the name is used twice"
        );
    }
}
