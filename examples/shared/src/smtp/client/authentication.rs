//! AUTH (RFC 4954) by PLAIN (RFC 4616) or LOGIN.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::extensions::Extensions;
use crate::text::printable;

/// Characters of the server's list that an error shows.
const MAX_SHOWN: usize = 100;

/// The client's side of one exchange.
pub(super) struct Exchange {
    pub(super) command: String,
    /// To the server's challenges, the last one first.
    answers: Vec<String>,
}

impl Exchange {
    /// By the mechanism that needs fewer turns.
    ///
    /// # Errors
    /// The server offers neither, and what it does offer.
    pub(super) fn begin(offered: &Extensions, user: &str, password: &str) -> Result<Self, String> {
        let offers = |mechanism: &str| offered.auth.iter().any(|name| name == mechanism);
        if offers("PLAIN") {
            let response = STANDARD.encode(format!("\0{user}\0{password}"));
            return Ok(Self {
                command: format!("AUTH PLAIN {response}"),
                answers: vec![response],
            });
        }
        if offers("LOGIN") {
            return Ok(Self {
                command: "AUTH LOGIN".into(),
                answers: vec![STANDARD.encode(password), STANDARD.encode(user)],
            });
        }
        if offered.auth.is_empty() {
            return Err("the server offers no AUTH".into());
        }
        let offered: String = offered.auth.join(" ").chars().take(MAX_SHOWN).collect();
        let offered = printable(&offered);
        Err(format!(
            "the server offers neither AUTH PLAIN nor AUTH LOGIN, but {offered}"
        ))
    }

    /// `None`: the server asks for more than the mechanism has.
    pub(super) fn answer(&mut self) -> Option<String> {
        self.answers.pop()
    }
}
