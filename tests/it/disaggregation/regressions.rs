//! Deployments in which somebody once waited for ever.

use mist::simulation::Simulation;
use mist::units::SimTime;

use super::laws::check;
use crate::scenarios::read;

/// `clients` serve turns of conversations over a slow link.
fn ends(clients: &str, pipeline: &str, more: &str, requests: u32, rate: f64, seed: u64) {
    let text = format!(
        "(mist: 1, seed: {seed}, platforms: [(name: \"p\", count: 3, usd_per_hour: 1, \
         nodes: [(name: \"gpu\", hardware: \"L40S\", count: 2)])], clients: [{clients}], \
         coordinator: (routing: Random, kv_transfer: (bandwidth: gb_per_s(0.01))), \
         workload: [(name: \"w\", model: \"Qwen2.5-0.5B\", requests: {requests}, pipeline: {pipeline}, {more} \
         arrivals: Poisson(rate: per_s({rate:?})), lengths: Uniform(prompt: (mean: 50, range_ratio: 0.9), \
         output: (mean: 12, range_ratio: 0.95)))])"
    );
    let mut run = read(&Simulation::new(), &text);
    for _ in 0..1_000_000 {
        check(run.sim());
        if !run.sim().run_some(SimTime::MAX, 1).unwrap() {
            return check(run.sim());
        }
    }
    panic!("it does not end: {text}");
}

fn client(name: &str, count: u32, role: &str, runs: &str) -> String {
    format!(
        "(name: \"{name}\", count: {count}, cluster: Take(platform: \"p\", nodes: [(\"gpu\", 1)]), \
         runs: Llm(model: \"Qwen2.5-0.5B\", role: {role}, max_num_seqs: 32, {runs})),"
    )
}

/// The last chunk of a prompt that is computed again found no room beside KV that had landed, and with `SGLang`
/// it stayed where it was, though nobody decoded whose end would have made room.
#[test]
fn a_prompt_without_room_for_its_last_chunk_gives_way_with_sglang() {
    let runs =
        "block_size: 1, num_gpu_blocks: 220, batching: SGLang(chunked_prefill_size: 64, max_new_tokens: 20)";
    let clients = client("prefill", 1, "Prefill", runs) + &client("decode", 1, "Decode", runs);
    for seed in 0..10 {
        ends(&clients, "[Prefill, Decode]", "", 10, 20.0, seed);
    }
}

/// A prompt under way came back from the host with room for one token of it, found none for its next chunk, went
/// to the host again, and so on for ever at the same instant.
#[test]
fn who_comes_back_from_the_host_has_room_for_its_next_chunk() {
    let runs = "block_size: 4, num_gpu_blocks: 76, preemption: Swap(host_memory: mib(2)), \
                packing: LeastWorkLeft(expected_output: 12), batching: Chunked(max_num_batched_tokens: 64, \
                reserve: ChunkIfAllFits, long_prefill_token_threshold: 20)";
    let clients = client("prefill", 1, "Prefill", runs) + &client("decode", 2, "Decode", runs);
    let more = "prefix: [System(tokens: 14)], sessions: (turns: Exactly(3), think: Exactly(ms(1))),";
    for seed in 0..10 {
        ends(&clients, "[Prefill, Parallel(branches: [[Decode], [Decode]])]", more, 46, 140.0, seed);
    }
}

/// KV that had landed at a client with prefix caching was asked for once more on admission, as if it were not
/// there yet.
#[test]
fn kv_that_landed_needs_no_room_again_beside_prefix_caching() {
    for caching in ["BlockHash", "Radix"] {
        let runs = "block_size: 4, num_gpu_blocks: 55";
        let cached = format!("prefix_caching: {caching}, {runs}");
        let clients = client("prefill", 2, "Prefill", runs) + &client("both", 1, "Both", &cached);
        let more = "sessions: (turns: Exactly(2), think: Exactly(ms(1))),";
        for seed in 0..10 {
            ends(&clients, "[Prefill, Decode]", more, 29, 100.0, seed);
        }
    }
}
