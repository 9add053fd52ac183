//! Every importer on files that are malformed, partial or in other units.

use std::fmt::Write as _;

use super::*;
use crate::runtime::profile::{MoeKernel, MoeShape, Routing};

/// A good row, then one with a fault in the column, in every file that there is an importer for.
#[test]
fn every_importer_names_column_row_and_unit() {
    let gemm = ("v/gemm_perf.csv", "gemm_dtype,m,n,k,latency", "fp8,1,2,3,0.1");
    let attention =
        "kv_cache_dtype,batch_size,isl,num_heads,num_key_value_heads,head_dim,step,window_size,latency";
    let moe = "moe_dtype,distribution,num_tokens,hidden_size,inter_size,topk,num_experts,moe_tp_size,moe_ep_size,latency";
    let files = [
        gemm,
        ("v/context_attention_perf.csv", attention, "fp8,1,128,8,2,128,0,0,0.1"),
        ("v/generation_attention_perf.csv", attention, "fp8,1,1,8,2,128,64,0,0.1"),
        ("v/moe_perf.csv", moe, "fp8,balanced,8,2048,1024,2,8,1,1,0.1"),
        (
            "v/custom_allreduce_perf.csv",
            "allreduce_dtype,op_name,num_gpus,message_size,latency",
            "half,all_reduce,2,1024,0.01",
        ),
        ("v/nccl_perf.csv", "nccl_dtype,op_name,num_gpus,message_size,latency", "half,alltoall,2,1024,0.01"),
        (
            "Llama-3.1-8B/tp1/attention.csv",
            "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us",
            "128,0,0,0,50",
        ),
        ("Llama-3.1-8B/tp1/dense.csv", "layer,tokens,time_us", "layernorm,128,3"),
        ("mist_gemm.csv", "kind,m,n,k,time_us", "bf16,1,2,3,4"),
        (
            "mist_attention.csv",
            "phase,head_dim,kv_cache,window,batch,length,heads,kv_heads,time_us",
            "decode,128,bf16,0,1,64,8,2,9",
        ),
        ("mist_all_reduce.csv", "library,ranks,bytes,time_us", "nccl,2,1024,10"),
    ];
    for (name, head, row) in files {
        let columns: Vec<&str> = head.split(',').collect();
        for (at, column) in columns.iter().enumerate() {
            // Partial: the column is not there.
            let without = |line: &str| {
                let kept = line.split(',').enumerate().filter(|(other, _)| *other != at);
                kept.map(|(_, cell)| cell).collect::<Vec<_>>().join(",")
            };
            if *column != "window_size" {
                let missing = refused(name, &format!("{}\n{}\n", without(head), without(row)));
                let dtype = ["nccl_dtype", "allreduce_dtype"].contains(column);
                assert!(dtype || missing.contains(&format!("has no column `{column}`")), "{name}: {missing}");
            }
            // Malformed: a hole, a word or a sign where a number is expected. Words are looked at row by row.
            if row.split(',').nth(at).unwrap().parse::<f64>().is_err() {
                continue;
            }
            for wrong in ["", "many", "-1", "inf"] {
                let cells = row.split(',').enumerate();
                let bad = cells.map(|(other, cell)| if other == at { wrong } else { cell });
                let bad = bad.collect::<Vec<_>>().join(",");
                let found = refused(name, &format!("# taken on a Monday\n{head}\n{row}\n# again\n{bad}\n"));
                let place =
                    format!("{}: column `{column}`, row 5: expected a", name.rsplit('/').next().unwrap());
                assert!(found.contains(&place), "{name}, {wrong}: {found}");
                assert!(found.contains('[') && found.ends_with(&format!("found `{wrong}`")), "{found}");
            }
        }
    }
    let half = refused("mist_gemm.csv", "kind,m,n,k,time_us\nbf16,1.5,2,3,4\n");
    assert!(
        half.contains("column `m`, row 2: expected a whole number of at least 1 [count], found `1.5`"),
        "{half}"
    );
}

#[test]
fn measurements_of_a_model_that_is_not_known_are_not_passed_over_in_silence() {
    let folder = folder(&[
        ("gemm/vllm-0.19.0/gemm_perf.csv", gemm_perf("bfloat16", 1.0)),
        ("Llama-9/tp1/dense.csv", "layer,tokens,time_us\nlayernorm,128,3\n".to_owned()),
    ]);
    let (_, report) = fit(&folder, &[], false).unwrap();
    assert!(report.remarks.iter().any(|remark| remark.contains("dense.csv: left out: none of the folders")));
}

