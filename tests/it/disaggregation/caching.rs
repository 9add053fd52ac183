//! A client that prefills keeps prefixes: what it sent away stays there for later prompts.

use mist::simulation::Simulation;

use crate::scenarios::run;

const BLOCK: u32 = 16;

/// Conversations whose every turn has 100 tokens more, and 10 of an answer.
fn scenario(blocks: u32, caching: &str) -> String {
    let client = |name: &str, settings: &str| {
        format!(
            "(name: \"{name}\", cluster: Take(platform: \"p\", nodes: [(\"gpu\", 1)]), \
              runs: Llm(model: \"Qwen2.5-0.5B\", block_size: {BLOCK}, {settings}))"
        )
    };
    let prefill = format!("role: Prefill, prefix_caching: {caching}, num_gpu_blocks: {blocks}");
    format!(
        "(mist: 1, seed: 5, \
         platforms: [(name: \"p\", nodes: [(name: \"gpu\", hardware: \"H100-SXM5-80GB\", count: 2)])], \
         clients: [{}, {}], coordinator: (kv_transfer: (bandwidth: gb_per_s(20))), \
         workload: [(name: \"w\", model: \"Qwen2.5-0.5B\", requests: 200, arrivals: ClosedLoop(concurrency: 6), \
           lengths: Fixed(prompt: 100, output: 10), sessions: (turns: Exactly(4)))])",
        client("prefill", &prefill),
        client("decode", "role: Decode"),
    )
}

/// All of the prompt before is found, but for the block that it does not fill; the answer is not, which another
/// client generated.
#[test]
fn the_prompt_before_is_found_where_it_was_prefilled() {
    for caching in ["BlockHash", "Radix"] {
        let (_, rows) = run(&Simulation::new(), &scenario(10_000, caching));
        assert_eq!(rows.len(), 200);
        for row in &rows {
            let turn = (row.prompt_tokens - 100) / 110;
            let before = if turn == 0 { 0 } else { row.prompt_tokens - 110 };
            assert_eq!(row.cached_tokens, before / BLOCK * BLOCK, "{caching}: {row:?}");
        }
    }
}

#[test]
fn where_memory_is_short_less_is_found_and_all_is_served() {
    for caching in ["BlockHash", "Radix"] {
        let found = [10_000, 60].map(|blocks| {
            let (outcome, rows) = run(&Simulation::new(), &scenario(blocks, caching));
            assert_eq!(outcome.summary.requests.completed, 200);
            rows.iter().map(|row| u64::from(row.cached_tokens)).sum::<u64>()
        });
        assert!(found[1] > 0 && found[1] < found[0], "{caching}: {found:?}");
    }
}
