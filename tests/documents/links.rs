//! Links: of the pages, to files and headings; of the source's documentation, to nothing that rustdoc leaves behind.

use std::{collections::BTreeMap, path::Path};

use crate::{markdown::Page, nothing_wrong, repository, root};

/// Pages that are modules of the documentation too. Their relative links lead nowhere there, so they are references, which
/// `ON_DOCS_RS` defines anew: src/lib.rs includes it ahead of each page, and the first definition counts.
const MODULES: [&str; 2] = ["docs/guide.md", "docs/porting.md"];
const ON_DOCS_RS: &str = "docs/links.md";
const SOURCE: &str = "https://docs.rs/crate/asynchat/latest/source/";

fn is_elsewhere(link: &str) -> bool {
    ["http:", "https:", "mailto:"]
        .iter()
        .any(|scheme| link.starts_with(scheme))
}

#[test]
fn every_link_of_a_page_leads_to_a_file_and_a_heading() {
    let Some(pages) = repository::pages() else {
        return;
    };
    let mut wrong = Vec::new();
    let mut checked = 0;
    for page in pages.iter().filter(|page| page.name != ON_DOCS_RS) {
        for link in page.links().iter().filter(|link| !is_elsewhere(link)) {
            checked += 1;
            if let Err(why) = resolve(page, link) {
                wrong.push(format!("{}: link to {link}: {why}", page.name));
            }
        }
        for name in page.undefined() {
            wrong.push(format!("{}: nothing defines [{name}]", page.name));
        }
    }
    eprintln!("{checked} links in {} pages", pages.len());
    assert!(checked > 100, "only {checked} links found");
    nothing_wrong(wrong);
}

fn resolve(page: &Page, link: &str) -> Result<(), String> {
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let anchors = if path.is_empty() {
        page.anchors()
    } else {
        let folder = Path::new(&page.name).parent().unwrap();
        let goal = root().join(folder).join(path);
        if !goal.exists() {
            return Err("no such file".to_owned());
        }
        // A link that climbs out of the repository works here and nowhere else.
        let goal = goal.canonicalize().unwrap();
        let Ok(below) = goal.strip_prefix(root().canonicalize().unwrap()) else {
            return Err("outside the repository".to_owned());
        };
        if anchor.is_empty() {
            return Ok(());
        }
        if below.extension().is_none_or(|extension| extension != "md") {
            return Err("a heading in what is no page".to_owned());
        }
        Page::read(below.to_str().unwrap()).anchors()
    };
    if anchors.iter().any(|known| known == anchor) {
        Ok(())
    } else {
        Err("no such heading".to_owned())
    }
}

#[test]
fn every_link_of_a_page_that_is_a_module_has_its_goal_on_docs_rs() {
    if repository::pages().is_none() {
        return;
    }
    let definitions = |name: &str| BTreeMap::from_iter(Page::read(name).definitions());
    let mut there = definitions(ON_DOCS_RS);
    let mut wrong = Vec::new();
    let mut used = Vec::new();
    for name in MODULES {
        let page = Page::read(name);
        let here = definitions(name);
        for link in page.links() {
            let defined = here.values().any(|goal| *goal == link);
            if !defined && !link.starts_with('#') && !is_elsewhere(&link) {
                wrong.push(format!("{name}: the link to {link} is no reference"));
            }
        }
        for (reference, goal) in here {
            let expected = on_docs_rs(&goal);
            match there.get(&reference) {
                Some(known) if *known == expected => {}
                Some(known) => wrong.push(format!(
                    "{ON_DOCS_RS}: [{reference}] is {known}, not {expected}"
                )),
                None => wrong.push(format!("{ON_DOCS_RS}: no [{reference}]: {expected}")),
            }
            used.push(reference);
        }
    }
    // A comment, as Markdown has none that leaves nothing behind.
    there.remove("//");
    there.retain(|reference, _| !used.contains(reference));
    wrong.extend(
        there
            .keys()
            .map(|name| format!("{ON_DOCS_RS}: [{name}] is not used")),
    );
    assert!(used.len() > 10, "only {used:?}");
    nothing_wrong(wrong);
}

/// For a link of a page in docs/.
fn on_docs_rs(goal: &str) -> String {
    let (path, _) = goal.split_once('#').unwrap_or((goal, ""));
    if let Some(module) = MODULES
        .iter()
        .find(|name| name.ends_with(&format!("/{path}")))
    {
        let name = module.trim_start_matches("docs/").trim_end_matches(".md");
        return format!("crate::{name}");
    }
    match path.strip_prefix("../") {
        Some(below) => format!("{SOURCE}{below}"),
        None => format!("{SOURCE}docs/{path}"),
    }
}

/// Rustdoc itself checks links to items. What is left are links to files, which are not there where the documentation
/// is read, and to headings of the same text.
#[test]
fn the_documentation_of_the_source_links_to_items_headings_and_urls_only() {
    let Some(files) = repository::files(&[".rs"]) else {
        return;
    };
    let mut wrong = Vec::new();
    for file in files.iter().filter(|file| file.starts_with("src/")) {
        let page = Page::of_comments(file);
        let anchors = page.anchors();
        for link in page.links().iter().filter(|link| !is_elsewhere(link)) {
            let (item, anchor) = link.split_once('#').unwrap_or((link, ""));
            if item.contains('/') || item.ends_with(".rs") {
                wrong.push(format!("{file}: link to the file {link}"));
            } else if item.is_empty() && !anchors.iter().any(|known| known == anchor) {
                wrong.push(format!("{file}: link to {link}, which is no heading there"));
            }
        }
    }
    nothing_wrong(wrong);
}
