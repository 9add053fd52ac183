//! The program, run in a folder of its own.
#![allow(clippy::unwrap_used)] // also in what tests share

mod all_errors;
mod bad_input;
mod bad_pipelines;
mod calibrate;
mod catalog;
mod check;
mod digest;
mod examples;
pub(crate) mod mistypes;
mod price;
mod reference;
mod replications;
mod reproducible;
mod results;
mod run;
mod slips;
mod tiers;
mod timeline;
mod trace;
mod trace_verbs;
mod validate;

use std::fs;
use std::path::PathBuf;

use assert_cmd::Command;
use tempfile::TempDir;

/// The scenario that ships; tests edit it.
pub(crate) const QUICKSTART: &str = include_str!("../../../scenarios/quickstart.ron");

/// A folder to run the program in.
struct Sandbox(TempDir);

/// What the program said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Sandbox {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A folder with the quickstart in it, short enough to be run often.
    fn with_quickstart() -> Self {
        Self::with_edited("requests: 5000,", "requests: 300,")
    }

    /// A folder with the quickstart in it, one place of it edited.
    fn with_edited(from: &str, to: &str) -> Self {
        let sandbox = Self::new();
        assert_eq!(QUICKSTART.matches(from).count(), 1, "{from}");
        sandbox.write("quickstart.ron", &QUICKSTART.replace(from, to));
        sandbox
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Writes a trace in the format of Azure's, a request a second, of rows `prompt,output`.
    fn write_trace(&self, name: &str, rows: impl IntoIterator<Item = String>) {
        let mut text = "TIMESTAMP,ContextTokens,GeneratedTokens".to_owned();
        for (at, row) in rows.into_iter().enumerate() {
            let instant = format!("2023-11-16 18:{:02}:{:02}.6805900", at / 60, at % 60);
            text = [text, "\r\n".into(), instant, ",".into(), row].concat();
        }
        self.write(name, &text);
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_str(&self.read(name)).unwrap()
    }

    /// Everything in a folder, hidden or not.
    fn entries(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mist"));
        command.current_dir(self.0.path());
        command
    }

    /// Runs the program to its end.
    fn mist(&self, args: &[&str]) -> Said {
        let output = self.command().args(args).output().unwrap();
        let said = Said {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        };
        assert!(!said.err.contains("panicked"), "{}", said.err);
        assert!(!said.out.contains('\x1b') && !said.err.contains('\x1b'), "colour without a terminal");
        said
    }

    /// Runs the program, which must succeed, and gives its stdout.
    fn ok(&self, args: &[&str]) -> String {
        let said = self.mist(args);
        assert_eq!(said.code, Some(0), "{}", said.err);
        said.out
    }

    /// Runs the program, which must find its input bad and leave nothing behind; gives its stderr.
    fn refused(&self, args: &[&str]) -> String {
        let before = self.entries("");
        let said = self.mist(args);
        assert_eq!(said.code, Some(2), "{said:?}");
        assert_eq!(said.out, "");
        assert!(said.err.starts_with("error: "), "{}", said.err);
        assert_eq!(self.entries(""), before, "something was left behind");
        said.err
    }
}
