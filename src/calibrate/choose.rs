//! Which of several tables of an operator to take: the newest that holds against physics, or the one named.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::measurements::{AttentionSet, GemmRow, GemmSet, MoeRow, MoeSet, Origin};
use super::physics::{FEWEST_ATTENTIONS, Verdict, check_attention, check_gemm, check_moe};
use super::{CalibrateError, Report};
use crate::catalog::Precision;
use crate::runtime::profile::{CollectiveTable, Library, Phase, Silicon};

/// Named instead of a table of products: the median of all that hold against physics.
const MEDIAN: &str = "median";

/// A table that the user names for an operator: `gemm.fp8=vllm-0.19.0`, `attention=vllm-0.14.0`, `gemm.bf16=median`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    operator: String,
    table: String,
}

impl Choice {
    /// Reads `OPERATOR=TABLE`.
    ///
    /// # Errors
    /// It is not of this form, or names no operator.
    pub fn read(text: &str) -> Result<Self, String> {
        const KNOWN: [&str; 5] = ["gemm", "attention", "moe", "custom", "nccl"];
        let form = "expected OPERATOR=TABLE, such as `gemm.fp8=vllm-0.19.0`";
        let (operator, table) = text.split_once('=').ok_or(form)?;
        let first = operator.split('.').next().unwrap_or_default();
        if !KNOWN.contains(&first) || table.is_empty() {
            return Err(format!("{form}; operators are {}", KNOWN.join(", ")));
        }
        Ok(Self { operator: operator.to_owned(), table: table.to_owned() })
    }

    /// The choice for an operator, `gemm.fp8` before `gemm`.
    fn named<'a>(choices: &'a [Self], operator: &str) -> Option<&'a Self> {
        let of = |wanted: &str| choices.iter().rev().find(|choice| choice.operator == wanted);
        let first = operator.split('.').next().unwrap_or_default();
        of(operator).or_else(|| of(first))
    }

    /// Refuses names that no table of a family of operators has.
    fn check<'a>(
        choices: &[Self],
        family: &str,
        tables: impl Iterator<Item = &'a str>,
    ) -> Result<(), CalibrateError> {
        let mut known: Vec<&str> = tables.collect();
        known.sort_unstable_by_key(|table| rank(table));
        known.dedup();
        let of_family = |choice: &&Self| {
            let median = family == "gemm" && choice.table == MEDIAN;
            choice.operator.split('.').next() == Some(family) && !median
        };
        match choices.iter().filter(of_family).find(|choice| !known.contains(&choice.table.as_str())) {
            None => Ok(()),
            Some(Self { operator, table }) => Err(CalibrateError::Choice(format!(
                "{operator}: there is no table `{table}`; there is {}",
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            ))),
        }
    }
}

/// How a table ranks among others: of vLLM before of other engines, later before earlier.
fn rank(table: &str) -> (bool, Vec<u32>) {
    let version = table.rsplit('-').next().unwrap_or_default();
    let numbers = version.split('.').map(|part| part.parse().unwrap_or_default()).collect();
    (table.starts_with("vllm") || table == "own", numbers)
}

/// Takes the best of `sets`, or the one named; `check` says what is wrong with one.
fn pick<T>(
    operator: &str,
    mut sets: Vec<T>,
    choices: &[Choice],
    report: &mut Report,
    origin: impl Fn(&T) -> &Origin,
    mut check: impl FnMut(&mut T) -> Result<Verdict, CalibrateError>,
) -> Result<Option<T>, CalibrateError> {
    let is = |set: &T, choice: &Choice| origin(set).table == choice.table;
    // What is named for a family of operators, such as `attention`, need not hold each of them.
    let named = Choice::named(choices, operator)
        .filter(|choice| choice.operator == operator || sets.iter().any(|set| is(set, choice)));
    sets.sort_by_key(|set| std::cmp::Reverse(rank(&origin(set).table)));
    let mut chosen = None;
    for mut set in sets {
        // Those that are not taken are looked at, too: what is wrong with them is worth knowing.
        let verdict = check(&mut set)?;
        let about = format!("{operator} {}", origin(&set).table);
        let wanted = named.is_none_or(|named| is(&set, named));
        if let Some(why) = verdict.refused {
            if named.is_some() && wanted {
                return Err(CalibrateError::Choice(format!("{about} is refused: {why}")));
            }
            report.refused(operator, origin(&set), &why);
        } else if wanted && chosen.is_none() {
            for (rows, what) in [
                (verdict.impossible, "faster than the device can be, and left out"),
                (verdict.hot, "hot: faster than memory, as their operands were left in the cache"),
                (
                    verdict.decoded,
                    "prompts of one token, decoded in more time than longer ones, and left out",
                ),
            ] {
                if rows > 0 {
                    report.remarks.push(format!("{about}: {rows} rows are {what}"));
                }
            }
            if let Some(batch) = verdict.unsplit_from {
                report.remarks.push(format!(
                    "{about}: from {batch} sequences on another kernel takes less than half of what fewer do; \
                     priced as no cheaper than those, and judged apart"
                ));
            }
            chosen = Some(set);
        }
    }
    Ok(chosen)
}

