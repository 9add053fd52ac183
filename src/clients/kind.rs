//! Kinds of client, as a scenario configures them, and clients ready to be put into a world.

use std::fmt;

use bevy_ecs::entity::Entity;
use bevy_ecs::world::World;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::catalog::{Accelerator, Catalog, ModelError, Precision, UnknownName};
use crate::engine::SimBuilder;
use crate::request::StageKind;
use crate::scenario::{Choice, Findings, Problem, Registry};
use crate::units::SimTime;

/// What a client finds where it is deployed.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    /// Hardware, models and prices.
    pub catalog: &'a Catalog,
    /// The nodes of its cluster, in order.
    pub nodes: &'a [&'a Accelerator],
    /// The world under construction, which holds the registries of open choices.
    pub world: &'a World,
}

/// A kind of client with its settings: what stands in `runs: Llm(…)`.
pub trait ClientKind: Send + Sync + 'static {
    /// Fills in the defaults of the open choices among its `settings`, which are the kind as written.
    /// What is wrong with them goes to `findings`, where paths count from the settings.
    fn complete(&self, settings: &mut Choice, world: &World, findings: &mut Findings);

    /// What is wrong with the settings wherever the client is deployed; paths count from them.
    fn check(&self, catalog: &Catalog) -> Vec<Problem> {
        let _ = catalog;
        Vec::new()
    }

    /// Works out what the client can do at `site`, once for all clients of an entry.
    ///
    /// # Errors
    /// Settings that make no sense there; paths count from the settings.
    fn deploy(&self, site: &Site<'_>) -> Result<Box<dyn Deployed>, Vec<Problem>>;
}

/// A client that fits its cluster.
pub trait Deployed {
    /// What stages it can be sent, beside those that name its kind.
    fn offers(&self) -> Vec<Offer>;

    /// What `mist check` says about it.
    fn facts(&self) -> Vec<Fact>;

    /// Adds the systems of its kind, if they are not there yet.
    fn install(&self, sim: &mut SimBuilder);

    /// Spawns the client at position `index` among all, with its [`Client`](super::Client) and
    /// [`Usage`](super::Usage); [`Programs`](crate::request::pipeline::Programs) are there. Without `strides` it takes one tick a step, with the same results.
    fn spawn(&self, sim: &mut SimBuilder, index: u32, strides: bool) -> Entity;

    /// Brings the usage of `client` up to `now`, where the simulation stops before all is done.
    fn settle(&self, world: &mut World, client: Entity, now: SimTime);

    /// Parameters of `stage`, of its kind, that have no effect here; paths count from them.
    fn ignores(&self, stage: &dyn StageKind) -> Vec<Problem> {
        let _ = stage;
        Vec::new()
    }

    /// Whether priorities of requests have an effect here.
    fn reads_priority(&self) -> bool {
        false
    }

    /// Whether it keeps the KV of prefixes for other requests.
    fn caches_prefixes(&self) -> bool {
        false
    }

    /// Whether the order of its queue goes by KV that is there for a request, and it keeps none for others itself.
    fn wants_kv_that_is_there(&self) -> bool {
        false
    }

    /// Where the figures that price its steps come from.
    fn source_of_latency(&self) -> String;
}

/// What a client can be asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Offer {
    /// The model it serves, by its name in the catalog; none if it serves without one.
    pub model: Option<String>,
    /// How it generates text, if it does.
    pub generates: Option<Generates>,
}

/// How a client generates text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Generates {
    /// Which part of it.
    pub role: Role,
    /// Whether it may be asked for the other part, too.
    pub lends: bool,
    /// Tokens kept free for each sequence before KV of another may come.
    pub reserved_tokens: u32,
    /// Longest text (tokens).
    pub max_model_len: u32,
    /// Precision of its KV cache.
    pub kv_precision: Precision,
    /// Size of the KV cache of one token (bytes).
    pub kv_bytes_per_token: f64,
    /// Tokens that its KV cache holds.
    pub kv_tokens: u64,
}

impl Generates {
    /// Whether it may be sent prompts.
    pub const fn may_prefill(&self) -> bool {
        self.lends || self.role.prefills()
    }

    /// Whether it may be sent what is to be generated on.
    pub const fn may_decode(&self) -> bool {
        self.lends || self.role.decodes()
    }
}

/// The part that a client has in generating text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Role {
    /// Prefill and decode.
    #[default]
    Both,
    /// Prefill, with the first token: the KV then moves to a client that decodes.
    Prefill,
    /// Decode of what others have prefilled.
    Decode,
}

impl Role {
    /// Whether it computes prompts.
    pub const fn prefills(self) -> bool {
        matches!(self, Self::Both | Self::Prefill)
    }

    /// Whether it generates on.
    pub const fn decodes(self) -> bool {
        matches!(self, Self::Both | Self::Decode)
    }
}

/// A line of `mist check`: a name and a value with its unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What it is.
    pub name: &'static str,
    /// How much it is.
    pub value: String,
}

impl Fact {
    /// `name`: `value`.
    pub fn new(name: &'static str, value: impl fmt::Display) -> Self {
        Self { name, value: value.to_string() }
    }
}

/// The kinds of client a scenario may name.
pub type ClientRegistry = Registry<Box<dyn ClientKind>>;

/// Adds kinds of client by name.
pub trait ClientExt {
    /// Lets scenarios name the kind `K`, whose fields are its settings.
    fn client_kind<K>(&mut self, name: &'static str) -> &mut Self
    where
        K: ClientKind + DeserializeOwned + Serialize + JsonSchema;
}

impl ClientExt for SimBuilder {
    fn client_kind<K>(&mut self, name: &'static str) -> &mut Self
    where
        K: ClientKind + DeserializeOwned + Serialize + JsonSchema,
    {
        let mut registry = self.world().get_resource_or_insert_with(|| ClientRegistry::new("client kind"));
        registry.register(name, |kind: K| Ok(Box::new(kind) as Box<dyn ClientKind>));
        self
    }
}

/// A name the catalog does not know, as a problem of the field at `path`.
pub fn unknown_name(path: &str, unknown: &UnknownName) -> Problem {
    let UnknownName { what, name, suggestions } = unknown;
    let problem = Problem::new(path, format!("unknown {what} `{name}`"));
    let near: Vec<_> = suggestions.iter().map(|name| format!("`{name}`")).collect();
    if near.is_empty() { problem } else { problem.help(format!("did you mean {}?", near.join(" or "))) }
}

/// A model that cannot be had, as a problem of the field at `path`.
pub fn model_problem(path: &str, error: &ModelError) -> Problem {
    match error {
        ModelError::Unknown(unknown) => unknown_name(path, unknown),
        ModelError::Config(error) => Problem::new(path, error.to_string()),
    }
}
