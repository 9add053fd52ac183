//! Text files, read whole, with a bound on what a hostile one can claim: a device never ends.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The longest text that is read whole, in bytes.
pub(crate) const MOST_BYTES: u64 = 16 << 20;

/// What some editors put before a text; it means nothing.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The text in the file at `path`.
///
/// # Errors
/// It cannot be read, is longer than [`MOST_BYTES`] or is not UTF-8.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(io::Error::other(format!("longer than {} MiB", MOST_BYTES >> 20)));
    }
    if text.starts_with(BYTE_ORDER_MARK) {
        text.remove(0);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_no_text() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "\u{feff}(mist: 1)").unwrap();
        assert_eq!(read(file.path()).unwrap(), "(mist: 1)");
    }

    #[test]
    fn what_is_too_long_is_refused_and_not_held() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(MOST_BYTES).unwrap();
        assert_eq!(read(file.path()).unwrap().len() as u64, MOST_BYTES);
        file.as_file().set_len(1 << 40).unwrap();
        assert_eq!(read(file.path()).unwrap_err().to_string(), "longer than 16 MiB");
    }
}
