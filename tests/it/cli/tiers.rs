//! `mist tiers`: retrieval latency against size.

use super::Sandbox;

/// The curves of Fig. 8b of the MIST paper, 256 KB to 1 GB: DDR4 at 150 GB/s after 80 ns and `NVMe` at
/// 7 GB/s after 50 us.
#[test]
fn the_memories_of_the_paper_are_the_default() {
    let sandbox = Sandbox::new();
    let table = sandbox.ok(&["tiers"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["SIZE", "DDR4", "NVMe"]);
    assert_eq!(lines[1].trim(), "256 KiB  1.828 us  87.45 us");
    assert_eq!(lines[13].trim(), "1 GiB  7.158 ms  153.4 ms");
    assert_eq!(lines[15], "DDR4: 150 GB/s after 80 ns, hits 100.0%");

    let csv = sandbox.ok(&["tiers", "--format", "csv"]);
    let mut rows = csv.lines();
    assert_eq!(rows.next(), Some("size_bytes,DDR4_s,NVMe_s"));
    let mut bytes = 262_144_u64;
    for row in rows {
        let cells: Vec<f64> = row.split(',').map(|cell| cell.parse().unwrap()).collect();
        let size = bytes as f64;
        let by_hand = [size, 80e-9 + size / 150e9, 50e-6 + size / 7e9];
        for (cell, by_hand) in cells.iter().zip(by_hand) {
            assert!((cell - by_hand).abs() <= 1e-12 * by_hand, "{row}");
        }
        bytes *= 2;
    }
    assert_eq!(bytes, 2_147_483_648);
}

#[test]
fn tiers_that_may_miss_are_a_hierarchy() {
    let sandbox = Sandbox::new();
    let tiers = ["DDR4(hit_rate: 0.5)", "CXL(lookup: us(1), bandwidth: gb_per_s(64), hit_rate: 0.8)"];
    let json = sandbox.ok(&["tiers", tiers[0], tiers[1], "--model", "Llama-3.1-70B", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["kv_bytes_per_token"], 327_680.0);
    let row = &json["rows"][12];
    assert_eq!((&row["size_bytes"], &row["tokens"]), (&1_073_741_824_u64.into(), &3276.into()));
    let size = 1_073_741_824.0;
    let by_hand = 0.5 * (80e-9 + size / 150e9) + 0.5 * 0.8 * (1e-6 + size / 64e9);
    assert!((row["expected_s"].as_f64().unwrap() - by_hand).abs() < 1e-12 * by_hand);
    assert!((row["recomputed_frac"].as_f64().unwrap() - 0.1).abs() < 1e-12);

    let table = sandbox.ok(&["tiers", tiers[0], "NVMe(capacity: mb(1))", "--model", "Llama-3.1-70B"]);
    let last = table.lines().nth(13).unwrap().split_whitespace().collect::<Vec<_>>();
    assert_eq!(last, ["1", "GiB", "3,276", "7.158", "ms", "–", "3.579", "ms", "50.0%"]);
    assert!(table.ends_with("NVMe: 7 GB/s after 50 us, hits 100.0%, holds 0.001 GB\n"), "{table}");
}

#[test]
fn what_is_no_tier_is_refused() {
    let sandbox = Sandbox::new();
    for (tier, says) in [
        ("NVM", "did you mean `NVMe`?"),
        ("NVMe(hit_rate: 1.5)", "a fraction must be from 0 to 1, found 1.5"),
        ("CXL(lookup: ns(300))", "needs its `lookup` and its `bandwidth`"),
        ("CXL(speed: 3)", "speed"),
        ("(", "tier `(`"),
    ] {
        let err = sandbox.refused(&["tiers", tier]);
        assert!(err.contains(says), "{says} is not in:\n{err}");
    }
    assert!(sandbox.refused(&["tiers", "DDR4", "DDR4"]).contains("the name of two tiers"));
    assert!(sandbox.refused(&["tiers", "--model", "Llama-3.1-7B"]).contains("did you mean"));
    assert!(sandbox.refused(&["tiers", "--model", "bge-base-en-v1.5"]).contains("keeps no KV cache"));
}
