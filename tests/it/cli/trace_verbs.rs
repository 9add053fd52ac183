//! `mist trace`: what goes in comes out, and what makes no sense is refused where it stands.

use std::io::Read;
use std::process::{Command, Stdio};

use super::{QUICKSTART, Sandbox};

/// A small trace of each format, and how many requests it holds.
const SAMPLES: [(&str, &str, u64); 5] = [
    (
        "azure",
        "TIMESTAMP,NumImages,ContextTokens,GeneratedTokens\r\n2025-11-16 18:15:46.6805900,0,374,44\r\n\
         2025-11-16 18:15:50.9951690,3,396,109\r\n",
        2,
    ),
    (
        "burstgpt",
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,472,18,490,Chat\n\
         6.25,GPT-4,1087,0,1087,API\n9,GPT-4,20,30,50,API\n",
        3,
    ),
    (
        "bailian",
        "{\"chat_id\":55,\"parent_chat_id\":-1,\"timestamp\":61,\"input_length\":30,\"output_length\":7,\
         \"type\":\"text\",\"turn\":1,\"hash_ids\":[10,11]}\n{\"chat_id\":9,\"parent_chat_id\":55,\
         \"timestamp\":61.114,\"input_length\":48,\"output_length\":13,\"turn\":2,\"hash_ids\":[10,11,7]}\n",
        2,
    ),
    (
        "mooncake",
        "{\"timestamp\":0,\"input_length\":1024,\"output_length\":52,\"hash_ids\":[46,47]}\n\
         {\"timestamp\":1500,\"input_length\":1100,\"output_length\":26,\"hash_ids\":[46,47,48]}\n",
        2,
    ),
    (
        "sharegpt",
        "[{\"id\":\"x\",\"conversations\":[{\"from\":\"human\",\"value\":\"Who?\",\"tokens\":3},\
         {\"from\":\"gpt\",\"value\":\"Me.\",\"tokens\":4}]}]",
        1,
    ),
];

const POISSON: [&str; 6] =
    ["gen", "--arrivals", "Poisson(rate: per_s(8))", "--lengths", "AzureConv", "--requests"];