#[test]
fn other_operators_in_another_unit_are_told_too() {
    let attention = |scale: f64| {
        let mut text = String::new();
        for line in own_attention().lines() {
            match line.rsplit_once(',').map(|(rest, us)| (rest, us.parse::<f64>())) {
                Some((rest, Ok(us))) => writeln!(text, "{rest},{}", us * scale).unwrap(),
                _ => writeln!(text, "{line}").unwrap(),
            }
        }
        text
    };
    let gemm = || ("gemm/vllm-0.19.0/gemm_perf.csv", gemm_perf("bfloat16", 1.0));
    let refused = |name: &str, text: String| {
        fit(&folder(&[gemm(), (name, text)]), &[], false).map(|_| ()).unwrap_err().to_string()
    };
    let millis = refused("mist_attention.csv", attention(1e-3));
    assert!(millis.contains("column `time_us`: expected microseconds"), "{millis}");
    assert!(millis.ends_with("it seems to be in milliseconds"), "{millis}");
    let nanos = refused("mist_attention.csv", attention(1e3));
    assert!(nanos.ends_with("it seems to be in nanoseconds"), "{nanos}");
    let reduce = |us: f64| {
        let rows = (10..20).map(|log| format!("nccl,2,{},{}\n", 1_u64 << log, us * f64::from(log)));
        "library,ranks,bytes,time_us\n".to_owned() + &rows.collect::<String>()
    };
    let seconds = refused("mist_all_reduce.csv", reduce(1e-3));
    assert!(seconds.contains("column `time_us`: expected microseconds") && seconds.contains("milliseconds"));
    assert!(refused("mist_all_reduce.csv", reduce(1e3)).contains("it seems to be in nanoseconds"));
    let mut chunks = "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us\n".to_owned();
    for at in 1..=16 {
        writeln!(chunks, "8192,{},0,0,{}", 4096 * at, 0.5 * f64::from(at + 1)).unwrap();
    }
    let millis = refused("Llama-3.1-8B/tp1/attention.csv", chunks);
    assert!(
        millis.contains("attention.csv: column `time_us`") && millis.contains("milliseconds"),
        "{millis}"
    );
}

#[test]
fn a_step_of_absurdly_many_prompts_is_refused() {
    let text = own_steps();
    let (head, row) = (text.lines().next().unwrap(), text.lines().nth(2).unwrap());
    let many = row.replace("prefill,1,", "prefill,1e18,");
    let found = fit_steps(&format!("{head}\n{row}\n{many}\n")).map(|_| ()).unwrap_err().to_string();
    assert!(
        found.contains("column `batch`, row 3: expected at most 65536, found `1000000000000000000`"),
        "{found}"
    );
}

#[test]
fn more_devices_than_heads_are_refused() {
    let head = "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us";
    let found = refused("Llama-3.1-8B/tp64/attention.csv", &format!("{head}\n128,0,0,0,50\n"));
    assert!(
        found.ends_with("attention.csv: 64 devices cannot share the 32 heads of Llama-3.1-8B"),
        "{found}"
    );
}

#[test]
fn products_of_which_no_shape_is_whole_are_refused() {
    let mut text = "gemm_dtype,m,n,k,latency\n".to_owned();
    for at in 1..=60 {
        let (m, n, k) = (f64::from(at) * 16.0, 1024.0 + 64.0 * f64::from(at), 4096.0);
        writeln!(text, "bfloat16,{m},{n},{k},{}", product(WeightKind::Bf16, m, n, k) * 1e3).unwrap();
    }
    let found = refused("v/gemm_perf.csv", &text);
    assert!(found.contains("column `m`: of products of bf16 no shape (n, k) has all 60 numbers"), "{found}");
}

/// One kind of heads, and one shape of products that has all numbers of tokens: what is foretold cannot be held out.
#[test]
fn what_cannot_be_held_out_is_said() {
    let gemm = gemm_perf("bfloat16", 1.0);
    let kept = gemm.lines().filter(|line| !line.contains(",8192,") || line.contains(",8192,1024,1024,"));
    let gemm: String = kept.map(|line| line.to_owned() + "\n").collect();
    let silicon = silicon::of(Catalog::embedded().accelerator(GPU).unwrap()).unwrap();
    let shape =
        AttentionShape { heads: 8, kv_heads: 2, head_dim: 128, kv_cache: Precision::Bf16, window: None };
    let mut attention = "phase,head_dim,kv_cache,window,batch,length,heads,kv_heads,time_us\n".to_owned();
    for (batch, length) in (1..=20).flat_map(|batch| (1..=16).map(move |length| (batch, 512 * length))) {
        let us = 8.0 + 2e6 * silicon.decode(&shape, f64::from(batch), f64::from(length));
        writeln!(attention, "decode,128,bf16,0,{batch},{length},8,2,{us}").unwrap();
        let us = 8.0 + 2e6 * silicon.prefill(&shape, f64::from(batch), f64::from(length), 0.0);
        writeln!(attention, "prefill,128,bf16,0,{batch},{length},8,2,{us}").unwrap();
    }
    let folder = folder(&[("gemm/vllm-0.19.0/gemm_perf.csv", gemm), ("mist_attention.csv", attention)]);
    let (profile, report) = fit(&folder, &[], true).unwrap();
    assert_eq!((profile.gemm.len(), profile.attention.len()), (1, 2));
    let said = report.remarks.iter().filter(|remark| remark.contains("the same `heads` and `kv_heads`"));
    assert_eq!(said.count(), 2, "{:?}", report.remarks);
    assert!(!report.lines.iter().any(|line| line.regime == "heads held out"), "{:?}", report.lines);
}

