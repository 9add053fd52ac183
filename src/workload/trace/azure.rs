//! The Azure LLM inference traces of 2023 and 2024, and the multimodal one of 2025.
//!
//! CSV with the columns `TIMESTAMP` (UTC; 2023 has seven fractional digits, 2024 an offset),
//! `ContextTokens` (prompt), `GeneratedTokens` (output) and, in 2025, `NumImages`, in any order, ended
//! by LF or CRLF; other columns are ignored. Source: <https://github.com/Azure/AzurePublicDataset>,
//! CC-BY-4.0.

use super::{
    BadRow, Columns, Format, Input, Options, RowParser, Rows, TraceHeader, TraceReader, TraceRow,
    parse_instant_ns,
};
use crate::workload::SourceError;

/// The format's entry.
pub(super) const FORMAT: Format = Format {
    name: "azure",
    recognised_by: "a header with TIMESTAMP, ContextTokens, GeneratedTokens",
    recognises: |first_line| columns(first_line).is_ok(),
    options: &[],
    open,
};

const COLUMNS: [&str; 4] = ["TIMESTAMP", "ContextTokens", "GeneratedTokens", "NumImages"];

fn columns(header: &str) -> Result<Columns<4>, BadRow> {
    Columns::find(COLUMNS, 1, header)
}

fn open(input: Input, _: &Options) -> Result<Box<dyn TraceReader>, SourceError> {
    let mut lines = input.into_lines();
    let header = lines.next_line()?.unwrap_or_default();
    match columns(header) {
        Ok(columns) => {
            let header = TraceHeader { block_tokens: None, timed: true, foreign_models: false };
            Ok(Box::new(Rows::new(lines, header, Azure { columns })))
        }
        Err(BadRow(what)) => Err(lines.error(what)),
    }
}

struct Azure {
    columns: Columns<4>,
}

impl RowParser for Azure {
    const CLOCK: &'static str = COLUMNS[0];

