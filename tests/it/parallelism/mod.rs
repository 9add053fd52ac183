//! Models on more accelerators than share a layer: pipelines, copies of attention, experts.

use mist::catalog::Catalog;
use mist::metrics::RequestRecord;
use mist::runtime::{Chunk, StepShape, Target};
use mist::scenario::Choice;
use mist::simulation::{Outcome, RunError, Simulation};

use crate::scenarios::run;

/// One client with these settings on so many accelerators.
fn scenario(
    gpus: u32,
    model: &str,
    settings: &str,
    requests: u32,
    arrivals: &str,
    lengths: (u32, u32),
) -> String {
    let (prompt, output) = lengths;
    format!(
        "(mist: 1, seed: 3, \
         platforms: [(name: \"p\", nodes: [(name: \"gpu\", hardware: \"H100-SXM5-80GB\", count: {gpus})])], \
         clients: [(name: \"c\", cluster: Take(platform: \"p\", nodes: [(\"gpu\", {gpus})]), \
           runs: Llm(model: \"{model}\", {settings}))], \
         workload: [(name: \"w\", model: \"{model}\", requests: {requests}, arrivals: {arrivals}, \
           lengths: Fixed(prompt: {prompt}, output: {output}))])"
    )
}

fn digest((outcome, rows): &(Outcome, Vec<RequestRecord>)) -> String {
    format!("{}{rows:?}", serde_json::to_string(&outcome.summary).unwrap())
}

const SETTINGS: [(&str, &str); 4] = [
    ("Llama-3.1-8B", "pipeline_parallel: 4"),
    (
        "Llama-3.1-8B",
        "pipeline_parallel: 2, batching: Chunked(max_num_batched_tokens: 512), num_gpu_blocks: 300",
    ),
    ("Qwen3-30B-A3B", "data_parallel: 4, expert_parallel: true"),
    ("Qwen3-30B-A3B", "data_parallel: 2, pipeline_parallel: 2, max_num_seqs: 7"),
];

#[test]
fn strides_change_nothing_and_every_request_ends() {
    for (model, settings) in SETTINGS {
        for (rate, lengths) in [(3.0, (700, 90)), (40.0, (300, 40))] {
            let text = scenario(4, model, settings, 60, &format!("Poisson(rate: per_s({rate}))"), lengths);
            let found = run(&Simulation::new(), &text);
            assert_eq!(found.1.len(), 60, "{settings}");
            assert_eq!(digest(&found), digest(&run(&Simulation::new().strides(false), &text)), "{settings}");
        }
    }
}

#[test]
fn one_stage_and_one_copy_are_what_they_were() {
    let of = |settings: &str| scenario(2, "Llama-3.1-8B", settings, 40, "Poisson(rate: per_s(9))", (500, 50));
    let said = run(&Simulation::new(), &of("pipeline_parallel: 1, data_parallel: 1, tensor_parallel: 2"));
    assert_eq!(digest(&said), digest(&run(&Simulation::new(), &of(""))));
}

/// One request at a time has the pipeline to itself: its steps take as long as `mist price` says.
#[test]
fn a_request_alone_takes_what_its_steps_cost() {
    let text = scenario(4, "Llama-3.1-8B", "pipeline_parallel: 2", 1, "Poisson(rate: per_s(1))", (1000, 11));
    let (_, rows) = run(&Simulation::new(), &text);
    let catalog = Catalog::embedded();
    let (llama, gpu) =
        (catalog.model("Llama-3.1-8B").unwrap(), catalog.accelerator("H100-SXM5-80GB").unwrap());
    let target = Target { tensor_parallel: 2, pipeline_parallel: 2, ..Target::new(llama, gpu) };
    let model = Simulation::new().step_model(&Choice::named("Analytical"), &target).unwrap();
    let prompt = [Chunk { tokens: 1000, context: 0, last: true }];
    let first = model.price(&StepShape { prefill: &prompt, ..StepShape::default() }).seconds;
    let decode =
        |context| model.price(&StepShape { prefill: &[], decode_seqs: 1, decode_context: context }).seconds;
    let rest: f64 = (1001..=1010).map(decode).sum();
    assert!((rows[0].ttft().as_secs_f64() - first).abs() < 1e-8);
    assert!((rows[0].e2e().as_secs_f64() - first - rest).abs() < 1e-7);
}

