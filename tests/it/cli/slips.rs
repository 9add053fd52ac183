//! What newcomers write instead of RON: each slip has a message in their words and a way out.

use super::Sandbox;

/// What `check` says of the quickstart after an edit.
fn said(from: &str, to: &str) -> String {
    Sandbox::with_edited(from, to).refused(&["check", "quickstart.ron"])
}

const LENGTHS: &str = "lengths: AzureConv,";
const REQUESTS: &str = "requests: 5000,";
const NODES: &str = "[(\"gpu\", 1)]";

#[test]
fn punctuation_of_other_languages_is_named() {
    for (from, to, message) in [
        (REQUESTS, "# five thousand\n requests: 5000,", "comments begin with `//`"),
        (REQUESTS, "requests = 5000,", "a name is followed by `:` and not by `=`"),
        (REQUESTS, "\"requests\": 5000,", "`:` comes after the name of a field, which takes no quotes"),
        (NODES, "[(\"gpu\": 1)]", "`:` comes after the name of a field, which takes no quotes"),
        ("name: \"server\",", "name: “server”,", "text takes straight quotes"),
        (
            "model: \"Llama-3.1-8B\",             //",
            "model: Llama-3.1-8B,   //",
            "text needs quotes: write `\"Llama-3.1-8B\"`",
        ),
    ] {
        let said = said(from, to);
        assert!(said.starts_with(&format!("error: {message}")), "{to}: {said}");
        assert_eq!(said.matches("error: ").count(), 1, "{to}: {said}");
    }
}

#[test]
fn values_without_names_and_names_without_need_are_put_right() {
    for (from, to, message, help) in [
        (
            LENGTHS,
            "lengths: Fixed(512, 100),",
            "fields need their names",
            "write `(prompt: 512, output: 100)`",
        ),
        (
            LENGTHS,
            "lengths: Mixture(parts: [(3, AzureConv)]),",
            "fields need their names",
            "write `(weight: 3, lengths: AzureConv)`",
        ),
        (
            "Chunked(max_num_batched_tokens: 8192)",
            "Chunked(8192)",
            "fields need their names",
            "`max_num_batched_tokens`",
        ),
        (
            "Poisson(rate: per_s(70))",
            "Gamma(per_s(70), 4)",
            "fields need their names",
            "(rate: per_s(70), cv: 4)`",
        ),
        (REQUESTS, "requests: 5,000,", "a comma ends a number", "write `5000`"),
        (NODES, "[(name: \"gpu\", count: 1)]", "expected `(text, whole number)`", "write `(\"gpu\", 1)`"),
        (NODES, "[(1, \"gpu\")]", "expected `(text, whole number)`", "write `(\"gpu\", 1)`"),
        (NODES, "[(\"gpu\")]", "expected `(text, whole number)`, found one value", "such as"),
        (
            "Take(platform: \"server\", nodes: [(\"gpu\", 1)])",
            "Pick(\"server[0].gpu[0]\")",
            "expected a list, found the text",
            "write `[\"server[0].gpu[0]\"]`",
        ),
        ("name: \"server\",", "name: 'server',", "expected text in quotes", "write `\"server\"`"),
        ("tensor_parallel: 1, ", "tp: 1,", "unknown field `tp`", "did you mean `tensor_parallel`?"),
        (
            "Poisson(rate: per_s(70))",
            "Gamma(rate: per_s(70), burstiness: 4)",
            "unknown field `burstiness`",
            "did you mean `cv`? It mirrors `--burstiness`",
        ),
    ] {
        let said = said(from, to);
        assert!(said.contains(&format!("error: {message}")), "{to}: {said}");
        assert!(said.contains(help), "{to}: {said}");
        assert!(said.contains(" --> quickstart.ron:"), "{to}: {said}");
        assert!(!said.contains("identifier"), "{to}: {said}");
    }
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    let sandbox = Sandbox::new();
    sandbox.write("quickstart.ron", &format!("\u{feff}{}", super::QUICKSTART));
    sandbox.ok(&["check", "quickstart.ron"]);
}
