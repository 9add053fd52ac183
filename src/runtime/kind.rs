//! Kinds of runtime model, as a scenario names them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Analytical, Empirical, StepModel, Target};
use crate::engine::SimBuilder;
use crate::scenario::Registry;

/// A runtime model before it knows what to price: the parameters a scenario gives.
pub trait RuntimeKind: Send + Sync + 'static {
    /// The model compiled for `target`.
    ///
    /// # Errors
    /// What does not make sense, in a sentence for the user. One that begins with a setting of the client
    /// and `: `, such as `tensor_parallel: `, is shown at that setting.
    fn compile(&self, target: &Target<'_>) -> Result<Arc<dyn StepModel>, String>;
}

/// The runtime models a scenario may name.
pub type RuntimeRegistry = Registry<Box<dyn RuntimeKind>>;

/// Adds runtime models by name.
pub trait RuntimeExt {
    /// Lets scenarios name the runtime model `K`, whose fields are its parameters.
    fn runtime_model<K>(&mut self, name: &'static str) -> &mut Self
    where
        K: RuntimeKind + DeserializeOwned + Serialize + JsonSchema;
}

impl RuntimeExt for SimBuilder {
    fn runtime_model<K>(&mut self, name: &'static str) -> &mut Self
    where
        K: RuntimeKind + DeserializeOwned + Serialize + JsonSchema,
    {
        let mut registry = self.world().get_resource_or_insert_with(|| RuntimeRegistry::new("runtime model"));
        registry.register(name, |kind: K| Ok(Box::new(kind) as Box<dyn RuntimeKind>));
        self
    }
}

/// The built-in runtime models.
pub fn built_in(sim: &mut SimBuilder) {
    sim.runtime_model::<Analytical>("Analytical").runtime_model::<Empirical>("Empirical");
}

impl RuntimeKind for Analytical {
    fn compile(&self, target: &Target<'_>) -> Result<Arc<dyn StepModel>, String> {
        let device = target.device()?;
        let model = self.build(&target.shape(), &device, &target.deployment())?;
        Ok(Arc::new(model))
    }
}
