//! As much of Markdown as the documents use: fenced and indented blocks, headings, code spans, links.

use crate::repository;

pub struct Page {
    /// Below the root of the repository.
    pub name: String,
    pub parts: Vec<Part>,
}

/// Lines of one kind, and the number of the first.
pub struct Part {
    pub kind: Kind,
    pub line: usize,
    pub lines: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Prose,
    /// With what stands behind the opening fence.
    Fenced(String),
    Indented,
}

impl Page {
    pub fn read(name: &str) -> Self {
        Self::parse(name, &repository::text(name))
    }

    /// The documentation in a Rust file: what `//!` and `///` lines say.
    pub fn of_comments(name: &str) -> Self {
        let text = repository::text(name);
        let comments = text.lines().map(|line| {
            let line = line.trim_start();
            let comment = line.strip_prefix("//!").or(line.strip_prefix("///"));
            comment.map_or("", |text| text.strip_prefix(' ').unwrap_or(text))
        });
        Self::parse(name, &comments.collect::<Vec<_>>().join("\n"))
    }

    pub fn parse(name: &str, text: &str) -> Self {
        let mut parts: Vec<Part> = Vec::new();
        let mut fence: Option<String> = None;
        let mut blank = true;
        let mut listed = false;
        for (index, line) in text.lines().enumerate() {
            let bare = line.trim();
            let mark = bare.strip_prefix("```");
            let kind = match (&fence, mark) {
                (Some(_), Some(_)) => {
                    fence = None;
                    blank = false;
                    continue;
                }
                (None, Some(info)) => {
                    fence = Some(info.to_owned());
                    parts.push(Part {
                        kind: Kind::Fenced(info.to_owned()),
                        line: index + 2,
                        lines: Vec::new(),
                    });
                    continue;
                }
                (Some(info), None) => Kind::Fenced(info.clone()),
                // Four blanks after a blank line are code, unless they go on with an item of a list.
                (None, None) => {
                    let goes_on = parts.last().is_some_and(|part| part.kind == Kind::Indented);
                    if line.starts_with("    ") && !listed && (blank || goes_on) {
                        Kind::Indented
                    } else if bare.is_empty() && goes_on {
                        parts.last_mut().unwrap().lines.push(String::new());
                        continue;
                    } else {
                        Kind::Prose
                    }
                }
            };
            if kind == Kind::Prose && !bare.is_empty() {
                let item = bare.split_once(' ').is_some_and(|(mark, _)| {
                    mark == "-"
                        || mark
                            .strip_suffix('.')
                            .is_some_and(|n| n.parse::<u32>().is_ok())
                });
                listed = item || (listed && line.starts_with(' '));
            }
            blank = bare.is_empty();
            match parts.last_mut() {
                Some(part) if part.kind == kind => part.lines.push(line.to_owned()),
                _ => parts.push(Part {
                    kind,
                    line: index + 1,
                    lines: vec![line.to_owned()],
                }),
            }
        }
        assert_eq!(fence, None, "{name}: a fence is open at the end");
        Self {
            name: name.to_owned(),
            parts,
        }
    }

    /// All that is not a block of code, in one text.
    pub fn prose(&self) -> String {
        let parts = self.parts.iter().filter(|part| part.kind == Kind::Prose);
        parts.map(|part| part.lines.join("\n") + "\n").collect()
    }

    /// What is wrong with tables: rows without a head, as behind an empty line, and rows with more or fewer cells than
    /// it has. Both are shown as text, or cut.
    pub fn broken_rows(&self) -> Vec<String> {
        let cells = |row: &str| row.replace("\\|", "").matches('|').count();
        let mut broken = Vec::new();
        for part in self.parts.iter().filter(|part| part.kind == Kind::Prose) {
            let rows: Vec<_> = (part.line..).zip(&part.lines).collect();
            for table in rows.chunk_by(|(_, a), (_, b)| a.starts_with('|') == b.starts_with('|')) {
                let (at, head) = table[0];
                if !head.starts_with('|') {
                    continue;
                }
                let below = table
                    .get(1)
                    .map(|(_, row)| row.trim_matches(['|', ' ', ':']));
                if !below.is_some_and(|row| row.starts_with('-')) {
                    broken.push(format!("{}:{at}: a row without a table", self.name));
                }
                let odd = table.iter().filter(|(_, row)| cells(row) != cells(head));
                broken.extend(
                    odd.map(|(at, _)| format!("{}:{at}: not the cells of its head", self.name)),
                );
            }
        }
        broken
    }

