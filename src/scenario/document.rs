//! A scenario file as it was read: the text, the scenario in it, and where each field lies.

use std::ops::Range;
use std::path::{Path, PathBuf, absolute};

use schemars::schema_for;

use super::locate::{Located, locate, nearest};
use super::overrides::Override;
use super::read::{ReadError, Sort, read};
use super::scan::{Fault, Kind, scan};
use super::survey::{Survey, WORK, survey};
use super::{Findings, Problem, Scenario, VERSION, check, path};
use crate::text_file::{self, MOST_BYTES};

/// A scenario with the text it came from.
#[derive(Clone, Debug)]
pub struct Document {
    /// The text as written.
    pub text: String,
    /// What to call the text in messages: the path it was read from.
    pub name: String,
    /// The folder that relative paths in the scenario start from.
    pub base_dir: PathBuf,
    /// What the text says, with `--set` applied.
    pub scenario: Scenario,
    pub(super) overrides: Vec<Override>,
    findings: Findings,
}

fn too_long(length: u64) -> String {
    format!("{length} bytes are more than the {MOST_BYTES} that a scenario may have")
}

/// A text that could not be read, with what is wrong in it; as much of a [`Document`] as there is.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// The text as written; empty if not even that could be had.
    pub text: String,
    /// What to call the text in messages.
    pub name: String,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// Where a problem lies: in the file or on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// These bytes of the scenario's text.
    File(Range<usize>),
    /// These bytes of a `--set` argument.
    Set(&'a str, Range<usize>),
    /// No bytes in particular.
    Nowhere,
}

/// Reads and checks a scenario in one call after another: [`load`](Document::load), then
/// [`settle`](Document::settle).
impl Document {
    /// Reads the scenario file at `path`.
    ///
    /// # Errors
    /// The file cannot be read, is of another version, or does not hold a scenario.
    pub fn load(path: &Path) -> Result<Self, Box<Unreadable>> {
        Self::open(path).and_then(Self::strict)
    }

    /// Reads the scenario in `text`, called `name` in messages: the path it has or would have.
    ///
    /// # Errors
    /// The text is of another version or does not hold a scenario: everything that is wrong with it.
    pub fn parse(text: impl Into<String>, name: impl Into<String>) -> Result<Self, Box<Unreadable>> {
        Self::examine(text, name).and_then(Self::strict)
    }

    /// Reads as much of the scenario file at `path` as there is, as [`examine`](Self::examine) does.
    ///
    /// # Errors
    /// The file cannot be read, is of another version, or is not to be understood at all.
    pub fn open(path: &Path) -> Result<Self, Box<Unreadable>> {
        let name = path.display().to_string();
        match text_file::read(path) {
            Ok(text) => Self::examine(text, name),
            Err(error) => {
                let problem = Problem::new("", format!("cannot read the scenario `{name}`: {error}"));
                Err(Box::new(Unreadable { text: String::new(), name, problems: vec![problem] }))
            }
        }
    }

    /// Reads as much of the scenario in `text` as there is; what is wrong with the rest stands in the
    /// [`findings`](Self::findings), and in its place stand values that fit. Such a scenario is good for
    /// finding more that is wrong with it and for nothing else.
    ///
    /// # Errors
    /// The text is of another version or is not to be understood at all.
    pub fn examine(text: impl Into<String>, name: impl Into<String>) -> Result<Self, Box<Unreadable>> {
        let (text, name) = (text.into(), name.into());
        let (mut scenario, findings) = match examine(&text) {
            Ok(found) => found,
            Err(problems) => return Err(Box::new(Unreadable { text, name, problems })),
        };
        let file = Path::new(&name);
        if scenario.name.is_none() {
            scenario.name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        }
        let base_dir = file.parent().map(Path::to_owned).unwrap_or_default();
        let base_dir = whole(&base_dir);
        let mut document = Self { text, base_dir, name, scenario, overrides: Vec::new(), findings };
        document.resolve_paths();
        Ok(document)
    }

    /// The document, if nothing is wrong with it.
    fn strict(self) -> Result<Self, Box<Unreadable>> {
        if self.findings.is_empty() {
            return Ok(self);
        }
        let problems = self.problems();
        Err(Box::new(Unreadable { text: self.text, name: self.name, problems }))
    }

