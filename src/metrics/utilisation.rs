//! From the running totals of clients to utilisations and what bound the run.

use super::deployment::{ClientUsage, Price};
use super::summary::{
    Bottleneck, BoundBy, Cost, GroupSummary, ModelSwaps, PrefixCacheHits, StepTimeShares, TokenCounts,
    Utilisation,
};
use crate::memory::prefix::PrefixTally;
use crate::runtime::Bound;
use crate::units::SimSpan;

/// Share of accelerator time in steps below which the load is what bounds a run.
const MOSTLY_IDLE: f64 = 0.5;

/// Share of the time that a front end is busy, from which on it is what bounds a run.
const MOSTLY_STREAMING: f64 = 0.9;

/// What `clients` did over `duration_s`, and what bound them.
pub(super) fn utilisation<'a>(
    clients: impl Iterator<Item = &'a ClientUsage<'a>> + Clone,
    duration_s: f64,
) -> (Utilisation, Bottleneck) {
    let mut total = Utilisation::default();
    // Where nobody has accelerators, every client counts alike.
    let without = clients.clone().all(|client| client.accelerators == 0);
    let mut weights = 0_u64;
    let (mut batch_seqs, mut kv_blocks, mut kv_block_ns) = (0_u128, 0_u128, 0_u128);
    let mut busy_ns = [0_u128; Bound::ALL.len()];
    let mut prefixes = None::<PrefixTally>;
    let (mut streams, mut streaming_ns) = (0_u32, 0_u128);
    let (mut shared, mut swaps, mut swapping_ns) = (false, 0, 0_u128);
    for ClientUsage { accelerators, usage, .. } in clients {
        total.clients += 1;
        total.accelerators += u64::from(*accelerators);
        let weight = if without { 1 } else { *accelerators };
        weights += u64::from(weight);
        total.steps += usage.steps;
        total.prefill_tokens += usage.prefill_tokens;
        total.decode_tokens += usage.decode_tokens;
        total.preemptions += usage.preemptions;
        if let Some(swapped) = usage.swapped.filter(|swapped| swapped.preemptions + swapped.found_full > 0) {
            let all = total.kv_swaps.get_or_insert_default();
            all.preemptions += swapped.preemptions;
            all.found_full += swapped.found_full;
            all.blocks_out += swapped.blocks_out;
            all.blocks_in += swapped.blocks_in;
        }
        batch_seqs += u128::from(usage.batch_seqs);
        kv_blocks += u128::from(usage.kv_blocks);
        kv_block_ns += usage.kv_block_ns;
        if let Some(tally) = usage.prefix {
            *prefixes.get_or_insert_default() += tally;
        }
        streams += u32::from(usage.streaming > SimSpan::ZERO);
        streaming_ns += u128::from(usage.streaming.as_ns());
        shared |= usage.shared;
        swaps += usage.swaps;
        swapping_ns += u128::from(usage.swapping.as_ns()) * u128::from(*accelerators);
        total.kv_peak_frac =
            total.kv_peak_frac.max(ratio(usage.kv_blocks_peak as f64, usage.kv_blocks as f64));
        for (sum, busy) in busy_ns.iter_mut().zip(usage.busy) {
            *sum += u128::from(busy.as_ns()) * u128::from(weight);
        }
    }
    let busy_total: u128 = busy_ns.iter().sum();
    total.accelerator_busy_frac = ratio(busy_total as f64, weights as f64 * duration_s * 1e9);
    total.model_swaps = shared.then(|| ModelSwaps {
        count: swaps,
        accelerator_frac: ratio(swapping_ns as f64, total.accelerators as f64 * duration_s * 1e9),
    });
    total.prefix_cache = prefixes.map(|tally| PrefixCacheHits {
        evicted_blocks: Some(tally.evicted_blocks),
        ..PrefixCacheHits::from(tally)
    });
    total.kv_mean_frac = ratio(kv_block_ns as f64, kv_blocks as f64 * duration_s * 1e9);
    total.mean_batch = ratio(batch_seqs as f64, total.steps as f64);

    let share = |bound: Bound| ratio(busy_ns[bound as usize] as f64, busy_total as f64);
    let streaming = ratio(streaming_ns as f64, f64::from(streams) * duration_s * 1e9);
    let bound_by = if streaming > MOSTLY_STREAMING {
        BoundBy::FrontEnd
    } else if total.accelerator_busy_frac < MOSTLY_IDLE {
        BoundBy::Arrivals
    } else {
        // The first of the largest: ties cannot depend on anything but the order of `Bound`.
        let largest = Bound::ALL.iter().rev().max_by_key(|bound| busy_ns[**bound as usize]);
        match largest.expect("there are bounds") {
            Bound::Compute => BoundBy::Compute,
            Bound::Memory => BoundBy::Memory,
            Bound::Communication => BoundBy::Communication,
            Bound::Host => BoundBy::Host,
        }
    };
    let time_in_steps_bound_by_frac = StepTimeShares {
        compute: share(Bound::Compute),
        memory: share(Bound::Memory),
        communication: share(Bound::Communication),
        host: share(Bound::Host),
    };
    (total, Bottleneck { bound_by, time_in_steps_bound_by_frac })
}

