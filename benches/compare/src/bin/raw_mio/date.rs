//! The `Date` header: written once a second, copied for each answer.

use std::time::{Duration, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

pub(crate) struct Date {
    second: i64,
    text: String,
}

impl Date {
    pub(crate) fn new() -> Self {
        let mut date = Self {
            second: 0,
            text: String::new(),
        };
        date.renew();
        date
    }

    /// Whether the text has changed.
    pub(crate) fn renew(&mut self) -> bool {
        let second = clock_gettime(ClockId::RealtimeCoarse).tv_sec;
        if second == self.second {
            return false;
        }
        self.second = second;
        let since_1970 = Duration::from_secs(second.try_into().unwrap_or_default());
        self.text = httpdate::fmt_http_date(UNIX_EPOCH + since_1970);
        true
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}
