//! Every reader of traces on damaged traces: it ends, what it read survives the native format, and it can
//! be described.

use std::io::{Cursor, Read};
use std::time::{Duration, Instant};

use mist::workload::trace::{FORMATS, Input, Options, TraceReader, TraceRow, TraceWriter, read};
use mist::workload::trace_tools::{convert, inspect};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// A small trace in each format: what is damaged.
pub const SEEDS: [(&str, &str); 7] = [
    (
        "native",
        "{\"mist_trace\":1,\"block_tokens\":512}\n{\"arrival_ns\":3,\"prompt_tokens\":1400,\"output_tokens\":52,\
         \"images\":2,\"failed\":true,\"id\":\"a\\\"b\",\"model\":\"m\",\"kind\":\"k\",\"session\":\"s\",\"turn\":1,\
         \"parent\":\"p\",\"wait_for\":[\"x\"],\"branches\":[\"y\",\"z\"],\"blocks\":[[46,2],[2353,1]],\
         \"pipeline\":[{\"stage\":\"rag\",\"params\":{\"k\":[0.1,{}]}}]}\n\
         {\"arrival_ns\":3,\"delay_ns\":5,\"prompt_tokens\":1,\"output_tokens\":2}\n",
    ),
    (
        "azure",
        "TIMESTAMP,NumImages,ContextTokens,GeneratedTokens\r\n2025-11-16 18:15:46.6805900,0,374,44\r\n\
         2025-11-16 18:15:50.9951690,3,396,109\r\n2024-02-29T00:00:00.009930+00:00,1,1,1\r\n",
    ),
    (
        "burstgpt",
        "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n\
         5,1,2.5,ChatGPT,472,18,490,Conversation log\n6.25,,,GPT-4,1087,0,1087,API log\n",
    ),
    (
        "bailian",
        "{\"chat_id\":55,\"parent_chat_id\":-1,\"timestamp\":61,\"input_length\":30,\"output_length\":7,\
         \"type\":\"search\",\"turn\":1,\"hash_ids\":[1089,1090]}\n{\"chat_id\":9,\"parent_chat_id\":55,\
         \"timestamp\":61.114,\"input_length\":52,\"output_length\":13,\"turn\":2,\"hash_ids\":[1089,1090,7]}\n",
    ),
    (
        "mooncake",
        "{\"timestamp\":0,\"session_id\":\"s\",\"request_id\":\"a\",\"input_length\":1400,\"output_length\":52,\
         \"hash_ids\":[46,47,2353],\"branches\":[\"b\"]}\n{\"session_id\":\"s\",\"request_id\":\"b\",\"delay\":12.5,\
         \"tool_wait_ms\":1,\"wait_for\":[\"a\"],\"input_length\":1900,\"output_length\":5,\"hash_ids\":[46,47,2353,9]}\n",
    ),
    (
        "sharegpt",
        "[{\"id\":\"x\",\"conversations\":[{\"from\":\"human\",\"tokens\":3},{\"from\":\"gpt\",\"tokens\":4}]},\n\
         {\"id\":\"y\",\"conversations\":[]},{\"conversations\":[{\"value\":\"é\",\"tokens\":1},{\"tokens\":9}]}]",
    ),
    (
        "sharegpt",
        "[{\"conversations\":[{\"from\":\"human\",\"value\":\"Hi!\"},{\"from\":\"gpt\",\"value\":\"\"}]}]",
    ),
];

/// What traces are made of, and what makes trouble.
const PIECES: [&str; 36] = [
    "18446744073709551615",
    "18446744073709551616",
    "4294967295",
    "4294967296",
    "-1",
    "0",
    "1e308",
    "1e999",
    "1e-400",
    "-0.0",
    "NaN",
    "Infinity",
    "null",
    "true",
    "\"\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\\",
    "\"",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\n",
    "\r\n",
    "\u{feff}",
    "\u{2028}",
    "[[0,4294967295]]",
    "9999-12-31 23:59:59.9999999",
    "\"mist_trace\":1",
    "\"hash_ids\":[1,2]",
    "\"timestamp\":1",
    "\"blocks\":[]",
    "TIMESTAMP,ContextTokens,GeneratedTokens\n",
];

