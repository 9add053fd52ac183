//! The names of the tokens of one sequence, and comparing them page by page.

use smallvec::SmallVec;

use crate::request::Text;

/// Consecutive tokens with consecutive names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    first: u64,
    tokens: u32,
    /// Whether these are names that the cache gave, for tokens that are nobody else's.
    own: bool,
}

/// Parts one behind the other, none of which continues the one before it.
pub(super) type Parts = SmallVec<[Part; 1]>;

/// The names of all tokens that a sequence will ever have, those that it generates included.
#[derive(Clone, Debug, Default)]
pub struct Names {
    parts: SmallVec<[Part; 3]>,
}

impl Names {
    /// A prompt of `prompt` tokens, which `text` names as far as it goes, and `output` tokens behind it.
    /// `own` counts the names that were given to what is nobody else's.
    pub fn new(text: Option<&Text>, prompt: u32, output: u32, own: &mut u64) -> Self {
        let mut parts = SmallVec::new();
        let mut left = prompt;
        for run in text.map_or(&[][..], Text::runs) {
            let tokens = run.tokens.min(left);
            append(&mut parts, Part { first: run.first, tokens, own: false });
            left -= tokens;
        }
        let mut unique = |tokens: u32| {
            let first = *own;
            *own += u64::from(tokens);
            Part { first, tokens, own: true }
        };
        append(&mut parts, unique(left));
        let answer = match text.and_then(Text::answer) {
            Some(first) => Part { first, tokens: output, own: false },
            None => unique(output),
        };
        append(&mut parts, answer);
        Self { parts }
    }

    /// What is left behind the first `tokens` tokens.
    pub(super) fn from(&self, tokens: u32) -> Cursor<'_> {
        Cursor { parts: &self.parts, into: 0 }.behind(tokens)
    }
}

/// Names from some token on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    parts: &'a [Part],
    /// Tokens of the first part that are passed; fewer than it has.
    into: u32,
}

impl<'a> Cursor<'a> {
    /// All of `parts`.
    pub const fn over(parts: &'a [Part]) -> Self {
        Self { parts, into: 0 }
    }

    /// What is left behind the next `tokens` tokens.
    pub fn behind(mut self, mut tokens: u32) -> Self {
        while let Some((part, rest)) = self.parts.split_first() {
            let here = part.tokens - self.into;
            if tokens < here {
                self.into += tokens;
                break;
            }
            tokens -= here;
            (self.parts, self.into) = (rest, 0);
        }
        self
    }

    /// The rest of the first part.
    fn part(&self) -> Option<Part> {
        let part = self.parts.first()?;
        let first = part.first.wrapping_add(self.into.into());
        Some(Part { first, tokens: part.tokens - self.into, ..*part })
    }

    /// How many tokens this and `other` have in common from here on.
    pub fn common(mut self, mut other: Cursor<'_>) -> u32 {
        let mut tokens = 0;
        while let (Some(one), Some(two)) = (self.part(), other.part()) {
            if (one.first, one.own) != (two.first, two.own) {
                break;
            }
            let both = one.tokens.min(two.tokens);
            tokens += both;
            (self, other) = (self.behind(both), other.behind(both));
        }
        tokens
    }

    /// The next `tokens` tokens, at the end of `parts`.
    pub fn copy(mut self, mut tokens: u32, parts: &mut Parts) {
        while tokens > 0
            && let Some(part) = self.part()
        {
            let some = part.tokens.min(tokens);
            append(parts, Part { tokens: some, ..part });
            tokens -= some;
            self = self.behind(some);
        }
    }

    /// A number for the next `tokens` tokens, if there are as many: the same for the same names.
    pub fn page(mut self, mut tokens: u32) -> Option<u64> {
        let mut hash = 0;
        while tokens > 0 {
            let part = self.part()?;
            let some = part.tokens.min(tokens);
            for word in [part.first, u64::from(some) << 1 | u64::from(part.own)] {
                hash = mixed(hash ^ word);
            }
            tokens -= some;
            self = self.behind(some);
        }
        Some(hash)
    }
}

/// Drops the last `tokens` tokens.
pub(super) fn truncate(parts: &mut Parts, mut tokens: u32) {
    while tokens > 0
        && let Some(last) = parts.last_mut()
    {
        let some = last.tokens.min(tokens);
        last.tokens -= some;
        tokens -= some;
        if last.tokens == 0 {
            parts.pop();
        }
    }
}

fn append<A: smallvec::Array<Item = Part>>(parts: &mut SmallVec<A>, part: Part) {
    if part.tokens == 0 {
        return;
    }
    if let Some(last) = parts.last_mut()
        && last.own == part.own
        && last.first.wrapping_add(last.tokens.into()) == part.first
        && let Some(joined) = last.tokens.checked_add(part.tokens)
    {
        last.tokens = joined;
    } else {
        parts.push(part);
    }
}

/// Finaliser of `SplitMix64`: spreads the bits of a number.
const fn mixed(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(runs: &[(u64, u32)], prompt: u32, output: u32) -> Names {
        let mut text = Text::default();
        for (first, tokens) in runs {
            text.push(*first, *tokens);
        }
        Names::new(Some(&text), prompt, output, &mut 0)
    }

    #[test]
    fn a_text_is_cut_or_filled_up_to_the_prompt() {
        let one = names(&[(100, 10), (500, 10)], 15, 5);
        let two = names(&[(100, 10), (500, 3)], 15, 5);
        assert_eq!(one.from(0).common(two.from(0)), 13);
        assert_eq!(one.from(0).common(names(&[(100, 30)], 30, 1).from(0)), 10);
        assert_eq!(one.from(3).page(17).is_some(), one.from(3).page(18).is_none());
    }

    #[test]
    fn pages_are_told_apart_by_all_of_their_names() {
        let one = names(&[(100, 6), (500, 10)], 16, 1);
        let two = names(&[(100, 6), (500, 4), (900, 6)], 16, 1);
        let page = |names: &Names, from, tokens| names.from(from).page(tokens);
        assert_eq!(page(&one, 0, 8), page(&two, 0, 8));
        assert_eq!(page(&one, 2, 8), page(&two, 2, 8));
        assert_ne!(page(&one, 8, 8), page(&two, 8, 8));
        assert_ne!(page(&one, 0, 6), page(&one, 0, 7));
    }

    #[test]
    fn copies_and_cuts_are_exact() {
        let one = names(&[(100, 6), (500, 10)], 16, 4);
        let mut parts = Parts::new();
        one.from(2).copy(9, &mut parts);
        assert_eq!(one.from(2).common(Cursor::over(&parts)), 9);
        truncate(&mut parts, 6);
        assert_eq!(one.from(2).common(Cursor::over(&parts)), 3);
        one.from(5).copy(11, &mut parts);
        assert_eq!(one.from(2).common(Cursor::over(&parts)), 14, "what goes on is joined");
    }
}
