//! What the porting guide knows: its names, idioms, differences and pitfalls. `porting.rs` is written from
//! `docs/porting.md` by the tests, which fail while the two differ.

mod page;
#[rustfmt::skip]
mod porting;

pub use self::{
    page::{Difference, Idiom, Pitfall, Row, Section, spans},
    porting::{DIFFERENCES, IDIOMS, PITFALLS, SECTIONS},
};

/// The page that the anchors belong to.
pub const PAGE: &str = "https://docs.rs/asynchat/latest/asynchat/porting/index.html";

/// The anchor of the differences.
pub const DIFFERENCES_ANCHOR: &str = "what-behaves-differently";

/// The anchor of the pitfalls.
pub const PITFALLS_ANCHOR: &str = "pitfalls";

/// The row of a name in a section, both as the page writes them.
pub fn row(section: &str, name: &str) -> Option<(&'static Section, &'static Row)> {
    let section = SECTIONS.iter().find(|known| known.title == section)?;
    let row = section
        .rows
        .iter()
        .find(|row| row.names().any(|known| known == name))?;
    Some((section, row))
}

/// An idiom by its number.
pub fn idiom(number: u16) -> Option<&'static Idiom> {
    IDIOMS.iter().find(|idiom| idiom.number == number)
}

/// The difference whose first column begins so.
pub fn difference(start: &str) -> Option<&'static Difference> {
    DIFFERENCES
        .iter()
        .find(|difference| difference.python.starts_with(start))
}

/// The pitfall of this title.
pub fn pitfall(title: &str) -> Option<&'static Pitfall> {
    PITFALLS.iter().find(|pitfall| pitfall.title == title)
}
