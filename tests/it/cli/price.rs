//! `mist price`: a step's bill.

use super::Sandbox;

#[test]
fn a_bill_adds_up() {
    let sandbox = Sandbox::new();
    let step = ["--tp", "4", "--prefill", "2048", "--decode", "64x4096", "--format", "json"];
    let json = sandbox.ok(&[&["price", "Llama-3.1-70B", "H100-SXM5-80GB"][..], &step[..]].concat());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let items = json["items"].as_array().unwrap();
    let sum: f64 = items.iter().map(|item| item["seconds"].as_f64().unwrap()).sum();
    let step = json["step_s"].as_f64().unwrap();
    assert!((sum / step - 1.0).abs() < 1e-9, "{sum} {step}");
    assert!(step > json["lower_bound_s"].as_f64().unwrap());
    assert_eq!((&json["devices"], &json["tokens"]), (&4.into(), &2112.into()));
    // 80 layers of weights over 4 GPUs, by hand.
    let up = items.iter().find(|item| item["operator"] == "gate and up").unwrap();
    assert_eq!(up["flops"].as_f64().unwrap(), 80.0 * 2.0 * 2112.0 * 8192.0 * 14336.0);
}

#[test]
fn every_device_that_computes_in_16_bit_has_a_price() {
    let sandbox = Sandbox::new();
    for device in ["A100-80GB-SXM4", "L40S", "MI300X", "TPU v5e", "Rubin R200 (VR NVL72/144)"] {
        let table = sandbox.ok(&["price", "Llama-3.1-8B", device, "--decode", "16x1000"]);
        assert!(table.contains("decode attention") && table.contains("times that"), "{table}");
    }
    let moe =
        ["price", "DeepSeek-V3", "B200-SXM", "--dp", "8", "--ep", "--weights", "fp8", "--decode", "64x4096"];
    let table = sandbox.ok(&moe);
    assert!(
        table.contains("data parallel 8, experts whole") && table.contains("dispatch and combine"),
        "{table}"
    );
    let narrow =
        sandbox.ok(&["price", "Llama-3.1-8B", "A100-80GB-SXM4", "--decode", "8x1000", "--weights", "int4"]);
    assert!(narrow.contains("weights int4 in bf16 products"), "{narrow}");
}

#[test]
fn what_makes_no_sense_is_taught() {
    let sandbox = Sandbox::new();
    let refused = |args: &[&str]| sandbox.refused(&[&["price"], args].concat());
    let llama = ["Llama-3.1-8B", "H100-SXM5-80GB"];
    for (args, says) in [
        (vec!["Llama-3.1-8", "H100-SXM5-80GB", "--decode", "1x9"], "did you mean `Llama-3.1-8B`"),
        (vec!["Llama-3.1-8B", "H100", "--decode", "1x9"], "unknown accelerator `H100`"),
        ([&llama[..], &["--prefill", "2k"]].concat(), "`512@8192`"),
        ([&llama[..], &["--decode", "64@4096"]].concat(), "`64x4096`"),
        (llama.to_vec(), "add `--prefill 2048`, `--decode 64x4096` or both"),
        ([&llama[..], &["--decode", "1x9", "--tp", "3"]].concat(), "32 attention heads do not divide over 3"),
        ([&llama[..], &["--decode", "1x9", "--weights", "fp4"]].concat(), "no fp4 arithmetic rate"),
        ([&llama[..], &["--decode", "1x9", "--ep"]].concat(), "no routed experts"),
        ([&llama[..], &["--decode", "1x9", "--runtime", "Analytic"]].concat(), "Analytical"),
        (
            [&llama[..], &["--decode", "1x9", "--runtime", "Empirical(version: \"9.9\")"]].concat(),
            "vLLM 9.9 is not known; overheads were fitted on 0.11, 0.15, 0.19",
        ),
    ] {
        let err = refused(&args);
        assert!(err.contains(says), "{args:?}: {err}");
    }
}

#[test]
fn a_bill_says_what_it_rests_on_and_what_no_server_could_run() {
    let sandbox = Sandbox::new();
    let bill = |more: &str| {
        let args: Vec<&str> = more.split(' ').collect();
        sandbox.ok(&[&["price"], &args[..]].concat())
    };
    let plain = bill("Llama-3.1-8B H100-SXM5-80GB --decode 64x4096");
    assert!(plain.contains("Priced by Analytical.\n") && !plain.contains("warning"), "{plain}");
    let measured = bill("Llama-3.1-8B H100-SXM5-80GB --decode 64x4096 --runtime Empirical(version:\"0.16\")");
    for part in ["vLLM 0.16, overheads of versions from 0.14 to before 0.19", "the profile that ships"] {
        assert!(measured.contains(part), "{measured}");
    }
    let long = bill("Llama-3.1-8B H100-SXM5-80GB --decode 1x200000");
    assert!(
        long.contains("warning: 200,000 tokens are more than the 131,072 of Llama-3.1-8B's context\n"),
        "{long}"
    );
    let large = bill("Llama-3.1-70B H100-SXM5-80GB --decode 1x100");
    assert!(large.contains("warning: the model does not fit: 131.4 GiB of weights"), "{large}");
    assert!(large.contains("tensor_parallel: 2 or 8-bit weights would fit"), "{large}");
    for fits in ["--tp 4", "--pp 4", "--tp 2 --pp 2", "--offload 80"] {
        let found = bill(&format!("Llama-3.1-70B H100-SXM5-80GB --decode 1x100 {fits}"));
        assert!(!found.contains("warning"), "{fits}: {found}");
    }
    let many = bill("Llama-3.1-8B H100-SXM5-80GB --decode 256x4096");
    assert!(many.contains("warning: the KV of these sequences takes 128.0 GiB on each device"), "{many}");
}

