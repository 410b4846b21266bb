//! What is fetched, on its way into its place, whichever way it comes.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use asynchat::{BoxError, Registry, Result};
use shared::{
    ftp, gopher,
    progress::Bar,
    saving::{Sink, Target},
    text::printable,
};

use crate::places::Place;

/// What went wrong, a line for each URL. Clones are one.
#[derive(Clone, Default)]
pub(crate) struct Failures(Rc<RefCell<BTreeMap<String, String>>>);

impl Failures {
    /// The last error of a URL counts.
    pub(crate) fn set(&self, name: &str, error: &BoxError) {
        let line = printable(&format!("{name}: {error}"));
        self.0.borrow_mut().insert(name.into(), line);
    }

    /// # Errors
    /// All of them.
    pub(crate) fn outcome(&self) -> Result {
        let lines: Vec<_> = self.0.borrow().values().cloned().collect();
        match lines.as_slice() {
            [] => Ok(()),
            lines => Err(lines.join("\nfetch: ").into()),
        }
    }
}

pub(crate) struct Download {
    /// The URL, as it may be shown.
    name: String,
    place: Rc<RefCell<Place>>,
    /// Opened when there is something to save, so that a failure leaves an older file alone.
    sink: Option<Sink>,
    bar: Bar,
    length: Option<u64>,
    size: u64,
    max_size: Option<u64>,
    failures: Failures,
    has_ended: bool,
}

impl Download {
    pub(crate) fn new(
        name: &str,
        place: &Rc<RefCell<Place>>,
        max_size: Option<u64>,
        failures: &Failures,
    ) -> Self {
        Self {
            name: name.into(),
            place: Rc::clone(place),
            sink: None,
            bar: Bar::hidden(),
            length: None,
            size: 0,
            max_size,
            failures: failures.clone(),
            has_ended: false,
        }
    }

    /// What the bytes are, before the first of them.
    pub(crate) fn begin(&mut self, length: Option<u64>, media_type: Option<String>) -> Result {
        self.length = length;
        self.place.borrow_mut().media_type = media_type;
        self.open()
    }

    fn open(&mut self) -> Result {
        let target = self.place.borrow().target()?;
        if !matches!(target, Target::Stdout) {
            self.bar = Bar::new(self.length);
        }
        self.sink = Some(target.open()?);
        Ok(())
    }

    pub(crate) fn take(&mut self, data: &[u8]) -> Result {
        if self.sink.is_none() {
            self.open()?;
        }
        self.size += data.len() as u64;
        if let Some(max) = self.max_size
            && self.size > max
        {
            return Err(format!("larger than {max} bytes").into());
        }
        self.bar.inc(data.len() as u64);
        if let Some(sink) = &mut self.sink {
            sink.write_all(data)?;
        }
        Ok(())
    }

    pub(crate) fn end(&mut self, outcome: Result<(), BoxError>) {
        self.has_ended = true;
        self.bar.end();
        // Something may be empty.
        let opened = match (&outcome, &self.sink) {
            (Ok(()), None) => self.open(),
            _ => Ok(()),
        };
        let outcome = outcome.and(opened);
        let complete = outcome.is_ok();
        let saved = match self.sink.take() {
            Some(sink) => sink.finish(complete),
            None => Ok(()),
        };
        match outcome.and(saved) {
            Ok(()) => self.place.borrow_mut().is_complete = true,
            Err(error) => self.failures.set(&self.name, &error),
        }
    }
}

/// Closed by somebody else: the program is asked to end.
impl Drop for Download {
    fn drop(&mut self) {
        if !self.has_ended {
            self.end(Err("interrupted".into()));
        }
    }
}

impl ftp::Consumer for Download {
    fn length(&mut self, length: u64) {
        self.length = Some(length);
    }

    fn feed(&mut self, data: &[u8]) -> Result {
        self.take(data)
    }

    fn close(&mut self, outcome: Result<(), BoxError>) {
        self.end(outcome);
    }
}

impl gopher::Consumer for Download {
    fn data(&mut self, data: &[u8]) -> Result {
        self.take(data)
    }

    fn finished(&mut self, _: &mut Registry, outcome: Result<(), BoxError>) {
        self.end(outcome);
    }
}