impl From<PrefixTally> for PrefixCacheHits {
    fn from(tally: PrefixTally) -> Self {
        let PrefixTally { queries, hits, query_tokens, hit_tokens, .. } = tally;
        Self {
            query_tokens,
            hit_tokens,
            token_hit_frac: ratio(hit_tokens as f64, query_tokens as f64),
            request_hit_frac: ratio(hits as f64, queries as f64),
            evicted_blocks: None,
        }
    }
}

/// The groups of clients, in order of appearance; empty when there is only one.
pub(super) fn by_group(clients: &[ClientUsage<'_>], duration_s: f64) -> Vec<GroupSummary> {
    let mut names: Vec<&str> = Vec::new();
    for client in clients {
        if !names.contains(&client.group) {
            names.push(client.group);
        }
    }
    if names.len() < 2 {
        return Vec::new();
    }
    let summary = |name: &&str| {
        let (utilisation, bottleneck) =
            utilisation(clients.iter().filter(|client| client.group == *name), duration_s);
        GroupSummary { name: (*name).to_owned(), utilisation, bottleneck }
    };
    names.iter().map(summary).collect()
}

/// What `tokens` cost over `duration_s`.
pub(super) fn cost(price: &Price, tokens: TokenCounts, duration_s: f64) -> Cost {
    let usd_per_hour = match price {
        Price::UsdPerHour(usd) => *usd,
        Price::Unknown(why) => return Cost { unknown_because: Some(why.clone()), ..Cost::default() },
    };
    let usd_total = usd_per_hour * duration_s / 3600.0;
    let per_million = |tokens: u64| (tokens > 0).then(|| usd_total * 1e6 / tokens as f64);
    Cost {
        usd_per_hour: Some(usd_per_hour),
        usd_total: Some(usd_total),
        usd_per_million_output_tokens: per_million(tokens.output_tokens),
        usd_per_million_total_tokens: per_million(tokens.total()),
        unknown_because: None,
    }
}

/// `part / whole`, zero for an empty whole.
pub(super) fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::Usage;
    use crate::clients::llm::SwapTally;
    use crate::units::SimSpan;

    fn usage(compute_s: f64, memory_s: f64) -> Usage {
        let mut usage = Usage { steps: 10, batch_seqs: 40, kv_blocks: 100, ..Usage::default() };
        usage.busy[Bound::Compute as usize] = SimSpan::from_secs_f64(compute_s);
        usage.busy[Bound::Memory as usize] = SimSpan::from_secs_f64(memory_s);
        usage.kv_block_ns = 50 * 1_000_000_000;
        usage.kv_blocks_peak = 80;
        usage
    }

    #[test]
    fn time_is_weighted_by_accelerators() {
        let (small, large) = (usage(1.0, 0.0), usage(0.0, 0.5));
        let clients = [
            ClientUsage { group: "a", accelerators: 1, usage: &small },
            ClientUsage { group: "b", accelerators: 4, usage: &large },
        ];
        let (total, bottleneck) = utilisation(clients.iter(), 1.0);
        assert_eq!(total.accelerator_busy_frac, 3.0 / 5.0);
        assert_eq!((total.kv_mean_frac, total.kv_peak_frac, total.mean_batch), (0.5, 0.8, 4.0));
        assert_eq!(bottleneck.bound_by, BoundBy::Memory);
        assert_eq!(bottleneck.time_in_steps_bound_by_frac.memory, 2.0 / 3.0);
        let groups = by_group(&clients, 1.0);
        assert_eq!(groups.iter().map(|g| g.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(groups[0].bottleneck.bound_by, BoundBy::Compute);
        let (_, idle) = utilisation(clients.iter(), 2.0);
        assert_eq!(idle.bound_by, BoundBy::Arrivals);
        assert!(by_group(&clients[..1], 1.0).is_empty());
    }

    #[test]
    fn what_found_the_host_full_and_what_was_evicted_is_told() {
        let full = SwapTally { found_full: 2, ..SwapTally::default() };
        let tally = PrefixTally { evicted_blocks: 7, ..PrefixTally::default() };
        let usage = Usage { swapped: Some(full), prefix: Some(tally), ..usage(1.0, 0.0) };
        let clients = [ClientUsage { group: "a", accelerators: 1, usage: &usage }];
        let (total, _) = utilisation([&clients[0], &clients[0]].into_iter(), 1.0);
        assert_eq!(total.kv_swaps.map(|swaps| (swaps.preemptions, swaps.found_full)), Some((0, 4)));
        assert_eq!(total.prefix_cache.and_then(|prefixes| prefixes.evicted_blocks), Some(14));
    }

    #[test]
    fn cost_is_hours_times_price() {
        // Half of what models read was put into prompts.
        let tokens = TokenCounts {
            prompt_tokens: 1_500_000,
            output_tokens: 1_000_000,
            read_tokens: 3_000_000,
            generated_tokens: 1_000_000,
        };
        let cost = cost(&Price::UsdPerHour(12.0), tokens, 1800.0);
        assert_eq!(cost.usd_total, Some(6.0));
        assert_eq!(cost.usd_per_million_output_tokens, Some(6.0));
        assert_eq!(cost.usd_per_million_total_tokens, Some(1.5));
        let unknown = super::cost(&Price::Unknown("no price".into()), tokens, 1800.0);
        assert_eq!((unknown.usd_total, unknown.unknown_because.as_deref()), (None, Some("no price")));
    }
}
