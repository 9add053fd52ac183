//! Pipelines whose every instant can be worked out by hand.

use mist::clients::Usage;
use mist::clients::llm::LlmClient;
use mist::engine::Sim;
use mist::metrics::Recorder;
use mist::simulation::Simulation;
use mist::units::SimTime;

use super::laws::{Row, Rows, simulation};
use crate::scenarios::Server;

const TAKE: &str = "Take(platform: \"p\", nodes: [(\"gpu\", 1)])";

/// An LLM client of `blocks` KV blocks whose steps take a millisecond.
fn llm(model: &'static str, blocks: u32, block_size: u32) -> String {
    let (max_num_seqs, max_num_batched_tokens) = (16, 512);
    let server = Server {
        model,
        hardware: "H100-SXM5-80GB",
        tensor_parallel: 1,
        max_num_batched_tokens,
        max_num_seqs,
        block_size,
    };
    let utilization = server.utilization_for(blocks);
    format!(
        "(name: \"{model}\", cluster: {TAKE}, runs: Llm(model: \"{model}\", block_size: {block_size}, \
           max_num_seqs: {max_num_seqs}, gpu_memory_utilization: {utilization:?}, \
           runtime: Constant(step: ms(1)), batching: Chunked(max_num_batched_tokens: 512)))"
    )
}

/// Requests that all arrive at once, with a prompt and an answer of so many tokens.
fn scenario(clients: &str, model: &str, requests: u32, [prompt, output]: [u32; 2], pipeline: &str) -> String {
    format!(
        "(mist: 1, seed: 1, platforms: [(name: \"p\", \
           nodes: [(name: \"gpu\", hardware: \"H100-SXM5-80GB\", count: 8)], usd_per_hour: 1)], \
         clients: [{clients}], workload: [(name: \"w\", {model} requests: {requests}, arrivals: AllAtOnce, \
           lengths: Fixed(prompt: {prompt}, output: {output}), pipeline: {pipeline})])"
    )
}

fn run(simulation: &Simulation, text: &str, look: impl FnOnce(&mut Sim)) -> Vec<Row> {
    let mut run = simulation.read(text, "case.ron").unwrap_or_else(|error| panic!("{error}\n{text}"));
    let rows = Rows::default();
    run.sim().world_mut().resource_mut::<Recorder>().write_rows_to(Box::new(rows.clone()));
    while run.sim().run_some(SimTime::MAX, 64).unwrap() {}
    look(run.sim());
    let mut rows = rows.take();
    rows.sort_by_key(|(row, _)| row.id);
    rows
}

const SMALL: &str = "model: \"Qwen2.5-0.5B\",";

/// First token, first token of the answer, end (ms).
fn instants(rows: &[Row]) -> Vec<[u64; 3]> {
    let ms = |at: SimTime| at.as_ns() / 1_000_000;
    rows.iter().map(|(row, _)| [ms(row.first_token), ms(row.answer), ms(row.done)]).collect()
}

#[test]
fn the_first_token_of_the_answer_is_timed() {
    let pipeline = "[Prefill, Reason(tokens: Exactly(5)), Decode]";
    for simulation in [simulation(), simulation().strides(false)] {
        let text = scenario(&llm("Qwen2.5-0.5B", 100, 1), SMALL, 1, [4, 3], pipeline);
        assert_eq!(instants(&run(&simulation, &text, |_| {})), [[1, 6, 8]]);
        // Behind a stage of its own.
        let apart = "[Prefill, Reason(tokens: Exactly(5)), ToolCall(takes: Exactly(ms(10))), Decode]";
        let text = scenario(&llm("Qwen2.5-0.5B", 100, 1), SMALL, 1, [4, 3], apart);
        assert_eq!(instants(&run(&simulation, &text, |_| {})), [[1, 16, 18]]);
    }
}

