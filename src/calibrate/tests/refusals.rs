//! What is said when no table can be used.

use super::*;

fn why(folder: &TempDir) -> String {
    fit(folder, &[], false).map(|_| ()).unwrap_err().to_string()
}

/// The first rows of a table, its head not counted.
fn first(text: &str, rows: usize) -> String {
    let heads = text.lines().take_while(|line| line.starts_with('#')).count() + 1;
    text.split_inclusive('\n').take(heads + rows).collect()
}

#[test]
fn every_table_that_was_refused_is_named_where_none_is_left() {
    let few = folder(&[
        ("a/vllm-0.19.0/gemm_perf.csv", gemm_perf("bfloat16", 0.5)),
        ("b/vllm-0.24.0/gemm_perf.csv", first(&gemm_perf("fp8", 1.0), 40)),
        ("b/vllm-0.24.1/gemm_perf.csv", gemm_perf("int7", 1.0)),
    ]);
    let said = why(&few);
    assert!(said.contains("no table of products with weights"), "{said}");
    let line =
        |about: &str| said.lines().find(|line| line.contains(about)).unwrap_or_else(|| panic!("{said}"));
    let fast = line("refused gemm.bf16 vllm-0.19.0 (");
    assert!(fast.contains("rows are faster than the device") && fast.contains("the first m "), "{said}");
    assert!(fast.contains("µs, where it needs "), "{said}");
    let part = line("refused gemm.fp8 vllm-0.24.0 (");
    assert!(part.ends_with("only 5 shapes (n, k): a part of a table, which needs 20"), "{said}");
    assert!(line("int7").contains("left out 240 rows of gemm_dtype"), "{said}");
    let none = folder(&[("mist_attention.csv", own_attention())]);
    assert!(why(&none).ends_with("(mist_gemm.csv, gemm_perf) can be used, and a profile cannot do without"));
    let empty = refused("mist_gemm.csv", "kind,m,n,k,time_us\n");
    assert!(empty.ends_with("mist_gemm.csv: has no rows"), "{empty}");
}

#[test]
fn attention_that_was_measured_and_cannot_be_used_is_an_error() {
    let gemm = || ("vllm-0.19.0/gemm_perf.csv", gemm_perf("bfloat16", 1.0));
    let few = folder(&[gemm(), ("mist_attention.csv", first(&own_attention(), 90))]);
    let said = why(&few);
    assert!(said.contains("no prefill nor decode with bf16 KV"), "{said}");
    assert!(said.contains("refused attention.decode.128.bf16 own ("), "{said}");
    assert!(said.contains("only 45 rows: a part of a table, which needs 300"), "{said}");

    let prompts: String =
        own_attention().split_inclusive('\n').filter(|line| !line.starts_with("decode")).collect();
    let said = why(&folder(&[gemm(), ("mist_attention.csv", prompts)]));
    assert!(said.contains("there is no decode with bf16 KV"), "{said}");
}

#[test]
fn what_a_profile_cannot_price_is_remarked() {
    let gemm = || ("vllm-0.19.0/gemm_perf.csv", gemm_perf("bfloat16", 1.0));
    let (_, report) = fit(&folder(&[gemm()]), &[], false).unwrap();
    assert!(report.remarks.iter().any(|remark| remark.starts_with("no attention was measured")));

    let other = first(&own_attention(), 90).replace("bf16", "fp8");
    let both =
        own_attention() + &other.lines().skip(2).map(|line| line.to_owned() + "\n").collect::<String>();
    let (profile, report) = fit(&folder(&[gemm(), ("mist_attention.csv", both)]), &[], false).unwrap();
    assert_eq!(profile.attention.len(), 2);
    let lame =
        "models with a KV cache of fp8 cannot be priced: no prefill nor decode attention without a window";
    assert!(report.remarks.iter().any(|remark| remark == lame), "{:?}", report.remarks);
}

#[test]
fn too_few_whole_steps_are_an_error() {
    let said = fit_steps(&first(&own_steps(), 5)).map(|_| ()).unwrap_err().to_string();
    assert!(said.contains("no whole steps of H100-SXM5-80GB that can be fitted:\n  left out "), "{said}");
    assert!(said.contains("3 steps are too few, 8 of different tokens or lengths are needed"), "{said}");
}
