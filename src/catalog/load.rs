//! Reading a catalog: the one that ships, and a user's folder laid over it.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use ron::error::SpannedError;
use thiserror::Error;

use super::text::{self, Entry};
use super::{Catalog, UnknownName};
use crate::text_file;

const HARDWARE: &str = include_str!("../../assets/hardware.ron");
const MODELS: &str = include_str!("../../assets/models.ron");
const MODELS_PUBLISHED: &str = include_str!("../../assets/models_published.ron");
const PRICES: &str = include_str!("../../assets/prices.ron");

/// Why a user's catalog folder cannot be used.
#[derive(Debug, Error)]
pub enum CatalogError {
    /// The folder holds none of the files of a catalog.
    #[error("{}: none of hardware.ron, models.ron and prices.ron is here", .folder.display())]
    Empty {
        /// The folder.
        folder: PathBuf,
    },
    /// A file cannot be read.
    #[error("{}: {source}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file does not say what a catalog file must.
    #[error("{}:{line}:{column}: {found}", .file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// Line of the fault, from 1; of the end of the entry when its figures disagree.
        line: usize,
        /// Column of the fault, from 1.
        column: usize,
        /// What was found there, and what was expected.
        found: String,
    },
    /// A price is for an accelerator that neither the folder nor the shipped catalog has.
    #[error("{}: price `{instance}`: {unknown}", .file.display())]
    UnknownAccelerator {
        /// The file of the price.
        file: PathBuf,
        /// The price.
        instance: String,
        /// The accelerator's name, and similar ones.
        unknown: UnknownName,
    },
}

impl Catalog {
    /// The catalog that ships with the program.
    pub fn embedded() -> &'static Self {
        static EMBEDDED: LazyLock<Catalog> = LazyLock::new(|| Catalog {
            accelerators: shipped(HARDWARE),
            models: [shipped(MODELS), shipped(MODELS_PUBLISHED)].concat(),
            prices: shipped(PRICES),
        });
        &EMBEDDED
    }

    /// The shipped catalog, with `folder` laid over it if there is one.
    ///
    /// # Errors
    /// As of [`with_folder`](Self::with_folder).
    pub fn open(folder: Option<&Path>) -> Result<Cow<'static, Self>, CatalogError> {
        folder.map_or(Ok(Cow::Borrowed(Self::embedded())), |folder| Self::with_folder(folder).map(Cow::Owned))
    }

    /// The shipped catalog with a user's folder laid over it: `hardware.ron`, `models.ron`, `prices.ron`,
    /// any of them. An entry replaces ours of the same name, or is added after them.
    ///
    /// # Errors
    /// The folder has no such file, or one of them is not as it must be; unknown fields are refused.
    pub fn with_folder(folder: &Path) -> Result<Self, CatalogError> {
        let mut catalog = Self::embedded().clone();
        let overlaid = [
            overlay(&mut catalog.accelerators, folder)?,
            overlay(&mut catalog.models, folder)?,
            overlay(&mut catalog.prices, folder)?,
        ];
        if overlaid == [false; 3] {
            return Err(CatalogError::Empty { folder: folder.to_owned() });
        }
        for price in &catalog.prices {
            catalog.accelerator(&price.accelerator).map_err(|unknown| CatalogError::UnknownAccelerator {
                file: folder.join(super::Price::FILE),
                instance: price.instance.clone(),
                unknown,
            })?;
        }
        Ok(catalog)
    }
}

fn shipped<T: Entry>(asset: &str) -> Vec<T> {
    text::read(asset).expect("the shipped assets are well formed: a test reads them")
}

/// Lays the folder's file of this kind over `entries`; false when the folder has none.
fn overlay<T: Entry>(entries: &mut Vec<T>, folder: &Path) -> Result<bool, CatalogError> {
    let file = folder.join(T::FILE);
    let content = match text_file::read(&file) {
        Ok(content) => content,
        Err(error) if error.kind() == ErrorKind::NotFound && folder.is_dir() => return Ok(false),
        Err(source) => return Err(CatalogError::Unreadable { file, source }),
    };
    let additions = text::read::<T>(&content).map_err(|error| CatalogError::Malformed {
        file,
        line: error.span.start.line,
        column: error.span.start.col,
        found: what_was_found(&content, &error),
    })?;
    for addition in additions {
        match entries.iter_mut().find(|entry| entry.name() == addition.name()) {
            Some(entry) => *entry = addition,
            None => entries.push(addition),
        }
    }
    Ok(true)
}