#[test]
fn what_no_server_does_has_no_price() {
    let sandbox = Sandbox::new();
    for (asked, says) in [
        ("bge-m3 L40S --prefill 512", vec!["bge-m3 does not generate text", "steps are priced"]),
        ("bge-m3 L40S --decode 1x512", vec!["bge-m3 does not generate text"]),
        (
            "Llama-3.1-8B L40S --decode 1x9 --kv-cache fp4",
            vec!["--kv-cache: no engine keeps its KV cache in fp4"],
        ),
        ("Llama-3.1-8B L40S --decode 1x9 --kv-cache int4", vec!["in int4", "use bf16, fp16, fp8 or int8"]),
        ("Qwen3-30B-A3B L40S --decode 1x9 --ep", vec!["--ep: has no effect", "`--tp` × `--dp`"]),
        (
            "Llama-3.1-8B L40S --decode 1x9 --offload 100",
            vec!["--offload: 100.00 GiB are more than the 14.96 GiB", "write 14.96 GiB or less"],
        ),
        (
            "Llama-3.1-8B L40S --decode 1x9 --offload 10 --tp 2",
            vec!["7.48 GiB of weights that each accelerator"],
        ),
        ("Llama-3.1-8B L40S --decode 64", vec!["`--decode 64` is no batch", "`1x64`", "`64xTOKENS`"]),
        (
            "gpt-oss-120b H100-SXM5-80GB --weights fp4 --decode 1x9",
            vec!["no fp4", "add `--activations bf16`"],
        ),
    ] {
        let args: Vec<&str> = asked.split(' ').collect();
        let err = sandbox.refused(&[&["price"], &args[..]].concat());
        for part in says {
            assert!(err.contains(part), "{asked}: {err}");
        }
    }
    // What the help says to write.
    for taken in [
        "Llama-3.1-8B L40S --decode 1x9 --offload 14.96",
        "gpt-oss-120b H100-SXM5-80GB --weights fp4 --decode 1x9 --activations bf16",
    ] {
        let args: Vec<&str> = taken.split(' ').collect();
        sandbox.ok(&[&["price"], &args[..]].concat());
    }
    let help = sandbox.ok(&["price", "--help"]);
    assert!(
        help.contains("[possible values: bf16, fp16, fp8, int8]\n") && help.contains("each copy"),
        "{help}"
    );
}

#[test]
fn copies_of_attention_count_together() {
    let sandbox = Sandbox::new();
    let bill = |more: &str| {
        let args: Vec<&str> = more.split(' ').collect();
        let model =
            ["price", "DeepSeek-V3", "H200-SXM-141GB", "--weights", "fp8", "--decode", "64x4096", "--dp"];
        sandbox.ok(&[&model[..], &args[..]].concat())
    };
    let table = bill("8 --ep");
    assert!(table.contains("\n512 tokens in the step, 64 in each of 8 copies, "), "{table}");
    let json: serde_json::Value = serde_json::from_str(&bill("8 --ep --format json")).unwrap();
    assert_eq!((&json["tokens"], &json["copies"]), (&512.into(), &8.into()));
    let per_s = 512.0 / json["step_s"].as_f64().unwrap();
    let said = table.split("copies, ").nth(1).unwrap().split(' ').next().unwrap();
    let said: f64 = said.replace(',', "").parse().unwrap();
    assert!((said / per_s - 1.0).abs() < 1e-3, "{said} {per_s}");
}

#[test]
fn more_tokens_than_32_bits_count_have_a_price() {
    let args = ["price", "Llama-3.1-8B", "H100-SXM5-80GB", "--prefill", "300x16777216"];
    let bill = Sandbox::new().ok(&args);
    assert!(bill.contains("16,777,216 tokens are more than the 131,072 of Llama-3.1-8B's context"), "{bill}");
}

/// 16 layers in four stages, the last of which has the head too.
#[test]
fn the_busiest_stage_says_how_often_a_step_ends() {
    let sandbox = Sandbox::new();
    let args = ["price", "Llama-3.2-1B", "L40S", "--pp", "4", "--decode", "128x300"];
    let json = sandbox.ok(&[&args[..], &["--format", "json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let last: f64 = json["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            let whole = ["head", "host"].contains(&item["part"].as_str().unwrap());
            item["seconds"].as_f64().unwrap() * if whole { 1.0 } else { 0.25 }
        })
        .sum();
    let bill = sandbox.ok(&args);
    let each = bill.split_once("one ends every ").unwrap().1.split(' ').next().unwrap();
    let each: f64 = each.parse().unwrap();
    assert!((each / last / 1e3 - 1.0).abs() < 2e-3, "{each} {last}");
}
