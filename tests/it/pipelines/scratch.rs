use super::laws::*;
#[test]
fn scratch() {
    let text = std::fs::read_to_string(std::env::var("CASE").unwrap()).unwrap();
    let a = digest(&simulation(), &text);
    let show = |what: &str, b: String| {
        if a != b {
            let rows = |t: &str| t.lines().filter(|l| l.starts_with("(Req")).map(str::to_owned).collect::<Vec<_>>();
            println!("{what} differs");
            for (x, y) in rows(&a).iter().zip(rows(&b)) { if *x != y { println!("-{x}\n+{y}"); } }
            for (x, y) in a.lines().zip(b.lines()).filter(|(x, y)| x != y).take(4) { println!("-{x}\n+{y}"); }
        }
    };
    eprintln!("SECOND"); show("strides", digest(&simulation().strides(false), &text));
    eprintln!("THIRD"); show("stock", digest(&simulation().executor(mist::engine::Executor::Stock), &text));
    for s in 0..8 { show("shuffle", digest(&simulation().shuffle(s), &text)); }
}
