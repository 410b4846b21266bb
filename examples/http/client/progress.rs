//! The consumer that draws a progress bar on a terminal while the one in it works.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use asynchat::{BoxError, Result};
use shared::http::consumer::{Consumer, Request};

/// Often enough for the eye.
const PAUSE: Duration = Duration::from_millis(100);
const WIDTH: usize = 40;

pub(crate) struct Progress<C> {
    size: u64,
    total: Option<u64>,
    drawn: Option<Instant>,
    consumer: C,
}

impl<C> Progress<C> {
    pub(crate) fn new(consumer: C) -> Self {
        Self {
            size: 0,
            total: None,
            drawn: None,
            consumer,
        }
    }

    fn draw(&mut self) {
        // A terminal that has gone away is no reason to stop a download.
        let _ = write!(io::stderr(), "\r{}", bar(self.size, self.total));
        self.drawn = Some(Instant::now());
    }
}

impl<C: Consumer> Consumer for Progress<C> {
    fn http_header(&mut self, request: &mut Request<'_, '_>) -> Result {
        self.total = request.length;
        self.consumer.http_header(request)
    }

    fn feed(&mut self, data: &[u8]) -> Result {
        self.size += data.len() as u64;
        if self.drawn.is_none_or(|drawn| drawn.elapsed() >= PAUSE) {
            self.draw();
        }
        self.consumer.feed(data)
    }

    fn close(&mut self, outcome: Result<(), BoxError>) {
        if self.drawn.is_some() {
            self.draw();
            let _ = writeln!(io::stderr());
        }
        self.consumer.close(outcome);
    }
}

/// A bar for a body whose size is known, a count for others; never shorter than the one before it.
fn bar(size: u64, total: Option<u64>) -> String {
    let kib = size.div_ceil(1024);
    let Some(total) = total.filter(|&total| total > 0) else {
        return format!("{kib:>12} KiB");
    };
    let share = size.min(total) as f64 / total as f64;
    let done = (share * WIDTH as f64) as usize;
    let (full, empty) = ("#".repeat(done), ".".repeat(WIDTH - done));
    let percent = (share * 100.0) as u8;
    format!("[{full}{empty}] {percent:>3} % {kib:>12} KiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_grows_with_the_share_that_came() {
        let none = ".".repeat(40);
        let half = format!("{}{}", "#".repeat(20), ".".repeat(20));
        assert_eq!(
            bar(0, Some(2048)),
            format!("[{none}]   0 %            0 KiB")
        );
        assert_eq!(
            bar(1024, Some(2048)),
            format!("[{half}]  50 %            1 KiB")
        );
        assert_eq!(
            bar(2048, Some(2048)),
            format!("[{}] 100 %            2 KiB", "#".repeat(40))
        );
    }

    #[test]
    fn without_a_known_size_there_is_a_count() {
        assert_eq!(bar(1500, None), "           2 KiB");
        assert_eq!(bar(0, Some(0)), "           0 KiB");
    }
}
