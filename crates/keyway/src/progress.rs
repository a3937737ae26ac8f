//! How far a long verb has come: a bar on a terminal, a line every few seconds elsewhere, nothing when quiet.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::duration::Span;
use crate::output::{Output, thousands};

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Nothing is shown for what takes less.
const QUIET_FOR: Duration = Duration::from_secs(1);
const TEMPLATE: &str = "{prefix} [{bar:32}] {percent:>3}%  {msg}";

/// Shows how far a walk along a file has come.
pub(crate) struct Progress {
    output: Output,
    bar: Option<ProgressBar>,
    what: &'static str,
    began: Instant,
    last_line: Instant,
    bytes_before: u64,
    bytes_total: u64,
    records: u64,
}

impl Progress {
    /// `what` is done to a file of `bytes_total`, of which `bytes_before` were done earlier.
    pub(crate) fn new(output: Output, what: &'static str, bytes_before: u64, bytes_total: u64) -> Progress {
        let bar = (output.err_is_terminal && !output.is_quiet()).then(|| {
            let style = ProgressStyle::with_template(TEMPLATE).expect("a constant that is well formed");
            let bar = ProgressBar::with_draw_target(Some(bytes_total), ProgressDrawTarget::stderr());
            bar.set_style(style.progress_chars("=> "));
            bar.set_prefix(what);
            bar
        });
        let now = Instant::now();
        Progress { output, bar, what, began: now, last_line: now, bytes_before, bytes_total, records: 0 }
    }

    /// The same for a walk along so many records.
    pub(crate) fn of_records(output: Output, what: &'static str, total: u64) -> Progress {
        Progress::new(output, what, 0, total)
    }

    /// One more record is done.
    pub(crate) fn count(&mut self) {
        self.records += 1;
    }

    /// Records done in this run.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// Time since the beginning of this run.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Records per second of this run.
    pub(crate) fn rate(&self) -> f64 {
        self.records as f64 / self.elapsed().as_secs_f64().max(1e-3)
    }

    /// Shows that everything before `bytes` is done. Called a few times a second.
    pub(crate) fn show(&mut self, bytes: u64) {
        if self.output.is_quiet() || self.elapsed() < QUIET_FOR {
            return;
        }
        let text = format!(
            "{} records, {}/s, {}",
            thousands(self.records),
            thousands(self.rate() as u64),
            self.left(bytes).map_or_else(|| "time left unknown".to_owned(), |left| format!("{left} left")),
        );
        if let Some(bar) = &self.bar {
            bar.set_message(text);
            bar.set_position(bytes);
        } else if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            let percent = bytes * 100 / self.bytes_total.max(1);
            self.output.note(format!("{}: {percent}%, {text}", self.what));
        }
    }

    fn left(&self, bytes: u64) -> Option<Span> {
        let done = bytes.checked_sub(self.bytes_before).filter(|done| *done > 0)?;
        let left = self.bytes_total.saturating_sub(bytes) as f64 / done as f64;
        Some(Span::from_secs((self.elapsed().as_secs_f64() * left).ceil() as u64))
    }

    /// A remark above the bar.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.output.note(text)),
            None => self.output.note(text),
        }
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
