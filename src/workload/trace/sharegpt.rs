//! Lengths of the conversations of ShareGPT.
//!
//! One JSON array of `{"id", "conversations": [{"from", "value"}, …]}`, read element by element. As in
//! `vllm bench serve --dataset-name sharegpt` a request is the first exchange of a conversation: its
//! first message is the prompt, its second the output, and a conversation with fewer is left out. No
//! conversation is left out for its length, and there are no arrivals.
//!
//! MIST has no tokenizer: tokens are a message's `tokens`, a number that a file tokenized beforehand
//! has beside `value`, or else its characters (Unicode scalar values) over a ratio that the user must
//! declare, rounded to the nearest and at least 1 for a message that is not empty. About 4 characters a
//! token is usual for English text; the true ratio depends on tokenizer and language.

use std::fmt;

use serde::de::{Error, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::elements::Elements;
use super::json::{Label, copy, parse};
use super::{BadRow, Format, Input, Options, TraceHeader, TraceReader, TraceRow};
use crate::workload::SourceError;

/// The format's entry.
pub(super) const FORMAT: Format = Format {
    name: "sharegpt",
    recognised_by: "a JSON array of conversations",
    recognises: |first_line| first_line.trim_ascii_start().starts_with('['),
    options: &["chars_per_token"],
    open,
};

fn open(input: Input, options: &Options) -> Result<Box<dyn TraceReader>, SourceError> {
    let path = input.path().to_owned();
    if let Some(ratio) = options.chars_per_token
        && !(ratio.is_finite() && ratio > 0.0)
    {
        let what = format!("chars_per_token: must be finite and above 0, found {ratio}");
        return Err(SourceError::Option { path, what });
    }
    let elements = input.into_elements();
    Ok(Box::new(ShareGpt { elements, chars_per_token: options.chars_per_token, any: false, over: false }))
}

struct ShareGpt {
    elements: Elements,
    chars_per_token: Option<f64>,
    /// Whether there was a request.
    any: bool,
    over: bool,
}

#[derive(Deserialize)]
struct Conversation<'a> {
    #[serde(borrow)]
    id: Option<Label<'a>>,
    #[serde(default)]
    conversations: Exchange,
}

/// The first two messages of a conversation; what follows is skipped, so that it takes no memory.
#[derive(Default)]
struct Exchange([Option<Message>; 2]);

impl<'de> Deserialize<'de> for Exchange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Messages;
        impl<'de> Visitor<'de> for Messages {
            type Value = Exchange;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of messages")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut messages: A) -> Result<Exchange, A::Error> {
                let exchange = Exchange([messages.next_element()?, messages.next_element()?]);
                while messages.next_element::<IgnoredAny>()?.is_some() {}
                Ok(exchange)
            }
        }
        deserializer.deserialize_seq(Messages)
    }
}

#[derive(Deserialize)]
struct Message {
    value: Option<Chars>,
    tokens: Option<u32>,
}

/// The length of a text, in characters.
#[derive(Clone, Copy)]
struct Chars(u64);

impl<'de> Deserialize<'de> for Chars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Count;
        impl Visitor<'_> for Count {
            type Value = Chars;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Chars, E> {
                Ok(Chars(text.chars().count() as u64))
            }
        }
        deserializer.deserialize_str(Count)
    }
}

impl ShareGpt {
    fn read(&mut self, row: &mut TraceRow) -> Result<bool, SourceError> {
        loop {
            let Some(element) = self.elements.next()? else {
                return if self.any {
                    Ok(false)
                } else {
                    Err(self.elements.error("no conversation with an answer"))
                };
            };
            row.clear();
            match fill(element, self.chars_per_token, row) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(BadRow(what)) => return Err(self.elements.error(what)),
            }
        }
    }
}

/// Makes `row` the first exchange of a conversation, if it has one.
fn fill(element: &str, chars_per_token: Option<f64>, row: &mut TraceRow) -> Result<bool, BadRow> {
    let conversation: Conversation = parse(element)?;
    let Exchange([Some(prompt), Some(output)]) = &conversation.conversations else { return Ok(false) };
    row.prompt_tokens = prompt.tokens(chars_per_token)?;
    row.output_tokens = output.tokens(chars_per_token)?;
    copy(conversation.id.as_ref(), &mut row.id);
    Ok(true)
}

impl Message {
    fn tokens(&self, chars_per_token: Option<f64>) -> Result<u32, BadRow> {
        match (self.tokens, self.value, chars_per_token) {
            (Some(tokens), ..) => Ok(tokens),
            (None, Some(Chars(0)), Some(_)) => Ok(0),
            // The cast saturates, and no element is that long.
            (None, Some(Chars(chars)), Some(ratio)) => Ok((chars as f64 / ratio + 0.5).max(1.0) as u32),
            (None, Some(_), None) => Err(BadRow::new(
                "a message without `tokens`: declare `chars_per_token`, or count the tokens beforehand",
            )),
            (None, None, _) => Err(BadRow::new("a message with neither `value` nor `tokens`")),
        }
    }
}

impl TraceReader for ShareGpt {
    fn header(&self) -> TraceHeader {
        TraceHeader { block_tokens: None, timed: false, foreign_models: false }
    }

    fn next_into(&mut self, row: &mut TraceRow) -> Result<bool, SourceError> {
        if self.over {
            return Ok(false);
        }
        let read = self.read(row);
        self.any |= matches!(read, Ok(true));
        self.over = !matches!(read, Ok(true));
        read
    }

    fn error(&self, what: String) -> SourceError {
        self.elements.error(what)
    }
}

#[cfg(test)]
mod tests {
    use crate::workload::trace::{Input, Options, TraceRow, read};

    const TEXT: &str = "[\n{\"id\": \"QWJ_0\", \"conversations\": [{\"from\": \"human\", \"value\": \
        \"Où est\\u00e9 le \\\"chat\\\"?\"}, {\"from\": \"gpt\", \"value\": \"x\"}, {\"from\": \"human\", \
        \"value\": \"!\"}]},\n{\"id\": \"lonely\", \"conversations\": [{\"from\": \"gpt\", \"value\": \"?\"}]},\n\
        {\"id\": \"c\", \"conversations\": [{\"from\": \"human\", \"value\": \"\"}, \
        {\"from\": \"gpt\", \"value\": \"abcdefgh\", \"tokens\": 3}]}\n]";

    fn rows(chars_per_token: Option<f64>) -> Result<Vec<TraceRow>, String> {
        let options = Options { chars_per_token, ..Options::default() };
        let reader = read(Input::from_reader("t", TEXT.as_bytes()), &options).map_err(|e| e.to_string())?;
        assert!(!reader.header().timed);
        reader.collect::<Result<_, _>>().map_err(|error| error.to_string())
    }

    #[test]
    fn a_request_is_the_first_exchange() {
        // 19 characters over 4, 1 over 4; an empty prompt, a counted output.
        let rows = rows(Some(4.0)).unwrap();
        let lengths: Vec<_> = rows.iter().map(|row| (row.prompt_tokens, row.output_tokens)).collect();
        assert_eq!(lengths, [(5, 1), (0, 3)]);
        assert_eq!(rows[0].id, "QWJ_0");
    }

    #[test]
    fn text_without_a_ratio_is_refused() {
        assert_eq!(
            rows(None).unwrap_err(),
            "t:2: a message without `tokens`: declare `chars_per_token`, or count the tokens beforehand"
        );
        assert_eq!(rows(Some(0.0)).unwrap_err(), "t: chars_per_token: must be finite and above 0, found 0");
    }
}
