//! Retrieval-augmented generation: documents that answer a query lengthen its prompt (§II-C, Fig. 4a).
//!
//! ```text
//! query ─▶ embed ─▶ search ─▶ fetch ─▶ rerank ─▶ prompt + documents
//!          encoder  index     store    cross-encoder
//! ```
//!
//! A client batches the queries that wait (§III-E, the batched scheduler) and runs the four parts one after
//! another for all of them, each on the processors or the accelerators of its cluster:
//!
//! | part | priced by | source |
//! |---|---|---|
//! | embed | a runtime model, one forward pass of the encoder, every token seeing all others | [`encoder`](Encoder) |
//! | search | an index's work on the hardware | [`search`] |
//! | fetch | latency + bytes over bandwidth of the [`DocumentStore`] | paper §IV-B5 |
//! | rerank | a runtime model, a forward pass of query and candidate together for every candidate | [`Encoder`] |
//!
//! Defaults follow footnote 9, LangChain on a 64-core x86 processor, where LangChain has any, and say
//! "assumed" where nobody does.
//!
//! Left out: what is retrieved and how well, traffic between the devices of a cluster (kilobytes), overlap
//! of the parts of one batch or of two, memory for the documents, tokenisation but for a flat time a text.

mod client;
mod cluster;
mod documents;
mod encoder;
mod model;
pub mod search;
mod stage;
#[cfg(test)]
mod tests;

pub use client::RagClient;
pub use cluster::Place;
pub use documents::DocumentStore;
pub use encoder::Encoder;
pub use model::RagModel;
pub use stage::Rag;

use crate::clients::tasks::TaskExt;
use crate::engine::SimBuilder;
use crate::request::StageExt;

/// The RAG client, its stage, and the indexes it may search.
pub fn built_in(sim: &mut SimBuilder) {
    sim.task_client::<RagClient>("Rag").stage_kind::<Rag>("Rag").add(search::built_in);
}
