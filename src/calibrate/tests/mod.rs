//! Tables by formula: the way from a folder to a profile, and what is refused on it.

mod imports;
mod refusals;

use std::fmt::Write as _;
use std::fs;

use tempfile::TempDir;

use super::*;
use crate::catalog::{Catalog, Precision};
use crate::runtime::profile::{AttentionShape, WeightKind};

const GPU: &str = "H100-SXM5-80GB";

fn fit(folder: &TempDir, choices: &[&str], scored: bool) -> Result<(Profile, Report), CalibrateError> {
    let choices: Vec<Choice> = choices.iter().map(|text| Choice::read(text).unwrap()).collect();
    let request = Request {
        folder: folder.path(),
        accelerator: Catalog::embedded().accelerator(GPU).unwrap(),
        choices: &choices,
        scored,
        source: "a formula",
        licence: "CC0-1.0",
        command: "mist calibrate made-up",
    };
    calibrate(&request, |_| ())
}

fn refused(name: &str, text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join(name);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::write(&place, text).unwrap();
    fit(&folder, &[], false).map(|_| ()).unwrap_err().to_string()
}

/// Seconds of a product on a device that reaches 70 % of what physics allows, after 3 µs.
fn product(kind: WeightKind, m: f64, n: f64, k: f64) -> f64 {
    let silicon = silicon::of(Catalog::embedded().accelerator(GPU).unwrap()).unwrap();
    3e-6 + silicon.gemm(kind, m, n, k) / 0.7
}

/// Rows of aiconfigurator's `gemm_perf`, in CSV; times are `scale` times what they must be.
fn gemm_perf(kind: &str, scale: f64) -> String {
    let mut text = "device,gemm_dtype,m,n,k,latency\n".to_owned();
    for n in [1024.0, 2048.0, 3072.0, 4096.0, 8192.0, 16384.0] {
        for k in [1024.0, 2048.0, 4096.0, 6144.0, 8192.0] {
            for m in [1.0, 8.0, 64.0, 256.0, 512.0, 1024.0, 4096.0, 8192.0] {
                let ms = product(WeightKind::Bf16, m, n, k) * 1e3 * scale;
                writeln!(text, "NVIDIA H100 80GB HBM3,{kind},{m},{n},{k},{ms}").unwrap();
            }
        }
    }
    text
}

/// Rows of our own attention file, at half of what physics allows.
fn own_attention() -> String {
    let silicon = silicon::of(Catalog::embedded().accelerator(GPU).unwrap()).unwrap();
    let mut text =
        "# made up\nphase,head_dim,kv_cache,window,batch,length,heads,kv_heads,time_us\n".to_owned();
    for (heads, kv_heads) in [(4, 1), (8, 2), (16, 4), (32, 8), (64, 8), (16, 2)] {
        let shape =
            AttentionShape { heads, kv_heads, head_dim: 128, kv_cache: Precision::Bf16, window: None };
        for batch in [1.0, 2.0, 8.0, 32.0, 64.0] {
            for length in [16.0, 64.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32768.0] {
                for (phase, bound) in [
                    ("prefill", silicon.prefill(&shape, batch, length, 0.0)),
                    ("decode", silicon.decode(&shape, batch, length)),
                ] {
                    let us = 8.0 + 2e6 * bound;
                    writeln!(text, "{phase},128,bf16,0,{batch},{length},{heads},{kv_heads},{us}").unwrap();
                }
            }
        }
    }
    text
}

fn folder(files: &[(&str, String)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let place = folder.path().join(name);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, text).unwrap();
    }
    folder
}

