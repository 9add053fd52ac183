//! `mist calibrate`: what it says of files that it cannot use, and of those that it reads.

use super::Sandbox;

const GPU: [&str; 2] = ["--gpu", "H100-SXM5-80GB"];
const STEPS: &str = "model,gpu,engine,version,tp,weights,kv_cache,stage,batch,tokens,context,time_ms\n";

fn sandbox(file: &str, text: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("k")).unwrap();
    sandbox.write(&format!("k/{file}"), text);
    sandbox
}

/// What is said of measurements that are bad input, behind the progress; nothing is left behind.
fn refused(sandbox: &Sandbox, args: &[&str]) -> String {
    let before = sandbox.entries("");
    let said = sandbox.mist(&[&["calibrate", "k"], &GPU[..], args].concat());
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{said:?}");
    assert_eq!(sandbox.entries(""), before, "something was left behind");
    said.err
}

fn steps(batches: &[u32]) -> String {
    let row = |batch: &u32| {
        let ms = 9.0 + 0.07 * f64::from(*batch);
        format!("Llama-3.1-8B,H100-SXM5-80GB,vLLM,0.15,1,bf16,bf16,decode,{batch},1,256,{ms}\n")
    };
    STEPS.to_owned() + &batches.iter().map(row).collect::<String>()
}

#[test]
fn nothing_is_written_where_nothing_can_be_used() {
    let few = sandbox("mist_gemm.csv", "kind,m,n,k,time_us\nbf16,1,1024,1024,9\nfp8,1,1024,1024,9\n");
    let said = refused(&few, &["-o", "k.ron"]);
    for kind in ["bf16", "fp8"] {
        assert!(
            said.contains(&format!("refused gemm.{kind} own (k/mist_gemm.csv): only 1 shapes")),
            "{said}"
        );
    }
    let few = sandbox("mist_steps.csv", &steps(&[1, 2, 4, 8, 16]));
    let said = refused(&few, &["--whole-steps", "-o", "s.ron"]);
    assert!(said.contains("5 steps are too few, 8 of different tokens or lengths are needed"), "{said}");
}

#[test]
fn help_has_every_column_that_is_asked_for() {
    let help = Sandbox::new().ok(&["calibrate", "--help"]);
    for file in ["mist_gemm.csv", "mist_attention.csv", "mist_all_reduce.csv", "mist_steps.csv"] {
        let of_steps: &[&str] = if file == "mist_steps.csv" { &["--whole-steps"] } else { &[] };
        let said = refused(&sandbox(file, "colour\nred\n"), of_steps);
        // Long errors are wrapped.
        let said = said.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
        let (_, columns) = said.split_once("unknown column `colour`; expected ").unwrap();
        let about: String =
            help.lines().skip_while(|line| !line.trim_start().starts_with(file)).take(4).collect();
        for column in columns.trim().split(", ") {
            assert!(about.contains(column), "{file}: {column} in {about}");
        }
    }
    let help = Sandbox::new().ok(&["validate", "--help"]);
    for column in
        ["run, scenario", "makespan_s", "ttft_ms", "tpot_ms", "out_tok_s", "e2e_mean", "itl_ms_mean"]
    {
        assert!(help.contains(column), "{column}");
    }
    assert!(!Sandbox::new().ok(&["validate", "-h"]).contains("makespan_s"), "the short help is long");
}

#[test]
fn a_file_of_another_sort_is_told_for_what_it_is() {
    let sandbox = sandbox("mist_steps.csv", &steps(&[1, 2, 4, 8, 16, 32, 64, 128, 256]));
    sandbox.ok(&[&["calibrate", "k", "--whole-steps", "-o", "steps.ron"], &GPU[..]].concat());
    sandbox.write("scenario.ron", super::QUICKSTART);
    std::fs::copy(
        concat!(env!("CARGO_MANIFEST_DIR"), "/assets/profiles/H100-SXM5-80GB.ron"),
        sandbox.path("profile.ron"),
    )
    .unwrap();
    let step = ["price", "Llama-3.1-8B", "H100-SXM5-80GB", "--decode", "64x1024", "--runtime"];
    let said = |runtime: &str| {
        let said = sandbox.refused(&[&step[..], &[runtime]].concat());
        assert!(!said.contains("WholeSteps") && !said.contains("field"), "{said}");
        said.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ")
    };
    let steps = "this is not a file of whole steps that `mist calibrate --whole-steps` writes";
    assert!(said("Empirical(steps: \"scenario.ron\")").contains(&format!("scenario.ron: {steps}")));
    let other = said("Empirical(steps: \"profile.ron\")");
    assert!(other.contains(steps) && other.contains("it is a profile of operators"), "{other}");
    let profile = "this is not a profile that `mist calibrate` writes";
    assert!(said("Empirical(profile: \"scenario.ron\")").contains(&format!("scenario.ron: {profile}")));
    let other = said("Empirical(profile: \"steps.ron\")");
    assert!(other.contains(profile) && other.contains("it has whole steps, for `steps`"), "{other}");
}
