//! A small scenario that tests share.

use super::{Document, Scenario};

pub(crate) const TEXT: &str = r#"// A sample.
(
    mist: 1,
    seed: 42,
    platforms: [
        (name: "hgx", count: 2, nodes: [(name: "gpu", hardware: "H100-SXM5-80GB", count: 8)]),
    ],
    clients: [
        (
            name: "llama",
            count: 4,
            cluster: Take(platform: "hgx", nodes: [("gpu", 2)]),
            runs: Llm(model: "Llama-3.1-70B", batching: Chunked(max_num_batched_tokens: 8192)),
        ),
    ],
    workload: [
        (
            name: "chat",
            model: "Llama-3.1-70B",
            requests: 1000,
            arrivals: Poisson(rate: per_s(240)),
            lengths: AzureConv,
            slo: (ttft: s(1), tpot: ms(50)),
        ),
    ],
)
"#;

pub(crate) fn document() -> Document {
    Document::parse(TEXT, "sample.ron").expect("the sample is in order")
}

pub(crate) fn scenario() -> Scenario {
    document().scenario
}

/// The sample with one piece of its text replaced.
pub(crate) fn with(from: &str, to: &str) -> String {
    assert!(TEXT.contains(from), "`{from}` is not in the sample");
    TEXT.replacen(from, to, 1)
}
