//! Links: of the pages, to files and headings; of the source's documentation, to nothing that rustdoc leaves behind.

use std::{collections::BTreeMap, path::Path};

use crate::{markdown::Page, nothing_wrong, repository, root};

/// Pages that are modules of the documentation too, where a relative path leads nowhere. So their links to files are
/// references, which src/lib.rs defines anew ahead of the page: the first definition counts.
const MODULES: [&str; 2] = ["docs/guide.md", "docs/porting.md"];

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
    for page in &pages {
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
fn every_link_of_a_page_that_is_a_module_leads_somewhere_in_the_documentation_too() {
    if repository::pages().is_none() {
        return;
    }
    let lib = repository::text("src/lib.rs");
    let mut wrong = Vec::new();
    for name in MODULES {
        let page = Page::read(name);
        let include = format!("#[doc = include_str!(\"../{name}\")]");
        let above = lib.split(&include).next().unwrap();
        let anew: Vec<&str> = above
            .lines()
            .rev()
            .map_while(|line| line.strip_prefix("/// ["))
            .filter_map(|line| line.split("]: ").next())
            .collect();
        let here: BTreeMap<_, _> = page.definitions().into_iter().collect();
        for reference in here
            .keys()
            .filter(|reference| !anew.contains(&reference.as_str()))
        {
            wrong.push(format!(
                "{name}: src/lib.rs does not define [{reference}] anew"
            ));
        }
        for link in page.links().iter().filter(|link| !is_elsewhere(link)) {
            if !link.starts_with('#') && !here.values().any(|goal| goal == link) {
                wrong.push(format!("{name}: the link to {link} is no reference"));
            }
        }
    }
    nothing_wrong(wrong);
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