fn grouped<T, K: Ord>(sets: Vec<T>, key: impl Fn(&T) -> K) -> BTreeMap<K, Vec<T>> {
    let mut groups: BTreeMap<K, Vec<T>> = BTreeMap::new();
    for set in sets {
        groups.entry(key(&set)).or_default().push(set);
    }
    groups
}

pub(super) fn gemm(
    silicon: &Silicon,
    sets: Vec<GemmSet>,
    choices: &[Choice],
    report: &mut Report,
) -> Result<Vec<GemmSet>, CalibrateError> {
    Choice::check(choices, "gemm", sets.iter().map(|set| set.origin.table.as_str()))?;
    let mut chosen = Vec::new();
    for (kind, sets) in grouped(sets, |set| set.kind) {
        let operator = format!("gemm.{kind}");
        if Choice::named(choices, &operator).is_some_and(|choice| choice.table == MEDIAN) {
            chosen.extend(middle(silicon, &operator, sets, report)?);
            continue;
        }
        let check = |set: &mut GemmSet| check_gemm(silicon, set);
        chosen.extend(pick(&operator, sets, choices, report, |set| &set.origin, check)?);
    }
    Ok(chosen)
}

/// The median of what tables say of each product: where all of them measured the same kernels, they are repetitions, and
/// what one of them has caught beside the kernel is not in the others.
fn middle(
    silicon: &Silicon,
    operator: &str,
    mut sets: Vec<GemmSet>,
    report: &mut Report,
) -> Result<Option<GemmSet>, CalibrateError> {
    sets.sort_by_key(|set| rank(&set.origin.table));
    let (mut times, mut names) = (BTreeMap::<[u64; 3], Vec<f64>>::new(), Vec::new());
    let mut last = None;
    for mut set in sets {
        let verdict = check_gemm(silicon, &mut set)?;
        if let Some(why) = verdict.refused {
            report.refused(operator, &set.origin, &why);
            continue;
        }
        for row in &set.rows {
            times.entry([row.m, row.n, row.k].map(|size| size as u64)).or_default().push(row.seconds);
        }
        names.push(set.origin.table.clone());
        last = Some(set);
    }
    let rows = times.into_iter().map(|([m, n, k], mut times)| {
        times.sort_unstable_by(f64::total_cmp);
        // Of two their mean.
        let seconds = 0.5 * (times[(times.len() - 1) / 2] + times[times.len() / 2]);
        GemmRow { m: m as f64, n: n as f64, k: k as f64, seconds }
    });
    Ok(last.map(|set| GemmSet {
        origin: Origin { table: format!("median of {}", names.join(", ")), ..set.origin },
        kind: set.kind,
        rows: rows.collect(),
    }))
}

pub(super) fn attention(
    silicon: &Silicon,
    sets: Vec<AttentionSet>,
    choices: &[Choice],
    report: &mut Report,
) -> Result<Vec<AttentionSet>, CalibrateError> {
    Choice::check(choices, "attention", sets.iter().map(|set| set.origin.table.as_str()))?;
    let mut chosen = Vec::new();
    let key = |set: &AttentionSet| (format!("{:?}", set.phase), set.head_dim, set.kv_cache, set.window);
    for ((phase, head_dim, kv_cache, window), sets) in grouped(sets, key) {
        let check = |set: &mut AttentionSet| check_attention(silicon, set);
        let window = window.map_or(String::new(), |window| format!(".window{window}"));
        let name = format!("attention.{}.{head_dim}.{kv_cache}{window}", phase.to_lowercase());
        chosen.extend(pick(&name, sets, choices, report, |set| &set.origin, check)?);
    }
    Ok(chosen)
}