    /// Applies each `--set` argument, fills in the parameters of open choices and checks the rest.
    ///
    /// `fill` [settles](super::Registry::settle) every open choice of the scenario against its
    /// registry. It is called once more after every `--set`, which may have put a new choice there.
    ///
    /// # Errors
    /// Everything wrong with the text, with the arguments and with the scenario that results.
    pub fn settle(
        &mut self,
        sets: &[String],
        fill: &mut dyn FnMut(&mut Scenario, &mut Findings),
    ) -> Result<(), Vec<Problem>> {
        let read = std::mem::take(&mut self.findings);
        let mut settled = Findings::default();
        fill(&mut self.scenario, &mut settled);
        for set in sets {
            match self.set(set) {
                Ok(path) => {
                    settled.forget(&path);
                    settled.reopen();
                    fill(&mut self.scenario, &mut settled);
                }
                Err(problem) => {
                    settled.note(problem);
                    // Who knows what was to be set.
                    settled.make_up("");
                    break;
                }
            }
        }
        self.findings = read;
        self.findings.absorb(settled, "");
        self.findings.report_all(check(&self.scenario));
        if self.findings.is_empty() { Ok(()) } else { Err(self.problems()) }
    }

    /// What is known to be wrong; whoever checks more enters it here.
    pub fn findings(&mut self) -> &mut Findings {
        &mut self.findings
    }

    /// What is known to be wrong, in the order of the text; what comes from the command line is last.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = self.findings.problems().to_vec();
        // Each is looked for in the whole text.
        problems.truncate((WORK / self.text.len().max(1)).max(1));
        problems.sort_by_cached_key(|problem| match self.place(problem) {
            Place::Nowhere => (0, 0),
            Place::File(range) => (1, range.start),
            Place::Set(..) => (2, 0),
        });
        problems
    }

    /// Where `problem` lies: the bytes of the value at its path, or of its nearest owner.
    pub fn place(&self, problem: &Problem) -> Place<'_> {
        for set in self.overrides.iter().rev() {
            if let Some(range) = set.place(problem) {
                return Place::Set(&set.argument, range);
            }
        }
        place_in(&self.text, problem).map_or(Place::Nowhere, Place::File)
    }

    /// `path` from the scenario's own folder, if it is relative.
    pub fn resolve_path(&self, path: &str) -> PathBuf {
        self.base_dir.join(path)
    }

    /// Makes the paths that this room knows of absolute.
    pub(super) fn resolve_paths(&mut self) {
        if let Some(catalog) = &self.scenario.catalog {
            self.scenario.catalog = Some(self.resolve_path(catalog).to_string_lossy().into_owned());
        }
    }
}

impl Unreadable {
    /// Where `problem` lies in the text.
    pub fn place(&self, problem: &Problem) -> Place<'static> {
        place_in(&self.text, problem).map_or(Place::Nowhere, Place::File)
    }
}

