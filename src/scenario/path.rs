//! Field paths as users write them: `workload[0].arrivals.rate`.

use std::ops::Range;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// What the step goes to.
    pub(super) to: To,
    /// The bytes of the path that say so, without the dot.
    pub(super) range: Range<usize>,
}

/// Where a step goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// The field of that name.
    Field(String),
    /// The element at that position, from zero.
    Index(usize),
}

/// Takes a path apart; an empty path has no steps.
///
/// # Errors
/// The bytes that make no sense.
pub(super) fn steps(path: &str) -> Result<Vec<Step>, Range<usize>> {
    let mut steps = Vec::new();
    let mut at = 0;
    while at < path.len() {
        let rest = &path[at..];
        if let Some(inside) = rest.strip_prefix('[') {
            let digits = inside.find(']').ok_or(at..path.len())?;
            let end = at + digits + 2;
            let index = inside[..digits].trim().parse().map_err(|_| at..end)?;
            steps.push(Step { to: To::Index(index), range: at..end });
            at = end;
        } else {
            let from = if steps.is_empty() { at } else { at + usize::from(rest.starts_with('.')) };
            let name = &path[from..];
            let name = &name[..name.find(['.', '[', ']']).unwrap_or(name.len())];
            let end = from + name.len();
            if name.is_empty() || (from == at && !steps.is_empty()) {
                return Err(at..path.len());
            }
            steps.push(Step { to: To::Field(name.to_owned()), range: from..end });
            at = end;
        }
    }
    Ok(steps)
}

/// What remains of `path` beyond `prefix`, if it starts with all of its steps.
pub(super) fn strip<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(prefix)?;
    match rest.chars().next() {
        None | Some('[') => Some(rest),
        Some('.') => Some(&rest[1..]),
        Some(_) => prefix.is_empty().then_some(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_apart() {
        let path = "workload[0].arrivals.rate";
        let steps = steps(path).unwrap();
        let parts: Vec<&str> = steps.iter().map(|step| &path[step.range.clone()]).collect();
        assert_eq!(parts, ["workload", "[0]", "arrivals", "rate"]);
        assert_eq!(steps[1].to, To::Index(0));
    }

    #[test]
    fn nonsense_is_pointed_at() {
        for (path, fault) in
            [("a..b", 1..4), ("a[x].b", 1..4), ("a[0", 1..3), ("a[0]b", 4..5), ("a.", 1..2), ("]", 0..1)]
        {
            assert_eq!(steps(path), Err(fault), "{path}");
        }
        assert_eq!(steps(""), Ok(vec![]));
    }

    #[test]
    fn prefixes_end_at_a_step() {
        assert_eq!(strip("a[0].b.c", "a[0].b"), Some("c"));
        assert_eq!(strip("a[0].b[1]", "a[0].b"), Some("[1]"));
        assert_eq!(strip("a[0].bc", "a[0].b"), None);
        assert_eq!(strip("a", "a"), Some(""));
        assert_eq!(strip("a", ""), Some("a"));
    }
}