fn gen_args(more: &[&'static str]) -> Vec<&'static str> {
    ["trace"].into_iter().chain(POISSON).chain(more.iter().copied()).collect()
}

#[test]
fn every_format_is_converted_and_described() {
    let sandbox = Sandbox::new();
    for (format, text, requests) in SAMPLES {
        sandbox.write(format, text);
        let native = sandbox.ok(&["trace", "convert", format]);
        assert!(native.starts_with("{\"mist_trace\":1"), "{native}");
        assert_eq!(native.lines().count() as u64, requests + 1, "{format}");
        let said = sandbox.mist(&["trace", "convert", format, "--from", format, "-o", "native.jsonl"]);
        assert_eq!((said.code, said.out.as_str()), (Some(0), ""), "{}", said.err);
        assert_eq!(said.err, format!("{requests} requests in native.jsonl\n"));
        assert_eq!(sandbox.read("native.jsonl"), native);
        // What is native already comes back to the byte, onto itself too.
        sandbox.ok(&["trace", "convert", "native.jsonl", "-o", "native.jsonl"]);
        assert_eq!(sandbox.read("native.jsonl"), native);
        // Both say the same of themselves.
        let [of_it, of_native] =
            [format, "native.jsonl"].map(|file| sandbox.ok(&["trace", "inspect", file, "--format", "json"]));
        assert_eq!(of_it, of_native, "{format}");
        let json: serde_json::Value = serde_json::from_str(&of_it).unwrap();
        assert_eq!(json["requests"], requests);
        let table = sandbox.ok(&["trace", "inspect", format]);
        assert!(table.starts_with(&format!("requests                {requests}\n")), "{table}");
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    }
    let mut left: Vec<_> = SAMPLES.iter().map(|sample| sample.0).chain(["native.jsonl"]).collect();
    left.sort_unstable();
    assert_eq!(sandbox.entries(""), left, "something was left behind");
}

#[test]
fn options_of_a_format_reach_it() {
    let sandbox = Sandbox::new();
    sandbox.write("m", SAMPLES[3].1);
    assert!(sandbox.ok(&["trace", "convert", "m"]).contains("\"block_tokens\":512"));
    sandbox.write("b", "{\"timestamp\":0,\"input_length\":99,\"output_length\":5,\"hash_ids\":[1,2]}\n");
    assert!(sandbox.ok(&["trace", "convert", "b", "--block-tokens", "64"]).contains("\"block_tokens\":64"));
    let err = sandbox.refused(&["trace", "convert", "b"]);
    assert!(err.contains("b:1: 2 `hash_ids` for an `input_length` of 99: blocks of 512 tokens"), "{err}");
    let json: serde_json::Value =
        serde_json::from_str(&sandbox.ok(&["trace", "inspect", "m", "--format", "json"])).unwrap();
    // The first two blocks of the second prompt: 1,024 of 2,124 tokens.
    assert_eq!(json["prefix"]["hit_tokens"], 1024);
    sandbox.write("s", "[{\"conversations\":[{\"value\":\"eight ch\"},{\"value\":\"four\"}]}]");
    let err = sandbox.refused(&["trace", "convert", "s"]);
    assert!(err.contains("s:1: ") && err.contains("chars_per_token"), "{err}");
    let native = sandbox.ok(&["trace", "convert", "s", "--chars-per-token", "4"]);
    assert!(native.contains("\"prompt_tokens\":2,\"output_tokens\":1"), "{native}");
    let err = sandbox.refused(&["trace", "convert", "m", "--chars-per-token", "4"]);
    assert!(err.contains("the format `mooncake` does not use it"), "{err}");
}

#[test]
fn what_is_generated_depends_on_the_seed_alone() {
    let sandbox = Sandbox::new();
    let first = sandbox.ok(&gen_args(&["500"]));
    assert_eq!(first, sandbox.ok(&gen_args(&["500", "--seed", "0"])));
    assert_ne!(first, sandbox.ok(&gen_args(&["500", "--seed", "1"])));
    sandbox.ok(&gen_args(&["500", "-o", "t.jsonl"]));
    assert_eq!(sandbox.read("t.jsonl"), first);
    let piped = sandbox.command().args(["trace", "inspect", "-"]).write_stdin(first).output().unwrap();
    assert_eq!(String::from_utf8(piped.stdout).unwrap(), sandbox.ok(&["trace", "inspect", "t.jsonl"]));
}

#[test]
fn a_scenario_brings_what_its_first_class_generates() {
    let sandbox = Sandbox::with_quickstart();
    let exported = sandbox.ok(&["trace", "export", "quickstart.ron"]);
    let args = ["trace", "gen", "--arrivals", "Poisson(rate: per_s(70))", "--lengths", "AzureConv"];
    // What is generated alone is for no model.
    let alone = exported.replace(",\"model\":\"Llama-3.1-8B\"", "");
    assert_eq!(alone, sandbox.ok(&[&args[..], &["--requests", "300", "--seed", "42"]].concat()));
    let set = ["--set", "workload[0].requests=7"];
    let fewer = sandbox.ok(&[&["trace", "export", "quickstart.ron"][..], &set].concat());
    assert_eq!((fewer.lines().count(), exported.starts_with(fewer.lines().nth(1).unwrap())), (8, false));
    assert!(exported.lines().zip(fewer.lines()).all(|(all, few)| all == few));
}

/// Two classes, a horizon in the middle, one class that is a trace already: the replay of what is exported
/// is the same run, to the byte.
#[test]
fn the_replay_of_an_export_is_the_same_run() {
    let sandbox = Sandbox::new();
    sandbox.write_trace("code.csv", (0..60).map(|at| format!("{},{}", at * 97 % 5000 + 1, at % 40 + 1)));
    let scenario = |chat: &str, code: &str| {
        let start = QUICKSTART.split("    workload: [").next().unwrap();
        let class = |name: &str, how: &str| format!("(name: \"{name}\", model: \"Llama-3.1-8B\", {how}),");
        format!("{start} workload: [{}{}], horizon: s(20))", class("chat", chat), class("code", code))
    };
    let chat = "arrivals: OnOff(on: s(1), off: s(1), on_rate: per_s(90)), lengths: Mixture(parts: [\
                (weight: 1, lengths: AzureConv), (weight: 1, lengths: AzureCode)])";
    sandbox.write("drawn.ron", &scenario(chat, "trace: (path: \"code.csv\", speedup: 2.5)"));
    let said = sandbox.mist(&["trace", "export", "drawn.ron", "-o", "traces"]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), ""), "{}", said.err);
    assert_eq!(sandbox.entries("traces"), ["chat.jsonl", "code.jsonl"]);
    assert_eq!(said.err.lines().count(), 2, "{}", said.err);
    assert!(said.err.contains(" requests in traces/chat.jsonl\n"), "{}", said.err);

    let replay = |class: &str| format!("trace: (path: \"traces/{class}.jsonl\")");
    sandbox.write("replayed.ron", &scenario(&replay("chat"), &replay("code")));
    for scenario in ["drawn", "replayed"] {
        let file = format!("{scenario}.ron");
        sandbox.ok(&["run", &file, "--results", scenario, "--set", "name=run"]);
    }
    for file in ["requests.csv", "summary.json"] {
        let [drawn, replayed] = ["drawn", "replayed"].map(|folder| sandbox.read(&format!("{folder}/{file}")));
        assert!(drawn == replayed, "{file} differs");
    }
    assert!(sandbox.read("drawn/requests.csv").lines().count() > 300);

    // What is exported of the replay is the same again, in a folder that is there.
    sandbox.ok(&["trace", "export", "replayed.ron", "-o", "again"]);
    sandbox.ok(&["trace", "export", "replayed.ron", "-o", "again"]);
    for file in ["chat.jsonl", "code.jsonl"] {
        assert!(sandbox.read(&format!("again/{file}")) == sandbox.read(&format!("traces/{file}")), "{file}");
    }
}

