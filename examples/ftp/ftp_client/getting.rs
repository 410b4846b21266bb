//! Files from the server.

use std::{
    fs, mem,
    path::{Component, Path},
};

use asynchat::{BoxError, Result};
use shared::{
    ftp::{Command, Consumer, Fetch, What},
    progress::Bar,
    saving::{Sink, Target},
    windows_name,
};

use crate::report::Report;

pub(crate) struct Get {
    pub(crate) name: String,
    pub(crate) target: Option<Target>,
    pub(crate) text: bool,
    pub(crate) resume: bool,
    pub(crate) max_size: Option<u64>,
}

impl Get {
    /// `None`: the file is complete already.
    pub(crate) fn command(self, size: Option<u64>, report: Report) -> Result<Option<Command>> {
        let target = match self.target {
            Some(target) => target,
            None => Target::File(last_name(&self.name)?.into()),
        };
        let here = match &target {
            Target::File(path) if self.resume => fs::metadata(path).ok(),
            _ => None,
        };
        let here = here.filter(fs::Metadata::is_file).map(|file| file.len());
        if size.is_some() && size == here {
            report.say(&format!("{}: complete already", self.name));
            return Ok(None);
        }
        let offset = here.unwrap_or(0);
        if let Some(size) = size.filter(|&size| size < offset) {
            return Err(format!("{offset} bytes are here, and the server has {size}").into());
        }
        if let (Some(size), Some(most)) = (size, self.max_size)
            && size > most
        {
            return Err(format!("{size} bytes, and --max-size is {most}").into());
        }
        let length = size.map(|size| size - offset);
        let saving = Saving {
            name: self.name.clone(),
            quiet: matches!(target, Target::Stdout),
            state: State::Waiting(target),
            resume: self.resume,
            bar: Bar::new(length),
            bytes: offset,
            max_size: self.max_size,
            report,
        };
        Ok(Some(Command::Fetch(Fetch {
            what: What::File(self.name.into_bytes()),
            text: self.text,
            offset,
            length,
            consumer: Box::new(saving),
        })))
    }
}

/// The name of a file in this folder and in no other.
fn last_name(name: &str) -> Result<&str> {
    let last = name.rsplit('/').next().unwrap_or_default();
    let mut components = Path::new(last).components();
    match (components.next(), components.next()) {
        (Some(Component::Normal(part)), None)
            if part == last && windows_name::is_usable_here(part) =>
        {
            Ok(last)
        }
        _ => Err(format!("{last:?} is no name for a file here: -o gives another").into()),
    }
}

/// Saves what comes.
pub(crate) struct Saving {
    name: String,
    quiet: bool,
    state: State,
    /// What came stays where the rest does not come.
    resume: bool,
    bar: Bar,
    bytes: u64,
    max_size: Option<u64>,
    report: Report,
}

/// A target is opened when there is something to be saved: a refusal leaves an older file alone.
enum State {
    Waiting(Target),
    Open(Sink),
    Closed,
}

impl Saving {
    pub(crate) fn quiet(name: String, target: Target, report: Report) -> Self {
        Self {
            name,
            quiet: true,
            state: State::Waiting(target),
            resume: false,
            bar: Bar::hidden(),
            bytes: 0,
            max_size: None,
            report,
        }
    }

    fn sink(&mut self) -> Result<&mut Sink> {
        if let State::Waiting(target) = &self.state {
            self.state = State::Open(match self.resume {
                true => target.append()?.0,
                false => target.open()?,
            });
        }
        match &mut self.state {
            State::Open(sink) => Ok(sink),
            _ => Err("closed".into()),
        }
    }

    fn save(&mut self, outcome: Result<(), BoxError>) -> Result {
        self.bar.end();
        if outcome.is_ok() {
            self.sink()?;
        }
        let saved = match mem::replace(&mut self.state, State::Closed) {
            State::Open(sink) => sink.finish(outcome.is_ok()),
            _ => Ok(()),
        };
        outcome.and(saved)
    }
}

impl Consumer for Saving {
    fn feed(&mut self, data: &[u8]) -> Result {
        self.bytes += data.len() as u64;
        if let Some(most) = self.max_size.filter(|&most| self.bytes > most) {
            return Err(format!("larger than --max-size {most}").into());
        }
        self.bar.inc(data.len() as u64);
        self.sink()?.write_all(data)
    }

    fn close(&mut self, outcome: Result<(), BoxError>) {
        match self.save(outcome) {
            Err(error) => self.report.fail(&self.name, &error),
            Ok(()) if self.quiet => {}
            Ok(()) => self
                .report
                .say(&format!("{}: {} bytes", self.name, self.bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_saved_in_this_folder() {
        for (name, last) in [
            ("a", Some("a")),
            ("/etc/motd", Some("motd")),
            ("../../a", Some("a")),
            (".profile", Some(".profile")),
            ("a/", None),
            ("", None),
            (".", None),
            ("..", None),
            ("a/..", None),
            ("/", None),
            ("b/NUL", (!cfg!(windows)).then_some("NUL")),
            ("b/a:b", (!cfg!(windows)).then_some("a:b")),
            ("C:\\a", (!cfg!(windows)).then_some("C:\\a")),
        ] {
            assert_eq!(last_name(name).ok(), last, "{name}");
        }
    }
}