/// Two requests of 4 + 8 tokens on 16 blocks of one: after five steps they hold all, the second is
/// preempted and comes back when the first has left, after eight. What computes it again gives its sixth
/// token, the first of the answer.
#[test]
fn the_first_token_of_the_answer_is_timed_across_a_preemption() {
    let pipeline = "[Prefill, Reason(tokens: Exactly(5)), Decode]";
    let text = scenario(&llm("Qwen2.5-0.5B", 16, 1), SMALL, 2, [4, 3], pipeline);
    for simulation in [simulation(), simulation().strides(false)] {
        let rows = run(&simulation, &text, |_| {});
        assert_eq!(instants(&rows), [[1, 6, 8], [1, 9, 11]]);
        assert_eq!(rows.iter().map(|(row, _)| row.preemptions).collect::<Vec<_>>(), [0, 1]);
    }
}

/// 33 tokens are 9 blocks of 4, 8 of them full. Each branch decodes up to 41 tokens whose KV is stored, 11
/// blocks, and shares the 8.
#[test]
fn a_gap_between_tokens_is_one_wherever_they_come_out_and_kv_that_waits_is_in_use() {
    let pipeline = "[Prefill, ToolCall(takes: Exactly(ms(98))), Decode]";
    let text = scenario(&llm("Qwen2.5-0.5B", 64, 16), SMALL, 3, [16, 5], pipeline);
    let outcome = simulation().read(&text, "case.ron").unwrap().run().unwrap();
    // All three prefill in one step; four steps of a millisecond follow the call.
    let gaps = outcome.summary.itl.unwrap();
    assert_eq!((gaps.count, gaps.max_ms), (3 * 4, 99.0), "{gaps:?}");
    assert!((gaps.mean_ms - 102.0 / 4.0).abs() < 1e-9, "{gaps:?}");
    let tpot = outcome.summary.latency.tpot.unwrap();
    assert!((tpot.mean_ms - gaps.mean_ms).abs() < 1e-9, "{tpot:?}");
    // A block each while the tool works, two each in the last steps: 1 + 98 + 4 ms.
    let used = outcome.summary.utilisation.kv_mean_frac * 64.0 * 103.0;
    assert!((used - 3.0 * (1.0 + 98.0 + 4.0 * 2.0)).abs() < 1e-6, "{used}");
}

#[test]
fn branches_share_the_blocks_of_their_prefix() {
    for n in [2_u64, 3, 7] {
        let pipeline = format!("[Prefill, BestOf(n: {n}, run: [Decode, Score(model: \"Qwen3-0.6B\")])]");
        let clients = format!("{}, {}", llm("Qwen2.5-0.5B", 60, 4), llm("Qwen3-0.6B", 60, 4));
        let text = scenario(&clients, SMALL, 1, [33, 9], &pipeline);
        let rows = run(&simulation(), &text, |sim| {
            let world = sim.world_mut();
            let (client, usage) = world
                .query::<(&LlmClient, &Usage)>()
                .iter(world)
                .min_by_key(|(client, _)| client.index())
                .unwrap();
            assert_eq!(usage.kv_blocks_peak, 9 + 3 * n);
            assert_eq!(client.scheduler().kv().used(), 0);
            assert_eq!(usage.prefill_tokens, 33 + n, "the prefix is computed once");
        });
        let (row, _) = rows[0];
        assert_eq!((row.output_tokens, row.generated_tokens), (9, 1 + 8 * n));
        assert_eq!(instants(&rows)[0][..2], [1, 1]);
        assert_eq!(row.last_token.as_ns(), 9_000_000);
    }
}

