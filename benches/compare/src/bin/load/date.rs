//! The date of an HTTP answer: `Sun, 06 Nov 1994 08:49:37 GMT`.

use std::time::{SystemTime, UNIX_EPOCH};

/// The length of a date.
pub(crate) const LENGTH: usize = 29;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

pub(crate) fn unix_now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() as i64)
}

/// Whether it is well formed and, give or take what caching and waiting cost, now.
pub(crate) fn is_now(date: &[u8]) -> bool {
    let Some(seconds) = std::str::from_utf8(date).ok().and_then(seconds) else {
        return false;
    };
    (-4..=2).contains(&(seconds - unix_now()))
}

fn seconds(date: &str) -> Option<i64> {
    let numeric = |at: usize, length: usize| -> Option<i64> {
        let digits = date.get(at..at + length)?;
        let all = digits.bytes().all(|byte| byte.is_ascii_digit());
        all.then(|| digits.parse().ok())?
    };
    let month = MONTHS
        .iter()
        .position(|&month| date.get(8..11) == Some(month))? as i64
        + 1;
    let (day, year) = (numeric(5, 2)?, numeric(12, 4)?);
    let (hour, minute, second) = (numeric(17, 2)?, numeric(20, 2)?, numeric(23, 2)?);
    let days = days_since_epoch(year, month, day);
    let weekday = DAYS[days.rem_euclid(7) as usize];
    let month = MONTHS[month as usize - 1];
    let well_formed =
        format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT");
    (date == well_formed && hour < 24 && minute < 60 && second <= 60)
        .then_some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// In the Gregorian calendar, with years that begin in March so that the odd day comes last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates_are_read() {
        assert_eq!(seconds("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(
            seconds("Thu, 29 Feb 2024 23:59:59 GMT"),
            Some(1_709_251_199)
        );
    }

    #[test]
    fn a_wrong_weekday_or_form_is_refused() {
        for date in [
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06-Nov-94 08:49:37 GMT",
            "",
        ] {
            assert_eq!(seconds(date), None, "{date}");
        }
    }

    #[test]
    fn an_old_date_is_not_now() {
        assert!(!is_now(b"Sun, 06 Nov 1994 08:49:37 GMT"));
    }
}
