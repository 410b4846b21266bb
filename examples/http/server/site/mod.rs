//! Pages made here: directories, errors, and the frame that all pages have.

pub(crate) mod listing;
pub(crate) mod page;
pub(crate) mod pages;
