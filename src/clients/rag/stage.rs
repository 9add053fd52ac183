//! The stage `Rag`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalog::Catalog;
use crate::engine::Stream;
use crate::request::{Payload, StageKind};
use crate::scenario::Problem;

/// Retrieves documents for the text so far and puts them into the prompt. Runs on a client of the kind `Rag`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rag {
    /// Documents that go into the prompt, 1 to 10000. Default: 4, LangChain's `k`.
    pub documents: u32,
    /// Length of a document (tokens), 1 to 1000000. Default: 1000, LangChain's `chunk_size` of 4000
    /// characters at four to a token.
    pub tokens_per_document: u32,
    /// Documents that are fetched for the re-ranker to choose from, at least `documents`; not to
    /// be said where no `Rag` client re-ranks: those fetch `documents`. Default: 20, as LangChain's example of a cross-encoder has it, or
    /// `documents` where that is more.
    pub candidates: Option<u32>,
    /// Length of the query that is searched for (tokens), at least 1. Default: the whole text so far, of
    /// which an encoder reads what its context holds.
    pub query_tokens: Option<u32>,
}

/// Candidates for the re-ranker.
const CANDIDATES: u32 = 20;

impl Default for Rag {
    fn default() -> Self {
        Self { documents: 4, tokens_per_document: 1000, candidates: None, query_tokens: None }
    }
}

impl Rag {
    /// Documents for the re-ranker to choose from.
    pub fn candidates(&self) -> u32 {
        self.candidates.unwrap_or(CANDIDATES).max(self.documents)
    }

    /// Length of the query after a text of `context` tokens.
    pub fn query_tokens(&self, context: u32) -> u32 {
        self.query_tokens.unwrap_or(context).max(1)
    }
}

impl StageKind for Rag {
    fn client(&self) -> &'static str {
        "Rag"
    }

    fn answers(&self) -> bool {
        false
    }

    fn puts_into_prompt(&self) -> bool {
        true
    }

    fn finish(&self, payload: &mut Payload, _draws: &mut Stream) {
        let retrieved = self.documents.saturating_mul(self.tokens_per_document);
        payload.context_tokens = payload.context_tokens.saturating_add(retrieved);
    }

    fn check(&self, _catalog: &Catalog) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut within = |path: &str, value: u32, lowest: u32, highest: u32| {
            if !(lowest..=highest).contains(&value) {
                let message = format!("{path} must be {lowest} to {highest}, found {value}");
                problems.push(Problem::new(path, message));
            }
        };
        within("documents", self.documents, 1, 10_000);
        within("tokens_per_document", self.tokens_per_document, 1, 1_000_000);
        within("query_tokens", self.query_tokens.unwrap_or(1), 1, 1_000_000);
        if let Some(candidates) = self.candidates {
            within("candidates", candidates, self.documents.min(10_000), 10_000);
        }
        problems
    }
}
