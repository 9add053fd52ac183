//! A long prompt holds up the tokens of others where they share a client, and does not where it is prefilled
//! elsewhere.

use mist::simulation::Simulation;

/// Two GPUs with short chats, and long documents every now and then or not; the 99th percentile of the gaps
/// between tokens (ms).
fn gap_p99(roles: [&str; 2], documents: bool) -> f64 {
    let client = |at: usize| {
        format!(
            "(name: \"c{at}\", cluster: Take(platform: \"p\", nodes: [(\"gpu\", 1)]), \
             runs: Llm(model: \"Llama-3.1-8B\", role: {}, batching: Chunked(max_num_batched_tokens: 2048)))",
            roles[at]
        )
    };
    let chat = "(name: \"chat\", model: \"Llama-3.1-8B\", requests: 600, arrivals: Poisson(rate: per_s(6)), \
                lengths: Fixed(prompt: 200, output: 150))";
    let document = "(name: \"documents\", model: \"Llama-3.1-8B\", requests: 30, \
                    arrivals: Uniform(rate: per_s(0.3)), lengths: Fixed(prompt: 30000, output: 2))";
    let classes = if documents { format!("{chat}, {document}") } else { chat.to_owned() };
    let apart = roles != ["Both"; 2];
    let link = if apart { "coordinator: (kv_transfer: (bandwidth: gb_per_s(100))), " } else { "" };
    let text = format!(
        "(mist: 1, seed: 5, \
         platforms: [(name: \"p\", nodes: [(name: \"gpu\", hardware: \"H100-SXM5-80GB\", count: 2)])], \
         clients: [{}, {}], {link}workload: [{classes}])",
        client(0),
        client(1),
    );
    let outcome = Simulation::new().read(text, "interference.ron").unwrap().run().unwrap();
    outcome.summary.itl.expect("tokens were generated").p99_ms
}

#[test]
fn long_prompts_delay_the_tokens_of_others_only_where_they_share_a_client() {
    let together = gap_p99(["Both", "Both"], true) / gap_p99(["Both", "Both"], false);
    let apart = gap_p99(["Prefill", "Decode"], true) / gap_p99(["Prefill", "Decode"], false);
    assert!(together > 1.5, "chunked prefills stretch the gaps: {together}");
    assert!(apart < 1.05, "prefills elsewhere do not: {apart}");
}