    /// What headings are called in links, as GitHub does it.
    pub fn anchors(&self) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        let prose = self.prose();
        for line in prose.lines() {
            let heading = line.trim_start_matches('#');
            if heading.len() == line.len() || !heading.starts_with(' ') {
                continue;
            }
            let kept = heading.trim().to_lowercase().replace(' ', "-");
            let slug: String = kept
                .chars()
                .filter(|&c| c.is_alphanumeric() || c == '-' || c == '_')
                .collect();
            let again = (1..).map(|n| format!("{slug}-{n}"));
            let name = std::iter::once(slug.clone()).chain(again);
            found.push({ name }.find(|name| !found.contains(name)).unwrap());
        }
        found
    }

    /// The code spans of the prose, a line break in one taken for a blank.
    pub fn spans(&self) -> Vec<String> {
        let prose = self.prose();
        // Paragraphs and cells end a span that was never closed.
        let pieces = prose.split("\n\n").flat_map(|text| text.split(" | "));
        let spans = pieces.flat_map(|piece| piece.split('`').skip(1).step_by(2));
        spans
            .map(|span| span.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    }

    /// The goals of the links in the prose.
    pub fn links(&self) -> Vec<String> {
        let prose = self.prose();
        let without_spans: String = prose
            .split("\n\n")
            .flat_map(|text| text.split('`').step_by(2).chain(["\n\n"]))
            .collect();
        let inline = without_spans.split("](").skip(1);
        let inline = inline.filter_map(|rest| rest.split_once(')').map(|(goal, _)| goal));
        let defined = without_spans.lines().filter_map(|line| {
            let (name, goal) = line.strip_prefix('[')?.split_once("]: ")?;
            (!name.contains(']')).then_some(goal)
        });
        let goals = inline.chain(defined).filter_map(without_title);
        goals.map(str::to_owned).collect()
    }

    /// What defines a reference: its name and its goal.
    pub fn definitions(&self) -> Vec<(String, String)> {
        let prose = self.prose();
        let lines = prose.lines();
        let pairs = lines.filter_map(|line| line.strip_prefix('[')?.split_once("]: "));
        pairs
            .map(|(name, goal)| (name.to_owned(), goal.trim().to_owned()))
            .collect()
    }

    /// The names of references in the prose, `[text][name]` or `[name][]`, that nothing defines.
    pub fn undefined(&self) -> Vec<String> {
        let prose = self.prose();
        let hide = |c| if "[]".contains(c) { ' ' } else { c };
        let mut text = String::new();
        for paragraph in prose.split("\n\n") {
            for (index, piece) in paragraph.split('`').enumerate() {
                let mark = if index == 0 { "" } else { "`" };
                text += mark;
                text.extend(
                    piece
                        .chars()
                        .map(|c| if index % 2 == 1 { hide(c) } else { c }),
                );
            }
            text += "\n\n";
        }
        let defined: Vec<String> = text
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix('[')?.split_once("]:"))
            .map(|(name, _)| name.to_lowercase())
            .collect();
        let mut missing = Vec::new();
        for (at, _) in text.match_indices("][") {
            let shown = text[..at].rsplit('[').next().unwrap_or_default();
            let named = text[at + 2..].split(']').next().unwrap_or_default();
            let name = if named.is_empty() { shown } else { named };
            if !defined.contains(&name.to_lowercase()) {
                missing.push(name.to_owned());
            }
        }
        missing
    }
}

/// Of `goal` or `goal "title"`; with other words behind it, it is no link.
fn without_title(inside: &str) -> Option<&str> {
    let mut words = inside.split_whitespace();
    let goal = words.next().unwrap_or_default();
    let title = words.next();
    title
        .is_none_or(|title| title.starts_with(['"', '\'', '(']))
        .then_some(goal)
}

#[test]
fn blocks_headings_and_links_of_a_page_are_told_apart() {
    let page = Page::parse(
        "a.md",
        "# A `b` c!\n[x](y.md#z) `[no](no.md)`\n\n    $ run\n    out\n\n\
         ```sh\n# no\n[no](no)\n```\n# A b c\n- item\n\n    text\n",
    );
    assert_eq!(page.anchors(), ["a-b-c", "a-b-c-1"]);
    assert_eq!(page.links(), ["y.md#z"]);
    assert_eq!(page.spans(), ["b", "[no](no.md)"]);
    let kinds: Vec<_> = page
        .parts
        .iter()
        .map(|part| (&part.kind, part.line))
        .collect();
    let sh = Kind::Fenced("sh".to_owned());
    let expected = [
        (&Kind::Prose, 1),
        (&Kind::Indented, 4),
        (&sh, 8),
        (&Kind::Prose, 11),
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn rows_behind_an_empty_line_and_rows_with_other_cells_are_broken() {
    let page = Page::parse(
        "a.md",
        "a | b\n\n| h | i |\n|---|---|\n| a \\| b | c |\n| d |\n\n| e | f |\n",
    );
    let expected = [
        "a.md:6: not the cells of its head",
        "a.md:8: a row without a table",
    ];
    assert_eq!(page.broken_rows(), expected);
}

#[test]
fn titles_are_no_part_of_a_link_and_references_need_a_definition() {
    let page = Page::parse(
        "a.md",
        "[x](a.md \"t (u)\") [y](b.md\n't') [no](no link) [u][R] [`v`][] [w][gone] [`gone`][] `a[0][1]`\n\n\
         [r]: c.md \"t\"\n[`v`]: d.md\n",
    );
    assert_eq!(page.links(), ["a.md", "b.md", "c.md", "d.md"]);
    assert_eq!(page.undefined(), ["gone", "`gone`"]);
}