/// Conversations with system prompts and documents, of which some are turned away: the replay of what is exported
/// is the same run, to the byte, and the trace says what the prompts share.
#[test]
fn the_replay_of_conversations_is_the_same_run() {
    let sandbox = Sandbox::new();
    let scenario = |how: &str| {
        let start = QUICKSTART.split("    workload: [").next().unwrap();
        format!("{start} workload: [(name: \"chat\", model: \"Llama-3.1-8B\", {how})], horizon: s(30))")
    };
    let drawn = "requests: 900, arrivals: Poisson(rate: per_s(20)), lengths: AzureConv, prefix: [System(tokens: \
                 2000), Documents(count: 20, tokens: 300, draw: 2, popularity: Zipf(1.1))], sessions: (turns: \
                 Geometric(mean: 4), think: Exponential(mean: s(2)), max_context: 200000)";
    sandbox.write("drawn.ron", &scenario(drawn));
    sandbox.write("replayed.ron", &scenario("trace: (path: \"traces/chat.jsonl\")"));
    sandbox.ok(&["trace", "export", "drawn.ron", "-o", "traces"]);
    sandbox.ok(&["trace", "export", "replayed.ron", "-o", "again"]);
    let trace = sandbox.read("traces/chat.jsonl");
    assert!(trace.starts_with("{\"mist_trace\":1,\"block_tokens\":1}\n"), "{}", &trace[..100]);
    assert!(trace == sandbox.read("again/chat.jsonl"), "an export of the replay is another trace");
    let mut runs = Vec::new();
    for set in ["prefix_caching=Off", "prefix_caching=Radix", "max_model_len=5000"] {
        let [drawn, replayed] = ["drawn", "replayed"].map(|scenario| {
            let (file, set) = (format!("{scenario}.ron"), format!("clients[0].runs.{set}"));
            sandbox.ok(&["run", &file, "--results", "results", "--set", "name=run", "--set", &set]);
            ["requests.csv", "summary.json"].map(|file| sandbox.read(&format!("results/{file}")))
        });
        assert!(drawn == replayed, "a replay is another run with {set}");
        runs.push(drawn);
    }
    assert!(runs[0] != runs[1], "nothing is shared");
    let summary: serde_json::Value = serde_json::from_str(&runs[2][1]).unwrap();
    assert!(summary["sessions"]["ended_by_rejection"].as_u64() > Some(5), "{summary}");
    let said = sandbox.ok(&["trace", "inspect", "traces/chat.jsonl", "--format", "json"]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["left_out_of_replay"], serde_json::json!([]));
    assert!(said["prefix"]["token_hit_ratio"].as_f64() > Some(0.6), "{said}");
}

