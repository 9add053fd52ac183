//! A model by its name in the catalog or by the path of its configuration.

use std::ops::Deref;
use std::path::{Path, absolute};

use thiserror::Error;

use super::{Catalog, HfConfig, HfConfigError, Model, UnknownName};

/// A model that a scenario names.
#[derive(Clone, Debug, PartialEq)]
pub enum FoundModel<'a> {
    /// An entry of the catalog.
    Catalogued(&'a Model),
    /// Made from a Hugging Face `config.json`.
    Configured(Box<HfConfig>),
}

impl FoundModel<'_> {
    /// The configuration it was made from, with the keys that were ignored; `None` for a catalog entry.
    pub fn config(&self) -> Option<&HfConfig> {
        match self {
            Self::Catalogued(_) => None,
            Self::Configured(config) => Some(config),
        }
    }
}

impl Deref for FoundModel<'_> {
    type Target = Model;

    fn deref(&self) -> &Model {
        match self {
            Self::Catalogued(model) => model,
            Self::Configured(config) => &config.model,
        }
    }
}

/// Why a name stands for no model.
#[derive(Debug, Error)]
pub enum ModelError {
    /// The catalog has none of that name.
    #[error(transparent)]
    Unknown(#[from] UnknownName),
    /// The name is the path of a configuration that cannot be used.
    #[error(transparent)]
    Config(#[from] HfConfigError),
}

impl Catalog {
    /// The model of this name or Hugging Face id, or, if the name ends in `.json`, the model that the
    /// configuration at that path describes. Its name is then the path as given: see [`config_path`].
    ///
    /// # Errors
    /// The catalog has none of that name, or the configuration cannot be used.
    pub fn model_or_config(&self, name: &str) -> Result<FoundModel<'_>, ModelError> {
        if is_config(name) {
            Ok(FoundModel::Configured(Box::new(HfConfig::read(Path::new(name))?)))
        } else {
            Ok(FoundModel::Catalogued(self.model(name)?))
        }
    }
}

/// The path of the configuration that `name` stands for, made absolute from `folder` so that every mention
/// of one file is the same name; `None` for the name of a catalog entry.
pub fn config_path(name: &str, folder: &Path) -> Option<String> {
    let path = || folder.join(name);
    let whole = || absolute(path()).unwrap_or_else(|_| path());
    is_config(name).then(|| whole().to_string_lossy().into_owned())
}

fn is_config(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
}

#[cfg(test)]
mod tests {
    use super::super::Precision;
    use super::*;

    #[test]
    fn a_path_and_a_name_find_the_same_shape() {
        let folder = tempfile::tempdir().unwrap();
        let text = include_str!("hugging_face/fixtures/llama-3.1-8b.json");
        std::fs::write(folder.path().join("mine.json"), text).unwrap();
        let catalog = Catalog::embedded();
        let path = config_path("./mine.json", folder.path()).unwrap();
        assert_eq!(Some(&path), config_path("mine.json", folder.path()).as_ref());
        let (mine, ours) =
            (catalog.model_or_config(&path).unwrap(), catalog.model_or_config("Llama-3.1-8B").unwrap());
        assert_eq!(mine.name, path);
        assert_eq!(mine.parameters(), ours.parameters());
        assert_eq!(mine.kv_bytes_per_token(Precision::Bf16), ours.kv_bytes_per_token(Precision::Bf16));
        assert!(mine.config().is_some_and(|config| config.ignored.contains(&"rope_theta".to_owned())));
        assert!(ours.config().is_none());
    }

    #[test]
    fn no_entry_of_the_catalog_looks_like_a_path() {
        for model in Catalog::embedded().models() {
            assert_eq!(config_path(&model.name, Path::new("/")), None);
            assert!(!model.hf_id.as_deref().is_some_and(is_config));
        }
    }

    #[test]
    fn what_cannot_be_found_is_named() {
        let problem = |name: &str| Catalog::embedded().model_or_config(name).unwrap_err().to_string();
        assert!(problem("no/such/config.json").starts_with("no/such/config.json: "));
        assert!(problem("Lama-3.1-70B").contains("did you mean `Llama-3.1-70B`"));
    }
}
