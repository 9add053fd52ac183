//! Pipelines that make no sense: what is wrong, where, and what would be right.

use super::{QUICKSTART, Sandbox};

/// What is said of the quickstart with a pipeline; `at` must be where the fault lies, by its text.
#[track_caller]
fn refused(pipeline: &str, faults: &[(&str, &str, &str)]) {
    refused_with(pipeline, ("", ""), faults);
}

/// Each fault: what is said, the text it lies at, the help.
#[track_caller]
fn refused_with(pipeline: &str, (from, to): (&str, &str), faults: &[(&str, &str, &str)]) {
    let text = QUICKSTART.replace("requests: 5000,", &format!("requests: 300, pipeline: {pipeline},"));
    refused_text(&text.replacen(from, to, 1), faults);
}

#[track_caller]
fn refused_text(text: &str, faults: &[(&str, &str, &str)]) {
    let sandbox = Sandbox::new();
    sandbox.write("quickstart.ron", text);
    let err = sandbox.refused(&["check", "quickstart.ron"]);
    assert_eq!(err.matches("error: ").count(), faults.len(), "{err}");
    for (message, at, help) in faults {
        let before = &text[..text.find(at).unwrap_or_else(|| panic!("no {at}"))];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let place = format!("error: {message}\n  --> quickstart.ron:{line}:{column}\n");
        assert!(err.contains(&place), "not `{place}` in\n{err}");
        assert!(err.contains(help), "not `{help}` in\n{err}");
    }
}

#[test]
fn a_pipeline_without_an_output() {
    let fault = "a pipeline without an output: none of its stages generates or decides anything";
    refused(
        "[ToolCall(takes: Exactly(s(1)))]",
        &[(fault, "[ToolCall", "help: end it with `Prefill, Decode`")],
    );
    refused("[]", &[(fault, "[],", "help: end it with")]);
}

#[test]
fn a_join_that_can_never_happen() {
    let fault = "a join that can never happen: the other branches wait for this one";
    let help = "help: leave `Exit` out of branches";
    refused("[Parallel(branches: [[Prefill, Decode], [Prefill, Decode, Exit]])]", &[(fault, "Exit", help)]);
    let nested = "[Prefill, BestOf(n: 2, run: [Decode, Branch(cases: [(when: Chance(0.5), run: [Exit])]), Classify(model: \"Llama-3.1-8B\"), Score(model: \"Llama-3.1-8B\")])]";
    refused(nested, &[(fault, "Exit", help)]);
}

#[test]
fn a_cycle_without_an_exit() {
    let fault = "a cycle without an exit: these stages repeat for ever";
    let help = "help: say how many `times`, or `until` when, or `Exit` on some way through";
    refused("[Repeat(run: [Prefill, Decode])]", &[(fault, "Repeat", help)]);
    refused("[Repeat(until: Chance(0), run: [Prefill, Decode])]", &[(fault, "Repeat", help)]);
    let idle = "a round may take no time, and nothing bounds how many there are";
    let help = "help: say how many `times` at most, or let every way through `run` take time";
    let run = "[Branch(cases: [(when: Chance(0.5), run: [Prefill, Decode])])]";
    refused(&format!("[Repeat(until: GeneratedTokens(from: 9), run: {run})]"), &[(idle, "[Branch", help)]);
    let unscored = "no stage of `run` gives a score, so these stages repeat for ever";
    for (never, fault, at, help) in [
        ("Score(from: 0.9)", unscored, "Score", "help: put `Score` into `run`"),
        ("GeneratedTokens(from: 9)", fault, "Repeat", "help: say how many"),
    ] {
        let repeat =
            format!("[Repeat(until: {never}, run: [ToolCall(takes: Exactly(ms(1)))]), Prefill, Decode]");
        refused(&repeat, &[(fault, at, help)]);
    }
    let idle_decode = "[Prefill, Repeat(until: GeneratedTokens(from: 9), run: [Decode(tokens: Share(0))])]";
    refused(idle_decode, &[(idle, "[Decode", help)]);
}

#[test]
fn a_score_that_nobody_gives() {
    let branch = "[Prefill, Decode, Branch(cases: [(when: Score(below: 0.5), run: [Prefill, Decode])])]";
    refused(branch, &[("no stage of the pipeline gives a score", "[(when", "help: put `Score` before it")]);
    let choose =
        "[ChooseModel(cases: [(when: Score(below: 0.5), model: \"Llama-3.1-8B\")]), Prefill, Decode]";
    refused(choose, &[("no stage of the pipeline gives a score", "[(when", "help: put `Score` before it")]);
}

