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
    ] {
        let err = refused(&args);
        assert!(err.contains(says), "{args:?}: {err}");
    }
}
