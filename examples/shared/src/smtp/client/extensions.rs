//! What a server offers in its answer to EHLO (RFC 5321, 4.1.1.1).

use crate::reply::Reply;

/// Of the extensions that this client uses.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    /// Bytes of the largest message (RFC 1870); 0 if the server gives no limit.
    pub(super) size: Option<u64>,
    pub(super) pipelining: bool,
    pub(super) eight_bit: bool,
    pub(super) utf8: bool,
    pub(super) starttls: bool,
    /// Names of mechanisms in capitals (RFC 4954).
    pub(super) auth: Vec<String>,
}

impl Extensions {
    /// The first line has the server's name.
    pub(super) fn of(reply: &Reply) -> Self {
        let mut offered = Self::default();
        for line in reply.lines.iter().skip(1) {
            // Old servers write AUTH=LOGIN.
            let mut words = line.split([' ', '=']).filter(|word| !word.is_empty());
            let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
            match &*keyword {
                "SIZE" => {
                    let limit = words.next().and_then(|number| number.parse().ok());
                    offered.size = Some(limit.unwrap_or(0));
                }
                "PIPELINING" => offered.pipelining = true,
                "8BITMIME" => offered.eight_bit = true,
                "SMTPUTF8" => offered.utf8 = true,
                "STARTTLS" => offered.starttls = true,
                "AUTH" => offered.auth.extend(words.map(str::to_ascii_uppercase)),
                _ => {}
            }
        }
        offered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_known_by_their_keywords() {
        let of = |lines: &[&str]| {
            Extensions::of(&Reply {
                code: 250,
                lines: lines.iter().map(|&line| line.into()).collect(),
            })
        };
        assert_eq!(of(&["SIZE 5"]), Extensions::default());
        assert_eq!(
            of(&[
                "peer.example",
                "size 100",
                "Pipelining",
                "8BITMIME",
                "SMTPUTF8",
                "STARTTLS",
                "AUTH plain LOGIN",
                "X-ELSE",
                ""
            ]),
            Extensions {
                size: Some(100),
                pipelining: true,
                eight_bit: true,
                utf8: true,
                starttls: true,
                auth: vec!["PLAIN".into(), "LOGIN".into()],
            }
        );
        assert_eq!(of(&["", "AUTH=LOGIN"]).auth, ["LOGIN"]);
        for (line, size) in [
            ("SIZE", 0),
            ("SIZE 0", 0),
            ("SIZE x", 0),
            ("SIZE 99999999999999999999", 0),
        ] {
            assert_eq!(of(&["", line]).size, Some(size), "{line}");
        }
    }
}
