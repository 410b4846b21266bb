//! How the pages look that the server makes itself. No scripts, no fonts, no requests: one document.

use std::fmt::{self, Display};

use shared::http::escape::html;

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#d9dce1;--soft:#5d6673;--link:#0b57d0;--hover:#f1f4f9;--back:#fff;--text:#1b1f24}
@media(prefers-color-scheme:dark){:root{--line:#343a43;--soft:#9aa4b2;--link:#8ab4f8;--hover:#23282f;--back:#181b20;--text:#e4e7eb}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--text);font:15px/1.5 system-ui,sans-serif}
main,header,footer{max-width:62rem;margin:0 auto;padding:0 1.25rem}
header{padding-top:1.5rem}
h1{font-size:1.35rem;font-weight:600;margin:.2rem 0 1rem;overflow-wrap:anywhere}
h2{font-size:1rem;margin:1.6rem 0 .5rem}
a{color:var(--link);text-decoration:none}a:hover,a:focus-visible{text-decoration:underline}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.34rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;white-space:nowrap}th a{color:inherit}
tbody tr:hover{background:var(--hover)}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.name{overflow-wrap:anywhere}
.soft,footer{color:var(--soft)}footer{font-size:.85rem;padding-top:1rem;padding-bottom:2rem}
.tiles{display:flex;flex-wrap:wrap;gap:.6rem}
.tiles div{border:1px solid var(--line);border-radius:.5rem;padding:.4rem .8rem;min-width:7rem}
.tiles b{display:block;font-size:1.15rem;font-variant-numeric:tabular-nums}
svg{width:100%;height:9rem;border:1px solid var(--line);border-radius:.5rem;display:block}
.scroll{overflow-x:auto}
@media(max-width:34rem){th,td{padding:.34rem .3rem}.wide{display:none}}
";

/// A document; `head` is for more elements of the HTML head.
pub(crate) fn document(
    title: &str,
    head: &str,
    header: impl Display,
    main: impl Display,
) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>{}</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>\n{STYLE}</style>\n{head}</head>\n<body>\n\
         <header><h1>{header}</h1></header>\n<main>\n{main}</main>\n\
         <footer>{}</footer>\n</body>\n</html>\n",
        html(title),
        crate::request::reply::SERVER,
    )
}

/// The page of an error.
pub(crate) fn error(status: u16, reason: &str, detail: &str) -> String {
    document(
        &format!("{status} {reason}"),
        "",
        format_args!("{status} {}", html(reason)),
        format_args!("<p>{}</p>\n", html(detail)),
    )
}

/// A number of bytes, for people.
pub(crate) struct Size(pub(crate) u64);

impl Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        // Tenths, rounded, in integers: a size of 2^64 has more digits than a float.
        let mut unit = 0;
        let mut value = u128::from(self.0) * 10 / 1024;
        while value >= 10_240 && unit + 1 < UNITS.len() {
            value /= 1024;
            unit += 1;
        }
        write!(f, "{}.{} {}", value / 10, value % 10, UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_digit_behind_the_point() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1024 * 1024 - 1, "1023.9 KiB"),
            (1024 * 1024, "1.0 MiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
    }

    #[test]
    fn an_error_page_holds_no_markup_of_others() {
        let page = error(404, "Not Found", "<script>");
        assert!(
            page.contains("&lt;script&gt;") && !page.contains("<script>"),
            "{page}"
        );
    }
}
