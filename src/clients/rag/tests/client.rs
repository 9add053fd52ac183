//! A client from its settings to the parts of a batch.

use crate::catalog::Catalog;
use crate::clients::Site;
use crate::clients::rag::{Place, Rag, RagClient, RagModel, search};
use crate::clients::tasks::{Part, TaskClient};
use crate::engine::{SimBuilder, Streams};
use crate::request::{Payload, StageKind};
use crate::runtime;
use crate::scenario::{Choice, Findings, Problem};

const EPYC: &str = "EPYC 7763 (Milan 64c)";
const H100: &str = "H100-SXM5-80GB";

fn deploy(settings: &RagClient, hardware: &[&str]) -> Result<RagModel, Vec<Problem>> {
    let catalog = Catalog::embedded();
    let nodes: Vec<_> = hardware.iter().map(|name| catalog.accelerator(name).unwrap()).collect();
    let mut sim = SimBuilder::new(0);
    sim.add(search::built_in).add(runtime::built_in);
    settings.deploy(&Site { catalog, nodes: &nodes, world: sim.world() })
}

fn parts(model: &RagModel, queries: &[(Rag, u32)]) -> Vec<Part> {
    let mut parts = Vec::new();
    model.parts(queries.iter().map(|(stage, context)| (stage, *context)), &mut parts);
    parts
}

/// The one thing wrong, as `place: message (help)`.
fn wrong(settings: &RagClient, hardware: &[&str]) -> String {
    let problems = deploy(settings, hardware).err().unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].to_string()
}

#[test]
fn a_batch_has_the_steps_of_figure_4() {
    let names = |model: &RagModel| -> Vec<_> {
        parts(model, &[(Rag::default(), 100)]).iter().map(|part| part.name).collect()
    };
    let model = deploy(&RagClient::default(), &[EPYC]).unwrap();
    assert_eq!(names(&model), ["embed", "search", "fetch", "rerank"]);
    let model = deploy(&RagClient { rerank: None, ..RagClient::default() }, &[EPYC]).unwrap();
    assert_eq!(names(&model), ["embed", "search", "fetch"]);
}

#[test]
fn each_part_runs_where_it_is_put() {
    let seconds = |settings: RagClient, hardware: &[&str]| -> Vec<f64> {
        let model = deploy(&settings, hardware).unwrap();
        parts(&model, &[(Rag::default(), 256); 8]).iter().map(|part| part.seconds).collect()
    };
    let cpu = seconds(RagClient::default(), &[EPYC]);
    let gpu = seconds(RagClient::default(), &[H100]);
    assert!(cpu[0] > 5.0 * gpu[0] && cpu[1] > gpu[1] && cpu[2] == gpu[2] && cpu[3] > 50.0 * gpu[3]);
    let both = [EPYC, H100];
    assert_eq!(seconds(RagClient::default(), &both), gpu);
    let on = Some(Place::Processor);
    let mixed = seconds(RagClient { search_on: on, ..RagClient::default() }, &both);
    assert_eq!(mixed, [gpu[0], cpu[1], gpu[2], gpu[3]]);
    let mixed = seconds(RagClient { embed_on: on, rerank_on: on, ..RagClient::default() }, &both);
    assert_eq!(mixed, [cpu[0], gpu[1], cpu[2], cpu[3]]);
}

/// What a batch of a query costs on the default client, footnote 9's 64 cores: re-ranking is nearly all.
#[test]
fn one_query_on_64_cores() {
    let model = deploy(&RagClient::default(), &[EPYC]).unwrap();
    let [embed, search, fetch, rerank] = parts(&model, &[(Rag::default(), 256)])[..] else { panic!() };
    let within = |part: Part, least: f64, most: f64| {
        assert!((least..most).contains(&(1e3 * part.seconds)), "{} {} ms", part.name, 1e3 * part.seconds);
    };
    within(embed, 10.0, 100.0);
    within(search, 1.0, 10.0);
    within(fetch, 0.0, 1.0);
    within(rerank, 500.0, 3000.0);
}

#[test]
fn the_retrieved_tokens_lengthen_the_prompt() {
    let mut payload = Payload::new(300, 50, 0);
    let mut draws = Streams::new(1).stream("test", 0);
    Rag { documents: 10, tokens_per_document: 120, ..Rag::default() }.finish(&mut payload, &mut draws);
    assert_eq!(payload, Payload { context_tokens: 1500, ..Payload::new(300, 50, 0) });
    Rag { documents: 10_000, tokens_per_document: 1_000_000, ..Rag::default() }
        .finish(&mut payload, &mut draws);
    assert_eq!(payload.context_tokens, u32::MAX);
}

