//! Parameters of MAIL and RCPT (RFC 5321, 4.1.1.11).

/// `KEYWORD` or `KEYWORD=VALUE`, in capitals.
#[derive(Debug)]
pub(super) struct Parameters<'a>(Vec<(&'a str, Option<&'a str>)>);

impl<'a> Parameters<'a> {
    /// `None` if one is malformed, or stands there twice.
    pub(super) fn parse(words: &'a [String]) -> Option<Self> {
        let mut parameters = Vec::with_capacity(words.len());
        for word in words {
            let (keyword, value) = match word.split_once('=') {
                Some((_, "")) => return None,
                Some((keyword, value)) => (keyword, Some(value)),
                None => (word.as_str(), None),
            };
            let is_first = parameters.iter().all(|&(other, _)| other != keyword);
            if !is_first || !is_keyword(keyword) {
                return None;
            }
            parameters.push((keyword, value));
        }
        Some(Self(parameters))
    }

    /// Takes a parameter out: `Some(None)` is one without a value.
    pub(super) fn take(&mut self, keyword: &str) -> Option<Option<&'a str>> {
        let at = self.0.iter().position(|&(other, _)| other == keyword)?;
        Some(self.0.swap_remove(at).1)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn is_keyword(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && bytes.all(|b| b == b'-' || b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_have_a_keyword_once_and_a_value_if_any() {
        let parsed = |text: &str| {
            let words: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
            Parameters::parse(&words).map(|parameters| format!("{:?}", parameters.0))
        };
        assert_eq!(parsed("").as_deref(), Some("[]"));
        assert_eq!(
            parsed("SIZE=1 X-Y A=B=C").as_deref(),
            Some(r#"[("SIZE", Some("1")), ("X-Y", None), ("A", Some("B=C"))]"#)
        );
        for text in [
            "=",
            "=1",
            "SIZE=",
            "A_B",
            "-A",
            "A A",
            "SIZE=1 SIZE=2",
            "\u{e4}",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }
}
