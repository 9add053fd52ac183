//! Arguments that are checked.

use clap::{CommandFactory, Parser};

use super::*;
use crate::cli::args::Args;

fn command(line: &str) -> Command {
    let command = Command::new(Args::try_parse_from(line.split(' ')).unwrap().verb);
    command.unwrap_or_else(|failure| panic!("{}", failure.text(false)))
}

#[test]
fn the_arguments_are_consistent() {
    Args::command().debug_assert();
}

#[test]
fn defaults_of_a_run() {
    let Command::Run(options) = command("mist run a.ron") else { panic!("not a run") };
    assert_eq!((options.format.name(), options.results), ("table", Keep::ByName));
    assert_eq!((options.executor, options.strides, options.quiet), (Executor::Gated, true, false));
}

#[test]
fn every_option_of_a_run() {
    let line =
        "mist run --format vllm --results out -q --executor stock --no-strides --set a=1 --set b=2 a.ron";
    let Command::Run(options) = command(line) else { panic!("not a run") };
    assert_eq!((options.format.name(), options.results), ("vllm", Keep::At("out".into())));
    assert_eq!((options.executor, options.strides, options.quiet), (Executor::Stock, false, true));
    assert_eq!(options.scenario.sets, ["a=1", "b=2"]);
}

#[test]
fn replications_need_a_format_for_several_runs() {
    let Command::Run(options) = command("mist run a.ron --replications 20") else { panic!("not a run") };
    assert_eq!(options.replications.map(|replications| replications.count), Some(20));
    for count in ["0", "1", "10001", "many"] {
        assert!(Args::try_parse_from(["mist", "run", "a.ron", "--replications", count]).is_err());
    }
    let line = "mist run a.ron --replications 20 --format vllm";
    let refused = Command::new(Args::try_parse_from(line.split(' ')).unwrap().verb);
    assert_eq!(refused.err().map(|failure| failure.exit_code()), Some(2));
}

#[test]
fn a_timeline_is_of_all_or_of_the_first() {
    for (line, expected) in [
        ("mist run a.ron", None),
        ("mist run --timeline a.ron", Some(TimelineOptions::All)),
        ("mist run a.ron --timeline=20", Some(TimelineOptions::First(20))),
    ] {
        let Command::Run(options) = command(line) else { panic!("not a run") };
        assert_eq!(options.timeline, expected);
    }
    assert!(Args::try_parse_from("mist run a.ron --timeline --replications 3".split(' ')).is_err());
    let json = Args::try_parse_from("mist run a.ron --timeline --format json".split(' ')).unwrap();
    assert_eq!(Command::new(json.verb).err().map(|failure| failure.exit_code()), Some(2));
}

#[test]
fn results_are_kept_in_one_place_or_none() {
    assert!(Args::try_parse_from("mist run a.ron --results out --no-results".split(' ')).is_err());
    let Command::Run(options) = command("mist run a.ron --no-results") else { panic!("not a run") };
    assert_eq!(options.results, Keep::Nowhere);
}
