//! Laws of search on random indexes, hardware and batches.

use proptest::prelude::*;

use super::*;
use crate::catalog::Catalog;

fn any_coarse() -> impl Strategy<Value = Coarse> {
    prop_oneof![
        Just(Coarse::Flat),
        Just(Coarse::MultiIndex),
        (2u32..64, 1u32..500).prop_map(|(m, ef_search)| Coarse::Graph { m, ef_search }),
    ]
}

prop_compose! {
    fn any_ivf_pq()(nlist in 1u32..1_000_000, share in 0.0..1.0, coarse in any_coarse(), m in 1u32..64, bits in 1u32..10,
                 l2 in any::<bool>(), imbalance in 1.0..3.0, max_codes in proptest::option::of(1u32..1_000_000),
                 refine in 0u32..20) -> IvfPq {
        let nprobe = 1 + (share * share * share * f64::from(nlist - 1)) as u32;
        let metric = if l2 { Metric::L2 } else { Metric::InnerProduct };
        IvfPq { nlist, nprobe, coarse, m, bits, metric, imbalance, max_codes, refine }
    }
}

fn any_index() -> impl Strategy<Value = Box<dyn VectorIndex>> {
    let hnsw = (2u32..100, 1u32..1000)
        .prop_map(|(m, ef_search)| Box::new(Hnsw { m, ef_search }) as Box<dyn VectorIndex>);
    let ivf = any_ivf_pq().prop_map(|ivf| Box::new(ivf) as Box<dyn VectorIndex>);
    prop_oneof![3 => ivf, 1 => hnsw, 1 => Just(()).prop_map(|()| Box::new(Flat {}) as Box<dyn VectorIndex>)]
}

fn any_vectors() -> impl Strategy<Value = Vectors> {
    (1e6..1e10, 64.0..4096.0).prop_map(|(count, dimension)| Vectors { count, dimension })
}

fn any_device() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("H100-SXM5-80GB"),
        Just("L40S"),
        Just("EPYC 7763 (Milan 64c)"),
        Just("Xeon Platinum 8592+ (EMR 64c)")
    ]
}

fn steps(index: &dyn VectorIndex, vectors: &Vectors, batch: &Batch) -> Vec<Work> {
    let mut steps = Vec::new();
    index.steps(vectors, batch, &mut steps);
    steps
}

proptest! {
    #[test]
    fn no_search_is_priced_below_physics(index in any_index(), vectors in any_vectors(), device in any_device(),
                                         queries in 1u32..500, k in 1u32..100, count in 1u32..9) {
        prop_assert_eq!(index.check(&vectors), Ok(()));
        let device = Catalog::embedded().accelerator(device).unwrap();
        let searcher = Searcher::of(device, count, 64).unwrap();
        let batch = Batch { queries: f64::from(queries), k: f64::from(k) };
        let steps = steps(&*index, &vectors, &batch);
        let seconds = searcher.price(&steps, batch.queries).seconds;
        prop_assert!(seconds.is_finite() && seconds > 0.0);
        let bytes: f64 = steps.iter().map(|step| step.bytes).sum();
        let flops: f64 = steps.iter().map(|step| step.flops).sum();
        let count = f64::from(count);
        prop_assert!(seconds >= bytes / (count * device.memory_bandwidth()));
        // 32-bit peaks: AVX2 at 2 GHz, and the tensor rate over 15 at most.
        let peak = if device.is_accelerator() {
            device.flops(crate::catalog::Precision::Bf16).unwrap() / 15.0
        } else {
            64.0 * 64e9
        };
        prop_assert!(seconds >= flops / (count * peak));
    }

    #[test]
    fn a_larger_batch_costs_more_but_never_more_than_one_by_one(
        index in any_index(), vectors in any_vectors(), device in any_device(), queries in 1u32..300, k in 1u32..100,
    ) {
        let device = Catalog::embedded().accelerator(device).unwrap();
        let searcher = Searcher::of(device, 1, 64).unwrap();
        let price = |queries: u32| {
            let batch = Batch { queries: f64::from(queries), k: f64::from(k) };
            searcher.price(&steps(&*index, &vectors, &batch), batch.queries).seconds
        };
        let (one, some, more) = (price(1), price(queries), price(queries + 1));
        prop_assert!(more >= some * (1.0 - 1e-9), "{some} s for {queries}, {more} s for one more");
        prop_assert!(some <= f64::from(queries) * one * (1.0 + 1e-9), "{some} s for {queries}, {one} s for one");
    }

    #[test]
    fn a_batch_reads_no_list_twice_and_no_more_than_the_index(
        index in any_ivf_pq(), vectors in any_vectors(), queries in 1u32..100_000,
    ) {
        let read = |queries: u32| {
            let batch = Batch { queries: f64::from(queries), k: 10.0 };
            steps(&index, &vectors, &batch)[2].bytes
        };
        prop_assert!(read(queries) <= f64::from(queries) * read(1) * (1.0 + 1e-6));
        prop_assert!(read(queries) <= index.bytes(&vectors));
    }
}

