//! `Rag(…)`: the settings of a RAG client, and what they come to on a cluster.

use std::fmt::Write;

use bevy_ecs::world::World;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cluster::Devices;
use super::encoder::PASS_TEXTS;
use super::search::{IndexRegistry, Searcher, VectorIndex, Vectors};
use super::{DocumentStore, Encoder, Place, Rag, RagModel};
use crate::catalog::{Catalog, Class, FoundModel, Model, ModelKind, Precision};
use crate::clients::tasks::TaskClient;
use crate::clients::{Fact, Site, model_problem};
use crate::runtime::{RuntimeRegistry, Target};
use crate::scenario::{Choice, Findings, Problem};
use crate::units::GIB;

/// Most tokens of a text for which passes are tabulated; longer texts are priced as well.
const TABULATED_TEXT: u32 = 512;

/// A server of document retrieval: embeds queries, searches an index, fetches documents, re-ranks them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RagClient {
    /// Vectors in the index, one a document, 1 to 1e12. Default: 21015324, the Wikipedia passages of DPR
    /// (arXiv 2004.04906, §4.1).
    pub vectors: u64,
    /// The index: `IvfPq`, `Hnsw` or `Flat`. Default: `IvfPq` (§II-C). It is shared out over the devices
    /// that search it and must fit their memory.
    #[schemars(extend("x-choice" = "vector index"))]
    pub index: Choice,
    /// The model that embeds queries: a name in the model catalog, or the path of a Hugging Face
    /// `config.json`, relative to the scenario's own folder. Its width is the vectors' dimension.
    /// Default: `DPR` (§II-C).
    pub embed: String,
    /// Where it runs: `Processor` or `Accelerator`. Default: `Accelerator` if the cluster has any.
    pub embed_on: Option<Place>,
    /// Where the index is searched: `Processor` or `Accelerator`. Default: as for `embed_on`.
    pub search_on: Option<Place>,
    /// The model that scores candidates against the query, or `None` to take documents as the search
    /// ranks them. Default: `bge-reranker-base`, as in LangChain's example of a cross-encoder.
    pub rerank: Option<String>,
    /// Where that runs: `Processor` or `Accelerator`. Default: as for `embed_on`.
    pub rerank_on: Option<Place>,
    /// Where the documents are: `Memory`, `Ssd` or `Other(latency: us(100), gb_per_s: 2)`.
    /// Default: `Memory`.
    pub documents: DocumentStore,
    /// Cores of each processor, 1 to 4096. Default: 64 (footnote 9).
    pub cores: u32,
    /// Most queries of a batch, 1 to 100000. Default: 32 (assumed; the paper takes all that wait).
    pub max_batch: u32,
    /// Precision of the encoders' weights and arithmetic: `bf16`, `fp16`, `fp8`, `int8` or `fp4`.
    /// Default: `bf16`; a processor without it is catalogued at its 32-bit rate.
    pub weights: Precision,
    /// What a pass of an encoder costs on processors. Default: `Analytical` with assumed figures: a fifth to
    /// a third of the peak, 20 µs to start each product on all cores, 1 ms a pass of framework.
    #[schemars(extend("x-choice" = "runtime model"))]
    pub processor_runtime: Choice,
    /// What it costs on accelerators. Default: `Analytical`.
    #[schemars(extend("x-choice" = "runtime model"))]
    pub accelerator_runtime: Choice,
}

impl Default for RagClient {
    fn default() -> Self {
        Self {
            vectors: 21_015_324,
            index: Choice::named("IvfPq"),
            embed: "DPR".to_owned(),
            embed_on: None,
            search_on: None,
            rerank: Some("bge-reranker-base".to_owned()),
            rerank_on: None,
            documents: DocumentStore::Memory,
            cores: 64,
            max_batch: 32,
            weights: Precision::Bf16,
            processor_runtime: Choice::new(
                "Analytical",
                "step_overhead: ms(1), sequence_overhead: us(50), compute_efficiency: 0.3, \
                 compute_efficiency_8bit: 0.3, attention_efficiency: 0.2, memory_efficiency: 0.7, \
                 gemm_overhead: us(20), attention_overhead: us(50), kernel_overhead: us(10)",
            ),
            accelerator_runtime: Choice::named("Analytical"),
        }
    }
}