/// A prompt of 33 tokens, answers of 9: text is read once a prefill or score, and in between what is added to it.
#[test]
fn what_models_read_is_counted_as_by_hand() {
    let clients = format!("{}, {}", llm("Qwen2.5-0.5B", 100, 4), llm("Qwen3-0.6B", 100, 4));
    let call = "ToolCall(takes: Exactly(ms(2)), adds: Exactly(7))";
    for (pipeline, read, generated) in [
        ("[Prefill, Decode]".to_owned(), 33, 9),
        ("[Prefill, BestOf(n: 3, run: [Decode, Score(model: \"Qwen3-0.6B\")])]".to_owned(), 33 + 3 * 42, 25),
        (format!("[Prefill, Decode, {call}, Prefill, Decode]"), 33 + 49, 18),
        (format!("[Prefill, Decode, {call}, Decode]"), 33 + 7, 18),
        (format!("[{call}, Repeat(times: Exactly(2), run: [Prefill, Decode])]"), 40 + 49, 18),
    ] {
        let text = scenario(&clients, SMALL, 1, [33, 9], &pipeline);
        let (row, _) = run(&simulation(), &text, |_| {})[0];
        assert_eq!(
            (row.read_tokens, row.generated_tokens, row.prompt_tokens),
            (read, generated, 33),
            "{pipeline}"
        );
        let summary = simulation().read(&text, "case.ron").unwrap().run().unwrap().summary;
        assert_eq!(summary.tokens.total(), read + generated);
        let per_s = (read + generated) as f64 / summary.duration_s;
        assert!((summary.throughput.total_tokens_per_s / per_s - 1.0).abs() < 1e-9);
    }
}

/// Nobody waits: what joins last decides, to the nanosecond.
#[test]
fn a_join_is_the_maximum_of_its_branches() {
    let clients = format!(
        "(name: \"oven\", cluster: {TAKE}, runs: Oven(max_batch: 1)), \
                           (name: \"desk\", cluster: {TAKE}, runs: Desk(cores: 9))"
    );
    for at in 0..60_u64 {
        let [a, b, c, d] =
            [1 + at * 7919 % 1_000, 1 + at * 104_729 % 1_500, at * 1_299_709 % 2_000, 3 + at % 5];
        let pipeline = format!(
            "[Parallel(branches: [[Stamp(us: {a}), Parallel(branches: [[Stamp(us: {d})], [Stamp(us: {b})]])], \
               [Bake(us: {b})], [ToolCall(takes: Exactly(us({c}))), Stamp(us: {a})]]), Stamp(us: {d})]"
        );
        let text = scenario(&clients, "", 1, [7, 1], &pipeline);
        let rows = run(&simulation(), &text, |_| {});
        let expected = (a + d.max(b)).max(b).max(c + a) + d;
        assert_eq!(rows[0].0.e2e().as_ns(), expected * 1_000, "{pipeline}");
    }
}

/// A small model answers in 1 ms; what escalates takes 5 ms more.
#[test]
fn a_cascade_has_the_mean_of_its_closed_form() {
    let clients = format!("(name: \"desk\", cluster: {TAKE}, runs: Desk(cores: 20000))");
    for (when, chance) in [("Chance(0.3)", 0.3), ("Score(below: 0.3)", 0.3), ("Score(from: 0.9)", 0.1)] {
        let pipeline = format!(
            "[Stamp(us: 1000), Branch(cases: [(when: {when}, run: [ToolCall(takes: Exactly(ms(5)))])])]"
        );
        let requests = 20_000;
        let rows = run(&simulation(), &scenario(&clients, "", requests, [7, 1], &pipeline), |_| {});
        let n = f64::from(requests);
        let mean = rows.iter().map(|(row, _)| row.e2e().as_secs_f64()).sum::<f64>() / n;
        // 99.9 % of the means lie within 3.29 standard errors.
        let deviation = 3.29 * 0.005 * f64::sqrt(chance * (1.0 - chance) / n);
        assert!((mean - (0.001 + chance * 0.005)).abs() < deviation, "{when}: {mean} s");
        let either = |row: &Row| [1_000_000, 6_000_000].contains(&row.0.e2e().as_ns());
        assert!(rows.len() == 20_000 && rows.iter().all(either));
    }
}
