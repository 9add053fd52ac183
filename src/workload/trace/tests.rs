//! What every format must do: refuse hostile bytes, and survive the way through the native format.

use std::io::{Cursor, Read};
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::units::{SimSpan, SimTime};

/// All rows of a text in a format that its first line tells.
pub(super) fn rows_of(text: &str) -> Result<Vec<TraceRow>, String> {
    let input = Input::from_reader("t", Cursor::new(text.to_owned()));
    let reader = read(input, &Options::default()).map_err(|error| error.to_string())?;
    reader.collect::<Result<_, _>>().map_err(|error| error.to_string())
}

/// A small trace in each format, with all that the format can say.
const SAMPLES: [(&str, &str); 6] = [
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
         2025-11-16 18:15:50.9951690,3,396,109\r\n",
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
];

fn as_native(header: TraceHeader, rows: &[TraceRow]) -> String {
    let mut writer = TraceWriter::new(Vec::new(), header).unwrap();
    for row in rows {
        writer.write(row).unwrap();
    }
    String::from_utf8(writer.finish().unwrap()).unwrap()
}

fn reader(text: &str) -> Box<dyn TraceReader> {
    read(Input::from_reader("t", Cursor::new(text.to_owned())), &Options::default()).unwrap()
}

#[test]
fn every_format_is_recognised_and_comes_back_from_the_native_one() {
    assert_eq!(SAMPLES.map(|(name, _)| name), *FORMATS.iter().map(|f| f.name).collect::<Vec<_>>());
    for (name, text) in SAMPLES {
        let first = text.lines().next().unwrap();
        let recognised = FORMATS.iter().find(|format| (format.recognises)(first)).unwrap();
        assert_eq!(recognised.name, name);
        let (header, rows) = (reader(text).header(), rows_of(text).unwrap());
        assert_eq!(rows.len(), 2, "{name}");
        let native = as_native(header, &rows);
        assert_eq!(reader(&native).header(), header, "{name}");
        assert_eq!(rows_of(&native).unwrap(), rows, "{name}");
        assert_eq!(as_native(header, &rows), native, "{name}");
    }
}

#[test]
fn a_reused_row_keeps_nothing_of_the_row_before() {
    for (name, text) in SAMPLES {
        let (mut reader, mut row) = (reader(text), rows_of(SAMPLES[0].1).unwrap().remove(0));
        for expected in rows_of(text).unwrap() {
            assert!(reader.next_into(&mut row).unwrap());
            assert_eq!(row, expected, "{name}");
        }
        assert!(!reader.next_into(&mut row).unwrap());
    }
}

fn refusal(text: &'static str, options: &Options) -> String {
    read(Input::from_reader("t.csv", text.as_bytes()), options).err().unwrap().to_string()
}

#[test]
fn an_unknown_format_names_the_known_ones() {
    assert_eq!(
        refusal("x", &Options::format("azur")),
        "unknown trace format `azur`; known formats: `native`, `azure`, `burstgpt`, `bailian`, `mooncake`, \
         `sharegpt`"
    );
    let error = refusal("a,b\n1,2\n", &Options::default());
    assert!(
        error.starts_with("t.csv: no trace format fits its first line `a,b`; known formats: `native` (a")
    );
    assert_eq!(refusal("", &Options::default()), "t.csv holds no requests");
    assert_eq!(refusal("\r\n\n", &Options::format("azure")), "t.csv holds no requests");
}

#[test]
fn an_option_without_effect_is_refused() {
    let azure = "TIMESTAMP,ContextTokens,GeneratedTokens\n";
    let options = Options { block_tokens: Some(16), ..Options::default() };
    assert_eq!(refusal(azure, &options), "t.csv: block_tokens: the format `azure` does not use it");
    let options = Options { chars_per_token: Some(4.0), ..Options::format("mooncake") };
    assert_eq!(refusal("{}", &options), "t.csv: chars_per_token: the format `mooncake` does not use it");
    let options = Options { block_tokens: Some(0), ..Options::format("mooncake") };
    assert_eq!(refusal("{}", &options), "t.csv: block_tokens: must be 1 or more, found 0");
}

