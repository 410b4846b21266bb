//! The page of an error, from a template with places for `code`, `message` and `explain`.

use std::path::Path;

use asynchat::Result;
use shared::{
    http::{escape::html, service::ErrorPage},
    source,
};

/// Bytes of a template.
const MAX: u64 = 256 * 1024;

/// The page that BaseHTTPServer has.
const DEFAULT: &str = "\
<!DOCTYPE html>
<html lang=\"en\">
<head><meta charset=\"utf-8\"><title>Error response</title></head>
<body>
<h1>Error response</h1>
<p>Error code: {code}</p>
<p>Message: {message}.</p>
<p>Error code explanation: {code} - {explain}.</p>
</body>
</html>
";

#[derive(Debug)]
pub(crate) struct Template(String);

impl Default for Template {
    fn default() -> Self {
        Self(DEFAULT.into())
    }
}

impl Template {
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let failed = |what: &dyn std::fmt::Display| format!("{}: {what}", file.display());
        let text = source::read(file, MAX).map_err(|error| failed(&error))?;
        let text = String::from_utf8(text).map_err(|_| failed(&"no text in UTF-8"))?;
        Ok(Self(text))
    }

    /// One pass, so that a client that gets `{explain}` into a message does not have it filled in.
    pub(crate) fn page(&self, page: &ErrorPage<'_>) -> String {
        let code = page.code.to_string();
        let places = [
            ("{code}", &*code),
            ("{message}", page.message),
            ("{explain}", page.explain.trim_end_matches('.')),
        ];
        let mut out = String::with_capacity(self.0.len() + 200);
        let mut rest = &*self.0;
        while let Some(at) = rest.find('{') {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            match places.iter().find(|(name, _)| rest.starts_with(name)) {
                Some((name, value)) => {
                    out.push_str(&html(value));
                    rest = &rest[name.len()..];
                }
                None => {
                    out.push('{');
                    rest = &rest[1..];
                }
            }
        }
        out.push_str(rest);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_once_and_escaped() {
        let page = ErrorPage {
            code: 501,
            message: "Unsupported method ('{explain}')",
            explain: "<script>.",
        };
        for (template, text) in [
            (
                "{code}: {message}",
                "501: Unsupported method (&#x27;{explain}&#x27;)",
            ),
            ("a{b{code}{", "a{b501{"),
            ("{explain}{explain}", "&lt;script&gt;&lt;script&gt;"),
            ("", ""),
        ] {
            assert_eq!(Template(template.into()).page(&page), text, "{template}");
        }
        assert!(Template::default().page(&page).contains("Error code: 501"));
    }
}
