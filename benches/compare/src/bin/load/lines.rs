//! `lines`: each line comes back with its CRLF.

use crate::{args::Options, content, tape::Tape};

pub(crate) fn exchange(options: &Options) -> Tape {
    let text = options.size - 2;
    let mut noise = content::noise();
    let lines = (0..options.size)
        .cycle()
        .map(move |column| match column.checked_sub(text) {
            Some(0) => b'\r',
            Some(_) => b'\n',
            None => b'!' + noise.next().map_or(0, |byte| byte % 94),
        });
    Tape::new(options.size, options.window, lines)
}
