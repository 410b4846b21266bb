//! `files`: a file as `mkfile` writes it, over HTTP.

use crate::{args::Options, content, http::Http};

pub(crate) fn exchange(options: &Options) -> Http {
    Http::new(options, content::file(options.size), None)
}
