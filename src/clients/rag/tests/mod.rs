//! RAG clients against their definitions, and what users do wrong.

mod client;
mod encoder;