impl RagClient {
    /// What is wrong with the numbers, wherever the client is deployed.
    fn numbers(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut within = |path: &str, value: u64, highest: u64| {
            if !(1..=highest).contains(&value) {
                problems.push(Problem::new(path, format!("{path} must be 1 to {highest}, found {value}")));
            }
        };
        within("vectors", self.vectors, 1_000_000_000_000);
        within("cores", self.cores.into(), 4096);
        within("max_batch", self.max_batch.into(), 100_000);
        if let (None, Some(place)) = (&self.rerank, self.rerank_on) {
            let message = format!("rerank_on has no effect, found {place:?}: nothing is re-ranked");
            problems.push(Problem::new("rerank_on", message).help("leave it out, or name a `rerank` model"));
        }
        if let Err(message) = self.documents.check() {
            problems.push(Problem::new("documents.gb_per_s", message));
        }
        problems
    }

    /// The index, which makes sense for `vectors`.
    fn index(&self, world: &World, vectors: &Vectors) -> Result<Box<dyn VectorIndex>, Problem> {
        let registry = world.resource::<IndexRegistry>();
        let index = registry.resolve(&self.index).map_err(|error| error.into_problem("index"))?.built;
        match index.check(vectors) {
            Ok(()) => Ok(index),
            Err(message) => Err(match message.split_once(": ") {
                Some((parameter, message)) => Problem::new(format!("index.{parameter}"), message),
                None => Problem::new("index", message),
            }),
        }
    }

    fn encoder(
        &self,
        site: &Site<'_>,
        field: &'static str,
        model: &Model,
        devices: Devices<'_>,
    ) -> Result<Encoder, Problem> {
        let (at, choice) = match devices.place {
            Place::Processor => ("processor_runtime", &self.processor_runtime),
            Place::Accelerator => ("accelerator_runtime", &self.accelerator_runtime),
        };
        let registry = site.world.resource::<RuntimeRegistry>();
        let kind = registry.resolve(choice).map_err(|error| error.into_problem(at))?.built;
        let target = Target {
            weights: self.weights,
            kv_cache: self.weights,
            max_step_tokens: PASS_TEXTS * model.max_context.min(TABULATED_TEXT),
            ..Target::new(model, devices.kind)
        };
        let passes = kind.compile(&target).map_err(|message| match message.strip_prefix("weights: ") {
            Some(why) => Problem::new("weights", why),
            None => Problem::new(field, message),
        })?;
        Ok(Encoder { passes, devices: devices.count, context: model.max_context })
    }
}

/// The model of the setting `field`, which must turn text into vectors or scores.
fn encoder_model<'a>(catalog: &'a Catalog, field: &str, name: &str) -> Result<FoundModel<'a>, Problem> {
    let found = catalog.model_or_config(name).map_err(|error| model_problem(field, &error))?;
    let encodes = matches!(found.kind, ModelKind::Embedding | ModelKind::Reranker);
    if encodes || found.config().is_some() {
        Ok(found)
    } else {
        let help = "choose a model of the kind Embedding or Reranker";
        Err(Problem::new(field, format!("{name} is no encoder")).help(help))
    }
}

impl TaskClient for RagClient {
    type Model = RagModel;

    fn complete(&self, settings: &mut Choice, world: &World, findings: &mut Findings) {
        world.resource::<IndexRegistry>().fill(settings, "index", &self.index, findings);
        let runtimes = world.resource::<RuntimeRegistry>();
        runtimes.fill(settings, "processor_runtime", &self.processor_runtime, findings);
        runtimes.fill(settings, "accelerator_runtime", &self.accelerator_runtime, findings);
    }

    fn check(&self, catalog: &Catalog) -> Vec<Problem> {
        let mut problems = self.numbers();
        problems.extend(encoder_model(catalog, "embed", &self.embed).err());
        let reranker = self.rerank.as_ref().map(|name| encoder_model(catalog, "rerank", name));
        problems.extend(reranker.and_then(Result::err));
        problems
    }

    fn deploy(&self, site: &Site<'_>) -> Result<RagModel, Vec<Problem>> {
        let wrong = self.check(site.catalog);
        if !wrong.is_empty() {
            return Err(wrong);
        }
        self.place(site).map_err(|problem| vec![problem])
    }
}

