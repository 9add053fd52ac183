//! What a batch of queries costs, part by part.

use super::search::{Batch, Searcher, VectorIndex, Vectors};
use super::{DocumentStore, Encoder, Rag};
use crate::clients::Fact;
use crate::clients::tasks::{Discipline, Part, Task, TaskModel};
use crate::engine::Stream;
use crate::runtime::Bound;
use crate::scenario::Problem;

/// A RAG client that fits its cluster.
pub struct RagModel {
    /// Most queries of a batch.
    pub max_batch: u32,
    /// Embeds queries.
    pub embedder: Encoder,
    /// The index, and the vectors in it.
    pub index: Box<dyn VectorIndex>,
    /// What the index holds.
    pub vectors: Vectors,
    /// Where it is searched.
    pub searcher: Searcher,
    /// Where the documents are.
    pub store: DocumentStore,
    /// Scores candidates, if any are scored.
    pub reranker: Option<Encoder>,
    /// What `mist check` says.
    pub facts: Vec<Fact>,
    /// Where the figures come from.
    pub source: String,
}

impl RagModel {
    /// Documents fetched for a query of `stage`.
    fn fetched(&self, stage: &Rag) -> u32 {
        if self.reranker.is_some() { stage.candidates() } else { stage.documents }
    }

    /// The parts of a batch of queries, each with its stage and the tokens of the text so far.
    pub fn parts<'a>(&self, queries: impl Iterator<Item = (&'a Rag, u32)> + Clone, parts: &mut Vec<Part>) {
        let mut part = |name, (seconds, bound)| parts.push(Part { name, seconds, bound });
        let lengths = queries.clone().map(|(stage, context)| (stage.query_tokens(context), 1));
        part("embed", self.embedder.read(lengths));

        let k = queries.clone().map(|(stage, _)| self.fetched(stage)).max().unwrap_or(1);
        let batch = Batch { queries: queries.clone().count().max(1) as f64, k: f64::from(k) };
        let mut work = Vec::new();
        self.index.steps(&self.vectors, &batch, &mut work);
        let searched = self.searcher.price(&work, batch.queries);
        part("search", (searched.seconds, searched.bound));

        let tokens = queries
            .clone()
            .map(|(stage, _)| f64::from(self.fetched(stage)) * f64::from(stage.tokens_per_document));
        part("fetch", (self.store.fetch(tokens.sum()), Bound::Memory));

        if let Some(reranker) = &self.reranker {
            let pairs = queries.map(|(stage, context)| {
                let pair = stage.query_tokens(context).saturating_add(stage.tokens_per_document);
                (pair, stage.candidates())
            });
            part("rerank", reranker.read(pairs));
        }
    }
}

impl TaskModel for RagModel {
    type Stage = Rag;

    fn discipline(&self) -> Discipline {
        Discipline::Batched { max_batch: self.max_batch }
    }

    fn serve(&self, batch: &mut [Task<'_, Rag>], _draws: &mut Stream, parts: &mut Vec<Part>) {
        self.parts(batch.iter().map(|task| (task.stage, task.payload.context_tokens)), parts);
    }

    fn ignores(&self, stage: &Rag) -> Vec<Problem> {
        let (None, Some(candidates)) = (&self.reranker, stage.candidates) else { return Vec::new() };
        let message = format!("candidates has no effect, found {candidates}: no `Rag` client re-ranks");
        let help = "leave it out, or write `rerank: \"bge-reranker-base\"` in the `Rag` client";
        vec![Problem::new("candidates", message).help(help)]
    }

    fn facts(&self) -> Vec<Fact> {
        self.facts.clone()
    }

    fn source(&self) -> String {
        self.source.clone()
    }
}
