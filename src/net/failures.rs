//! The one error of several addresses that all failed.

use std::{error::Error, fmt, io};

use crate::address::Address;

/// The text of the error names this many addresses and the last one. It only counts the others, so that a long list of
/// addresses makes no long line.
const MOST_SHOWN: usize = 15;

/// The addresses of an attempt that have failed so far.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    shown: Vec<(Address, io::Error)>,
    /// Between those and the last one.
    hidden: usize,
    last: Option<(Address, io::Error)>,
}

impl Failures {
    pub(crate) fn add(&mut self, address: Address, error: io::Error) {
        match self.last.replace((address, error)) {
            Some(earlier) if self.shown.len() < MOST_SHOWN => self.shown.push(earlier),
            Some(_) => self.hidden += 1,
            None => {}
        }
    }

    /// Of the last one's kind, which is the kind of all if they agree.
    pub(crate) fn into_error(self) -> io::Error {
        match &self.last {
            Some((_, last)) => io::Error::new(last.kind(), self),
            None => no_address(),
        }
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (address, error) in &self.shown {
            write!(f, "{address}: {error}; ")?;
        }
        if self.hidden > 0 {
            write!(f, "{} more; ", self.hidden)?;
        }
        self.last
            .iter()
            .try_for_each(|(address, error)| write!(f, "{address}: {error}"))
    }
}

impl Error for Failures {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.last.as_ref().map(|(_, error)| error as _)
    }
}

pub(crate) fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "no address to connect to")
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind::{self, ConnectionRefused, TimedOut};

    use super::*;

    fn failed(kinds: impl IntoIterator<Item = ErrorKind>) -> io::Error {
        let mut failures = Failures::default();
        for (port, kind) in (1..).zip(kinds) {
            failures.add(([127, 0, 0, 1], port).into(), kind.into());
        }
        failures.into_error()
    }

    #[test]
    fn every_address_is_listed_and_the_kind_is_the_last_ones() {
        for (kinds, kind) in [
            (
                vec![ConnectionRefused, ConnectionRefused],
                ConnectionRefused,
            ),
            (vec![ConnectionRefused, TimedOut], TimedOut),
            (vec![TimedOut], TimedOut),
            (vec![], ErrorKind::InvalidInput),
        ] {
            assert_eq!(failed(kinds).kind(), kind);
        }
        let error = failed([ConnectionRefused, TimedOut]);
        assert_eq!(
            error.to_string(),
            "127.0.0.1:1: connection refused; 127.0.0.1:2: timed out"
        );
        let last = error.get_ref().unwrap().source().unwrap();
        assert_eq!(last.to_string(), "timed out");
    }

    #[test]
    fn the_text_for_a_thousand_addresses_is_short() {
        let text = failed(vec![TimedOut; 1000]).to_string();
        assert!(text.starts_with("127.0.0.1:1: timed out; "), "{text}");
        let end = "127.0.0.1:15: timed out; 984 more; 127.0.0.1:1000: timed out";
        assert!(text.ends_with(end), "{text}");
        assert!(!failed(vec![TimedOut; 16]).to_string().contains("more"));
    }
}