#[test]
fn a_model_no_client_serves() {
    let fault = "no client serves `Llama-3.1-70B`";
    let help = "help: did you mean `Llama-3.1-8B`?";
    refused("[Prefill, Decode, Score(model: \"Llama-3.1-70B\")]", &[(fault, "\"Llama-3.1-70B\"", help)]);
    let unknown = "[Prefill, Decode, Score(model: \"Llama-3.2-8B\")]";
    refused(
        unknown,
        &[("unknown model `Llama-3.2-8B`", "\"Llama-3.2-8B\"", "`Llama-3.1-8B`? Allowed: `Llama-3.1-8B`\n")],
    );
    let default = "no client serves `Qwen2.5-Math-PRM-7B`";
    refused("[Prefill, Decode, Score]", &[(default, "Score", "help: Allowed: `Llama-3.1-8B`")]);
    let choose = "[ChooseModel(cases: [(when: Chance(0.5), model: \"Llama-3.1-70B\")]), Prefill, Decode]";
    refused(choose, &[(fault, "\"Llama-3.1-70B\"", help)]);
}

#[test]
fn kv_that_is_not_there_or_for_nobody() {
    let none = "no `Prefill` has computed the KV cache of the text before this stage";
    refused("[Decode]", &[(none, "Decode", "help: put `Prefill` before it")]);
    // One way through leaves none.
    let ways = "[Branch(cases: [(when: Chance(0.5), run: [Branch(cases: [(when: Chance(0.5), run: [Exit])])])], \
                otherwise: [Prefill]), Decode]";
    refused(ways, &[(none, "Decode", "help: put `Prefill` before it")]);
    let unused = "the KV cache that this `Prefill` computes is never used";
    let help = "help: let `Decode` follow, or leave it out";
    refused("[Prefill, Classify(model: \"Llama-3.1-8B\")]", &[(unused, "Prefill", help)]);
    let put = "it puts text into the prompt, and the KV cache that later stages go on with is of the prompt without";
    let help = "help: put it before the `Prefill`, or a `Prefill` behind it";
    let none = "no client can run `Rag`: it takes a client that runs `Rag`, and there is none";
    refused("[Prefill, Rag, Decode]", &[(put, "Rag", help), (none, "Rag", "add one to `clients`")]);
    refused("[Prefill, Decode, Rag, Prefill, Decode]", &[(none, "Rag", "add one to `clients`")]);
}

#[test]
fn roles_that_lack_their_counterpart() {
    let help = "help: add one with `role: Decode`, or leave out the `role`";
    let fault = "no client decodes `Llama-3.1-8B`";
    let role = ("runs: Llm(", "runs: Llm(role: Prefill, ");
    refused_with("[Prefill, Decode]", role, &[(fault, "\"Llama-3.1-8B\",             // goes", help)]);
}

#[test]
fn branches_that_nobody_compares() {
    let fault = "nothing in `run` scores the branches, so none is better than another";
    refused("[Prefill, BestOf(n: 3, run: [Decode])]", &[(fault, "[Decode]", "help: end it with `Score`")]);
}

#[test]
fn a_wrong_name_inside_nested_lists() {
    let inside = |stage: &str| {
        format!(
            "[Parallel(branches: [[Prefill, Decode], [Repeat(times: Exactly(2), run: [Prefill, {stage}])]])]"
        )
    };
    refused(
        &inside("Decod"),
        &[("unknown pipeline stage `Decod`", "Decod]", "help: did you mean `Decode`?")],
    );
    let wrong = [("unknown field `tokns`", "tokns", "help: did you mean `tokens`?")];
    refused(&inside("Decode(tokns: Exactly(3))"), &wrong);
    let when = "Branch(cases: [(when: Chance(1.5), run: [])])";
    refused(&inside(when), &[("a chance must be 0 to 1, found 1.5", "Chance(1.5)", "")]);
}