#[test]
fn a_missing_file_is_named() {
    let error = open(Path::new("/nonexistent/trace.csv"), None).err().unwrap().to_string();
    assert!(error.starts_with("cannot open /nonexistent/trace.csv: "), "{error}");
}

/// Reads all of `bytes` as `format`, or as what they look like, and checks the laws of a reader.
fn survive(bytes: impl Read + Send + Sync + 'static, format: Option<&str>) -> Option<String> {
    let options = Options { format, ..Options::default() };
    let mut reader = match read(Input::from_reader("t", bytes), &options) {
        Ok(reader) => reader,
        Err(error) => return Some(error.to_string()),
    };
    let (mut row, mut last) = (TraceRow::default(), SimTime::ZERO);
    loop {
        match reader.next_into(&mut row) {
            Ok(true) => {
                assert!(row.arrival >= last);
                last = row.arrival;
                let native = as_native(reader.header(), std::slice::from_ref(&row));
                assert_eq!(rows_of(&native).unwrap(), [row.clone()]);
            }
            Ok(false) => return None,
            Err(error) => {
                assert!(!reader.next_into(&mut row).unwrap(), "a reader ends after an error");
                return Some(error.to_string());
            }
        }
    }
}

/// Inputs that once are thought of stay thought of: each is read as every format.
const HOSTILE: [&str; 14] = [
    "{\"timestamp\":1e999,\"input_length\":1,\"output_length\":1}",
    "{\"timestamp\":-1e308,\"input_length\":1,\"output_length\":1}\n{\"timestamp\":1e308,\"input_length\":1,\"output_length\":1}",
    "{\"timestamp\":99999999999999999999999999,\"input_length\":1,\"output_length\":1}",
    "{\"timestamp\":-9223372036854775808,\"input_length\":1,\"output_length\":1}\n{\"timestamp\":18446744073709551615,\"input_length\":1,\"output_length\":1}",
    "{\"delay\":18446744073709551615,\"tool_wait_ms\":18446744073709551615,\"input_length\":1,\"output_length\":1}",
    "{\"delay\":18446744073709,\"tool_wait_ms\":18446744073709,\"input_length\":1,\"output_length\":1}",
    "{\"timestamp\":1,\"input_length\":1,\"output_length\":1,\"hash_ids\":[18446744073709551614,18446744073709551615]}",
    "{\"mist_trace\":1,\"block_tokens\":1}\n{\"arrival_ns\":0,\"prompt_tokens\":1,\"output_tokens\":1,\"blocks\":[[18446744073709551615,4294967295]]}",
    "{\"mist_trace\":1}\n{\"mist_trace\":1}",
    "{\"mist_trace\":18446744073709551616}",
    "TIMESTAMP,TIMESTAMP,ContextTokens,GeneratedTokens",
    "Timestamp,Request tokens,Response tokens\n-1e300,1,1\n1e300,1,1\nNaN,1,1",
    "[{\"conversations\":[{\"tokens\":-1},{\"tokens\":4294967296}]}]",
    "\u{feff}[{\"conversations\":\"\\ud800\"}]",
];

#[test]
fn hostile_files_are_errors() {
    for (name, _) in SAMPLES {
        for text in HOSTILE {
            survive(text.as_bytes(), Some(name));
            survive(text.as_bytes(), None);
        }
        // A line, or an element, without an end.
        let start = if name == "sharegpt" { "[{\"a\":" } else { "" };
        for byte in *b"[{\"x0 \\" {
            let endless = start.as_bytes().chain(std::io::repeat(byte).take(17 << 20));
            assert!(survive(endless, Some(name)).is_some(), "{name} {}", char::from(byte));
        }
        // Brackets as deep as a line may be long, where a value is expected and where it is ignored.
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = open.repeat(100_000) + "1" + &close.repeat(100_000);
            for key in ["hash_ids", "pipeline", "conversations", "ignored", "value"] {
                let element = format!("{{\"timestamp\":0,\"input_length\":1,\"{key}\":{deep}}}");
                let text = if name == "sharegpt" { format!("[{element}]") } else { element };
                assert!(survive(Cursor::new(text), Some(name)).is_some(), "{name} {key}");
            }
        }
    }
}