#[test]
fn a_formula_is_found_again() {
    let folder = folder(&[
        ("gemm/vllm-0.19.0/gemm_perf.csv", gemm_perf("bfloat16", 1.0)),
        ("mist_attention.csv", own_attention()),
        (
            "mist_all_reduce.csv",
            "library,ranks,bytes,time_us\nnccl,2,1024,10\nnccl,2,4096,11\nnccl,2,8192,12\n".to_owned(),
        ),
    ]);
    let (profile, report) = fit(&folder, &[], true).unwrap();
    for line in report.lines.iter().filter(|line| line.regime.contains("held out")) {
        assert!(line.errors.median < 0.06, "{line:?}");
    }
    let curve = profile.gemm(4096, 4096, WeightKind::Bf16).unwrap();
    for m in [1.0, 64.0, 100.0, 512.0, 3000.0, 8192.0, 50_000.0] {
        let truth = product(WeightKind::Bf16, m, 4096.0, 4096.0);
        let ratio = curve.seconds(m) / truth;
        assert!((0.97..1.03).contains(&ratio), "{m}: {ratio}");
    }
    assert!((profile.all_reduce(2).unwrap().seconds(8192.0) * 1e6 - 12.0).abs() < 1e-6);
    assert_eq!(Profile::read(&profile.write()).unwrap(), profile);
}

#[test]
fn the_newest_table_that_holds_is_taken_and_others_are_refused_by_name() {
    let folder = folder(&[
        ("gemm/vllm-0.19.0/gemm_perf.csv", gemm_perf("bfloat16", 1.0)),
        ("gemm/vllm-0.24.0/gemm_perf.csv", gemm_perf("bfloat16", 0.5)),
        ("gemm/vllm-0.9.0/gemm_perf.csv", gemm_perf("bfloat16", 1.1)),
    ]);
    let (profile, report) = fit(&folder, &[], false).unwrap();
    assert_eq!(profile.gemm[0].table, "vllm-0.19.0");
    let refused = report.remarks.iter().find(|remark| remark.contains("0.24.0")).unwrap();
    assert!(refused.starts_with("refused gemm.bf16 vllm-0.24.0") && refused.contains("faster"), "{refused}");
    let (profile, _) = fit(&folder, &["gemm=vllm-0.9.0"], false).unwrap();
    assert_eq!(profile.gemm[0].table, "vllm-0.9.0");
    let error = |choice| fit(&folder, &[choice], false).map(|_| ()).unwrap_err().to_string();
    assert!(error("gemm.bf16=vllm-0.24.0").contains("is refused"), "{}", error("gemm.bf16=vllm-0.24.0"));
    assert!(error("gemm=vllm-1.0").contains("there is vllm-0.9.0, vllm-0.19.0, vllm-0.24.0"));
}

#[test]
fn the_median_of_tables_is_no_extreme_of_theirs_and_impossible_ones_have_no_say() {
    let files = [("0.14.0", 1.1), ("0.19.0", 1.0), ("0.22.0", 0.5), ("0.24.0", 1.6)];
    let files = files
        .map(|(version, scale)| (format!("gemm/vllm-{version}/gemm_perf.csv"), gemm_perf("bfloat16", scale)));
    let files: Vec<(&str, String)> = files.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
    let folder = folder(&files);
    let (profile, report) = fit(&folder, &["gemm.bf16=median"], false).unwrap();
    assert_eq!(profile.gemm[0].table, "median of vllm-0.14.0, vllm-0.19.0, vllm-0.24.0");
    assert!(report.remarks.iter().any(|remark| remark.starts_with("refused gemm.bf16 vllm-0.22.0")));
    let curve = profile.gemm(4096, 4096, WeightKind::Bf16).unwrap();
    for m in [1.0, 64.0, 512.0, 8192.0] {
        let ratio = curve.seconds(m) / (1.1 * product(WeightKind::Bf16, m, 4096.0, 4096.0));
        assert!((0.97..1.03).contains(&ratio), "{m}: {ratio}");
    }
}