#[test]
fn what_has_no_effect() {
    let search =
        "[Prefill, TreeSearch(width: 4, keep: 2, rounds: 1, run: [Decode, Score(model: \"Llama-3.1-8B\")])]";
    let fault = "has no effect in one round, whose best goes on alone, found 2";
    refused(search, &[(fault, "2, rounds", "help: leave it out, or allow more `rounds`")]);

    let choose = "ChooseModel(cases: [(when: Chance(0.5), model: \"Llama-3.1-8B\")])";
    let fault = "has no effect: no `Prefill` after it takes the request's model";
    refused(
        &format!("[Prefill, Decode, {choose}]"),
        &[(fault, "ChooseModel", "help: put it before a `Prefill`")],
    );
    let named = format!("[Prefill, Decode, {choose}, Prefill(model: \"Llama-3.1-8B\"), Decode]");
    refused(&named, &[(fault, "ChooseModel", "help: put it before a `Prefill`")]);
    // In a loop, what comes after it comes before it too.
    let looped = format!("[Repeat(times: Exactly(2), run: [Prefill, Decode, {choose}])]");
    let text = QUICKSTART.replace("requests: 5000,", &format!("requests: 300, pipeline: {looped},"));
    let sandbox = Sandbox::new();
    sandbox.write("quickstart.ron", &text);
    sandbox.ok(&["check", "quickstart.ron"]);
}

/// The quickstart beside a client on processors.
#[track_caller]
fn refused_on_processors(runs: &str, pipeline: &str, fault: (&str, &str, &str)) {
    let text = QUICKSTART.replace("requests: 5000,", &format!("requests: 300, pipeline: {pipeline},"));
    let text = text.replacen(
        "nodes: [(name",
        "nodes: [(name: \"cpu\", hardware: \"EPYC 7763 (Milan 64c)\"), (name",
        1,
    );
    let client = format!(
        "clients: [(name: \"cpu\", cluster: Take(platform: \"server\", nodes: [(\"cpu\", 1)]), runs: {runs}),"
    );
    let text = text.replacen("clients: [", &client, 1);
    refused_text(&text, &[fault]);
}

#[test]
fn what_has_no_effect_on_the_clients_there_are() {
    let rag = "[Rag(documents: 4, candidates: 20), Prefill, Decode]";
    let fault = "candidates has no effect, found 20: no `Rag` client re-ranks";
    let help = "help: leave it out, or write `rerank: \"bge-reranker-base\"` in the `Rag` client";
    refused_on_processors("Rag(rerank: None)", rag, (fault, "20), Prefill", help));

    let tier = "(name: \"DDR4\", lookup: ns(80), bandwidth: gb_per_s(150))";
    let late = "[Prefill, Decode, KvRetrieval(prefix: Tokens(90))]";
    let fault = "the KV that this stage brings is never used: no `Prefill` follows";
    refused_on_processors(
        &format!("KvStore(tiers: [{tier}])"),
        late,
        (fault, "KvRetrieval", "help: put it before"),
    );

    let early = "[Preprocess(tasks: [Tokenize, Detokenize]), Prefill, Decode]";
    let fault = "`detokenize` has no effect: there is no answer before this stage";
    refused_on_processors("PrePost", early, (fault, "Detokenize", "help: put it behind a `Decode`"));
}

#[test]
fn faults_of_stages_inside_others_are_said_together() {
    refused(
        "[Prefill, Parallel(branches: [[Decod(tokns: Exactly(3))], [Decode(tokes: Share(1)), Clasify]])]",
        &[
            ("unknown pipeline stage `Decod`", "Decod(", "help: did you mean `Decode`?"),
            ("unknown field `tokns`", "tokns", "help: did you mean `tokens`?"),
            ("unknown field `tokes`", "tokes", "help: did you mean `tokens`?"),
            ("unknown pipeline stage `Clasify`", "Clasify", "help: did you mean `Classify`?"),
            ("no client serves `Gemma-2-2B`", "Clasify", "help: Allowed: `Llama-3.1-8B`"),
        ],
    );
    refused(
        "[Prefill, BestOf(n: 2, run: [Reason(tokens: 64), Decode(tokens: 9), Score(modl: \"Llama-3.1-8B\")])]",
        &[
            ("expected a name, found `64`", "64", "help: write `Exactly(64)`"),
            ("expected a name, found `9`", "9)", "help: write `Exactly(9)`"),
            ("unknown field `modl`", "modl", "help: did you mean `model`?"),
        ],
    );
}

#[test]
fn several_faults_at_once() {
    refused(
        "[Decode, Parallel(branches: [[Score(model: \"Llama-3.1-70B\")], [Exit, Classify(model: \"Llama-3.1-8B\")]])]",
        &[
            ("no `Prefill` has computed the KV cache of the text before this stage", "Decode", ""),
            ("no client serves `Llama-3.1-70B`", "\"Llama-3.1-70B\"", ""),
            ("a join that can never happen: the other branches wait for this one", "Exit", ""),
            ("this stage is never reached: `Exit` stands before it", "Classify", ""),
        ],
    );
}