#[test]
fn what_cannot_be_exported_is_shown_in_the_scenario() {
    let sandbox = Sandbox::with_quickstart();
    let refused = |set: &str, out: &[&str]| {
        sandbox.refused(&[&["trace", "export", "quickstart.ron", "--set", set], out].concat())
    };
    let err = refused("workload[0].arrivals=ClosedLoop(concurrency: 4)", &[]);
    assert!(
        err.contains("error: arrivals wait for departures") && err.contains("workload[0].arrivals"),
        "{err}"
    );
    let err = refused("workload[0].name=../escape", &["-o", "."]);
    assert!(err.contains("`../escape` cannot be the name of a file"), "{err}");
    let class =
        "(name: \"a\", model: \"Llama-3.1-8B\", requests: 5, arrivals: AllAtOnce, lengths: AzureConv)";
    let two = format!("workload=[{class},{}]", class.replace("\"a\"", "\"b\""));
    assert!(refused(&two, &[]).contains("2 classes of traffic make as many traces"));
    assert!(refused("workload[0].requests=0", &["-o", "new"]).contains("workload[0].requests"));
    assert!(refused("seed=1", &["-o", "no/such"]).contains("cannot make the folder no/such"));
    // The second class is malformed: nothing of the first is kept, and no folder.
    sandbox.write_trace("bad.csv", ["1,1".into(), "1,many".into()]);
    let bad = "(name: \"b\", model: \"Llama-3.1-8B\", trace: (path: \"bad.csv\"))";
    let err = refused(&format!("workload=[{class},{bad}]"), &["-o", "new"]);
    assert!(err.contains("bad.csv:3: column `GeneratedTokens`"), "{err}");
}

#[test]
fn generation_that_makes_no_sense_is_refused() {
    let sandbox = Sandbox::new();
    let refused = |arrivals: &str, lengths: &str| {
        let args =
            ["trace", "gen", "--arrivals", arrivals, "--lengths", lengths, "--requests", "5", "-o", "t"];
        sandbox.refused(&args)
    };
    let err = refused("Poison(rate: per_s(8))", "AzureConf");
    assert!(err.contains("did you mean `Poisson`?") && err.contains("did you mean `AzureConv`?"), "{err}");
    let err = refused("Poisson(rate: s(8))", "AzureConv");
    assert!(err.contains("= field: arrivals.rate\n") && err.contains("write `per_s(…)`"), "{err}");
    assert!(refused("Poisson(rate", "AzureConv").contains("such as `Poisson(rate: per_s(8))`"));
    assert!(refused("", "(((").contains("such as `AzureConv`"));
    assert!(refused(&"[".repeat(10_000), "AzureConv").starts_with("error: "));
    assert!(refused("ClosedLoop(concurrency: 2)", "AzureConv").contains("arrivals wait for departures"));
    assert!(refused("AllAtOnce", "Trace(path: \"gone\")").contains("gone: No such file"));
    assert!(sandbox.refused(&gen_args(&["0"])).contains("--requests <N>"));
}

#[test]
fn conversations_and_prefixes_are_generated() {
    let sandbox = Sandbox::new();
    let shared =
        ["--prefix", "[System(tokens: 100)]", "--sessions", "(turns: Exactly(3), think: Exactly(s(2)))"];
    let trace = sandbox.ok(&[&gen_args(&["7"])[..], &shared].concat());
    assert_eq!(trace.lines().count(), 8, "`--requests` counts turns");
    assert_eq!(trace.matches("\"delay_ns\":2000000000").count(), 4, "the third has one turn only");
    assert_eq!(trace.matches("\"blocks\":[[0,100]").count(), 7);
    let refused = |option: &'static str, text: &'static str| sandbox.refused(&gen_args(&["7", option, text]));
    assert!(refused("--prefix", "[System(tokens: 0)]").contains("must be 1 to 1000000000, found 0"));
    assert!(refused("--sessions", "(turn: Exactly(3))").contains("such as `(turns: Geometric(mean: 4)"));
}

