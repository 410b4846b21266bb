//! The date as HTTP writes it, made anew when a second is over.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use httpdate::HttpDate;

/// When the date in use was made.
#[derive(Default)]
pub(crate) struct Date {
    until: Option<Instant>,
}

impl Date {
    /// The date, if it is another one than at the last call. `now` is the reactor's clock, read once a turn.
    pub(crate) fn renewed(&mut self, now: Instant) -> Option<HttpDate> {
        if self.until.is_some_and(|until| now < until) {
            return None;
        }
        let time = SystemTime::now();
        let into_second = time
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.subsec_nanos());
        self.until = Some(now + Duration::from_nanos(1_000_000_000 - u64::from(into_second)));
        Some(time.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_holds_until_the_second_is_over_and_no_longer() {
        let mut date = Date::default();
        let now = Instant::now();
        let text = date.renewed(now).expect("a first date").to_string();
        assert_eq!((text.len(), &text[25..]), (29, " GMT"));
        assert_eq!(date.renewed(now), None);
        assert!(date.renewed(now + Duration::from_secs(1)).is_some());
    }
}