/// An absolute folder; the folder itself if there is no telling.
fn whole(folder: &Path) -> PathBuf {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

/// The bytes of `text` that a problem is about.
pub(super) fn place_in(text: &str, problem: &Problem) -> Option<Range<usize>> {
    if problem.path.is_empty() {
        let span = problem.span.clone()?;
        return text.get(span.clone()).map(|_| span);
    }
    let located = locate(text, &problem.path);
    let part = |located: &Located| match &problem.span {
        Some(span) => {
            let part = located.part(span);
            // What was mended before it was judged, such as quotes around a name, shifts the count.
            text.floor_char_boundary(part.start)..text.ceil_char_boundary(part.end)
        }
        None => located.value.clone(),
    };
    let owner = || nearest(text, &problem.path).map(|owner| owner.value).or_else(|| opening(text));
    located.as_ref().map(part).or_else(owner)
}

/// The parenthesis that opens a scenario, where fields that it lacks would stand behind.
fn opening(text: &str) -> Option<Range<usize>> {
    let root = scan(text).ok()?;
    match root.kind {
        Kind::Group { open, .. } => Some(open..open + 1),
        _ => None,
    }
}

/// Reads a scenario, whatever is wrong with it first coming as a problem.
pub(super) fn parse(text: &str) -> Result<Scenario, Problem> {
    let shape = scan(text).map(|_| ());
    if let Err(fault) = &shape {
        if fault.too_deep {
            return Err(faulty(fault));
        }
    } else {
        check_version(text)?;
    }
    match shape {
        Ok(()) => {
            let found = look(text);
            let first = found.errors.into_iter().next();
            match (first, found.value) {
                (None, Some(scenario)) => Ok(scenario),
                (Some(error), _) => Err(misread(text, error)),
                (None, None) => Err(Problem::new("", "this is no scenario")),
            }
        }
        Err(fault) => read(text).map_err(|error| match error.sort {
            // Brackets out of order mislead the reader of types, unless it had not come to them.
            Sort::Malformed => faulty(&fault),
            _ if error.span.is_none() => faulty(&fault),
            _ => misread(text, error),
        }),
    }
}

/// Reads as much of a scenario as there is, with what is wrong.
fn examine(text: &str) -> Result<(Scenario, Findings), Vec<Problem>> {
    let one = |problem| vec![problem];
    if text.len() as u64 > MOST_BYTES {
        return Err(one(Problem::new("", too_long(text.len() as u64))));
    }
    if scan(text).is_err_and(|fault| fault.mend.is_none()) {
        // No telling what belongs where.
        return parse(text).map(|scenario| (scenario, Findings::default())).map_err(one);
    }
    if let Some(located) = locate(text, "mist") {
        check_version(text)
            .map_err(|problem| one(Problem { span: Some(0..located.value.len()), ..problem }))?;
    }
    let found = look(text);
    if scan(&found.text).is_err() {
        return parse(text).map(|scenario| (scenario, Findings::default())).map_err(one);
    }
    let mut findings = Findings::default();
    for error in found.errors {
        findings.note(misread(text, error));
    }
    found.made_up.into_iter().for_each(|path| findings.make_up(path));
    if found.value.is_some() {
        check_version(&found.text).map_err(one)?;
    }
    match found.value {
        Some(scenario) => Ok((scenario, findings)),
        None => Err(findings.problems().to_vec()),
    }
}

fn faulty(fault: &Fault) -> Problem {
    Problem::new("", &fault.message).span(fault.range.clone())
}

fn look(text: &str) -> Survey<Scenario> {
    survey(text, schema_for!(Scenario).as_value(), &|text| read::<Scenario>(text))
}

/// The version comes first: in another one, every other field may mean something else.
fn check_version(text: &str) -> Result<(), Problem> {
    let Some(located) = locate(text, "mist") else {
        return Err(no_version(text));
    };
    match text[located.value].parse::<u64>() {
        Ok(version) if version == u64::from(VERSION) => Ok(()),
        Ok(version) if version > u64::from(VERSION) => {
            let message =
                format!("written for scenario language {version}, this MIST reads {VERSION}; upgrade");
            Err(Problem::new("mist", message))
        }
        _ => Err(Problem::new("mist", "this is no version of the scenario language")
            .help(format!("write `mist: {VERSION}`"))),
    }
}

fn no_version(text: &str) -> Problem {
    let message = "the version of the scenario language is missing";
    let help = format!("begin the scenario with `mist: {VERSION},`");
    Problem { span: opening(text), ..Problem::new("", message).help(help) }
}

/// A read error as a problem: its bytes counted from the value at its path.
fn misread(text: &str, error: ReadError) -> Problem {
    if error.path.is_empty() && error.sort == Sort::Missing("mist") {
        return no_version(text);
    }
    let lacks = error.path.is_empty() && matches!(error.sort, Sort::Missing(_));
    let ReadError { path, message, help, span, .. } = error;
    let span = span.or_else(|| opening(text).filter(|_| lacks));
    let Some(span) = span else { return Problem { path, message, help, span: None } };
    let owner = if path.is_empty() { None } else { locate(text, &path) };
    match owner.and_then(|owner| owner.count(&span)) {
        Some(span) => Problem { path, message, help, span: Some(span) },
        None => Problem { path: String::new(), message, help, span: Some(span) },
    }
}

/// The part of `problem`'s path beyond `prefix`, as a problem of the text that stands there.
pub(super) fn within(problem: &Problem, prefix: &str) -> Option<Problem> {
    let path = path::strip(&problem.path, prefix)?.to_owned();
    Some(Problem { path, ..problem.clone() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scenario::sample;

    /// The message, the path and the text pointed at.
    fn fail(text: &str) -> (String, String, String) {
        let unreadable = Document::parse(text, "a.ron").unwrap_err();
        let problem = &unreadable.problems[0];
        let pointed_at = match unreadable.place(problem) {
            Place::File(range) => text[range].to_owned(),
            _ => String::new(),
        };
        (problem.message.clone(), problem.path.clone(), pointed_at)
    }

    fn swap(from: &str, to: &str) -> (String, String, String) {
        fail(&sample::with(from, to))
    }

    fn found(message: &str, path: &str, pointed_at: &str) -> (String, String, String) {
        (message.into(), path.into(), pointed_at.into())
    }

    #[test]
    fn the_file_names_the_scenario_and_its_folder() {
        let document = Document::parse(sample::TEXT, "scenarios/quick.ron").unwrap();
        assert_eq!(document.scenario.name.as_deref(), Some("quick"));
        assert!(document.base_dir.is_absolute() && document.base_dir.ends_with("scenarios"));
        assert_eq!(document.resolve_path("/abs"), Path::new("/abs"));
        assert!(document.resolve_path("trace.csv").ends_with("scenarios/trace.csv"));
    }

    #[test]
    fn every_form_of_the_language_is_read() {
        let text = r#"(
            mist: 1, name: "quickstart", seed: 42, catalog: "my-catalog",
            platforms: [
                (name: "hgx", count: 32, nodes: [(name: "gpu", hardware: "H100-SXM5-80GB", count: 8)], price: "p5.48xlarge"),
                (name: "own", nodes: [(name: "gpu", hardware: "L40S")], usd_per_hour: 1),
            ],
            clients: [
                (name: "a", count: 128, cluster: Take(platform: "hgx", nodes: [("gpu", 2)]),
                 runs: Llm(model: "m", gpu_memory_utilization: 0.9, max_model_len: None, runtime: Analytical())),
                (name: "b", cluster: Pick(["own[0].gpu[0]"]), runs: Llm()),
            ],
            coordinator: (routing: RoundRobin, latency: us(0)),
            workload: [(name: "chat", model: "m", requests: Some(5), arrivals: Poisson(rate: per_s(240)), lengths: AzureConv,
                        slo: (ttft: s(1), tpot: ms(50), e2e: None))],
            horizon: None,
        )"#;
        let scenario = Document::parse(text, "a.ron").unwrap().scenario;
        assert_eq!(check(&scenario), []);
        assert_eq!(scenario.platforms[1].usd_per_hour.unwrap().get(), 1.0);
        assert_eq!(scenario.clients[0].runs.get("runtime"), Some("Analytical()"));
        assert_eq!(scenario.workload[0].requests, Some(5));
    }

    #[test]
    fn the_version_comes_first() {
        let newer = found("written for scenario language 2, this MIST reads 1; upgrade", "mist", "2");
        assert_eq!(fail("(mist: 2, brand_new: Field(3))"), newer);
        let missing = "the version of the scenario language is missing";
        assert_eq!(swap("mist: 1,", ""), found(missing, "", "("));
        assert_eq!(
            swap("mist: 1", "mist: one"),
            found("this is no version of the scenario language", "mist", "one")
        );
        assert_eq!(swap("mist: 1", "mist: 0").0, "this is no version of the scenario language");
    }

    #[test]
    fn unknown_names_are_pointed_at() {
        assert_eq!(swap("platforms:", "platfroms:"), found("unknown field `platfroms`", "", "platfroms"));
        assert_eq!(swap("hardware:", "hw:"), found("unknown field `hw`", "platforms[0].nodes[0]", "hw"));
        assert_eq!(swap("Take(", "Tale ("), found("unknown value `Tale`", "clients[0].cluster", "Tale"));
        assert_eq!(
            swap("ms(50)", "msec(50)"),
            found("`msec` is no unit of a length of time", "workload[0].slo.tpot", "msec")
        );
        let help =
            Document::parse(sample::with("count: 2", "cuont: 2"), "a").unwrap_err().problems[0].help.clone();
        assert!(help.unwrap().starts_with("did you mean `count`? Allowed: "));
    }

    #[test]
    fn bad_values_are_pointed_at() {
        let negative = "a length of time must be finite and not negative, found -50";
        assert_eq!(swap("ms(50)", "ms(-50)"), found(negative, "workload[0].slo.tpot", "ms(-50)"));
        assert_eq!(swap("s(1)", "s(NaN)").2, "s(NaN)");
        assert_eq!(
            swap("requests: 1000", "requests: \"1000\""),
            found(
                "expected a whole number, 0 to 18446744073709551615, found the text `\"1000\"`",
                "workload[0].requests",
                "\"1000\""
            )
        );
        assert_eq!(swap("count: 4", "count: -4").1, "clients[0].count");
        assert_eq!(swap("seed: 42", "seed: 99999999999999999999").2, "99999999999999999999");
        let address =
            swap("Take(platform: \"hgx\", nodes: [(\"gpu\", 2)])", "Pick([\"hgx[0].gpu[0]\", \"hgx\"])");
        assert_eq!((address.1.as_str(), address.2.as_str()), ("clients[0].cluster[1]", "\"hgx\""));
        let usd = swap("count: 2,", "count: 2, usd_per_hour: -1.5,");
        assert_eq!(
            usd,
            found("a price must be finite and not negative, found -1.5", "platforms[0].usd_per_hour", "-1.5")
        );
    }

    #[test]
    fn problems_of_nested_choices_are_found_in_the_text() {
        let text = sample::with("Chunked(max", "Chunked /* a ( */ ( /* b */ max");
        let document = Document::parse(text.clone(), "a.ron").unwrap();
        let place = |problem: Problem| match document.place(&problem) {
            Place::File(range) => text[range].to_owned(),
            _ => String::new(),
        };
        let path = "clients[0].runs.batching";
        assert_eq!(place(Problem::new(format!("{path}.max_num_batched_tokens"), "too few")), "8192");
        assert_eq!(place(Problem::new(path, "unknown").span(0..7)), "Chunked");
        let written = "Chunked( /* b */ max_num_batched_tokens: 8192)";
        let at = written.find("max").unwrap();
        assert_eq!(place(Problem::new(path, "unknown").span(at..at + 3)), "max");
        assert_eq!(place(Problem::new("clients[0].runs.model.x", "no such thing")), "\"Llama-3.1-70B\"");
    }

    #[test]
    fn missing_and_doubled_fields_are_named() {
        assert_eq!(swap("hardware: \"H100-SXM5-80GB\", ", "").0, "missing field `hardware`");
        assert_eq!(swap("count: 2,", "count: 2, count: 3,").0, "field `count` is given twice");
    }

    #[test]
    fn brackets_and_commas_are_pointed_at() {
        assert_eq!(swap("mist: 1,", "mist: 1"), found("a comma is missing before this", "", "s"));
        assert_eq!(
            swap("nodes: [(\"gpu\", 2)])", "nodes: [(\"gpu\", 2)"),
            found("this bracket is never closed by `]`", "", "[")
        );
        assert_eq!(fail("(mist: 1, name: \"x)"), found("this string is never closed", "", "\""));
        assert_eq!(swap("rate: per_s(240)", "rate: per_s(240").0, "this bracket is never closed by `)`");
        assert_eq!(fail("").0, "a value is missing here");
        assert_eq!(fail("(mist: 1) (").0, "nothing may follow the last parenthesis");
        assert_eq!(fail(&"[".repeat(1_000_000)).0, "brackets are nested more than 40 deep");
        assert_eq!(
            fail(&format!("(mist: 1, seed: {}", "a(".repeat(1_000_000))).0,
            "brackets are nested more than 40 deep"
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let unreadable = Document::load(Path::new("/no/such/file.ron")).unwrap_err();
        assert!(unreadable.problems[0].message.starts_with("cannot read the scenario `/no/such/file.ron`: "));
    }

    proptest! {
        #[test]
        fn no_mutation_makes_it_panic(
            edits in prop::collection::vec((0..sample::TEXT.len(), "[\\[\\](){},:\"'/*#rb\\\\ é1-]{0,3}", 0_usize..9), 1..6)
        ) {
            let mut text = sample::TEXT.to_owned();
            for (at, insert, delete) in edits {
                let at = (0..=at.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap();
                let end = ((at + delete).min(text.len())..=text.len()).find(|&i| text.is_char_boundary(i)).unwrap();
                text.replace_range(at..end, &insert);
            }
            if let Err(unreadable) = Document::parse(text.clone(), "a.ron") {
                let problem = &unreadable.problems[0];
                prop_assert!(!problem.message.is_empty());
                if let Place::File(range) = unreadable.place(problem) {
                    prop_assert!(text.get(range).is_some());
                }
            }
        }
    }
}