/// The parser's complaint, with what stands in the file where it only says what it expected.
fn what_was_found(content: &str, error: &SpannedError) -> String {
    let complaint = error.code.to_string();
    let line = content.lines().nth(error.span.start.line.saturating_sub(1)).unwrap_or_default();
    let rest: String = line.chars().skip(error.span.start.col.saturating_sub(1)).collect();
    let word = rest.trim_start().split([',', ')', ']']).next().unwrap_or_default().trim_end();
    if complaint.starts_with("Expected") && !word.is_empty() {
        format!("{complaint}, found `{word}`")
    } else {
        complaint
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::super::{Accelerator, Model, Price};
    use super::*;

    fn canonical<T: Entry>(asset: &str) {
        let header: Vec<&str> = asset.lines().map_while(|line| line.strip_prefix("//")).collect();
        let header: Vec<&str> = header.iter().map(|line| line.trim_start()).collect();
        assert_eq!(text::write(&header.join("\n"), &text::read::<T>(asset).unwrap()), asset, "{}", T::FILE);
    }

    #[test]
    fn shipped_assets_are_well_formed_and_canonical() {
        canonical::<Accelerator>(HARDWARE);
        canonical::<Model>(MODELS);
        canonical::<Model>(MODELS_PUBLISHED);
        canonical::<Price>(PRICES);
    }

    #[test]
    fn no_model_is_in_both_assets() {
        let models = Catalog::embedded().models();
        for (at, model) in models.iter().enumerate() {
            assert_eq!(text::accept(&models[..at], model), Ok(()));
            let ids = models[..at].iter().filter_map(|other| other.hf_id.as_deref());
            assert!(
                model.hf_id.is_none() || ids.map(Some).all(|id| id != model.hf_id.as_deref()),
                "{model:?}"
            );
        }
    }

    /// Every entry of the assets by itself, as text to damage.
    fn paragraphs() -> Vec<&'static str> {
        [HARDWARE, MODELS, MODELS_PUBLISHED, PRICES].iter().flat_map(|asset| asset.split("\n\n")).collect()
    }

    /// Reads the text as each kind of file, and asks of the models what a run would.
    fn read_as_all(text: &str) {
        let _ = text::read::<Accelerator>(text);
        let _ = text::read::<Price>(text);
        for model in text::read::<Model>(text).unwrap_or_default() {
            let _ = (model.parameters(), model.active_parameters(), model.windowed_layers());
            let _ = model.kv_bytes_per_token(super::super::Precision::Bf16);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(2000)))]

        /// Any number of an entry may be any other, and any text may stand anywhere in it.
        #[test]
        fn no_damage_to_an_entry_is_fatal(
            which in any::<Index>(),
            numbers in proptest::collection::vec((any::<Index>(), "[0-9]{1,3}|4294967295|-1|1e400|99999999999999999999|NaN|inf|1048576|\\(\\)|None"), 0..5),
            at in any::<Index>(),
            noise in "|\\PC{1,20}|[(\\[{]{1,200}|[)\\]}]{1,5}",
        ) {
            let mut entry = which.get(&paragraphs()).trim_start_matches(|c| c != '(').trim_end_matches(']').to_owned();
            for (which, number) in numbers {
                let starts: Vec<usize> = entry.match_indices(": ").map(|(at, _)| at + 2).collect();
                let start = *which.get(&starts);
                let length = entry[start..].find([',', ')']).unwrap_or(entry.len() - start);
                entry.replace_range(start..start + length, &number);
            }
            read_as_all(&format!("[{entry}]"));
            let at = at.index(entry.len());
            if entry.is_char_boundary(at) {
                entry.insert_str(at, &noise);
            }
            read_as_all(&format!("[{entry}]"));
            read_as_all(&noise);
        }
    }

    #[test]
    fn hostile_files_end_in_errors() {
        for text in ["[", "(", "[(name:", "[(experts:(", "/*", "Some("] {
            read_as_all(&text.repeat(100_000));
        }
        read_as_all(&format!("[(name: \"a\", layers: {})]", "9".repeat(1_000_000)));
        read_as_all(&"\0".repeat(1_000_000));
    }

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        folder
    }

    fn refusal(files: &[(&str, &str)]) -> String {
        let folder = folder(files);
        let error = Catalog::with_folder(folder.path()).unwrap_err().to_string();
        error.replace(&folder.path().display().to_string(), "mine")
    }

    const DEVICE: &str = r#"(name: "NAME", class: Gpu, dense_tflops: (bf16: 100), memory: (gib: 10, figure: Reported,
        kind: "HBM", gb_per_s: 1000), verified: Derived, source: "me")"#;

    #[test]
    fn a_folder_replaces_and_adds() {
        let devices = format!("[{}, {}]", DEVICE.replace("NAME", "L40S"), DEVICE.replace("NAME", "Mine"));
        let price = r#"[(instance: "rack", provider: "us", accelerator: "Mine", gpus: 4, usd_per_hour: 2,
            terms: OnDemand, seen: "2026-01", source: "me", evidence: Primary)]"#;
        let folder = folder(&[("hardware.ron", &devices), ("prices.ron", price)]);
        let catalog = Catalog::with_folder(folder.path()).unwrap();
        let names = |catalog: &Catalog| -> Vec<String> {
            catalog.accelerators().iter().map(|device| device.name.clone()).collect()
        };
        let mut expected = names(Catalog::embedded());
        expected.push("Mine".to_owned());
        assert_eq!(names(&catalog), expected);
        assert_eq!(catalog.accelerator("L40S").unwrap().memory_bandwidth(), 1e12);
        assert_eq!(catalog.default_price("Mine").unwrap().usd_per_gpu_hour(), 0.5);
        assert_eq!(catalog.models(), Catalog::embedded().models());
    }

    #[test]
    fn a_folder_that_makes_no_sense_is_refused_with_the_place() {
        assert!(refusal(&[]).starts_with("mine: none of hardware.ron"));
        let device = DEVICE.replace("NAME", "Mine");
        let misspelt = format!("[\n{}]", device.replace("source", "sauce"));
        let message = refusal(&[("hardware.ron", &misspelt)]);
        assert!(message.starts_with("mine/hardware.ron:3:"), "{message}");
        assert!(message.contains("sauce"), "{message}");
        let message = refusal(&[("hardware.ron", &format!("[{}]", device.replace("gib: 10", "gib: big")))]);
        assert!(message.ends_with("Expected float, found `big`"), "{message}");
        let zero = format!("[\n{}]", device.replace("gib: 10", "gib: 0"));
        let message = refusal(&[("hardware.ron", &zero)]);
        assert!(message.starts_with("mine/hardware.ron:3:"), "{message}");
        assert!(
            message.ends_with("accelerator `Mine`: `memory.gib` must be finite and above zero, found 0"),
            "{message}"
        );
        let twice = format!("[{device}, {device}]");
        assert!(refusal(&[("hardware.ron", &twice)]).contains("the name is used twice"));
        let price = r#"[(instance: "rack", provider: "us", accelerator: "H100", gpus: 4, usd_per_hour: 2,
            terms: OnDemand, seen: "2026-01", source: "me", evidence: Primary)]"#;
        let message = refusal(&[("prices.ron", price)]);
        assert!(message.contains("price `rack`: the catalog has no accelerator named `H100`; did you mean"));
        assert!(refusal(&[("prices.ron", &price.replace("2026-01", "today"))]).contains("found `today`"));
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = Catalog::with_folder(Path::new("no/such/folder")).unwrap_err();
        assert!(error.to_string().starts_with("no/such/folder/hardware.ron: "), "{error}");
    }
}