/// A pipeline that is full does as much as its stages would as clients of their own, nearly: a batch is read by each
/// stage in turn, and nothing is reduced between them.
#[test]
fn a_full_pipeline_is_busy_in_all_its_stages() {
    let rate = |gpus: u32, settings: &str, requests| {
        let text = scenario(gpus, "Llama-3.1-8B", settings, requests, "AllAtOnce", (512, 256));
        run(&Simulation::new(), &text).0.summary.throughput.output_tokens_per_s
    };
    let one = rate(1, "max_num_seqs: 64", 512);
    let piped = rate(4, "pipeline_parallel: 4, max_num_seqs: 256", 2048);
    assert!((0.8..1.1).contains(&(piped / one / 4.0)), "{piped} of 4 × {one}");
    // With one sequence at a time three of four stages wait.
    let alone = rate(1, "max_num_seqs: 1", 8);
    let piped = rate(4, "pipeline_parallel: 4, max_num_seqs: 1", 8);
    assert!((0.9..1.05).contains(&(piped / alone)), "{piped} of {alone}");
}

#[test]
fn what_does_not_divide_is_refused_where_it_stands() {
    let refused = |gpus, model: &str, settings: &str| {
        let text = scenario(gpus, model, settings, 1, "AllAtOnce", (10, 10));
        match Simulation::new().read(text, "case.ron") {
            Err(RunError::Scenario(invalid)) => format!("{:?}", invalid.problems()),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("{settings} is in order"),
        }
    };
    let llama = "Llama-3.1-8B";
    for (gpus, model, settings, at, says) in [
        (4, llama, "pipeline_parallel: 3", "pipeline_parallel", "4 × H100-SXM5-80GB do not divide by 3"),
        (
            4,
            llama,
            "pipeline_parallel: 2, tensor_parallel: 4",
            "tensor_parallel",
            "tensor_parallel 4 × pipeline_parallel 2 are 8 accelerators, but the cluster has 4",
        ),
        (
            40,
            llama,
            "pipeline_parallel: 40",
            "pipeline_parallel",
            "pipeline_parallel must be 1 to 32, found 40",
        ),
        (1, llama, "pipeline_parallel: 0", "pipeline_parallel", "must be 1 to 32, found 0"),
        (6, llama, "pipeline_parallel: 2", "tensor_parallel", "32 attention heads do not divide over 3"),
        (2, llama, "data_parallel: 2", "data_parallel", "Llama-3.1-8B has none"),
        (1, llama, "expert_parallel: true", "expert_parallel", "no routed experts"),
        (1, "Mixtral-8x7B", "weights: int4, expert_parallel: true", "expert_parallel", "has no effect"),
        (
            2,
            "Mixtral-8x7B",
            "pipeline_parallel: 2, expert_parallel: true",
            "expert_parallel",
            "one accelerator has all experts of its layers",
        ),
        (
            16,
            "Mixtral-8x7B",
            "data_parallel: 16, expert_parallel: true",
            "expert_parallel",
            "8 experts do not spread",
        ),
        (
            2,
            llama,
            "pipeline_parallel: 2, batching: Orca()",
            "pipeline_parallel",
            "Orca does not compose several",
        ),
        (
            2,
            "Mixtral-8x7B",
            "data_parallel: 2, batching: SGLang()",
            "data_parallel",
            "use `batching: Chunked`",
        ),
    ] {
        let found = refused(gpus, model, settings);
        assert!(
            found.contains(&format!("clients[0].runs.{at}")) && found.contains(says),
            "{settings}: {found}"
        );
    }
}

#[test]
fn what_does_not_fit_one_node_fits_stages_of_two() {
    let text = |settings: &str, gpus| {
        scenario(gpus, "DeepSeek-V3", &format!("weights: fp8, {settings}"), 4, "AllAtOnce", (100, 10))
    };
    let fits = |text: String| Simulation::new().read(text, "case.ron").is_ok();
    assert!(!fits(text("", 8)));
    assert!(fits(text("pipeline_parallel: 2", 16)));
    assert!(fits(text("data_parallel: 16, expert_parallel: true", 16)));
    let (outcome, rows) = run(&Simulation::new(), &text("pipeline_parallel: 2, expert_parallel: true", 16));
    assert_eq!(rows.len(), 4);
    assert!(outcome.latency_sources[0].contains("2 stages, with as many batches in flight"));
}
