//! A request as data: what is asked for, with which fields and body, and the means that all requests of a run share.

use std::{
    borrow::Cow,
    fmt,
    rc::Rc,
    time::{Duration, Instant},
};

use super::{
    fields::Fields,
    proxy::Proxies,
    upload::{Upload, Watch},
    url::Url,
};
use crate::tls::client;

/// Bytes of a method's name: the longest that is registered has 17.
const MAX_METHOD: usize = 32;
/// A body of more bytes is announced with `Expect: 100-continue`, as curl does.
const ANNOUNCED: u64 = 1024 * 1024;

/// The name of a method, fit for a request line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method(Cow<'static, str>);

impl Method {
    pub const GET: Self = Self(Cow::Borrowed("GET"));
    pub const HEAD: Self = Self(Cow::Borrowed("HEAD"));
    pub const POST: Self = Self(Cow::Borrowed("POST"));
    pub const PUT: Self = Self(Cow::Borrowed("PUT"));

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Method {
    type Err = String;

    /// The name is case-sensitive (RFC 9110, 9.1).
    fn from_str(name: &str) -> Result<Self, String> {
        if !super::response::is_token(name.as_bytes()) || name.len() > MAX_METHOD {
            return Err(format!(
                "a method is a word of letters and no more than {MAX_METHOD}"
            ));
        }
        if name == "CONNECT" {
            return Err("CONNECT asks for a tunnel; -x makes one".into());
        }
        Ok(Self(name.to_owned().into()))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is asked for, and how.
#[derive(Clone, Debug)]
pub struct Order {
    pub url: Url,
    pub method: Method,
    /// The user's, beside those that every request has.
    pub fields: Fields,
    pub body: Option<Upload>,
    /// Of consumers, for this request alone: a further request begins without them.
    pub added: Vec<(&'static str, String)>,
    /// The server refused to be asked before the body comes.
    pub unannounced: bool,
    /// Watches the body go out.
    pub watch: Option<Watch>,
    pub agent: Rc<Agent>,
    /// When everything has to be over, further requests that redirects lead to included.
    pub deadline: Option<Deadline>,
    /// A larger body is an error.
    pub max_size: Option<u64>,
}

impl Order {
    pub fn get(url: Url, agent: &Rc<Agent>) -> Self {
        Self {
            url,
            method: Method::GET,
            fields: Fields::default(),
            body: None,
            added: Vec::new(),
            unannounced: false,
            watch: None,
            agent: Rc::clone(agent),
            deadline: None,
            max_size: None,
        }
    }

    pub(super) fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }

    /// A field for this request alone.
    pub fn add(&mut self, name: &'static str, value: String) {
        self.added.retain(|(other, _)| *other != name);
        self.added.push((name, value));
    }

    pub(super) fn has_added(&self, name: &str) -> bool {
        self.added.iter().any(|(other, _)| *other == name)
    }

    /// Whether the server may answer with a part of the body (RFC 9110, 14.2).
    pub(super) fn asks_for_part(&self) -> bool {
        self.fields.has("range") || self.has_added("Range")
    }

    /// Whether the server is asked first if it wants the body (RFC 9110, 10.1.1).
    pub(super) fn expects_continue(&self) -> bool {
        let Some(body) = &self.body else {
            return false;
        };
        let wanted = self.fields.has("expect") || body.len() > ANNOUNCED;
        wanted && !self.unannounced && !self.fields.removes("expect")
    }
}

/// What all requests of a run have in common.
#[derive(Debug)]
pub struct Agent {
    /// For `https`.
    pub tls: Rc<client::Lazy>,
    /// How long connecting may take, and how long the server may be silent.
    pub timeout: Duration,
    pub proxies: Proxies,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            tls: Rc::default(),
            timeout: Duration::from_secs(30),
            proxies: Proxies::default(),
        }
    }
}

/// A moment, and how far away it was.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    pub at: Instant,
    pub limit: Duration,
}

impl Deadline {
    /// `None` past the end of time.
    pub fn after(now: Instant, limit: Duration) -> Option<Self> {
        let at = now.checked_add(limit)?;
        Some(Self { at, limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_one_token() {
        for good in ["GET", "delete", "M-SEARCH", "X!"] {
            assert_eq!(
                good.parse().map(|method: Method| method.to_string()),
                Ok(good.into())
            );
        }
        for bad in [
            "",
            "GET ",
            "GET /",
            "A\r\nB: c",
            "\u{e4}",
            "CONNECT",
            &"X".repeat(33),
        ] {
            assert!(bad.parse::<Method>().is_err(), "{bad:?}");
        }
    }
}