impl RagClient {
    fn place(&self, site: &Site<'_>) -> Result<RagModel, Problem> {
        let processors = Devices::of(site.nodes, Place::Processor)?;
        let accelerators = Devices::of(site.nodes, Place::Accelerator)?;
        let on = |field: &str, asked: Option<Place>| {
            let found = match asked {
                Some(Place::Processor) => processors,
                Some(Place::Accelerator) => accelerators,
                None => accelerators.or(processors),
            };
            found.ok_or_else(|| match asked {
                Some(place) => Problem::new(field, format!("the cluster has no {place}")),
                None => Problem::new("", "a RAG client needs a processor or an accelerator"),
            })
        };

        let embedding = encoder_model(site.catalog, "embed", &self.embed)?;
        let embed_on = on("embed_on", self.embed_on)?;
        let embedder = self.encoder(site, "embed", &embedding, embed_on)?;
        let mut reranking = None;
        if let Some(name) = &self.rerank {
            let model = encoder_model(site.catalog, "rerank", name)?;
            let devices = on("rerank_on", self.rerank_on)?;
            reranking = Some((self.encoder(site, "rerank", &model, devices)?, model, devices));
        }

        let search_on = on("search_on", self.search_on)?;
        if search_on.place == Place::Accelerator && search_on.kind.class != Class::Gpu {
            let message = format!(
                "{} is no GPU, and an index is searched on those or on processors",
                search_on.kind.name
            );
            return Err(Problem::new("search_on", message));
        }
        let encoders = [Some(embed_on), reranking.as_ref().map(|(.., devices)| *devices)];
        self.check_used(site.world, encoders.into_iter().flatten().map(|on| on.place), search_on.place)?;
        let vectors = Vectors { count: self.vectors as f64, dimension: f64::from(embedding.hidden) };
        let index = self.index(site.world, &vectors)?;
        let searcher = Searcher::of(search_on.kind, search_on.count, self.cores)
            .map_err(|missing| Problem::new("search_on", missing.to_string()))?;

        let index_bytes = index.bytes(&vectors);
        let weights = |model: &Model| model.parameters() as f64 * self.weights.weight_bytes();
        for devices in [processors, accelerators].into_iter().flatten() {
            let here = |other: Devices<'_>| other.place == devices.place;
            let index = if here(search_on) { index_bytes } else { 0.0 };
            let mut encoders = if here(embed_on) { weights(&embedding) } else { 0.0 };
            if let Some((_, model, _)) = reranking.as_ref().filter(|(.., on)| here(*on)) {
                encoders += weights(model);
            }
            devices.hold(index, encoders)?;
        }

        let mut facts = vec![
            Fact::new("embeds with", format!("{} on {embed_on}", embedding.name)),
            Fact::new("searches", format!("{} vectors, {} on {search_on}", self.vectors, index.summary())),
            Fact::new("index", format!("{:.1} GiB", index_bytes / GIB)),
        ];
        let mut source = format!(
            "search model over {} on {search_on}, {} for {}",
            self.index.name,
            self.runtime(embed_on),
            embedding.name
        );
        if let Some((_, model, devices)) = &reranking {
            facts.push(Fact::new("re-ranks with", format!("{} on {devices}", model.name)));
            // Writing to a string never fails.
            let _ = write!(source, ", {} for {}", self.runtime(*devices), model.name);
        }
        let mut model = RagModel {
            max_batch: self.max_batch,
            embedder,
            index,
            vectors,
            searcher,
            store: self.documents,
            reranker: reranking.map(|(encoder, ..)| encoder),
            facts,
            source,
        };
        let mut parts = Vec::new();
        model.parts([(&Rag::default(), 256)].into_iter(), &mut parts);
        let times: Vec<_> =
            parts.iter().map(|part| format!("{} {:.3} ms", part.name, 1e3 * part.seconds)).collect();
        model.facts.push(Fact::new("one query", format!("of 256 tokens alone: {}", times.join(", "))));
        Ok(model)
    }

    /// Whether what is set has an effect where encoders and index are.
    fn check_used(
        &self,
        world: &World,
        encoders: impl Iterator<Item = Place> + Clone,
        search: Place,
    ) -> Result<(), Problem> {
        let usual = Self::default();
        if search != Place::Processor && self.cores != usual.cores {
            let message = format!("cores has no effect, found {}: accelerators search the index", self.cores);
            let help = "leave it out, or write `search_on: Processor`";
            return Err(Problem::new("cores", message).help(help));
        }
        let runtimes = world.resource::<RuntimeRegistry>();
        let filled = |choice: &Choice| runtimes.resolve(choice).map(|resolved| resolved.choice).ok();
        for (field, choice, default, place) in [
            ("processor_runtime", &self.processor_runtime, &usual.processor_runtime, Place::Processor),
            (
                "accelerator_runtime",
                &self.accelerator_runtime,
                &usual.accelerator_runtime,
                Place::Accelerator,
            ),
        ] {
            if !encoders.clone().any(|on| on == place) && filled(choice) != filled(default) {
                let message = format!("{field} has no effect: no encoder runs on {place}");
                let help = format!("leave it out, or write `embed_on: {place:?}`");
                return Err(Problem::new(field, message).help(help));
            }
        }
        Ok(())
    }

    fn runtime(&self, devices: Devices<'_>) -> String {
        let choice = match devices.place {
            Place::Processor => &self.processor_runtime,
            Place::Accelerator => &self.accelerator_runtime,
        };
        format!("{} on {}", choice.name, devices.kind.name)
    }
}
