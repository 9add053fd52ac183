//! The numbers themselves, pinned: the program and the library in this process agree to the bit, here and
//! on every machine.

use mist::metrics::RowSink;
use mist::output::{Exporter, Json, Provenance, Report, ResultsFolder, digest};
use mist::simulation::Simulation;

use super::{QUICKSTART, Sandbox};

/// The digest of the quickstart's `summary.json`. A change that alters results changes it: say so in the
/// changelog and put the new one here, which the failing test prints.
const QUICKSTART_SUMMARY: &str = "fnv1a64:7e0a43f184509516";

#[test]
fn program_library_and_pin_agree() {
    let sandbox = Sandbox::new();
    sandbox.write("quickstart.ron", QUICKSTART);
    let summary = sandbox.ok(&["run", "quickstart.ron", "--results", "program", "--format", "json"]);
    assert_eq!(digest(&summary), QUICKSTART_SUMMARY, "results have changed");

    let run = Simulation::new().load(sandbox.path("quickstart.ron")).unwrap();
    let folder = ResultsFolder::create(&sandbox.path("library")).unwrap();
    let rows = folder.request_rows(run.row_sources(), run.client_names(), false).unwrap();
    let rows = Box::new(rows) as Box<dyn RowSink>;
    let outcome = run.run_with(Some(rows), |_| std::ops::ControlFlow::Continue(())).unwrap();
    folder.write_summary(&outcome.summary).unwrap();
    folder.write_scenario(&outcome.resolved).unwrap();
    let provenance: Provenance = serde_json::from_value(sandbox.json("program/provenance.json")).unwrap();
    assert_eq!((provenance.ticks, provenance.events), (outcome.ticks, outcome.events));
    let mut json = Vec::new();
    Json.write(Report { summary: &outcome.summary, provenance: &provenance }, &mut json).unwrap();
    assert_eq!(String::from_utf8(json).unwrap(), summary);
    folder.commit(&provenance).unwrap();
    for file in ["summary.json", "requests.csv", "scenario.resolved.ron"] {
        assert!(
            sandbox.read(&format!("program/{file}")) == sandbox.read(&format!("library/{file}")),
            "{file}"
        );
    }
}