#[test]
fn hostile_files_are_refused_with_their_line() {
    let sandbox = Sandbox::new();
    for (name, text, said) in [
        ("prose", "this is prose\n", "prose: no trace format fits its first line"),
        ("empty", "", "empty holds no requests"),
        ("header", "{\"mist_trace\":1}\n", "header holds no requests"),
        ("newer", "{\"mist_trace\":2}\n", "newer:1: trace format version 2"),
        (
            "key",
            "{\"mist_trace\":1}\n{\"arrival_ns\":0,\"prompt_tokens\":1,\"output_tokens\":1,\"modle\":\"m\"}\n",
            "key:2: unknown field `modle`",
        ),
        (
            "back",
            "Timestamp,Request tokens,Response tokens\n5,1,1\n4,1,1\n",
            "back:3: column `Timestamp`: earlier than the row before",
        ),
        ("huge", "{\"timestamp\":1e999,\"input_length\":1,\"output_length\":1}\n", "huge:1: "),
        ("many", "[{\"conversations\":[{\"tokens\":4294967296},{\"tokens\":1}]}]", "many:1: "),
        ("nul", "{\"mist_trace\":1}\n\0\n", "nul:2: "),
    ] {
        sandbox.write(name, text);
        for verb in ["inspect", "convert"] {
            let out: &[&str] = if verb == "convert" { &["-o", "t"] } else { &[] };
            let err = sandbox.refused(&[&["trace", verb, name], out].concat());
            assert!(err.contains(said), "{err}");
        }
    }
    let deep = format!("{{\"timestamp\":0,\"input_length\":{}", "[".repeat(200_000));
    sandbox.write("deep", &deep);
    sandbox.write("long", &"x".repeat(3 << 20));
    for name in ["deep", "long"] {
        sandbox.refused(&["trace", "inspect", name, "--from", "mooncake"]);
    }
    assert!(sandbox.refused(&["trace", "inspect", "gone"]).contains("cannot open gone: No such file"));
    assert!(sandbox.refused(&["trace", "inspect", "."]).contains("Is a directory"));
    assert!(sandbox.refused(&["trace", "inspect", "prose", "--from", "azur"]).contains("'azure'"));
    assert_eq!(sandbox.mist(&["trace"]).code, Some(2));
}

#[test]
fn a_trace_is_there_whole_or_not_at_all() {
    let sandbox = Sandbox::new();
    sandbox.write("t", "what was there before");
    sandbox.write("bad", &format!("{}nonsense\n", SAMPLES[3].1));
    assert!(sandbox.refused(&["trace", "convert", "bad", "-o", "t"]).contains("bad:3: "));
    assert_eq!(sandbox.read("t"), "what was there before");
    assert!(sandbox.refused(&gen_args(&["5", "-o", "no/such"])).contains("cannot write no/such: "));
    assert!(sandbox.refused(&gen_args(&["5", "-o", "."])).contains("cannot write .: "));
    sandbox.ok(&gen_args(&["5", "-o", "t"]));
    assert_eq!(sandbox.read("t").lines().count(), 6);
    assert_eq!(sandbox.entries(""), ["bad", "t"]);
}

#[cfg(unix)]
#[test]
fn a_trace_is_readable_by_whom_files_are_and_goes_through_links() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let sandbox = Sandbox::new();
    sandbox.write("usual", "");
    symlink("usual", sandbox.path("link")).unwrap();
    let rights = |name: &str| sandbox.path(name).metadata().unwrap().permissions().mode();
    let usual = rights("usual");
    sandbox.ok(&gen_args(&["5", "-o", "link"]));
    assert!(sandbox.path("link").is_symlink());
    assert_eq!((sandbox.read("usual").lines().count(), rights("usual")), (6, usual));
    let said = sandbox.mist(&gen_args(&["5", "-o", "/dev/null"]));
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(!std::path::Path::new("/dev/null").is_file());
}

#[test]
fn whoever_reads_a_trace_may_leave() {
    let sandbox = Sandbox::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_mist"))
        .args(gen_args(&["1000000000"]))
        .current_dir(sandbox.path(""))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut start = [0; 16];
    child.stdout.take().unwrap().read_exact(&mut start).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[cfg(unix)]
#[test]
fn an_interrupt_leaves_no_trace() {
    let sandbox = Sandbox::with_edited("requests: 5000,", "requests: 1000000000,");
    for args in [gen_args(&["1000000000", "-o", "t"]), vec!["trace", "export", "quickstart.ron", "-o", "t"]] {
        let child = Command::new(env!("CARGO_BIN_EXE_mist"))
            .args(args)
            .current_dir(sandbox.path(""))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let draft = |folder: &str| sandbox.entries(folder).iter().any(|name| name.starts_with(".t."));
        let within = || sandbox.path("t").is_dir() && !sandbox.entries("t").is_empty();
        while !draft("") && !within() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130));
        assert_eq!(output.stderr, b"interrupted: no results\n");
        assert_eq!(sandbox.entries(""), ["quickstart.ron"]);
    }
}