#[test]
fn host_launched_and_partial_tables_are_refused() {
    let mut slow = String::new();
    for (at, line) in gemm_perf("fp8_block", 1.0).lines().enumerate() {
        let (rest, ms) = line.rsplit_once(',').unwrap();
        let ms = if at == 0 { ms.to_owned() } else { (ms.parse::<f64>().unwrap() + 0.055).to_string() };
        writeln!(slow, "{rest},{ms}").unwrap();
    }
    let few: String = gemm_perf("fp8", 1.0).split_inclusive('\n').take(60).collect();
    let folder = folder(&[
        ("a/vllm-0.24.0/gemm_perf.csv", slow),
        ("b/vllm-0.24.0/gemm_perf.csv", few),
        ("c/vllm-0.24.0/gemm_perf.csv", gemm_perf("bfloat16", 1.0)),
    ]);
    let (profile, report) = fit(&folder, &[], false).unwrap();
    assert_eq!(profile.gemm.len(), 1);
    assert!(report.remarks.iter().any(|remark| remark.contains("fp8_block") && remark.contains("host")));
    assert!(report.remarks.iter().any(|remark| remark.contains("gemm.fp8 ") && remark.contains("part")));
}

#[test]
fn a_bad_file_says_which_column_row_and_unit() {
    let head = "gemm_dtype,m,n,k,latency\n";
    let cell = refused("v/gemm_perf.csv", &format!("{head}fp8,1,2,3,0.1\nfp8,1,2,3,-4\n"));
    assert!(cell.contains("column `latency`, row 3: expected a number above 0 [ms], found `-4`"), "{cell}");
    let word = refused("v/gemm_perf.csv", &format!("{head}fp8,one,2,3,0.1\n"));
    assert!(word.contains("column `m`, row 2"), "{word}");
    let missing = refused("v/gemm_perf.csv", "gemm_dtype,m,n,latency\nfp8,1,2,0.1\n");
    assert!(missing.contains("has no column `k`; it has gemm_dtype, m, n, latency"), "{missing}");
    let ragged = refused("v/gemm_perf.csv", &format!("{head}fp8,1,2\n"));
    assert!(ragged.contains("gemm_perf.csv") && ragged.contains("fields"), "{ragged}");
    let parquet = refused("v/gemm_perf.parquet", "no parquet");
    assert!(parquet.to_lowercase().contains("parquet"), "{parquet}");
    let unit = refused("mist_gemm.csv", "kind,m,n,k,time_ms\nbf16,1,2,3,4\n");
    assert!(unit.contains("unknown column `time_ms`; expected kind, m, n, k, time_us"), "{unit}");
    let kind = refused("mist_gemm.csv", "kind,m,n,k,time_us\nbf61,1,2,3,4\n");
    assert!(kind.contains("column `kind`, row 2: expected one of bf16"), "{kind}");
    let gpu = refused("v/gemm_perf.csv", "device,gemm_dtype,m,n,k,latency\nNVIDIA L40S,fp8,1,2,3,0.1\n");
    assert!(gpu.contains("column `device`, row 2: expected H100-SXM5-80GB, found `NVIDIA L40S`"), "{gpu}");
    assert!(refused("readme.txt", "nothing").contains("no measurements here"));
}

#[test]
fn times_in_another_unit_are_told_from_slow_ones() {
    let micro = refused("v/gemm_perf.csv", &gemm_perf("bfloat16", 1e3));
    assert!(micro.contains("column `latency`") && micro.contains("microseconds"), "{micro}");
    let seconds = refused("v/gemm_perf.csv", &gemm_perf("bfloat16", 1e-3));
    assert!(seconds.contains("it seems to be in seconds"), "{seconds}");
}

#[test]
fn a_device_whose_cores_are_not_known_is_refused() {
    let unknown = Catalog::embedded().accelerator("MI300X").unwrap();
    assert!(silicon::of(unknown).unwrap_err().to_string().contains("multiprocessors"));
}

