//! What operations on text cost on one core.
//!
//! Each costs a fixed part and a part for each token, as the MIST paper has it (§IV-A4: linear in the
//! length, or fixed, extrapolated from measured runtimes). A token is about four characters of English.
//!
//! | operation | fixed | per token | where it comes from |
//! |---|---|---|---|
//! | normalise | 0 | 70 ns | measured: NFKC, lower case, typographic quotes and runs of blanks, in Python's `unicodedata` and `re` |
//! | tokenise | 0 | 1.1 us | Hugging Face `tokenizers` on one core; also 1.1 s for 4 MB, about 10⁶ tokens, in C. Xu, *3.3x faster Hugging Face tokenizers for single sequence* (2025), and 1.6 s for the 6.5 MB of `big.txt` in the project's `tokenizers-bench` |
//! | pad | 0 | 2 ns | measured: a Python list of ids made longer |
//! | truncate | 0 | 0.5 ns | measured: a slice of it |
//! | augment | 1 ms | 0 | assumed: a template filled in and one look-up in a store in the same data centre |
//! | enhance | 0 | 1.6 us | `mistune` renders 4,450 bytes of Markdown in 1.77 ms, in the benchmarks of `multimark`; citations and links taken to cost as much |
//! | detokenise | 0 | 88 ns | measured: `Tokenizer.decode` of `tokenizers`; tiktoken takes 21 ns on an Apple core |
//!
//! Measured: the best of 15 runs on one core of an AMD EPYC server, 400 to 40,000 characters of English
//! documentation, Python 3.11, `tokenizers` 0.23 with a byte-level BPE of 50,000 entries. There,
//! tokenising took 1.1 us a token up to 1,000 tokens and 1.6 us at 10,000, as its cache fills up.
//! tiktoken tokenises about five times as fast (5.1 million tokens a second on an Apple core).
//!
//! Left out: the interpreter's and the queue's own overhead, contention for memory bandwidth, languages
//! other than English, tokenising one text on several cores.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Span;

/// What one operation costs on one core.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// What it costs however long the text is. Default: `ns(0)`.
    #[serde(default = "nothing")]
    pub fixed: Span,
    /// What each token costs. Default: `ns(0)`.
    #[serde(default = "nothing")]
    pub per_token: Span,
}

const fn nothing() -> Span {
    Span::from_secs(0.0)
}

impl Cost {
    /// A cost of `fixed_s`, and `per_token_s` for each token (s).
    pub const fn new(fixed_s: f64, per_token_s: f64) -> Self {
        Self { fixed: Span::from_secs(fixed_s), per_token: Span::from_secs(per_token_s) }
    }

    /// What `tokens` cost (s).
    pub fn of(&self, tokens: u32) -> f64 {
        self.fixed.as_secs() + f64::from(tokens) * self.per_token.as_secs()
    }
}

/// What operations on text cost on one core. Defaults: measured or published figures of Python
/// libraries where there are any.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TextCosts {
    /// Normalising text, by token of the text. Default: 70 ns a token.
    pub normalize: Cost,
    /// Tokenising, by token it gives. Default: 1.1 us a token, as Hugging Face `tokenizers`; tiktoken
    /// takes 0.2.
    pub tokenize: Cost,
    /// Padding, by token of the padded prompt. Default: 2 ns a token.
    pub pad: Cost,
    /// Truncating, by token that is kept. Default: 0.5 ns a token.
    pub truncate: Cost,
    /// Adding to the prompt, by token that is added. Default: 1 ms, however many; assumed.
    pub augment: Cost,
    /// Enhancing an answer, by token of it. Default: 1.6 us a token, as Markdown to HTML in Python.
    pub enhance: Cost,
    /// Detokenising, by token of the answer. Default: 88 ns a token, as Hugging Face `tokenizers`.
    pub detokenize: Cost,
}

impl Default for TextCosts {
    fn default() -> Self {
        Self {
            normalize: Cost::new(0.0, 70e-9),
            tokenize: Cost::new(0.0, 1.1e-6),
            pad: Cost::new(0.0, 2e-9),
            truncate: Cost::new(0.0, 0.5e-9),
            augment: Cost::new(1e-3, 0.0),
            enhance: Cost::new(0.0, 1.6e-6),
            detokenize: Cost::new(0.0, 88e-9),
        }
    }
}
