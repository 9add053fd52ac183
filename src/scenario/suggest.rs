//! "Did you mean": the nearest of the names that are allowed.

/// Names listed in full in a message; beyond that only the nearest are shown.
const LISTED: usize = 16;

/// How a guess begins.
pub(super) const GUESS: &str = "did you mean `";

/// No name is longer (bytes), and comparing takes time.
const LONGEST: usize = 200;

/// What to say about a name that is not among `allowed`: the nearest one, and the list.
///
/// ```
/// let help = mist::scenario::did_you_mean("RoundRobbin", ["Random", "RoundRobin"]);
/// assert_eq!(help, "did you mean `RoundRobin`? Allowed: `Random`, `RoundRobin`");
/// ```
pub fn did_you_mean<'a>(found: &str, allowed: impl IntoIterator<Item = &'a str>) -> String {
    let mut allowed: Vec<(f64, &str)> =
        allowed.into_iter().map(|name| (likeness(found, name), name)).collect();
    if allowed.is_empty() {
        return "none are allowed here".into();
    }
    let closer = |a: &(f64, &str), b: &(f64, &str)| {
        a.0.total_cmp(&b.0).then_with(|| kinship(found, a.1).cmp(&kinship(found, b.1)))
    };
    let nearest = allowed.iter().copied().max_by(closer);
    // Of short names, half of whose letters are others, a guess would be one in vain.
    let close = |name: &str| edits(found, name) < 2 || plain(name).starts_with(&plain(found));
    let near = |(likeness, name): &(f64, &str)| *likeness > 0.5 || *likeness >= 0.5 && close(name);
    let nearest = nearest.filter(near);
    let equals = allowed.iter().filter(|name| nearest.is_some_and(|nearest| closer(name, &nearest).is_eq()));
    let equals: Vec<&str> = equals.map(|(_, name)| *name).take(3).collect();
    let guess =
        if equals.is_empty() { String::new() } else { format!("{GUESS}{}`? ", equals.join("` or `")) };
    let total = allowed.len();
    let label = if total > LISTED {
        allowed.sort_by(|a, b| b.0.total_cmp(&a.0));
        allowed.truncate(LISTED / 2);
        "Nearest"
    } else {
        "Allowed"
    };
    let names: Vec<String> = allowed.iter().map(|(_, name)| format!("`{name}`")).collect();
    let rest = if total > allowed.len() { format!(" of {total}") } else { String::new() };
    format!("{guess}{label}: {}{rest}", names.join(", "))
}

/// The name that a help from [`did_you_mean`] guesses, if it is one alone.
pub(super) fn suggested(help: &str) -> Option<&str> {
    help.strip_prefix(GUESS)?.split_once("`?").map(|(name, _)| name).filter(|name| !name.contains('`'))
}

/// Tells names apart that are equally alike: the same letters in another order are a slip of the
/// fingers, and most slips come late in a word.
fn kinship(found: &str, name: &str) -> (bool, usize) {
    let letters = |text: &str| {
        let mut letters: Vec<char> = text.to_lowercase().chars().collect();
        letters.sort_unstable();
        letters
    };
    let common = found.chars().zip(name.chars()).take_while(|(a, b)| a == b).count();
    (letters(found) == letters(name), common)
}

/// A name without case and separators.
fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Slips of the fingers between two names, whatever their case and separators.
fn edits(found: &str, name: &str) -> usize {
    strsim::osa_distance(&plain(found), &plain(name))
}

/// How alike two names are, 0 to 1, whatever their case and separators.
fn likeness(found: &str, name: &str) -> f64 {
    if found.len() > LONGEST {
        return 0.0;
    }
    let edits = edits(found, name) as f64;
    let (found, name) = (plain(found), plain(name));
    let longer = found.chars().count().max(name.chars().count()).max(1);
    let part = found.len() >= 3 && name.contains(&found);
    (1.0 - edits / longer as f64).max(if part { 0.6 } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_and_all_are_listed() {
        assert_eq!(
            did_you_mean("posson", ["Poisson", "Uniform"]),
            "did you mean `Poisson`? Allowed: `Poisson`, `Uniform`"
        );
        assert_eq!(did_you_mean("zzz", ["Poisson", "Uniform"]), "Allowed: `Poisson`, `Uniform`");
        assert_eq!(did_you_mean("zzz", []), "none are allowed here");
    }

    #[test]
    fn short_names_with_little_in_common_are_no_guess() {
        assert_eq!(did_you_mean("max", ["median", "mean"]), "Allowed: `median`, `mean`");
        assert_eq!(suggested(&did_you_mean("men", ["median", "mean"])), Some("mean"));
        assert_eq!(suggested(&did_you_mean("c", ["rate", "cv"])), Some("cv"));
    }

    #[test]
    fn equals_are_all_suggested() {
        let help = did_you_mean("fp", ["bf16", "fp8", "fp4"]);
        assert_eq!(help, "did you mean `fp8` or `fp4`? Allowed: `bf16`, `fp8`, `fp4`");
        assert_eq!(suggested(&help), None);
        assert_eq!(suggested(&did_you_mean("bf", ["bf16", "fp8"])), Some("bf16"));
    }

    #[test]
    fn long_lists_are_cut_to_the_nearest() {
        let names: Vec<String> = (10..60).map(|i| format!("Model-{i}")).collect();
        let help = did_you_mean("model-42", names.iter().map(String::as_str));
        assert!(help.starts_with("did you mean `Model-42`? Nearest: `Model-42`, "), "{help}");
        assert!(help.ends_with("of 50"), "{help}");
    }
}
