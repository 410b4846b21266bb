//! The pages of a directory: name, size and date, sorted by links, so that no script is needed. All entries are sorted, and
//! a page has a part of them, so that what a client makes the server keep for it is bounded.

use std::{
    cmp::Ordering,
    ffi::OsString,
    fmt::{self, Display, Write},
    fs::{self, Metadata},
    io,
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

/// In which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Order {
    column: Column,
    descending: bool,
}

/// What a query asks for, `sort=size&order=desc&page=2`; anything else in it is overlooked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View {
    order: Order,
    /// From 1. Past the last it is the last.
    page: usize,
}

struct Entry {
    name: OsString,
    sort_name: String,
    directory: bool,
    details: Option<Details>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Details {
    size: u64,
    modified: SystemTime,
}

impl View {
    pub(crate) fn of_query(query: &str) -> Self {
        let mut order = Order {
            column: Column::Name,
            descending: false,
        };
        let mut page = 1;
        for pair in query.split('&') {
            match pair {
                "sort=name" => order.column = Column::Name,
                "sort=size" => order.column = Column::Size,
                "sort=date" => order.column = Column::Date,
                "order=desc" => order.descending = true,
                "order=asc" => order.descending = false,
                _ => {
                    let number = pair.strip_prefix("page=").and_then(|n| n.parse().ok());
                    page = number.unwrap_or(page);
                }
            }
        }
        Self { order, page }
    }
}

impl Order {
    fn compare(self, a: &Entry, b: &Entry) -> Ordering {
        let by_name = || (&a.sort_name, &a.name).cmp(&(&b.sort_name, &b.name));
        let ordering = match self.column {
            Column::Name => by_name(),
            Column::Size => a.size().cmp(&b.size()).then_with(by_name),
            Column::Date => a.modified().cmp(&b.modified()).then_with(by_name),
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

impl Entry {
    fn size(&self) -> Option<u64> {
        self.details.map(|details| details.size)
    }

    fn modified(&self) -> Option<SystemTime> {
        self.details.map(|details| details.modified)
    }
}

impl Details {
    fn of(metadata: &Metadata) -> Self {
        Self {
            size: if metadata.is_dir() { 0 } else { metadata.len() },
            modified: metadata.modified().unwrap_or(UNIX_EPOCH),
        }
    }
}

/// Makes a page of `directory`, whose path in URLs is `shown`, not escaped.
///
/// What would not be served is not shown: hidden names, links that lead nowhere or out of the root, pipes, devices.
pub(crate) fn page(root: &Root, directory: &Path, shown: &[u8], view: View) -> io::Result<String> {
    let View { order, page } = view;
    let mut entries = read(root, directory, order.column)?;
    entries.sort_unstable_by(|a, b| order.compare(a, b));
    let total = entries.len();
    let page = page.clamp(1, total.div_ceil(limits::LISTING).max(1));
    let first = (page - 1) * limits::LISTING;
    entries.truncate(first + limits::LISTING);
    entries.drain(..first);
    // Not those that have gone meanwhile.
    entries.retain_mut(|entry| {
        if entry.details.is_none() {
            let metadata = root.look(&mut directory.join(&entry.name));
            entry.details = metadata.ok().map(|metadata| Details::of(&metadata));
        }
        entry.details.is_some()
    });
    let title = format!("Index of {}", String::from_utf8_lossy(shown));
    Ok(page::document(
        &title,
        "",
        Crumbs(shown),
        Table {
            entries: &entries,
            total,
            view: View { order, page },
            top: shown == b"/",
        },
    ))
}

/// All entries. For an order by name the system need not be asked for each.
fn read(root: &Root, directory: &Path, column: Column) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if !root.shows(&name) {
            continue;
        }
        let kind = entry.file_type()?;
        let (directory, details) = if column == Column::Name && !kind.is_symlink() {
            if !kind.is_file() && !kind.is_dir() {
                continue;
            }
            (kind.is_dir(), None)
        } else {
            let looked = root.look(&mut entry.path()).ok();
            let Some(metadata) = looked.filter(|found| found.is_file() || found.is_dir()) else {
                continue;
            };
            (metadata.is_dir(), Some(Details::of(&metadata)))
        };
        entries.push(Entry {
            sort_name: name.to_string_lossy().to_lowercase(),
            name,
            directory,
            details,
        });
    }
    Ok(entries)
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
    /// Entries of all pages.
    total: usize,
    view: View,
    top: bool,
}

impl Table<'_> {
    /// Where in the whole this page is, with links to others, if there are any.
    fn pages(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let View { order, page } = self.view;
        let last = self.total.div_ceil(limits::LISTING);
        if last < 2 {
            return Ok(());
        }
        let first = (page - 1) * limits::LISTING + 1;
        let to = (page * limits::LISTING).min(self.total);
        write!(
            f,
            "<p class=\"soft\">Entries {first} to {to} of {}.",
            self.total
        )?;
        let direction = if order.descending { "desc" } else { "asc" };
        let sorted = format!("sort={}&amp;order={direction}", order.column.key());
        let mut link =
            |page: usize, label| write!(f, " <a href=\"?{sorted}&amp;page={page}\">{label}</a>");
        if page > 1 {
            link(1, "first")?;
            link(page - 1, "previous")?;
        }
        if page < last {
            link(page + 1, "next")?;
            link(last, "last")?;
        }
        f.write_str("</p>\n")
    }
}

impl Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = self.view.order;
        self.pages(f)?;
        writeln!(
            f,
            "<table>\n<thead><tr>{}{}{}</tr></thead>\n<tbody>",
            order.heading(Column::Name, "Name", ""),
            order.heading(Column::Size, "Size", " class=\"n\""),
            order.heading(Column::Date, "Modified (UTC)", " class=\"n wide\""),
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
            let size = entry.size().unwrap_or(0);
            if entry.directory {
                f.write_str("<td class=\"n soft\">–</td>")?;
            } else {
                write!(
                    f,
                    "<td class=\"n\" title=\"{} bytes\">{}</td>",
                    size,
                    Size(size)
                )?;
            }
            let (day, time) = date.iso(entry.modified().unwrap_or(UNIX_EPOCH));
            let minute = time.get(..5).unwrap_or_default();
            writeln!(
                f,
                "<td class=\"n wide\"><time datetime=\"{day}T{time}Z\">{day} {minute}</time></td></tr>"
            )?;
        }
        f.write_str("</tbody>\n</table>\n")?;
        if self.total == 0 {
            f.write_str("<p class=\"soft\">This directory is empty.</p>\n")?;
        }
        self.pages(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_sets_the_order_and_cannot_break_it() {
        let view = |query| View::of_query(query);
        let plain = View {
            order: Order {
                column: Column::Name,
                descending: false,
            },
            page: 1,
        };
        assert_eq!(view(""), plain);
        assert_eq!(
            view("page=7&sort=date&order=desc"),
            View {
                order: Order {
                    column: Column::Date,
                    descending: true
                },
                page: 7
            }
        );
        assert_eq!(view("sort=\"><script>&order=x&page=-1&page="), plain);
    }

    #[test]
    fn names_are_escaped_for_urls_and_for_html() {
        let dir = tempfile::tempdir().expect("a directory");
        let links = [
            (
                "<b>&\"'",
                "href=\"./%3Cb%3E%26%22%27\">&lt;b&gt;&amp;&quot;&#x27;</a>",
            ),
            ("b&'", "href=\"./b%26%27\">b&amp;&#x27;</a>"),
            (
                "javascript:alert(1)",
                "href=\"./javascript%3Aalert%281%29\"",
            ),
            ("50% # ?", "href=\"./50%25%20%23%20%3F\""),
            ("50% #", "href=\"./50%25%20%23\""),
            ("ü", "href=\"./%C3%BC\">ü</a>"),
        ];
        // Windows has no files with such names.
        let links = links
            .into_iter()
            .filter(|(name, _)| !cfg!(windows) || !name.contains(['<', ':', '?']));
        let links: Vec<_> = links.collect();
        for (name, _) in &links {
            fs::write(dir.path().join(name), "x").expect("a file");
        }
        let root = Root::new(dir.path(), false).expect("a root");
        let page = page(&root, dir.path(), b"/x <y>/\xff/", View::of_query("")).expect("a page");
        let above = [
            "<a href=\"/x%20%3Cy%3E/\">x &lt;y&gt;</a>",
            "<a href=\"/x%20%3Cy%3E/%FF/\">\u{fffd}</a>",
        ];
        for expected in links.iter().map(|(_, link)| *link).chain(above) {
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
            let page = page(&root, dir.path(), b"/", View::of_query(query)).expect("a page");
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
