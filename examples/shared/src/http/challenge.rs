//! Answers to challenges: Basic (RFC 7617) and Digest (RFC 7616), of a server or of a proxy. The crate `http-auth` reads and
//! computes them.

use std::{cell::RefCell, fmt, rc::Rc};

use http_auth::{PasswordClient, PasswordParams, basic};

use super::response::Head;

/// Challenges to one request: the first, and some whose only fault is a nonce that became stale.
const MAX_CHALLENGES: usize = 3;

/// Who asks, and with what.
#[derive(Clone, Copy, Debug)]
pub enum Asker {
    Server,
    Proxy,
}

impl Asker {
    pub(super) fn status(self) -> u16 {
        match self {
            Self::Server => 401,
            Self::Proxy => 407,
        }
    }

    fn challenge(self) -> &'static str {
        match self {
            Self::Server => "www-authenticate",
            Self::Proxy => "proxy-authenticate",
        }
    }

    pub(super) fn field(self) -> &'static str {
        match self {
            Self::Server => "Authorization",
            Self::Proxy => "Proxy-Authorization",
        }
    }
}

/// Name and password, and what is known of how to prove them. Clones are one.
#[derive(Clone)]
pub struct Credentials(Rc<Inner>);

struct Inner {
    user: String,
    password: String,
    /// Of the last challenge: its nonce serves further requests.
    scheme: RefCell<Scheme>,
}

enum Scheme {
    /// Nothing is sent before somebody asks.
    Unknown,
    /// Basic, unasked.
    Basic,
    Asked(PasswordClient),
}

impl Credentials {
    /// `basic`: they are sent with the first request. Otherwise the first waits for a challenge, which may be for Digest and
    /// keep the password secret.
    pub fn new(user: String, password: String, basic: bool) -> Self {
        Self(Rc::new(Inner {
            user,
            password,
            scheme: RefCell::new(match basic {
                true => Scheme::Basic,
                false => Scheme::Unknown,
            }),
        }))
    }

    /// The value of the field that proves them, if it is known what to prove.
    ///
    /// # Errors
    /// A challenge without a protection (`qop`) that is known.
    pub(super) fn prove(&self, method: &str, target: &str) -> Result<Option<String>, String> {
        let Inner { user, password, .. } = &*self.0;
        match &mut *self.0.scheme.borrow_mut() {
            Scheme::Unknown => Ok(None),
            Scheme::Basic => Ok(Some(basic::encode_credentials(user, password))),
            Scheme::Asked(client) => client
                .respond(&PasswordParams {
                    username: user,
                    password,
                    uri: target,
                    method,
                    // No protection of the body (auth-int): it is not in memory.
                    body: None,
                })
                .map(Some),
        }
    }

    /// Takes the challenge of an answer. False: there is none that can be answered, or the credentials are wrong.
    ///
    /// `proved`: the request had the answer to an earlier challenge.
    pub(super) fn take(&self, head: &Head, asker: Asker, proved: bool) -> bool {
        let challenges = head
            .all(asker.challenge())
            .filter_map(|value| std::str::from_utf8(value).ok())
            .fold(PasswordClient::builder(), |builder, text| {
                builder.challenges(text)
            });
        let Ok(client) = challenges.build() else {
            return false;
        };
        let stale = match &client {
            PasswordClient::Digest(digest) => digest.stale(),
            _ => false,
        };
        // Basic that was sent unasked may be answered by a challenge for Digest.
        let unasked = matches!(*self.0.scheme.borrow(), Scheme::Basic)
            && !matches!(client, PasswordClient::Basic(_));
        if proved && !stale && !unasked {
            return false;
        }
        *self.0.scheme.borrow_mut() = Scheme::Asked(client);
        true
    }
}

/// Without the password.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credentials").field(&self.0.user).finish()
    }
}

/// How often one request has been challenged.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tries(usize);

impl Tries {
    /// Whether the answer to a challenge has been sent.
    pub(super) fn is_second(self) -> bool {
        self.0 > 0
    }

    /// Whether there may be another.
    pub(super) fn next(&mut self) -> bool {
        self.0 += 1;
        self.0 <= MAX_CHALLENGES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &str) -> Head {
        Head::parse(format!("HTTP/1.1 401 No\n{fields}").as_bytes()).expect("a header")
    }

