//! The tree against the engines' own bookkeeping, block by block and token by token.

pub(crate) mod naive;

use proptest::prelude::*;

use super::*;
use crate::request::Text;
use naive::{Naive, NaiveBlocks, NaiveRadix};

const POOL: u64 = 24;

/// What a sequence of a test does next.
#[derive(Clone, Debug)]
enum Act {
    /// One comes with the text of this number and computes so many tokens of it.
    Come(usize, u32),
    /// The one at this place computes so many more.
    Go(usize, u32),
    /// It leaves.
    Leave(usize),
}

struct Running {
    names: Names,
    tokens: Vec<u64>,
    computed: u32,
    /// Blocks of its own that are not in the cache, or were stored by it.
    own: u32,
    pin: Pin,
}

/// Some texts that begin alike: runs of a handful of names, with branches within pages.
fn texts() -> impl Strategy<Value = Vec<Vec<(u64, u32)>>> {
    let run = (0_u64..4, 1_u32..12).prop_map(|(name, tokens)| (name * 1_000, tokens));
    prop::collection::vec(prop::collection::vec(run, 1..5), 2..6)
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        3 => (0_usize..8, 1_u32..30).prop_map(|(text, tokens)| Act::Come(text, tokens)),
        2 => (0_usize..8, 1_u32..20).prop_map(|(at, tokens)| Act::Go(at, tokens)),
        2 => (0_usize..8).prop_map(Act::Leave),
    ];
    prop::collection::vec(act, 1..80)
}

fn text(runs: &[(u64, u32)]) -> Text {
    let mut text = Text::default();
    for (first, tokens) in runs {
        text.push(*first, *tokens);
    }
    text
}

/// Tokens one by one; what is nobody else's has names from `1 << 40` on.
fn spelled(text: &Text, all: u32, own: u64) -> Vec<u64> {
    let named = text.runs().iter().flat_map(|run| run.first..run.first + u64::from(run.tokens));
    named.chain((1 << 40) + own..).take(all as usize).collect()
}

fn agree<N: Naive>(caching: PrefixCaching, block: u32, runs: &[Vec<(u64, u32)>], acts: &[Act]) {
    let mut cache = PrefixCache::new(caching, block).unwrap();
    let mut naive = N::new(POOL, block);
    let (mut used, mut own_names) = (0_u64, 0_u64);
    let mut running: Vec<Running> = Vec::new();
    let texts: Vec<Text> = runs.iter().map(|runs| text(runs)).collect();
    for (step, act) in acts.iter().enumerate() {
        match act {
            Act::Come(at, tokens) => {
                let text = &texts[at % texts.len()];
                let prompt = text.tokens() as u32;
                let all = prompt + 40;
                let spelled = spelled(text, all, own_names);
                let names = Names::new(Some(text), prompt, 40, &mut own_names);
                let found = cache.find(&names, prompt - 1);
                let computed = (found.blocks * block + tokens).min(all);
                let need = u64::from(computed.div_ceil(block) - found.blocks);
                assert_eq!(found, naive.find(&spelled[..prompt as usize - 1]), "step {step}: {act:?}");
                if used + need + u64::from(found.idle) > POOL {
                    continue;
                }
                let pin = cache.pin(&names, prompt - 1);
                assert_eq!(pin.blocks(), found.blocks);
                naive.begin(&spelled[..prompt as usize - 1], need);
                used += u64::from(found.idle) + need;
                cache.evict(POOL - used);
                let mut seq = Running { names, tokens: spelled, computed, own: need as u32, pin };
                used -= stored(&mut cache, &mut seq, computed);
                naive.store(running.len(), &seq.tokens[..computed as usize]);
                running.push(seq);
            }
            Act::Go(at, tokens) if !running.is_empty() => {
                let at = at % running.len();
                let seq = &mut running[at];
                let computed = (seq.computed + tokens).min(seq.tokens.len() as u32);
                let need = computed.div_ceil(block) - seq.computed.div_ceil(block);
                if used + u64::from(need) > POOL {
                    continue;
                }
                seq.computed = computed;
                seq.own += need;
                used += u64::from(need);
                cache.evict(POOL - used);
                naive.take(at, u64::from(need));
                used -= stored(&mut cache, seq, computed);
                naive.store(at, &seq.tokens[..computed as usize]);
            }
            Act::Leave(at) if !running.is_empty() => {
                let seq = running.remove(at % running.len());
                let loose = seq.computed.div_ceil(block) - seq.pin.blocks();
                used -= u64::from(loose + cache.unpin(&seq.pin));
                naive.end(at % (running.len() + 1));
            }
            _ => {}
        }
        assert!(used + cache.idle() <= POOL, "step {step}: {act:?}");
        assert_eq!((used, cache.idle()), naive.counts(), "step {step}: {act:?}");
        let loose: u64 =
            running.iter().map(|seq| u64::from(seq.computed.div_ceil(block) - seq.pin.blocks())).sum();
        assert_eq!(cache.in_use() + loose, used, "step {step}: {act:?}");
        for text in &texts {
            let tokens = text.tokens() as u32;
            let names = Names::new(Some(text), tokens, 0, &mut 0);
            let spelled = spelled(text, tokens, 0);
            assert_eq!(cache.find(&names, tokens), naive.find(&spelled), "step {step}: {act:?}");
        }
    }
    for seq in running {
        cache.unpin(&seq.pin);
    }
    assert_eq!(cache.in_use(), 0);
    cache.evict(0);
    assert_eq!(cache.idle(), 0);
}

/// Stores what `seq` has computed; the blocks that this frees.
fn stored(cache: &mut PrefixCache, seq: &mut Running, computed: u32) -> u64 {
    let shared = cache.store(&mut seq.pin, &seq.names, computed);
    seq.own -= shared.blocks;
    u64::from(shared.blocks - shared.idle)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn block_hash_is_vllms(block in prop::sample::select(vec![1_u32, 2, 4, 5]), runs in texts(), acts in acts()) {
        agree::<NaiveBlocks>(PrefixCaching::BlockHash, block, &runs, &acts);
    }

    #[test]
    fn radix_is_sglangs(block in prop::sample::select(vec![1_u32, 2, 4, 5]), runs in texts(), acts in acts()) {
        agree::<NaiveRadix>(PrefixCaching::Radix, block, &runs, &acts);
    }
}

#[test]
fn what_is_off_is_not_there() {
    assert!(PrefixCache::new(PrefixCaching::Off, 16).is_none());
}
