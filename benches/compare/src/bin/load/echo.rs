//! `echo`: any bytes come back.

use crate::{args::Options, content, tape::Tape};

pub(crate) fn exchange(options: &Options) -> Tape {
    Tape::new(options.size, options.window, content::noise())
}
