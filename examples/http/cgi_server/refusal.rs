//! Answers that are none of a script's and no file.

use asynchat::Result;
use shared::http::{
    paths::Refused,
    service::{Answer, Exchange},
};

pub(crate) fn refuse(exchange: &mut Exchange<'_, '_>, refused: Refused) -> Result {
    let status = match refused {
        Refused::Malformed => 400,
        Refused::NotFound => 404,
        Refused::Forbidden => 403,
        Refused::Overloaded => 503,
        Refused::Failed => 500,
    };
    exchange.error(status, "")
}

pub(crate) fn unavailable(exchange: &mut Exchange<'_, '_>) -> Result {
    let answer = Answer::new(503).with("Retry-After", "5")?;
    exchange.error_with(answer, "There are too many scripts to run. Try again soon.")
}

/// An error, or a cut if something of an answer has been sent.
pub(crate) fn give_up(exchange: &mut Exchange<'_, '_>, status: u16, explain: &str) {
    if exchange.has_begun() || exchange.error(status, explain).is_err() {
        exchange.abort();
    }
}
