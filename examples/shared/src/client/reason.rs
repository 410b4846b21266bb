//! Why a connection failed, in one line that is fit for a terminal.

use asynchat::{BoxError, HandshakeFailed, Truncated};

use crate::{text::printable, tls::client};

/// Anybody on the way can have done it.
pub(crate) const CUT: &str = "the connection was cut: TLS was not ended (close_notify)";

pub(crate) fn reason(host: &str, error: BoxError) -> BoxError {
    let line = match error.downcast::<HandshakeFailed>() {
        Ok(failed) => return failed_handshake(host, &failed.error).into(),
        Err(error) if error.is::<Truncated>() => CUT.into(),
        Err(error) => match client::of_rustls(&error) {
            Some(error) => format!("TLS: {}", client::reason_of_rustls(host, error)),
            None => error.to_string(),
        },
    };
    printable(&line).into()
}

pub(crate) fn failed_handshake(host: &str, error: &BoxError) -> String {
    let why = client::reason(host, error);
    printable(&format!("TLS handshake with {host} failed: {why}"))
}