/// Steps of Llama-3.1-8B on one H100: 6 ms, 30 µs a sequence, 40 ns a key; prompts 8 ms, 20 µs a token, 1 ns a key.
fn own_steps() -> String {
    let mut text =
        "model,gpu,engine,version,tp,weights,kv_cache,stage,batch,tokens,context,time_ms\n".to_owned();
    let head = format!("Llama-3.1-8B,{GPU},vLLM,0.15.1,1,bf16,bf16");
    for batch in [1.0, 4.0, 16.0, 64.0, 128.0] {
        for length in [256.0, 1024.0, 4096.0] {
            let decode = 6.0 + 0.030 * batch + 40e-6 * batch * length;
            writeln!(text, "{head},decode,{batch},1,{length},{decode}").unwrap();
            let prefill = 8.0 + 0.020 * batch * length * 2.0 + 1e-6 * batch * length * (length + 1.0) / 2.0;
            writeln!(text, "{head},prefill,{batch},{length},0,{prefill}").unwrap();
        }
    }
    text
}

fn fit_steps(text: &str) -> Result<(crate::runtime::WholeSteps, Report), CalibrateError> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("mist_steps.csv"), text).unwrap();
    let request = Request {
        folder: folder.path(),
        accelerator: Catalog::embedded().accelerator(GPU).unwrap(),
        choices: &[],
        scored: true,
        source: "a formula",
        licence: "CC0-1.0",
        command: "mist calibrate made-up --whole-steps",
    };
    calibrate_steps(&request, |_| ())
}

#[test]
fn whole_steps_by_a_law_are_found_again() {
    let (steps, report) = fit_steps(&own_steps()).unwrap();
    assert_eq!(steps.steps.len(), 2);
    for step in &steps.steps {
        assert_eq!((step.rows, step.of.version), (15, (0, 15)));
        for (tokens, length) in [(8.0, 600.0), (100.0, 2000.0)] {
            let (tokens, law) = match step.phase {
                crate::runtime::profile::Phase::Decode => {
                    (tokens, 6.0 + 0.030 * tokens + 40e-6 * tokens * length)
                }
                crate::runtime::profile::Phase::Prefill => {
                    let all = tokens * length;
                    (all, 8.0 + 0.040 * all + 1e-6 * all * (length + 1.0) / 2.0)
                }
            };
            let found = step.seconds(tokens, length) * 1e3;
            assert!(
                (found / law - 1.0).abs() < 0.01,
                "{:?} {tokens} × {length}: {found} for {law}",
                step.phase
            );
        }
    }
    assert!(report.lines.iter().all(|line| line.errors.mean < 0.01), "{:?}", report.lines);
    assert_eq!(crate::runtime::WholeSteps::read(&steps.write()).unwrap(), steps);
}

#[test]
fn whole_steps_in_other_units_or_of_other_things_are_refused() {
    let refused = |text: &str| {
        let error = fit_steps(text).map(|_| ()).unwrap_err().to_string();
        error.split_once("mist_steps.csv: ").map_or(error.clone(), |(_, what)| what.to_owned())
    };
    let text = own_steps();
    let seconds = refused(&text.replace(",6.04024", ",0.00604024"));
    assert!(seconds.starts_with("column `time_ms`, row 2: 0.00604024 ms is less than the "), "{seconds}");
    assert!(seconds.ends_with("is it in milliseconds?"), "{seconds}");
    let micros = refused(&text.replace(",6.04024", ",6040.24"));
    assert!(micros.contains("is over 300 times the"), "{micros}");
    assert!(refused(&text.replace("time_ms", "time_us")).contains("unknown column `time_us`"));
    assert!(
        refused(&text.replacen("decode", "mixed", 1))
            .contains("expected one of prefill, decode, found `mixed`")
    );
    assert!(
        refused(&text.replacen("Llama-3.1-8B", "Llama-3.1-9B", 1)).contains("no model named `Llama-3.1-9B`")
    );
    assert!(refused(&text.replacen("decode,1,1,", "decode,1,7,", 1)).contains("a decode step has 1 token"));
    let elsewhere = refused(&text.replace(GPU, "H200-SXM-141GB"));
    assert!(elsewhere.contains("no whole steps of H100-SXM5-80GB here, of H200-SXM-141GB"), "{elsewhere}");
}