/// One way to damage a text.
#[derive(Clone, Debug)]
enum Damage {
    Overwrite(u8),
    Remove(usize),
    Repeat(usize, usize),
    Insert(&'static str),
    /// Brackets, one in another.
    Nest(&'static str, usize),
    Cut,
}

fn damage() -> impl Strategy<Value = (prop::sample::Index, Damage)> {
    let kinds = prop_oneof![
        4 => any::<u8>().prop_map(Damage::Overwrite),
        3 => (1_usize..40).prop_map(Damage::Remove),
        2 => (1_usize..80, 1_usize..200).prop_map(|(length, times)| Damage::Repeat(length, times)),
        6 => prop::sample::select(PIECES.to_vec()).prop_map(Damage::Insert),
        1 => (prop::sample::select(vec!["[", "{\"a\":", "{\"conversations\":["]), 1_usize..3_000)
            .prop_map(|(bracket, depth)| Damage::Nest(bracket, depth)),
        1 => Just(Damage::Cut),
    ];
    (any::<prop::sample::Index>(), kinds)
}

fn damaged() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let damages = prop::collection::vec(damage(), 1..8);
    (prop::sample::select(SEEDS.to_vec()), damages).prop_map(|((format, text), damages)| {
        let mut bytes = text.as_bytes().to_vec();
        for (at, damage) in damages {
            let at = at.index(bytes.len() + 1);
            let insert = |bytes: &mut Vec<u8>, what: &[u8]| drop(bytes.splice(at..at, what.iter().copied()));
            match damage {
                Damage::Overwrite(byte) if at < bytes.len() => bytes[at] = byte,
                Damage::Overwrite(byte) => bytes.push(byte),
                Damage::Remove(length) => drop(bytes.drain(at..(at + length).min(bytes.len()))),
                Damage::Repeat(length, times) => {
                    let part = bytes[at..(at + length).min(bytes.len())].repeat(times);
                    insert(&mut bytes, &part);
                }
                Damage::Insert(piece) => insert(&mut bytes, piece.as_bytes()),
                Damage::Nest(bracket, depth) => insert(&mut bytes, bracket.repeat(depth).as_bytes()),
                Damage::Cut => bytes.truncate(at),
            }
        }
        (format, bytes)
    })
}

fn open(bytes: &[u8], options: &Options) -> Option<Box<dyn TraceReader>> {
    let input = Input::from_reader("t", Cursor::new(bytes.to_vec()));
    read(input, options).map_err(|error| assert!(!error.to_string().is_empty())).ok()
}

/// What a reader makes of `bytes` obeys the laws of every reader.
fn survive(bytes: &[u8], options: &Options) {
    let Some(mut reader) = open(bytes, options) else { return };
    let (header, mut rows, mut row) = (reader.header(), Vec::new(), TraceRow::default());
    // Every row takes a byte at least, so a reader that goes on for longer hangs.
    while matches!(reader.next_into(&mut row), Ok(true)) {
        rows.push(row.clone());
        assert!(rows.len() <= bytes.len(), "more rows than bytes");
    }
    assert!(matches!(reader.next_into(&mut row), Ok(false)), "a reader ends after its last row or an error");
    assert!(rows.is_sorted_by_key(|row| row.arrival), "arrivals go back");

    let mut writer = TraceWriter::new(Vec::new(), header).unwrap();
    for row in &rows {
        writer.write(row).unwrap();
    }
    let native = writer.finish().unwrap();
    let mut again = Vec::new();
    if let Some(mut reader) = open(&native, &Options::format("native"))
        && convert(reader.as_mut(), &mut again).is_ok()
    {
        assert!(again == native, "the native format changes what it reads");
        let stats = inspect(open(&native, &Options::default()).unwrap().as_mut()).unwrap();
        assert_eq!(stats.requests, rows.len() as u64);
        let text = stats.to_string();
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        // Names may hold any word.
        let numbers_only = stats.models.is_empty() && stats.kinds.is_empty();
        assert!(!numbers_only || !text.contains("NaN") && !text.contains("inf\n"), "{text}");
    } else {
        assert!(rows.is_empty(), "what was written cannot be read");
    }
}

/// About how long a test may take.
fn budget() -> Duration {
    let seconds = std::env::var("MIST_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs_f64(seconds.unwrap_or(2.0))
}

/// A run of two seconds draws the same cases every time; a longer one goes on from there.
#[test]
fn damaged_traces() {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let (strategy, start, mut cases) = (damaged(), Instant::now(), 0_u64);
    while cases < 100 || start.elapsed() < budget() {
        let (format, bytes) = strategy.new_tree(&mut runner).unwrap().current();
        let caught = std::panic::catch_unwind(|| {
            let started = Instant::now();
            survive(&bytes, &Options::default());
            survive(&bytes, &Options { format: Some(format), ..Options::default() });
            let ratio = (format == "sharegpt").then_some(1e-300);
            survive(&bytes, &Options { format: Some(format), chars_per_token: ratio, block_tokens: None });
            assert!(started.elapsed() < Duration::from_secs(10), "it takes too long");
        });
        let text = String::from_utf8_lossy(&bytes);
        assert!(caught.is_ok(), "case {cases}, a damaged {format} trace: {text:?}");
        cases += 1;
    }
    println!("{cases} damaged traces");
}

/// What was found wrong once, or by hand, in any format.
#[test]
fn what_was_found_once_is_refused_or_read() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/trace");
    for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let bytes = std::fs::read(&file).unwrap();
        println!("{}", file.display());
        let formats = FORMATS.iter().map(|format| Options::format(format.name));
        formats.chain([Options::default()]).for_each(|options| survive(&bytes, &options));
    }
}

/// A line, or an element, of four GiB: refused when it is longer than any row, which is soon.
#[test]
fn endless_lines() {
    for format in FORMATS {
        for start in ["", "[{\"conversations\":[{\"value\":\"", "{\"mist_trace\":1,\"a\":\""] {
            let endless = std::io::repeat(b'x').take(4 << 30);
            let input = Input::from_reader("t", Cursor::new(start.as_bytes().to_vec()).chain(endless));
            let started = Instant::now();
            let refused = read(input, &Options::format(format.name))
                .and_then(|mut reader| reader.next_into(&mut TraceRow::default()));
            assert!(refused.is_err(), "{}", format.name);
            assert!(started.elapsed() < Duration::from_secs(5), "{} reads on", format.name);
        }
    }
}
