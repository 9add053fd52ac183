//! Random workloads: every arrival process with every source of lengths.

use std::fmt::Write;
use std::path::Path;
use std::sync::OnceLock;

use proptest::prelude::*;

/// One source of requests.
#[derive(Clone, Debug)]
pub struct Source {
    requests: u32,
    arrivals: Arrivals,
    lengths: Lengths,
    /// Targets (ms): TTFT, TPOT, E2E.
    slo: [Option<u32>; 3],
    /// System prompts or documents: how many, tokens of each, how many documents a prompt begins with.
    prefix: Option<[u32; 3]>,
    /// Conversations: turns in the mean, thinking in the mean (us).
    sessions: Option<(f64, u32)>,
}

#[derive(Clone, Debug)]
enum Arrivals {
    Poisson { rate: f64 },
    Uniform { rate: f64 },
    AllAtOnce,
    ClosedLoop { users: u32, think_us: u32 },
    Trace { speedup: f64 },
}

#[derive(Clone, Debug)]
enum Lengths {
    Fixed(u32, u32),
    Normal([u32; 4]),
    AzureConv,
    AzureCode,
    Table,
    Trace,
}

pub fn sources() -> impl Strategy<Value = Source> {
    let rate = || (0_f64..3.0).prop_map(|exponent| libm::pow(10.0, exponent).round());
    let arrivals = prop_oneof![
        4 => rate().prop_map(|rate| Arrivals::Poisson { rate }),
        1 => rate().prop_map(|rate| Arrivals::Uniform { rate }),
        2 => Just(Arrivals::AllAtOnce),
        2 => (1_u32..12, 0_u32..50_000).prop_map(|(users, think_us)| Arrivals::ClosedLoop { users, think_us }),
        1 => (1_f64..100.0).prop_map(|speedup| Arrivals::Trace { speedup }),
    ];
    let lengths = prop_oneof![
        3 => (1_u32..80, 1_u32..60).prop_map(|(prompt, output)| Lengths::Fixed(prompt, output)),
        3 => (1_u32..80, 0_u32..60, 1_u32..60, 0_u32..40).prop_map(|(a, b, c, d)| Lengths::Normal([a, b, c, d])),
        1 => Just(Lengths::AzureConv),
        1 => Just(Lengths::AzureCode),
        1 => Just(Lengths::Table),
        1 => Just(Lengths::Trace),
    ];
    let target = || prop::option::of(1_u32..2_000);
    let slo = (target(), prop::option::of(1_u32..20), target());
    let prefix =
        (1_u32..5, 1_u32..60, 0_u32..3).prop_map(|(count, tokens, draw)| [count, tokens, draw.min(count)]);
    let sessions = (1_f64..6.0, 0_u32..50_000);
    let shared = (prop::option::weighted(0.4, prefix), prop::option::weighted(0.3, sessions));
    (1_u32..40, arrivals, lengths, slo, shared).prop_map(
        |(requests, arrivals, lengths, (ttft, tpot, e2e), (prefix, sessions))| Source {
            requests,
            arrivals,
            lengths,
            slo: [ttft, tpot, e2e],
            prefix,
            sessions,
        },
    )
}

impl Source {
    pub fn workload(&self, at: usize, model: &str, priority: i16) -> String {
        let Self { requests, .. } = self;
        let (arrivals, lengths, slo) = (self.arrivals.ron(), self.lengths.ron(), self.slo());
        format!(
            "(name: \"w{at}\", model: \"{model}\", priority: {priority}, requests: {requests}, \
             arrivals: {arrivals}, lengths: {lengths}, {}slo: ({slo})),",
            self.shared()
        )
    }

    fn shared(&self) -> String {
        let mut text = String::new();
        match self.prefix {
            Some([count, tokens, 0]) => {
                let count = count.max(2);
                write!(text, "prefix: [System(tokens: {tokens}, count: {count}, popularity: Zipf(1.1))], ")
                    .unwrap();
            }
            Some([count, tokens, draw]) => {
                write!(text, "prefix: [Documents(tokens: {tokens}, count: {count}, draw: {draw})], ")
                    .unwrap();
            }
            None => {}
        }
        if let Some((turns, think)) = self.sessions {
            let think = if think % 2 == 0 {
                format!("Exactly(us({think}))")
            } else {
                format!("Exponential(mean: us({think}))")
            };
            write!(text, "sessions: (turns: Geometric(mean: {turns:?}), think: {think}), ").unwrap();
        }
        text
    }

    fn slo(&self) -> String {
        let mut text = String::new();
        for (name, target) in ["ttft", "tpot", "e2e"].iter().zip(self.slo) {
            if let Some(target) = target {
                write!(text, "{name}: ms({target}), ").unwrap();
            }
        }
        text
    }
}

impl Arrivals {
    fn ron(&self) -> String {
        match self {
            Self::Poisson { rate } => format!("Poisson(rate: per_s({rate:?}))"),
            Self::Uniform { rate } => format!("Uniform(rate: per_s({rate:?}))"),
            Self::AllAtOnce => "AllAtOnce".to_owned(),
            Self::ClosedLoop { users, think_us } => {
                format!("ClosedLoop(concurrency: {users}, think_time: us({think_us}))")
            }
            Self::Trace { speedup } => format!("Trace(path: \"{}\", speedup: {speedup:?})", trace()),
        }
    }
}

impl Lengths {
    fn ron(&self) -> String {
        match self {
            Self::Fixed(prompt, output) => format!("Fixed(prompt: {prompt}, output: {output})"),
            Self::Normal([prompt, prompt_dev, output, output_dev]) => format!(
                "Normal(prompt: (mean: {prompt}, std_dev: {prompt_dev}), \
                 output: (mean: {output}, std_dev: {output_dev}))"
            ),
            Self::AzureConv => "AzureConv".to_owned(),
            Self::AzureCode => "AzureCode".to_owned(),
            Self::Table => {
                format!("Table(path: \"{}/assets/lengths/AzureConv.ron\")", env!("CARGO_MANIFEST_DIR"))
            }
            Self::Trace => format!("Trace(path: \"{}\")", trace()),
        }
    }
}

/// The path of a small trace with bursts, and with a few requests that no client can take.
fn trace() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| {
        let mut text = "TIMESTAMP,ContextTokens,GeneratedTokens\n".to_owned();
        for row in 0_u32..30 {
            let (millis, prompt, output) = (row / 3 * 137, row * 37 % 120, row * 10 % 60);
            writeln!(text, "2023-11-16 18:15:{:02}.{:03},{prompt},{output}", millis / 1000, millis % 1000)
                .unwrap();
        }
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("small_trace.csv");
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    })
}
