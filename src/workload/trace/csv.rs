//! Columns of a comma-separated file, found by the names in its header.
//!
//! Published traces hold numbers and timestamps only, so a line is a row: quotes around a field
//! are dropped, a comma or a line break inside quotes is not supported. That bounds a row by
//! [`Lines::LONGEST`](super::Lines::LONGEST) bytes, which an unclosed quote would not.

use super::BadRow;

/// Where the `N` wanted columns are.
#[derive(Clone, Debug)]
pub struct Columns<const N: usize> {
    /// For each column of the file, which of the wanted ones it is.
    wanted: Vec<Option<usize>>,
}

impl<const N: usize> Columns<N> {
    /// Finds `names` in a header, whatever their order and case; other columns are ignored. Of the
    /// names, the last `optional` may be missing: their fields are then empty.
    ///
    /// # Errors
    /// The first name that the header lacks or has twice.
    pub fn find(names: [&'static str; N], optional: usize, header: &str) -> Result<Self, BadRow> {
        let wanted: Vec<_> = header
            .split(',')
            .map(|column| names.iter().position(|name| name.eq_ignore_ascii_case(unquoted(column))))
            .collect();
        for (index, name) in names.iter().enumerate() {
            match wanted.iter().filter(|found| **found == Some(index)).count() {
                1 => {}
                0 if index + optional >= N => {}
                0 => return Err(BadRow::new(format!("the header has no column `{name}`"))),
                _ => return Err(BadRow::new(format!("the header has column `{name}` twice"))),
            }
        }
        Ok(Self { wanted })
    }

    /// The wanted fields of a row, in the order of the names.
    ///
    /// # Errors
    /// The row has another number of fields than the header.
    pub fn pick<'a>(&self, line: &'a str) -> Result<[&'a str; N], BadRow> {
        let mut fields = line.split(',');
        let mut picked = [""; N];
        for wanted in &self.wanted {
            let Some(field) = fields.next() else { return Err(self.uneven(line)) };
            if let Some(index) = wanted {
                picked[*index] = unquoted(field);
            }
        }
        if fields.next().is_some() { Err(self.uneven(line)) } else { Ok(picked) }
    }

    fn uneven(&self, line: &str) -> BadRow {
        BadRow::new(format!("{} fields where the header has {}", line.split(',').count(), self.wanted.len()))
    }
}

/// A field without the space and the pair of quotes around it.
fn unquoted(field: &str) -> &str {
    let field = field.trim_ascii();
    field.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name() {
        let columns = Columns::find(["a", "B"], 0, "x, \"b\" ,A").unwrap();
        assert_eq!(columns.pick("1,2,\"3\"").unwrap(), ["3", "2"]);
        assert_eq!(columns.pick("1,2"), Err(BadRow::new("2 fields where the header has 3")));
        assert_eq!(columns.pick("1,2,3,"), Err(BadRow::new("4 fields where the header has 3")));
    }

    #[test]
    fn an_optional_column_may_be_missing() {
        let columns = Columns::find(["a", "b", "c"], 2, "c,a").unwrap();
        assert_eq!(columns.pick("1,2").unwrap(), ["2", "", "1"]);
        assert!(Columns::find(["a", "b"], 1, "b").is_err() && Columns::find(["a", "b"], 1, "b,b,a").is_err());
    }

    #[test]
    fn a_missing_or_doubled_column_is_named() {
        let find = |header| Columns::find(["a", "b"], 0, header).err().unwrap();
        assert_eq!(find("a,c"), BadRow::new("the header has no column `b`"));
        assert_eq!(find("b,a,A"), BadRow::new("the header has column `a` twice"));
    }
}
