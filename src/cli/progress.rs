//! The progress of a run on stderr: how far it is, and how fast.

use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::figures::{figure, thousands};
use crate::simulation::{Progress, ReplicationsProgress};
use crate::units::SimTime;

/// A bar that moves with the run, where someone watches.
pub(super) struct Bar {
    bar: ProgressBar,
    started: Instant,
    horizon: Option<SimTime>,
}

impl Bar {
    /// A bar that starts now; without `shown` it is never seen.
    pub(super) fn new(shown: bool, horizon: Option<SimTime>) -> Self {
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(style("{spinner} {msg}"));
        Self { bar, started: Instant::now(), horizon }
    }

    /// Shows how far the run is.
    pub(super) fn show(&self, progress: Progress) {
        if self.bar.is_hidden() {
            return;
        }
        if let Some((at, of)) = self.share(progress) {
            if self.bar.length() != Some(of) {
                self.bar.set_length(of);
                self.bar.set_style(style("[{bar:10}] {msg}").progress_chars("=> "));
            }
            self.bar.set_position(at.min(of));
        }
        self.bar.set_message(self.words(progress));
    }

    /// Shows how many replications are done; any thread may call.
    pub(super) fn show_replications(&self, progress: ReplicationsProgress) {
        let (completed, count) = (progress.completed.into(), progress.count.into());
        if self.bar.is_hidden() || (self.bar.length() == Some(count) && self.bar.position() == completed) {
            return;
        }
        self.bar.set_style(style("[{bar:10}] {msg}").progress_chars("=> "));
        self.bar.set_length(count);
        self.bar.set_position(completed);
        self.bar.set_message(format!("{}/{} replications", thousands(completed), thousands(count)));
    }

    /// The part done and the whole, where the whole is known.
    fn share(&self, progress: Progress) -> Option<(u64, u64)> {
        let by_requests = progress.expected.map(|expected| (progress.departed, expected));
        by_requests.or_else(|| self.horizon.map(|horizon| (progress.now.as_ns(), horizon.as_ns())))
    }

    fn words(&self, progress: Progress) -> String {
        let wall = self.started.elapsed().as_secs_f64().max(1e-3);
        let Progress { now, departed, expected, .. } = progress;
        let of = expected.map_or(String::new(), |expected| format!("/{}", thousands(expected)));
        format!(
            "{}{of} requests, {} s simulated, {}× real time, {}/s",
            thousands(departed),
            figure(now.as_secs_f64()),
            thousands((now.as_secs_f64() / wall) as u64),
            thousands((departed as f64 / wall) as u64),
        )
    }

    /// Takes the bar away and says how long it was there (s).
    pub(super) fn finish(self) -> f64 {
        self.bar.finish_and_clear();
        self.started.elapsed().as_secs_f64()
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates above are well formed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_fits_a_terminal() {
        let bar = Bar::new(false, None);
        let now = SimTime::from_ns(1_234_567_890_123);
        let progress = Progress { now, arrived: 99_999, departed: 99_000, expected: Some(100_000) };
        let words = bar.words(progress);
        assert!(words.starts_with("99,000/100,000 requests, 1,235 s simulated, "), "{words}");
        assert_eq!(bar.share(progress), Some((99_000, 100_000)));
        let endless = Progress { expected: None, ..progress };
        assert!(bar.words(endless).starts_with("99,000 requests, "));
        assert_eq!(bar.share(endless), None);
        let until = Bar::new(false, Some(now));
        assert_eq!(until.share(endless), Some((now.as_ns(), now.as_ns())));
        drop(bar);
        assert!(until.finish() >= 0.0);
    }
}
