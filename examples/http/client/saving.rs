//! The consumer behind `-o`: saves the body before it hands it on.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Write},
    path::PathBuf,
};

use asynchat::{BoxError, Result};
use shared::http::consumer::{Consumer, Request};

/// Where a body is saved.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Stdout,
    File(PathBuf),
}

impl From<OsString> for Target {
    fn from(name: OsString) -> Self {
        match name {
            dash if dash == "-" => Self::Stdout,
            path => Self::File(path.into()),
        }
    }
}

impl Target {
    fn open(&self) -> io::Result<Box<dyn Write>> {
        Ok(match self {
            Self::Stdout => Box::new(io::stdout()),
            Self::File(path) => Box::new(File::create(path)?),
        })
    }

    fn failed(&self, error: &io::Error) -> BoxError {
        match self {
            Self::Stdout => format!("standard output: {error}").into(),
            Self::File(path) => format!("{}: {error}", path.display()).into(),
        }
    }
}

pub(crate) struct Saving<C> {
    target: Target,
    /// Opened when there is something to save, so that a failed connection leaves an older file alone.
    sink: Option<Box<dyn Write>>,
    consumer: C,
}

impl<C> Saving<C> {
    pub(crate) fn new(target: Target, consumer: C) -> Self {
        Self {
            target,
            sink: None,
            consumer,
        }
    }
}

impl<C: Consumer> Consumer for Saving<C> {
    fn http_header(&mut self, request: &mut Request<'_, '_>) -> Result {
        self.consumer.http_header(request)?;
        let sink = self
            .target
            .open()
            .map_err(|error| self.target.failed(&error))?;
        self.sink = Some(sink);
        Ok(())
    }

    fn feed(&mut self, data: &[u8]) -> Result {
        if let Some(sink) = &mut self.sink {
            sink.write_all(data)
                .map_err(|error| self.target.failed(&error))?;
        }
        self.consumer.feed(data)
    }

    fn close(&mut self, outcome: Result<(), BoxError>) {
        // Standard output keeps the end of a line back.
        let flushed = self.sink.take().map_or(Ok(()), |mut sink| sink.flush());
        let flushed = flushed.map_err(|error| self.target.failed(&error));
        self.consumer.close(outcome.and(flushed));
    }
}