/// Whether models can be priced with the attention that was chosen: prompts and single tokens, whole contexts, and
/// KV of one format. `measured` are the formats that there were any tables of.
///
/// A profile without attention prices those models whose attention no profile has, so none at all is only remarked.
pub(super) fn expect_attention(
    folder: &Path,
    measured: &BTreeSet<Precision>,
    chosen: &[AttentionSet],
    report: &mut Report,
) -> Result<(), CalibrateError> {
    if measured.is_empty() {
        report.remarks.push(
            "no attention was measured: with this profile only models of latent attention and encoders can be \
             priced, whose attention is analytical"
                .to_owned(),
        );
        return Ok(());
    }
    let lacking = |kv_cache: Precision| -> Vec<&str> {
        let whole = |phase| {
            chosen.iter().any(|set| set.phase == phase && set.kv_cache == kv_cache && set.window.is_none())
        };
        let phases = [(Phase::Prefill, "prefill"), (Phase::Decode, "decode")];
        phases.into_iter().filter(|(phase, _)| !whole(*phase)).map(|(_, name)| name).collect()
    };
    let lame = |kv_cache: Precision| (kv_cache, lacking(kv_cache).join(" nor "));
    let lame: Vec<(Precision, String)> =
        measured.iter().map(|kv_cache| lame(*kv_cache)).filter(|(_, lacking)| !lacking.is_empty()).collect();
    if lame.len() == measured.len() {
        let lame: Vec<String> =
            lame.iter().map(|(kv_cache, lacking)| format!("no {lacking} with {kv_cache} KV")).collect();
        return Err(report.because(&format!(
            "{}: no attention that a model can be priced with, which takes prefill and decode in one format of \
             the KV cache, without a window, {FEWEST_ATTENTIONS} rows each: there is {}",
            folder.display(),
            lame.join(", ")
        )));
    }
    for (kv_cache, lacking) in lame {
        report.remarks.push(format!(
            "models with a KV cache of {kv_cache} cannot be priced: no {lacking} attention without a window"
        ));
    }
    Ok(())
}

pub(super) fn moe(
    silicon: &Silicon,
    sets: Vec<MoeSet>,
    choices: &[Choice],
    report: &mut Report,
) -> Result<Vec<MoeSet>, CalibrateError> {
    Choice::check(choices, "moe", sets.iter().map(|set| set.origin.table.as_str()))?;
    let mut chosen = Vec::new();
    for ((kind, _, kernel), sets) in grouped(sets, |set| (set.kind, set.routing as u8, set.kernel)) {
        let check = |set: &mut MoeSet| check_moe(silicon, set);
        let operator = format!("moe.{kind}");
        let named = Choice::named(choices, &operator).is_some_and(|choice| choice.operator == operator);
        let sets = if kernel.is_some() && !named { filled(sets) } else { sets };
        chosen.extend(pick(&operator, sets, choices, report, |set| &set.origin, check)?);
    }
    Ok(chosen)
}

/// Fills the newest table of a kernel, if it has one model only, with the layers of others from older tables of the very
/// same kernel: one model says nothing of others.
fn filled(mut sets: Vec<MoeSet>) -> Vec<MoeSet> {
    let model = |row: &MoeRow| (row.shape.hidden, row.shape.inter, row.shape.top_k, row.shape.experts);
    sets.sort_by_key(|set| std::cmp::Reverse(rank(&set.origin.table)));
    let mut sets = sets.into_iter();
    let Some(mut newest) = sets.next() else { return Vec::new() };
    let mut older: Vec<MoeSet> = sets.collect();
    let models: BTreeSet<_> = newest.rows.iter().map(model).collect();
    if models.len() == 1 {
        for set in std::mem::take(&mut older) {
            let known: BTreeSet<_> = newest.rows.iter().map(|row| row.shape).collect();
            let before = newest.rows.len();
            newest.rows.extend(set.rows.into_iter().filter(|row| !known.contains(&row.shape)));
            if newest.rows.len() > before {
                newest.origin.table = format!("{}, {}", newest.origin.table, set.origin.table);
            }
        }
    }
    older.insert(0, newest);
    older
}

pub(super) fn collectives(
    tables: Vec<CollectiveTable>,
    choices: &[Choice],
) -> Result<Vec<CollectiveTable>, CalibrateError> {
    for (family, nccl) in [("custom", false), ("nccl", true)] {
        let of_family = tables.iter().filter(|table| (table.library == Library::Nccl) == nccl);
        Choice::check(choices, family, of_family.map(|table| table.table.as_str()))?;
    }
    let mut chosen = Vec::new();
    for ((library, ..), mut tables) in grouped(tables, |table| (table.library, table.operation, table.ranks))
    {
        let operator = if library == Library::Nccl { "nccl" } else { "custom" };
        let named = Choice::named(choices, operator);
        let named = named.filter(|named| tables.iter().any(|table| table.table == named.table));
        tables.retain(|table| named.is_none_or(|named| table.table == named.table));
        // Points that are sizes apart; one point is no curve.
        tables.retain(|table| table.bytes.len() > 2);
        chosen.extend(tables.into_iter().max_by_key(|table| rank(&table.table)));
    }
    Ok(chosen)
}
