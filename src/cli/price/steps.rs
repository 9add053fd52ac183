//! A step as it is written on the command line: prompts, pieces of prompts, decoding sequences.

use crate::cli::failure::Failure;
use crate::runtime::Chunk;
use crate::scenario::Problem;

pub(super) type Steps = (Vec<Chunk>, Vec<(u32, u32)>);

/// The chunks and the decoding sequences (how many, tokens each).
pub(super) fn steps(prefill: &[String], decode: &[String]) -> Result<Steps, Failure> {
    let mut problems = Vec::new();
    let mut chunks = Vec::new();
    for written in prefill {
        match chunk(written) {
            Some((count, chunk)) => chunks.extend(std::iter::repeat_n(chunk, count as usize)),
            None => problems.push(
                Problem::new("", format!("`--prefill {written}` is no prompt")).help(
                    "write its tokens, `2048`; those behind a cached prefix, `512@8192`; several alike, `4x512@8192`",
                ),
            ),
        }
    }
    let mut decodes = Vec::new();
    for written in decode {
        match decoding(written) {
            Some(found) => decodes.push(found),
            None => problems.push(
                Problem::new("", format!("`--decode {written}` is no batch")).help(number(written).map_or_else(
                    || "write how many sequences and the tokens each attends to: `64x4096`".to_owned(),
                    |tokens| {
                        format!(
                            "write `1x{tokens}` for one sequence that attends to {tokens} tokens, `{tokens}xTOKENS` for \
                             {tokens} sequences"
                        )
                    },
                )),
            ),
        }
    }
    if problems.is_empty() && chunks.is_empty() && decodes.is_empty() {
        let help = "add `--prefill 2048`, `--decode 64x4096` or both";
        problems.push(Problem::new("", "a step without tokens costs nothing").help(help));
    }
    if problems.is_empty() { Ok((chunks, decodes)) } else { Err(Failure::Values(problems)) }
}

/// Most tokens and sequences that are taken at their word.
const MOST: u32 = 1 << 24;

fn number(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|number| (1..=MOST).contains(number))
}

fn counted(text: &str) -> Option<(u32, &str)> {
    match text.split_once(['x', '×']) {
        Some((count, each)) => Some((number(count).filter(|count| *count <= 1 << 16)?, each)),
        None => Some((1, text)),
    }
}

fn chunk(text: &str) -> Option<(u32, Chunk)> {
    let (count, each) = counted(text)?;
    let (tokens, context) = match each.split_once('@') {
        Some((tokens, "0")) => (tokens, 0),
        Some((tokens, context)) => (tokens, number(context)?),
        None => (each, 0),
    };
    Some((count, Chunk { tokens: number(tokens)?, context, last: true }))
}

fn decoding(text: &str) -> Option<(u32, u32)> {
    // A number alone may mean either.
    let (count, each) = counted(text).filter(|_| text.contains(['x', '×']))?;
    Some((count, number(each)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_as_they_are_written() {
        let of = |tokens, context| Chunk { tokens, context, last: true };
        assert_eq!(chunk("2048"), Some((1, of(2048, 0))));
        assert_eq!(chunk("4x512@8192"), Some((4, of(512, 8192))));
        assert_eq!(chunk("512@0"), Some((1, of(512, 0))));
        assert_eq!(decoding("64x4096"), Some((64, 4096)));
        assert_eq!((decoding("1x100"), decoding("100")), (Some((1, 100)), None));
        for wrong in ["", "0", "x5", "512@", "-3", "1e9", "99999999999", "0x5"] {
            assert_eq!((chunk(wrong), decoding(wrong)), (None, None), "{wrong}");
        }
    }
}