    fn parse(&mut self, line: &str, row: &mut TraceRow) -> Result<Option<i128>, BadRow> {
        let [timestamp, prompt, output, images] = self.columns.pick(line)?;
        let instant_ns = parse_instant_ns(timestamp).ok_or_else(|| {
            BadRow::column(COLUMNS[0], timestamp, "a timestamp such as 2023-11-16 18:15:46.6805900")
        })?;
        row.prompt_tokens = BadRow::tokens(COLUMNS[1], prompt)?;
        row.output_tokens = BadRow::tokens(COLUMNS[2], output)?;
        if !images.is_empty() {
            row.images =
                images.parse().map_err(|_| BadRow::column(COLUMNS[3], images, "a number of images"))?;
        }
        Ok(Some(instant_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::SimTime;
    use crate::workload::trace::read;
    use proptest::prelude::*;

    const HEADER: &str = "TIMESTAMP,ContextTokens,GeneratedTokens\n";

    fn rows(text: &str) -> Result<Vec<TraceRow>, String> {
        let input = Input::from_reader("t.csv", std::io::Cursor::new(text.to_owned()));
        let reader = read(input, &Options::format("azure")).map_err(|error| error.to_string())?;
        reader.collect::<Result<_, _>>().map_err(|error| error.to_string())
    }

    fn refusal(rows_text: &str) -> String {
        rows(&format!("{HEADER}{rows_text}")).unwrap_err()
    }

    #[test]
    fn reads_columns_by_name_whatever_the_line_endings() {
        let expected = [
            TraceRow { prompt_tokens: 374, output_tokens: 44, ..TraceRow::default() },
            TraceRow { arrival: SimTime::from_ns(4_314_579_000), ..TraceRow::default() },
        ];
        let published = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n\
            2023-11-16 18:15:46.6805900,374,44\r\n2023-11-16 18:15:50.9951690,0,0";
        assert_eq!(rows(published).unwrap(), expected);
        let shuffled = "GeneratedTokens,note,TIMESTAMP,ContextTokens\n\
            44,x,2023-11-16 18:15:46.680590+00:00,374\n0,y,2023-11-16 18:15:50.995169+00:00,0\n\n";
        assert_eq!(rows(shuffled).unwrap(), expected);
    }

    #[test]
    fn images_of_the_multimodal_trace_are_counted() {
        let text = "TIMESTAMP,NumImages,ContextTokens,GeneratedTokens\n2025-01-01 00:00:00,3,1500,20\n";
        let expected = TraceRow { images: 3, prompt_tokens: 1500, output_tokens: 20, ..TraceRow::default() };
        assert_eq!(rows(text).unwrap(), [expected]);
        assert!(rows(&text.replace(",3,", ",x,")).unwrap_err().contains("column `NumImages`"));
    }

    #[test]
    fn a_malformed_row_names_line_column_and_what_was_found() {
        let good = "2023-11-16 18:15:46.6805900,374,44\n";
        assert_eq!(
            refusal(&format!("{good}{good}\n2023-11-16 18:15:47,12.5,1\n")),
            "t.csv:5: column `ContextTokens`: expected a whole number of tokens, 0 to 4294967295, found `12.5`"
        );
        assert_eq!(
            refusal("2023-11-16 18:15:47,12,-1\n"),
            "t.csv:2: column `GeneratedTokens`: expected a whole number of tokens, 0 to 4294967295, found `-1`"
        );
        assert_eq!(
            refusal("noon,12,1\n"),
            "t.csv:2: column `TIMESTAMP`: expected a timestamp such as 2023-11-16 18:15:46.6805900, \
             found `noon`"
        );
        assert_eq!(refusal("2023-11-16 18:15:47,12\n"), "t.csv:2: 2 fields where the header has 3");
    }

    #[test]
    fn order_is_checked_and_ties_are_fine() {
        let at = |second: u32| format!("2023-11-16 18:15:{second},1,1\n");
        assert_eq!(rows(&[HEADER, &at(20), &at(20), &at(30)].concat()).unwrap().len(), 3);
        let early = "column `TIMESTAMP`: earlier than the row before; sort the trace by `TIMESTAMP`";
        assert_eq!(refusal(&[at(20), at(30), at(25)].concat()), format!("t.csv:4: {early}"));
        assert_eq!(refusal(&[at(20), at(10)].concat()), format!("t.csv:3: {early}"));
        assert_eq!(
            refusal("1000-01-01 00:00:00,1,1\n2000-01-01 00:00:00,1,1"),
            "t.csv:3: column `TIMESTAMP`: more than 584 years after the first row"
        );
    }

    #[test]
    fn a_file_without_rows_or_columns_says_so() {
        assert_eq!(refusal(""), "t.csv holds no requests");
        assert_eq!(
            rows("TIMESTAMP,ContextTokens\n").unwrap_err(),
            "t.csv:1: the header has no column `GeneratedTokens`"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_go_on_after_an_error(
            noise in proptest::collection::vec(any::<u8>(), 0..200),
            text in "[0-9:,. \\-\"+\r\nZT]{0,200}",
            with_header in any::<bool>(),
        ) {
            let mut bytes = if with_header { HEADER.as_bytes().to_vec() } else { Vec::new() };
            bytes.extend_from_slice(text.as_bytes());
            bytes.extend_from_slice(&noise);
            let mut last = SimTime::ZERO;
            let input = Input::from_reader("t.csv", std::io::Cursor::new(bytes));
            if let Ok(mut reader) = read(input, &Options::format("azure")) {
                while let Some(Ok(row)) = reader.next() {
                    prop_assert!(row.arrival >= last);
                    last = row.arrival;
                }
                prop_assert!(reader.next().is_none());
            }
        }

        #[test]
        fn what_is_written_is_what_is_read(rows_in in proptest::collection::vec(
            (0..86_400_u32, any::<u32>(), any::<u32>()), 1..50,
        )) {
            let mut sorted = rows_in;
            sorted.sort_unstable();
            let mut text = HEADER.to_owned();
            for (second, prompt, output) in &sorted {
                let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
                let day = format!("2023-11-16 {hour:02}:{minute:02}:{second:02}.0000001");
                text.extend([day, format!(",{prompt},{output}\r\n")]);
            }
            let expected: Vec<_> = sorted.iter().map(|&(second, prompt_tokens, output_tokens)| TraceRow {
                arrival: SimTime::from_ns(u64::from(second - sorted[0].0) * 1_000_000_000),
                prompt_tokens,
                output_tokens,
                ..TraceRow::default()
            }).collect();
            prop_assert_eq!(rows(&text).unwrap(), expected);
        }
    }
}