/// Experts in 4 bit whose kernels are told apart: those that engines do not choose are left out by name, a table of one
/// model is filled up from an older one of the same kernel, and each kernel has a table of its own.
#[test]
fn kernels_of_experts_in_4_bit_are_told_apart() {
    let head = "moe_dtype,kernel_source,distribution,num_tokens,hidden_size,inter_size,topk,num_experts,moe_tp_size,\
                moe_ep_size,latency\n";
    let rows = |kind: &str, kernel: &str, hidden: u32, slower: f64| {
        let mut text = String::new();
        for (tp, ep) in [(1, 1), (2, 1), (4, 1), (8, 1), (1, 2), (1, 4)] {
            for tokens in [1, 4, 16, 64, 256, 1024, 4096] {
                let expert = 3.0 * f64::from(hidden) * 1024.0 / f64::from(tp);
                let met = f64::from((tokens * 4_u32).min(64) / ep).max(1.0);
                let flops = 2.0 * f64::from(tokens * 4 / ep) * expert;
                let ms = slower * (0.05 + met * expert * 0.5625 / 2e9 + flops / 4e11);
                writeln!(text, "{kind},{kernel},power_law_1.2,{tokens},{hidden},1024,4,64,{tp},{ep},{ms}")
                    .unwrap();
            }
        }
        text
    };
    let newest = [
        rows("int4_wo", "vllm_x_marlin_marlinexperts", 2048, 1.0),
        rows("w4a16_mxfp4", "vllm_x_oaitritonmxfp4experts", 2048, 2.0),
        rows("w4a16_mxfp4", "vllm_x_oaitritonmxfp4experts", 4096, 2.0),
        rows("w4a16_mxfp4", "vllm_x_marlinexperts", 6144, 3.0),
        rows("w4a16_mxfp4", "vllm_x_marlinexperts", 8192, 3.0),
    ];
    let older =
        rows("int4_wo", "vllm_marlin_moe", 4096, 1.0) + &rows("int4_wo", "vllm_marlin_moe", 2048, 9.0);
    let folder = folder(&[
        ("vllm-0.24.0/moe_perf.csv", format!("{head}{}", newest.concat())),
        ("vllm-0.19.0/moe_perf.csv", format!("{head}{}", rows("int4_wo", "vllm_marlin_int4_moe", 2048, 4.0))),
        ("vllm-0.14.0/moe_perf.csv", format!("{head}{older}")),
        ("own/gemm_perf.csv", gemm_perf("bfloat16", 1.0)),
    ]);
    let (profile, report) = fit(&folder, &[], false).unwrap();
    let found: Vec<_> =
        profile.moe.iter().map(|table| (table.kind, table.kernel, table.table.as_str())).collect();
    let newest = "vllm-0.24.0";
    assert_eq!(
        found,
        [
            (WeightKind::Int4, Some(MoeKernel::Marlin), "vllm-0.24.0, vllm-0.14.0"),
            (WeightKind::Mxfp4, Some(MoeKernel::Marlin), newest),
            (WeightKind::Mxfp4, Some(MoeKernel::Triton), newest),
        ]
    );
    let left = report.remarks.iter().find(|remark| remark.contains("vllm_marlin_int4_moe")).unwrap();
    assert!(
        left.contains("vllm-0.19.0/moe_perf.csv: left out 42 rows of a kernel that engines do not choose")
    );
    let layer = |hidden| MoeShape { hidden, inter: 1024, top_k: 4, experts: 64, tp: 2, ep: 1 };
    let seconds = |kind, hidden| {
        let curve = profile.moe(&layer(hidden), kind, Routing::Skewed, false).unwrap();
        assert!(curve.measured, "{hidden}");
        curve.seconds(64.0)
    };
    let expected = |hidden: f64| 1e-3 * (0.05 + 64.0 * 1.5 * hidden * 1024.0 * (0.5625 / 2e9 + 8.0 / 4e11));
    for (kind, hidden, slower) in [
        (WeightKind::Int4, 2048, 1.0),
        (WeightKind::Int4, 4096, 1.0),
        (WeightKind::Mxfp4, 2048, 2.0),
        (WeightKind::Mxfp4, 6144, 3.0),
    ] {
        // Between so few counts of tokens curves are rough; kernels differ by more.
        let ratio = seconds(kind, hidden) / (slower * expected(f64::from(hidden)));
        assert!((0.7..1.5).contains(&ratio), "{kind} {hidden}: {ratio}");
    }
}
