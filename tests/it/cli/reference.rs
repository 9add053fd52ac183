//! The reference of the language that ships is the one that the types give.

use super::Sandbox;

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/REFERENCE.md");

#[test]
fn the_reference_is_up_to_date() {
    let shipped = std::fs::read_to_string(SHIPPED).unwrap_or_default();
    let printed = Sandbox::new().ok(&["reference"]);
    let differs = printed.lines().zip(shipped.lines()).find(|(printed, shipped)| printed != shipped);
    assert!(
        shipped == printed,
        "scenarios/REFERENCE.md is out of date; update it with\n\n    cargo run -- reference > scenarios/REFERENCE.md\n\n{differs:?}"
    );
}

#[test]
fn every_entry_of_the_index_leads_somewhere() {
    let text = Sandbox::new().ok(&["reference"]);
    let mut links = 0;
    for link in text.split("](#").skip(1) {
        let target = link.split(')').next().unwrap();
        assert!(text.contains(&format!("<a id=\"{target}\"></a>")), "{target}");
        links += 1;
    }
    assert!(links > 30, "{links}");
}
