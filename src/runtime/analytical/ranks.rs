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
