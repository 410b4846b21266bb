//! What the requests do: fail2ban's transmitter, with names and values in place of jails.

use std::collections::BTreeMap;

use crate::wire::Answer;

/// What names and values may hold together, in bytes.
pub(crate) const MAX_BYTES: usize = 256 * 1024;
/// The most names. A list of all of them is one answer.
pub(crate) const MAX_NAMES: usize = 1000;

#[derive(Default)]
pub(crate) struct Store {
    values: BTreeMap<String, String>,
    bytes: usize,
    requests: u64,
}

impl Store {
    /// Answers a request.
    pub(crate) fn proceed(&mut self, request: &[String]) -> Answer {
        self.requests += 1;
        let request: Vec<&str> = request.iter().map(String::as_str).collect();
        match request[..] {
            ["ping"] => Ok(vec!["pong".into()]),
            ["version"] => Ok(vec![env!("CARGO_PKG_VERSION").into()]),
            ["echo", ref strings @ ..] => Ok(strings.iter().map(ToString::to_string).collect()),
            ["status"] => Ok(vec![
                format!("requests: {}", self.requests),
                format!("names: {}", self.values.len()),
                format!("bytes: {}", self.bytes),
            ]),
            ["list"] => Ok(self.values.keys().cloned().collect()),
            ["get", name] => match self.values.get(name) {
                Some(value) => Ok(vec![value.clone()]),
                None => Err(format!("there is no {name}")),
            },
            ["set", name, value] => self.set(name, value),
            ["unset", name] => match self.values.remove(name) {
                Some(value) => {
                    self.bytes -= name.len() + value.len();
                    Ok(vec![])
                }
                None => Err(format!("there is no {name}")),
            },
            _ => Err(
                "commands: ping, version, echo STRING..., status, list, get NAME, \
                set NAME VALUE, unset NAME, stop"
                    .into(),
            ),
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Answer {
        let before = self.values.get(name);
        let freed = before.map_or(0, |value| name.len() + value.len());
        let names = self.values.len() + usize::from(before.is_none());
        let bytes = self.bytes - freed + name.len() + value.len();
        if names > MAX_NAMES || bytes > MAX_BYTES {
            return Err(format!(
                "there is room for {MAX_NAMES} names and {MAX_BYTES} bytes"
            ));
        }
        self.bytes = bytes;
        self.values.insert(name.into(), value.into());
        Ok(vec![])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proceed(store: &mut Store, request: &[&str]) -> Answer {
        let request: Vec<String> = request.iter().map(ToString::to_string).collect();
        store.proceed(&request)
    }

    #[test]
    fn bytes_are_counted_and_bounded() {
        let mut store = Store::default();
        let half = "x".repeat(MAX_BYTES / 2 - 1);
        for name in ["a", "b", "a", "b"] {
            assert_eq!(proceed(&mut store, &["set", name, &half]), Ok(vec![]));
        }
        assert_eq!(store.bytes, MAX_BYTES);
        assert!(proceed(&mut store, &["set", "c", ""]).is_err());
        assert!(proceed(&mut store, &["set", "a", &(half.clone() + "x")]).is_err());
        assert_eq!(proceed(&mut store, &["get", "a"]), Ok(vec![half]));
        for name in ["a", "b"] {
            assert_eq!(proceed(&mut store, &["unset", name]), Ok(vec![]));
            assert!(proceed(&mut store, &["unset", name]).is_err());
        }
        assert_eq!(store.bytes, 0);
    }

    #[test]
    fn names_are_bounded() {
        let mut store = Store::default();
        for n in 0..MAX_NAMES {
            let name = n.to_string();
            assert_eq!(proceed(&mut store, &["set", &name, ""]), Ok(vec![]));
        }
        assert!(proceed(&mut store, &["set", "one more", ""]).is_err());
        assert_eq!(proceed(&mut store, &["set", "0", "again"]), Ok(vec![]));
        assert_eq!(proceed(&mut store, &["list"]).unwrap().len(), MAX_NAMES);
    }
}