/// By hand: 4 queries probing 1 of 2 lists touch 2·(1 − 2⁻⁴) = 1.875 of them.
#[test]
fn a_scan_by_hand() {
    let index = IvfPq { nlist: 2, nprobe: 1, coarse: Coarse::Flat, m: 8, imbalance: 1.0, ..IvfPq::default() };
    let vectors = Vectors { count: 1000.0, dimension: 16.0 };
    let work = steps(&index, &vectors, &Batch { queries: 4.0, k: 1.0 });
    let [coarse, tables, scan] = work[..] else { panic!("{work:?}") };
    assert_eq!((coarse.flops, coarse.bytes), (2.0 * 4.0 * 2.0 * 16.0, 2.0 * 16.0 * 4.0));
    assert_eq!(tables.flops, 4.0 * 2.0 * 16.0 * 256.0);
    assert_eq!((scan.lookups, scan.bytes, scan.lists), (4.0 * 500.0 * 8.0, 1.875 * 500.0 * 8.0, 4.0));
    assert_eq!(index.bytes(&vectors), 1000.0 * 16.0 + 2.0 * 16.0 * 4.0);
}

#[test]
fn a_gpu_searches_a_large_index_faster_and_a_small_one_is_all_launches() {
    let catalog = Catalog::embedded();
    let on = |name: &str| Searcher::of(catalog.accelerator(name).unwrap(), 1, 64).unwrap();
    let (cpu, gpu) = (on("EPYC 7763 (Milan 64c)"), on("H100-SXM5-80GB"));
    let index = IvfPq::default();
    let dpr = Vectors { count: 21e6, dimension: 768.0 };
    let batch = Batch { queries: 64.0, k: 20.0 };
    let work = steps(&index, &dpr, &batch);
    assert!(gpu.price(&work, 64.0).seconds < cpu.price(&work, 64.0).seconds / 2.0);
    let few = Vectors { count: 1000.0, dimension: 64.0 };
    let work = steps(&Flat {}, &few, &Batch { queries: 1.0, k: 4.0 });
    assert_eq!(gpu.price(&work, 1.0).bound, crate::runtime::Bound::Host);
}

#[test]
fn parameters_out_of_range_are_named() {
    let vectors = Vectors { count: 1e6, dimension: 768.0 };
    let wrong = |index: &dyn VectorIndex| index.check(&vectors).unwrap_err();
    assert_eq!(wrong(&IvfPq { nprobe: 0, ..IvfPq::default() }), "nprobe: must be 1 to 65536, found 0");
    assert_eq!(wrong(&IvfPq { m: 769, ..IvfPq::default() }), "m: must be 1 to 768, found 769");
    assert_eq!(wrong(&IvfPq { bits: 17, ..IvfPq::default() }), "bits: must be 1 to 16, found 17");
    let sparse = IvfPq { coarse: Coarse::Graph { m: 1, ef_search: 1 }, ..IvfPq::default() };
    assert_eq!(wrong(&sparse), "coarse: its m: must be 2 to 512, found 1");
    assert_eq!(wrong(&Hnsw { ef_search: 0, ..Hnsw::default() }), "ef_search: must be 1 to 100000, found 0");
}
