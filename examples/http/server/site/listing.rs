//! The page of a directory: name, size and date, sorted by links, so that no script is needed.

use std::{
    cmp::Ordering,
    fmt::{self, Display, Write},
    fs, io,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use shared::http::{
    date::DateText,
    escape::{self, html},
    paths::Root,
};

use super::page::{self, Size};
use crate::limits;

/// By what a page is sorted; directories always come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Name,
    Size,
    Date,
}

/// The order a query asks for, `sort=size&order=desc`; anything else in it is overlooked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    column: Column,
    descending: bool,
}

struct Entry {
    name: std::ffi::OsString,
    sort_name: String,
    directory: bool,
    size: u64,
    modified: SystemTime,
}

impl Order {
    pub(crate) fn of_query(query: &str) -> Self {
        let mut order = Self {
            column: Column::Name,
            descending: false,
        };
        for pair in query.split('&') {
            match pair {
                "sort=name" => order.column = Column::Name,
                "sort=size" => order.column = Column::Size,
                "sort=date" => order.column = Column::Date,
                "order=desc" => order.descending = true,
                "order=asc" => order.descending = false,
                _ => {}
            }
        }
        order
    }

    fn compare(self, a: &Entry, b: &Entry) -> Ordering {
        let by_name = || (&a.sort_name, &a.name).cmp(&(&b.sort_name, &b.name));
        let ordering = match self.column {
            Column::Name => by_name(),
            Column::Size => a.size.cmp(&b.size).then_with(by_name),
            Column::Date => a.modified.cmp(&b.modified).then_with(by_name),
        };
        let ordering = if self.descending {
            ordering.reverse()
        } else {
            ordering
        };
        b.directory.cmp(&a.directory).then(ordering)
    }

    /// The heading of a column: a link that sorts by it, the other way round if it already does.
    fn heading(self, column: Column, label: &str, class: &str) -> String {
        let (key, current) = (column.key(), self.column == column);
        let (mark, aria) = match (current, self.descending) {
            (false, _) => ("", "none"),
            (true, false) => (" ▲", "ascending"),
            (true, true) => (" ▼", "descending"),
        };
        let next = if current && !self.descending {
            "desc"
        } else {
            "asc"
        };
        format!(
            "<th{class} aria-sort=\"{aria}\"><a href=\"?sort={key}&amp;order={next}\">{label}{mark}</a></th>"
        )
    }
}

impl Column {
    fn key(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Size => "size",
            Self::Date => "date",
        }
    }
}

/// Makes the page of `directory`, whose path in URLs is `shown`, not escaped.
///
/// What would not be served is not shown: hidden names, links that lead nowhere or out of the root, pipes, devices.
pub(crate) fn page(
    root: &Root,
    directory: &Path,
    shown: &[u8],
    order: Order,
) -> io::Result<String> {
    let (mut entries, more) = read(root, directory)?;
    entries.sort_unstable_by(|a, b| order.compare(a, b));
    let title = format!("Index of {}", String::from_utf8_lossy(shown));
    Ok(page::document(
        &title,
        "",
        Crumbs(shown),
        Table {
            entries: &entries,
            more,
            order,
            top: shown == b"/",
        },
    ))
}

fn read(root: &Root, directory: &Path) -> io::Result<(Vec<Entry>, usize)> {
    let mut entries = Vec::new();
    let mut more = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if !root.shows(&name) {
            continue;
        }
        if entries.len() == limits::LISTING {
            more += 1;
            continue;
        }
        let Ok(metadata) = root.look(&mut entry.path()) else {
            continue;
        };
        if metadata.is_file() || metadata.is_dir() {
            entries.push(Entry {
                sort_name: name.to_string_lossy().to_lowercase(),
                name,
                directory: metadata.is_dir(),
                size: if metadata.is_dir() { 0 } else { metadata.len() },
                modified: metadata.modified().unwrap_or(UNIX_EPOCH),
            });
        }
    }
    Ok((entries, more))
}

/// The path as a row of links, one for each directory on the way.
struct Crumbs<'a>(&'a [u8]);

impl Display for Crumbs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<span class=\"soft\">Index of</span> <a href=\"/\">/</a>")?;
        let mut href = String::from("/");
        for name in self
            .0
            .split(|&byte| byte == b'/')
            .filter(|name| !name.is_empty())
        {
            write!(href, "{}/", escape::segment(name))?;
            let name = String::from_utf8_lossy(name);
            write!(f, "<a href=\"{href}\">{}</a>/", html(&name))?;
        }
        Ok(())
    }
}