#[test]
fn a_stage_out_of_range_is_named() {
    let wrong = |stage: Rag| -> Vec<_> {
        stage.check(Catalog::embedded()).into_iter().map(|problem| problem.to_string()).collect()
    };
    assert!(wrong(Rag::default()).is_empty());
    let none = Rag { documents: 0, tokens_per_document: 0, query_tokens: Some(0), candidates: Some(0) };
    assert_eq!(
        wrong(none),
        [
            "documents: documents must be 1 to 10000, found 0",
            "tokens_per_document: tokens_per_document must be 1 to 1000000, found 0",
            "query_tokens: query_tokens must be 1 to 1000000, found 0",
        ]
    );
    let few = Rag { candidates: Some(3), ..Rag::default() };
    assert_eq!(wrong(few), ["candidates: candidates must be 4 to 10000, found 3"]);
}

#[test]
fn an_index_that_does_not_fit_says_what_would() {
    let flat = RagClient { index: Choice::named("Flat"), ..RagClient::default() };
    assert!(deploy(&flat, &[EPYC]).is_ok());
    assert_eq!(
        wrong(&flat, &["L40S"]),
        "index: the index takes 60.1 GiB and the encoders 0.7 GiB a device, but 1 × L40S have 45.0 GiB each \
         (2 of them would hold it, or take shorter codes or fewer vectors)"
    );
    assert!(deploy(&flat, &["L40S"; 2]).is_ok());
    let large = RagClient { embed: "e5-mistral-7b".to_owned(), rerank: None, ..RagClient::default() };
    assert!(deploy(&large, &[EPYC, "L40S"]).is_ok());
}

#[test]
fn what_users_get_wrong_is_named_with_its_place() {
    let default = RagClient::default;
    assert_eq!(
        wrong(&RagClient { embed: "e5-base-v3".to_owned(), ..default() }, &[EPYC]),
        "embed: unknown model `e5-base-v3` (did you mean `e5-base-v2`?)"
    );
    assert_eq!(
        wrong(&RagClient { rerank: Some("Llama-3.1-8B".to_owned()), ..default() }, &[EPYC]),
        "rerank: Llama-3.1-8B is no encoder (choose a model of the kind Embedding or Reranker)"
    );
    let on = Some(Place::Accelerator);
    assert_eq!(
        wrong(&RagClient { search_on: on, ..default() }, &[EPYC]),
        "search_on: the cluster has no accelerators"
    );
    assert_eq!(wrong(&default(), &[]), "a RAG client needs a processor or an accelerator");
    assert!(wrong(&default(), &[H100, "L40S"]).starts_with("the cluster mixes H100-SXM5-80GB and L40S"));
    assert_eq!(
        wrong(&RagClient { cores: 0, ..default() }, &[EPYC]),
        "cores: cores must be 1 to 4096, found 0"
    );
    let none = RagClient { rerank: None, ..default() };
    assert_eq!(
        wrong(&RagClient { rerank_on: Some(Place::Processor), ..none.clone() }, &[EPYC]),
        "rerank_on: rerank_on has no effect, found Processor: nothing is re-ranked (leave it out, or name a \
         `rerank` model)"
    );
    assert_eq!(
        wrong(&RagClient { cores: 32, ..default() }, &[EPYC, H100]),
        "cores: cores has no effect, found 32: accelerators search the index (leave it out, or write \
         `search_on: Processor`)"
    );
    let runtime = Choice::new("Analytical", "step_overhead: ms(2)");
    assert_eq!(
        wrong(&RagClient { accelerator_runtime: runtime.clone(), ..default() }, &[EPYC]),
        "accelerator_runtime: accelerator_runtime has no effect: no encoder runs on accelerators (leave it out, \
         or write `embed_on: Accelerator`)"
    );
    assert!(deploy(&RagClient { processor_runtime: runtime, cores: 32, ..default() }, &[EPYC]).is_ok());
    let probed = RagClient { index: Choice::new("IvfPq", "nprobe: 100000"), ..default() };
    assert_eq!(wrong(&probed, &[EPYC]), "index.nprobe: must be 1 to 65536, found 100000");
    assert!(wrong(&default(), &["Vera CPU (88c)"]).starts_with("weights: Vera CPU (88c) has no bf16"));
    assert!(wrong(&default(), &["TPU v5e"]).contains("is no GPU"));
}

/// The settings as a scenario may write them, with the open choices in them filled in.
#[test]
fn defaults_are_filled_in() {
    let mut sim = SimBuilder::new(0);
    sim.add(search::built_in).add(runtime::built_in);
    let written = "(vectors: 1000000, index: Hnsw(ef_search: 100), rerank: None)";
    let client: RagClient = ron::from_str(written).unwrap();
    let mut settings = Choice::new("Rag", ron::to_string(&client).unwrap().trim_matches(['(', ')']));
    let mut findings = Findings::default();
    client.complete(&mut settings, sim.world(), &mut findings);
    assert!(findings.problems().is_empty(), "{:?}", findings.problems());
    assert_eq!(settings.get("index"), Some("Hnsw(m: 32, ef_search: 100)"));
    assert!(settings.get("accelerator_runtime").unwrap().contains("gemm_overhead"));
    assert!(ron::from_str::<RagClient>("(vector: 1)").is_err());
}
