//! Names and passwords of the Basic scheme (RFC 7617).

use std::{
    fmt, fs,
    hash::{BuildHasher, RandomState},
    io::{Error, ErrorKind, Result},
    path::Path,
};

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{Header, header};
use crate::digest::{hmac, is_hmac};

/// Who may come in. Passwords are kept as digests with a key of this process.
pub struct Users {
    key: [u8; 16],
    /// Name, and digest of `NAME:PASSWORD`.
    users: Vec<(String, String)>,
}

impl Users {
    /// Reads lines `NAME:PASSWORD`; empty ones and those that begin with `#` are overlooked.
    pub fn read(file: &Path) -> Result<Self> {
        Self::parse(&fs::read_to_string(file)?)
    }

    fn parse(text: &str) -> Result<Self> {
        let invalid = |why: String| Error::new(ErrorKind::InvalidData, why);
        let mut key = [0; 16];
        for half in key.chunks_mut(8) {
            half.copy_from_slice(&RandomState::new().hash_one(0).to_ne_bytes());
        }
        let mut users = Vec::new();
        let lines = text.lines().enumerate();
        for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            match line.split_once(':') {
                Some((name, _)) if !name.is_empty() => {
                    users.push((name.to_owned(), hmac(&key, line.as_bytes())));
                }
                // Not the line: a password may be all it is.
                _ => return Err(invalid(format!("line {} is not USER:PASS", number + 1))),
            }
        }
        match users.is_empty() {
            true => Err(invalid("it has no line USER:PASS".into())),
            false => Ok(Self { key, users }),
        }
    }

    /// The name that a request to a server gives with its password.
    pub fn admit(&self, headers: &[Header<'_>]) -> Option<&str> {
        self.admit_by(headers, "authorization")
    }

    /// The same for a proxy (RFC 9110, 11.7.2).
    pub fn admit_to_proxy(&self, headers: &[Header<'_>]) -> Option<&str> {
        self.admit_by(headers, "proxy-authorization")
    }

    /// How long that takes does not depend on what is right of name and password.
    fn admit_by(&self, headers: &[Header<'_>], field: &str) -> Option<&str> {
        let given = credentials(header(headers, field)?)?;
        let mut admitted = None;
        for (name, digest) in &self.users {
            if is_hmac(&self.key, &given, digest) {
                admitted = Some(name.as_str());
            }
        }
        admitted
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.users.iter().map(|(name, _)| name);
        f.debug_list().entries(names).finish()
    }
}

fn credentials(value: &[u8]) -> Option<Vec<u8>> {
    let scheme = b"basic ";
    let (name, rest) = value.split_at_checked(scheme.len())?;
    if !name.eq_ignore_ascii_case(scheme) {
        return None;
    }
    BASE64_STANDARD.decode(rest.trim_ascii()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_in_with_its_own_password_only() {
        let users = Users::parse("# people\n\nada:open sesame\nbob:\nada:old:er\n").expect("users");
        for (credentials, name) in [
            ("ada:open sesame", Some("ada")),
            ("ada:old:er", Some("ada")),
            ("bob:", Some("bob")),
            ("bob:open sesame", None),
            ("ada:", None),
            ("ada", None),
            ("", None),
            ("# people", None),
            ("ada:open sesame\n", None),
        ] {
            let value = format!("bAsIc {}", BASE64_STANDARD.encode(credentials));
            let headers = [Header {
                name: "Authorization",
                value: value.as_bytes(),
            }];
            assert_eq!(users.admit(&headers), name, "{credentials}");
            assert_eq!(users.admit_to_proxy(&headers), None, "{credentials}");
            let headers = [Header {
                name: "proxy-authorization",
                ..headers[0]
            }];
            assert_eq!(users.admit_to_proxy(&headers), name, "{credentials}");
            assert_eq!(users.admit(&headers), None, "{credentials}");
        }
        for value in [
            "",
            "Basic",
            "Basic ",
            "Basic !",
            "Bearer YWRhOm9wZW4gc2VzYW1l",
        ] {
            let headers = [Header {
                name: "Authorization",
                value: value.as_bytes(),
            }];
            assert_eq!(users.admit(&headers), None, "{value}");
        }
        assert_eq!(users.admit(&[]), None);
    }

    #[test]
    fn a_file_without_a_name_and_a_password_is_refused_without_showing_them() {
        for (text, why) in [
            ("", "it has no line USER:PASS"),
            ("# a:b\n", "it has no line USER:PASS"),
            ("a:b\nsecret\n", "line 2 is not USER:PASS"),
            (":secret", "line 1 is not USER:PASS"),
        ] {
            assert_eq!(Users::parse(text).expect_err(text).to_string(), why);
        }
        let users = Users::parse("ada:secret").expect("users");
        assert_eq!(format!("{users:?}"), "[\"ada\"]");
    }
}
