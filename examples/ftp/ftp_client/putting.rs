//! Files to the server.

use std::{cell::RefCell, fs::File, path::PathBuf, rc::Rc};

use asynchat::Result;
use shared::{
    ftp::{Command, Store},
    progress::Bar,
};

use crate::report::Report;

/// Suffixes of files that are text.
const TEXTS: [&str; 3] = ["txt", "htm", "html"];

pub(crate) struct Put {
    pub(crate) path: PathBuf,
    /// On the server.
    pub(crate) name: String,
    pub(crate) resume: bool,
    text: bool,
}

impl Put {
    pub(crate) fn new(
        path: PathBuf,
        name: Option<String>,
        text: bool,
        binary: bool,
        resume: bool,
    ) -> Self {
        let suffix = path.extension().and_then(|suffix| suffix.to_str());
        let is_text = suffix.is_some_and(|suffix| {
            let is = |text: &&str| suffix.eq_ignore_ascii_case(text);
            TEXTS.iter().any(is)
        });
        let last = || path.file_name().map(|name| name.to_string_lossy().into());
        Self {
            name: name.or_else(last).unwrap_or_default(),
            text: text || is_text && !binary && !resume,
            resume,
            path,
        }
    }

    /// `None`: the server has all of it.
    pub(crate) fn command(self, size: Option<u64>, report: Report) -> Result<Option<Command>> {
        if self.name.is_empty() {
            return Err("no name for it on the server: -o gives one".into());
        }
        // Opening a pipe would wait for its other end.
        if !std::fs::metadata(&self.path)?.is_file() {
            return Err("no regular file".into());
        }
        let file = File::open(&self.path)?;
        let length = file.metadata()?.len();
        let offset = size.unwrap_or(0);
        let name = self.name;
        if self.resume && offset == length {
            report.say(&format!("{name}: complete already"));
            return Ok(None);
        }
        if offset > length {
            return Err(format!("{length} bytes are here, and the server has {offset}").into());
        }
        let bar = Rc::new(RefCell::new(Bar::new(Some(length - offset))));
        let shown = self.path.display().to_string();
        let of_transfer = Rc::clone(&bar);
        let kind = if self.text { ", as text" } else { "" };
        let done = format!("{name}: {length} bytes{kind}");
        Ok(Some(Command::Store(Store {
            name: name.into_bytes(),
            text: self.text,
            offset,
            file,
            progress: Box::new(move |bytes| of_transfer.borrow().inc(bytes)),
            then: Box::new(move |outcome| {
                bar.borrow().end();
                match outcome {
                    Ok(()) => report.say(&done),
                    Err(error) => report.fail(&shown, &error),
                }
            }),
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_tells_a_text() {
        for (path, text, binary, resume, expected) in [
            ("a.txt", false, false, false, true),
            ("a.HTML", false, false, false, true),
            ("d/a.htm", false, false, false, true),
            ("a.zip", false, false, false, false),
            ("txt", false, false, false, false),
            ("a.txt", false, true, false, false),
            ("a.txt", false, false, true, false),
            ("a.zip", true, false, false, true),
        ] {
            let put = Put::new(path.into(), None, text, binary, resume);
            assert_eq!(put.text, expected, "{path}");
        }
    }
}
