//! What devices of a deployment compute, move and send, as laws.

use super::*;
use crate::catalog::{Catalog, Precision};
use crate::runtime::{Item, StepModel, StepShape, Target};

fn target(model: &str, gpu: &str) -> Target<'static> {
    let catalog = Catalog::embedded();
    Target::new(catalog.model(model).unwrap(), catalog.accelerator(gpu).unwrap())
}

fn items(target: &Target<'_>, decode_seqs: u32) -> Vec<Item> {
    let even = Analytical { routing_skew: 0.0, ..Analytical::default() };
    let model = even.build(&target.shape(), &target.device().unwrap(), &target.deployment()).unwrap();
    let step = StepShape { prefill: &[], decode_seqs, decode_context: 4096 * u64::from(decode_seqs) };
    model.itemise(&step)
}

fn item(target: &Target<'_>, operator: &str) -> Item {
    items(target, 64).into_iter().find(|item| item.operator == operator).unwrap()
}

/// However large, a send takes no less than its bytes over the link, and its latency.
#[test]
fn stages_send_no_faster_than_their_link() {
    let alone = target("Llama-3.1-70B", "H100-SXM5-80GB");
    let link = alone.accelerator.scaleup_bandwidth().unwrap();
    for tensor_parallel in [1, 2] {
        let staged = Target { pipeline_parallel: 4, tensor_parallel, ..alone };
        for tokens in [1, 64, 8192] {
            let sent = items(&staged, tokens);
            let sent = sent.iter().find(|item| item.operator == "send to the next stage").unwrap();
            assert_eq!((sent.calls, sent.bytes), (3.0, 3.0 * f64::from(tokens) * 8192.0 * 2.0));
            assert!(sent.seconds > sent.bytes / link, "{} s at {link} bytes/s", sent.seconds);
        }
    }
}

fn deepseek(data_parallel: u32, expert_parallel: bool) -> Target<'static> {
    let alone = target("DeepSeek-V3", "B200-SXM");
    Target { data_parallel, expert_parallel, weights: Precision::Fp8, ..alone }
}

/// Copies that bring as many tokens each as there are ranks more to share the experts: whole experts see as many rows as
/// one copy alone brings, slices see all of them. Both multiply as much and read as many weights.
#[test]
fn whole_experts_see_their_own_rows_and_slices_see_all() {
    let rows = |copies, whole| item(&deepseek(copies, whole), "routed rows");
    let experts = |copies, whole| item(&deepseek(copies, whole), "routed experts");
    let alone = rows(1, false).seconds;
    for copies in [8, 64] {
        assert!((rows(copies, true).seconds / alone - 1.0).abs() < 1e-9, "{copies}");
        assert!((rows(copies, false).seconds / alone / f64::from(copies) - 1.0).abs() < 1e-9, "{copies}");
        let (whole, sliced) = (experts(copies, true), experts(copies, false));
        assert!((whole.flops / sliced.flops - 1.0).abs() < 1e-9);
        assert!((whole.bytes / sliced.bytes - 1.0).abs() < 1e-9);
        assert!((whole.flops / experts(1, false).flops - 1.0).abs() < 1e-9);
    }
}

/// A single token's experts lie on few ranks, but those read theirs whole.
#[test]
fn no_rank_reads_a_part_of_an_expert_that_lies_there_whole() {
    let read = items(&deepseek(64, true), 1);
    let read = read.iter().find(|item| item.operator == "routed experts").unwrap();
    assert!(read.bytes / read.calls >= 3.0 * 7168.0 * 2048.0);
}

/// Slices need every copy's tokens on every rank; rows of whole experts go where those are, and once to a rank.
#[test]
fn tokens_are_sent_to_where_their_experts_are() {
    let (tokens, hidden) = (64.0 * 2.0, 7168.0);
    for copies in [2_u32, 8, 64] {
        let ranks = f64::from(copies);
        let sliced = item(&deepseek(copies, false), "gather and scatter");
        let away = (ranks - 1.0) / ranks;
        assert_eq!(sliced.bytes / sliced.calls, away * tokens * hidden * ranks, "{copies}");
        let whole = item(&deepseek(copies, true), "dispatch and combine");
        assert_eq!(whole.bytes / whole.calls, away * tokens * hidden * ranks.min(8.0), "{copies}");
        assert_eq!((sliced.calls, whole.calls), (2.0 * 58.0, 2.0 * 58.0));
    }
    // Ranks of a copy hold the same tokens: they sum what their slices make of them.
    let both = Target { tensor_parallel: 2, ..deepseek(4, false) };
    assert_eq!(item(&both, "all-reduce").calls, 2.0 * 61.0);
    let whole = Target { expert_parallel: true, ..both };
    assert_eq!(item(&whole, "all-reduce").calls, 61.0 + 3.0);
}
