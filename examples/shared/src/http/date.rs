//! Dates as HTTP writes them, formatted once a second at most.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A time without its fraction of a second, which HTTP cannot express.
pub fn whole_seconds(time: SystemTime) -> SystemTime {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => UNIX_EPOCH + Duration::from_secs(since.as_secs()),
        // A file from before 1970 has a wrong clock behind it.
        Err(_) => UNIX_EPOCH,
    }
}

/// Reads any of HTTP's three date formats.
pub fn parse(value: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()
}

/// The last second asked for, as text.
#[derive(Debug, Default)]
pub struct DateText {
    second: Option<u64>,
    text: String,
}

impl DateText {
    /// `Sun, 06 Nov 1994 08:49:37 GMT`
    pub fn http(&mut self, time: SystemTime) -> &str {
        let second = whole_seconds(time)
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        if self.second != Some(second) {
            self.second = Some(second);
            // The formatter panics past the year 9999.
            let shown = second.min(253_402_300_799);
            self.text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(shown));
        }
        &self.text
    }

    /// `1994-11-06` and `08:49:37`.
    pub fn iso(&mut self, time: SystemTime) -> (String, &str) {
        const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
        let http = self.http(time);
        let part = |from: usize, to: usize| http.get(from..to).unwrap_or("");
        let month = MONTHS.find(part(8, 11)).map_or(0, |at| at / 3 + 1);
        (
            format!("{}-{month:02}-{}", part(12, 16), part(5, 7)),
            part(17, 25),
        )
    }

    /// `06/Nov/1994:08:49:37`, as in the Common Log Format, in pieces.
    pub fn log(&mut self, time: SystemTime) -> [&str; 7] {
        let http = self.http(time);
        let part = |from: usize, to: usize| http.get(from..to).unwrap_or("");
        [
            part(5, 7),
            "/",
            part(8, 11),
            "/",
            part(12, 16),
            ":",
            part(17, 25),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RFC: Duration = Duration::from_secs(784_111_777);

    #[test]
    fn all_three_formats_of_the_rfc_are_read() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse(text.as_bytes()), Some(UNIX_EPOCH + RFC), "{text}");
        }
        assert_eq!(parse(b"yesterday"), None);
        assert_eq!(parse(b"\xff"), None);
    }

    #[test]
    fn the_text_follows_the_second() {
        let mut date = DateText::default();
        let time = UNIX_EPOCH + RFC;
        assert_eq!(date.http(time), "Sun, 06 Nov 1994 08:49:37 GMT");
        let later = time + Duration::from_millis(999);
        assert_eq!(date.http(later), "Sun, 06 Nov 1994 08:49:37 GMT");
        let next = time + Duration::from_secs(1);
        assert_eq!(date.http(next), "Sun, 06 Nov 1994 08:49:38 GMT");
        assert_eq!(date.log(next).concat(), "06/Nov/1994:08:49:38");
        assert_eq!(date.iso(next), ("1994-11-06".to_string(), "08:49:38"));
    }

    #[test]
    fn times_that_http_cannot_write_are_cut_to_those_it_can() {
        let mut date = DateText::default();
        let before = UNIX_EPOCH - Duration::from_millis(1);
        assert_eq!(date.http(before), "Thu, 01 Jan 1970 00:00:00 GMT");
        let far = UNIX_EPOCH + Duration::from_secs(400_000_000_000);
        assert_eq!(date.http(far), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
