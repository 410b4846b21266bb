//! A progress bar on a terminal, for a transfer that takes long.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Often enough for the eye.
const DRAWN_A_SECOND: u8 = 10;
const BAR: &str =
    "[{bar:40}] {percent:>3} % {binary_bytes:>11} {binary_bytes_per_sec:>13} {eta:>4}";
/// For a transfer whose size is not known.
const COUNT: &str = "{binary_bytes:>11} {binary_bytes_per_sec:>13}";

/// Nothing in the bar comes from the server, so neither does a control character.
#[derive(Debug)]
pub struct Bar(ProgressBar);

impl Bar {
    /// On standard error, if that is a terminal.
    pub fn new(total: Option<u64>) -> Self {
        if !io::stderr().is_terminal() {
            return Self::hidden();
        }
        let total = total.filter(|&total| total > 0);
        let template = if total.is_some() { BAR } else { COUNT };
        let style = ProgressStyle::with_template(template);
        let terminal = ProgressDrawTarget::stderr_with_hz(DRAWN_A_SECOND);
        let bar = ProgressBar::with_draw_target(total, terminal);
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("##."));
        }
        Self(bar)
    }

    pub fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    /// So many further bytes have passed.
    pub fn inc(&self, bytes: u64) {
        self.0.inc(bytes);
    }

    /// The end: the bar stays, as far as it came.
    pub fn end(&self) {
        if self.0.position() > 0 && !self.0.is_hidden() {
            self.0.abandon();
            // The bar leaves the cursor in its line. A terminal that has gone away is no reason to stop a transfer.
            let _ = writeln!(io::stderr());
        }
    }
}