/// A sample with a few bytes changed, removed, repeated or inserted.
fn mutated() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let interesting =
        prop_oneof![any::<u8>(), prop::sample::select(b"{}[]\",:\\\n\r-.0123456789eE+ ".to_vec()),];
    let change = (any::<prop::sample::Index>(), 0..4_u8, interesting, 1..20_usize);
    (prop::sample::select(SAMPLES.to_vec()), prop::collection::vec(change, 1..8)).prop_map(
        |((name, text), changes)| {
            let mut bytes = text.as_bytes().to_vec();
            for (at, kind, byte, length) in changes {
                let at = at.index(bytes.len() + 1);
                let end = (at + length).min(bytes.len());
                match kind {
                    0 if at < bytes.len() => bytes[at] = byte,
                    1 => drop(bytes.drain(at..end)),
                    2 => {
                        let piece = bytes[at..end].to_vec();
                        bytes.splice(end..end, piece.repeat(3));
                    }
                    _ => bytes.insert(at, byte),
                }
            }
            (name, bytes)
        },
    )
}

/// More than usual; `PROPTEST_CASES=100000` makes it minutes.
fn many() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases.saturating_mul(8), ..usual }
}

proptest! {
    #![proptest_config(many())]
    #[test]
    fn no_mutation_makes_a_reader_panic((name, bytes) in mutated()) {
        survive(Cursor::new(bytes.clone()), Some(name));
        survive(Cursor::new(bytes), None);
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-z0-9]{1,6}", "[\"\\\\\u{0}-\u{1f}é😀/]{1,4}"]
}

prop_compose! {
    fn any_row()(
        gap in 0..1_000_000_000_000_u64, delay in any::<Option<u64>>(), tokens in any::<[u32; 3]>(),
        failed in any::<bool>(), answer in any::<Option<u64>>(), texts in [text(), text(), text(), text(), text()], turn in any::<Option<u32>>(),
        names in prop::collection::vec(text(), 0..3), branches in prop::collection::vec(text(), 0..2),
        runs in prop::collection::vec((0..u64::MAX / 2, 1..=u32::MAX), 0..6),
        stages in prop::collection::vec((text(), prop::sample::select(vec!["{}", "{\"k\": [1.50, null]}"])), 0..3),
    ) -> TraceRow {
        let [id, model, kind, session, parent] = texts;
        let mut blocks = Extents::default();
        for (first, length) in runs {
            blocks.push_run(first, length).unwrap();
        }
        TraceRow {
            arrival: SimTime::from_ns(gap),
            delay: delay.map(SimSpan::from_ns),
            prompt_tokens: tokens[0], output_tokens: tokens[1], images: tokens[2],
            failed, id, model, kind, session, turn, parent, wait_for: names, branches, blocks, answer,
            pipeline: stages.into_iter().map(|(stage, params)| StageRecord { stage, params: params.to_owned() }).collect(),
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_what_is_read(mut rows in prop::collection::vec(any_row(), 1..6), timed in any::<bool>()) {
        rows.sort_by_key(|row| row.arrival);
        if !timed {
            for row in &mut rows {
                row.arrival = SimTime::ZERO;
            }
        }
        let header = TraceHeader { block_tokens: Some(1), timed, foreign_models: false };
        let native = as_native(header, &rows);
        prop_assert_eq!(reader(&native).header(), header);
        prop_assert_eq!(rows_of(&native).unwrap(), rows);
    }
}
