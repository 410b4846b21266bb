//! The consumer that draws a progress bar on a terminal while the one in it works.

use std::io::{self, Write};

use asynchat::{BoxError, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use shared::http::consumer::{Consumer, Request};

/// Often enough for the eye.
const DRAWN_A_SECOND: u8 = 10;
const BAR: &str =
    "[{bar:40}] {percent:>3} % {binary_bytes:>11} {binary_bytes_per_sec:>13} {eta:>4}";
/// For a body whose size is not known.
const COUNT: &str = "{binary_bytes:>11} {binary_bytes_per_sec:>13}";

/// Nothing in the bar comes from the server, so neither does a control character.
pub(crate) struct Progress<C> {
    bar: ProgressBar,
    consumer: C,
}

impl<C> Progress<C> {
    pub(crate) fn new(consumer: C) -> Self {
        Self {
            bar: ProgressBar::hidden(),
            consumer,
        }
    }
}

impl<C: Consumer> Consumer for Progress<C> {
    fn http_header(&mut self, request: &mut Request<'_, '_>) -> Result {
        let total = request.length.filter(|&length| length > 0);
        let style = ProgressStyle::with_template(if total.is_some() { BAR } else { COUNT })?;
        let terminal = ProgressDrawTarget::stderr_with_hz(DRAWN_A_SECOND);
        self.bar = ProgressBar::with_draw_target(total, terminal);
        self.bar.set_style(style.progress_chars("##."));
        self.consumer.http_header(request)
    }

    fn feed(&mut self, data: &[u8]) -> Result {
        self.bar.inc(data.len() as u64);
        self.consumer.feed(data)
    }

    fn close(&mut self, outcome: Result<(), BoxError>) {
        if self.bar.position() > 0 {
            // As far as it came.
            self.bar.abandon();
            // It leaves the cursor in its line. A terminal that has gone away is no reason to stop a download.
            let _ = writeln!(io::stderr());
        }
        self.consumer.close(outcome);
    }
}