    fn answer(fields: &str) -> Option<String> {
        let credentials = Credentials::new("Mufasa".into(), "Circle of Life".into(), false);
        credentials
            .take(&head(fields), Asker::Server, false)
            .then(|| credentials.prove("GET", "/dir/index.html"))?
            .ok()?
    }

    #[test]
    fn digest_is_answered_before_basic_and_basic_if_it_is_alone() {
        let digest = r#"WWW-Authenticate: Digest realm="r", nonce="n", qop="auth-int, auth""#;
        let basic = r#"WWW-Authenticate: Basic realm="r""#;
        for (fields, scheme) in [
            (basic.to_owned(), Some("Basic TXVmYXNhOkNpcmNsZSBvZiBMaWZl")),
            (digest.to_owned(), Some("Digest username=\"Mufasa\"")),
            (format!("{basic}\n{digest}"), Some("Digest ")),
            (format!("{basic}, {}", &digest[18..]), Some("Digest ")),
            (
                format!("WWW-Authenticate: Negotiate\n{basic}"),
                Some("Basic "),
            ),
            ("WWW-Authenticate: Negotiate".into(), None),
            ("WWW-Authenticate: Digest realm=\"r\"".into(), None),
            ("WWW-Authenticate: \"".into(), None),
            (digest.replace("auth-int, auth", "auth-int"), None),
            (format!("{digest}, algorithm=SHA-1"), None),
            ("X: y".into(), None),
        ] {
            let answer = answer(&fields);
            assert_eq!(answer.is_some(), scheme.is_some(), "{fields}: {answer:?}");
            let answer = answer.unwrap_or_default();
            assert!(
                answer.starts_with(scheme.unwrap_or_default()),
                "{fields}: {answer}"
            );
        }
    }

    /// RFC 7616, section 3.4: uri, qop=auth, the count of the nonce, the algorithm.
    #[test]
    fn a_nonce_is_counted_and_the_algorithm_named() {
        for algorithm in ["MD5", "SHA-256"] {
            let credentials = Credentials::new("u".into(), "p".into(), false);
            let challenge = format!(
                "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm={algorithm}, qop=\"auth\", opaque=\"o\""
            );
            assert_eq!(credentials.prove("GET", "/"), Ok(None));
            assert!(credentials.take(&head(&challenge), Asker::Server, false));
            for count in 1..3 {
                let answer = credentials
                    .prove("PUT", "/a?b")
                    .expect("an answer")
                    .expect("one");
                for part in [
                    format!("algorithm={algorithm}"),
                    format!("nc=0000000{count}"),
                    "uri=\"/a?b\"".into(),
                    "qop=auth".into(),
                    "opaque=\"o\"".into(),
                ] {
                    assert!(answer.contains(&part), "{part}: {answer}");
                }
            }
        }
    }

    #[test]
    fn a_second_challenge_is_answered_if_the_nonce_was_stale() {
        let challenge = r#"WWW-Authenticate: Digest realm="r", qop="auth", nonce="#;
        let credentials = Credentials::new("u".into(), "p".into(), false);
        let take = |rest: &str, proved| {
            credentials.take(&head(&format!("{challenge}{rest}")), Asker::Server, proved)
        };
        assert!(take("\"1\"", false));
        assert!(!take("\"2\"", true), "a wrong password");
        assert!(take("\"3\", stale=true", true));
    }

    #[test]
    fn basic_unasked_gives_way_to_digest_and_is_not_repeated() {
        let credentials = Credentials::new("u".into(), "p".into(), true);
        let sent = credentials.prove("GET", "/").expect("no challenge");
        assert_eq!(sent.as_deref(), Some("Basic dTpw"));
        let basic = head("Proxy-Authenticate: Basic realm=\"r\"");
        assert!(!credentials.take(&basic, Asker::Proxy, true));
        let digest = head("Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"");
        assert!(credentials.take(&digest, Asker::Proxy, true));
    }

    #[test]
    fn a_password_is_not_in_what_is_logged() {
        let credentials = Credentials::new("u".into(), "secret".into(), true);
        assert!(!format!("{credentials:?}").contains("secret"));
    }
}