struct Table<'a> {
    entries: &'a [Entry],
    more: usize,
    order: Order,
    top: bool,
}

impl Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "<table>\n<thead><tr>{}{}{}</tr></thead>\n<tbody>",
            self.order.heading(Column::Name, "Name", ""),
            self.order.heading(Column::Size, "Size", " class=\"n\""),
            self.order
                .heading(Column::Date, "Modified (UTC)", " class=\"n wide\""),
        )?;
        if !self.top {
            f.write_str("<tr><td class=\"name\"><a href=\"../\">../</a></td><td></td><td class=\"wide\"></td></tr>\n")?;
        }
        let mut date = DateText::default();
        for entry in self.entries {
            let slash = if entry.directory { "/" } else { "" };
            let name = entry.name.to_string_lossy();
            // `./` keeps a name with a colon from being taken for a scheme.
            write!(
                f,
                "<tr><td class=\"name\"><a href=\"./{}{slash}\">{}{slash}</a></td>",
                escape::segment(entry.name.as_encoded_bytes()),
                html(&name),
            )?;
            if entry.directory {
                f.write_str("<td class=\"n soft\">–</td>")?;
            } else {
                write!(
                    f,
                    "<td class=\"n\" title=\"{} bytes\">{}</td>",
                    entry.size,
                    Size(entry.size)
                )?;
            }
            let (day, time) = date.iso(entry.modified);
            let minute = time.get(..5).unwrap_or_default();
            writeln!(
                f,
                "<td class=\"n wide\"><time datetime=\"{day}T{time}Z\">{day} {minute}</time></td></tr>"
            )?;
        }
        f.write_str("</tbody>\n</table>\n")?;
        match (self.entries.len(), self.more) {
            (0, 0) => f.write_str("<p class=\"soft\">This directory is empty.</p>\n"),
            (_, 0) => Ok(()),
            (_, more) => writeln!(
                f,
                "<p class=\"soft\">{more} more entries are not shown.</p>"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_sets_the_order_and_cannot_break_it() {
        let order = |query| Order::of_query(query);
        let plain = Order {
            column: Column::Name,
            descending: false,
        };
        assert_eq!(order(""), plain);
        assert_eq!(
            order("sort=date&order=desc"),
            Order {
                column: Column::Date,
                descending: true
            }
        );
        assert_eq!(order("sort=\"><script>&order=x"), plain);
    }

    #[test]
    fn names_are_escaped_for_urls_and_for_html() {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["<b>&\"'", "javascript:alert(1)", "50% # ?", "ü"] {
            fs::write(dir.path().join(name), "x").expect("a file");
        }
        let root = Root::new(dir.path(), false).expect("a root");
        let page = page(&root, dir.path(), b"/x <y>/\xff/", Order::of_query("")).expect("a page");
        for expected in [
            "href=\"./%3Cb%3E%26%22%27\">&lt;b&gt;&amp;&quot;&#x27;</a>",
            "href=\"./javascript%3Aalert%281%29\"",
            "href=\"./50%25%20%23%20%3F\"",
            "href=\"./%C3%BC\">ü</a>",
            "<a href=\"/x%20%3Cy%3E/\">x &lt;y&gt;</a>",
            "<a href=\"/x%20%3Cy%3E/%FF/\">\u{fffd}</a>",
        ] {
            assert!(page.contains(expected), "{expected} in {page}");
        }
        assert!(!page.contains("<b>"));
    }

    #[test]
    fn directories_come_first_whatever_the_order() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("zz")).expect("a directory");
        fs::write(dir.path().join("B"), "long").expect("a file");
        fs::write(dir.path().join("a"), "longer").expect("a file");
        let root = Root::new(dir.path(), false).expect("a root");
        let names = |query| {
            let page = page(&root, dir.path(), b"/", Order::of_query(query)).expect("a page");
            let parts = page.split("<td class=\"name\"><a href=\"./").skip(1);
            parts
                .map(|part| part.split('"').next().unwrap_or("").to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(""), ["zz/", "a", "B"]);
        assert_eq!(names("sort=name&order=desc"), ["zz/", "B", "a"]);
        assert_eq!(names("sort=size"), ["zz/", "B", "a"]);
        assert_eq!(names("sort=size&order=desc"), ["zz/", "a", "B"]);
    }
}
