//! Tables: of the pages, and of the source's documentation.

use crate::{markdown::Page, nothing_wrong, repository};

#[test]
fn every_row_stands_below_the_head_of_a_table() {
    let (Some(mut pages), Some(sources)) = (repository::pages(), repository::files(&[".rs"]))
    else {
        return;
    };
    pages.extend(sources.iter().map(|file| Page::of_comments(file)));
    nothing_wrong(pages.iter().flat_map(Page::broken_rows).collect());
}
