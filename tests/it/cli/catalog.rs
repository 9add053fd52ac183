//! `mist list` and `mist derive`: the catalog and where it comes from.

use super::Sandbox;

#[test]
fn list_shows_figures_with_their_standing_and_source() {
    let sandbox = Sandbox::new();
    for (what, name) in
        [("hardware", "H100-SXM5-80GB"), ("models", "Llama-3.1-70B"), ("prices", "p5.48xlarge")]
    {
        let out = sandbox.ok(&["list", what]);
        assert!(out.lines().next().unwrap().ends_with("SRC"));
        assert!(!out.contains('…'), "a name is cut: {out}");
        assert!(out.contains(name) && out.contains("\n[1] "), "{out}");
        assert!(out.lines().all(|line| line.chars().count() <= 100), "{out}");
    }
}

#[test]
fn list_filters_whatever_the_case() {
    let sandbox = Sandbox::new();
    let rows = |out: &str| out.lines().skip(1).take_while(|line| !line.is_empty()).count();
    let some = sandbox.ok(&["list", "models", "LLAMA-3.1"]);
    assert_eq!(rows(&some), 3, "{some}");
    assert!(rows(&sandbox.ok(&["list", "models"])) > 40);
    let one = sandbox.ok(&["list", "hardware", "h100-sxm"]);
    for line in [
        "NAME          H100-SXM5-80GB\n",
        "GiB           79.6\n",
        "VERIFIED      vendor\n",
        "LINKS         450 GB/s",
        "SOURCE        ",
    ] {
        assert!(one.contains(line), "{line} is not in:\n{one}");
    }
    let by_hub_name = sandbox.ok(&["list", "models", "meta-llama/Llama-3.1-8B"]);
    assert!(by_hub_name.starts_with("NAME          Llama-3.1-8B\n"), "{by_hub_name}");
    let err = sandbox.refused(&["list", "hardware", "H1000-SXM5"]);
    assert!(
        err.starts_with(
            "error: the catalog has no accelerator named `H1000-SXM5`; did you mean `H100-SXM5-80GB`"
        ),
        "{err}"
    );
}

#[test]
fn list_lays_a_folder_over_the_catalog() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("mine")).unwrap();
    sandbox.write(
        "mine/prices.ron",
        r#"[(instance: "our rack", provider: "us", accelerator: "H100-SXM5-80GB", gpus: 8, usd_per_hour: 20,
            terms: OnDemand, seen: "2026-05", source: "the books", evidence: Primary)]"#,
    );
    let out = sandbox.ok(&["list", "prices", "rack", "--catalog", "mine"]);
    assert!(out.contains("8 × H100-SXM5-80GB") && out.contains("the books"), "{out}");
    let err = sandbox.refused(&["list", "prices", "--catalog", "theirs"]);
    assert!(err.contains("theirs/"), "{err}");
}

#[test]
fn derived_lengths_can_be_used_at_once() {
    let sandbox = Sandbox::with_quickstart();
    sandbox.write_trace("trace.csv", (0..500).map(|at| format!("{},{}", at + 20, at / 9 + 1)));
    let about = ["--name", "Ours", "--source", "our gateway, May", "--licence", "CC0-1.0"];
    let args: Vec<&str> = ["derive", "lengths", "trace.csv"].iter().chain(&about).copied().collect();
    let table = sandbox.ok(&args);
    assert!(table.contains("rows: 500,") && table.contains("source: \"our gateway, May\""), "{table}");
    sandbox.write("ours.ron", &table);
    sandbox.ok(&["run", "quickstart.ron", "--set", "workload[0].lengths=Table(path: \"ours.ron\")"]);
}

#[test]
fn derive_names_the_file_at_fault() {
    let sandbox = Sandbox::new();
    let about = ["--name", "Ours", "--source", "s", "--licence", "l"];
    let lengths = |more: &[&str]| {
        let args: Vec<&str> = ["derive", "lengths"].iter().chain(more).chain(&about).copied().collect();
        sandbox.refused(&args)
    };
    assert!(lengths(&["gone.csv"]).starts_with("error: cannot open gone.csv: "));
    sandbox.write_trace("trace.csv", ["0,0".into()]);
    assert_eq!(lengths(&["trace.csv"]), "error: trace.csv holds no requests\n");
    assert!(lengths(&["trace.csv", "--format", "azur"]).contains("known formats: "));
    sandbox.write_trace("trace.csv", ["1,x".into()]);
    assert!(lengths(&["trace.csv"]).starts_with("error: trace.csv:2: column `GeneratedTokens`"));

    for what in ["hardware", "models", "prices"] {
        assert!(sandbox.refused(&["derive", what, "gone.csv"]).starts_with("error: cannot open gone.csv: "));
        sandbox.write("table.csv", "colour\nred\n");
        let err = sandbox.refused(&["derive", what, "table.csv"]);
        assert!(err.starts_with("error: table.csv:1: unknown column `colour`; expected "), "{err}");
    }
}
