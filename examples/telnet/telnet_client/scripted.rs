//! The user that a script is, and then whoever reads standard output.

use std::{io::Write, time::Instant};

use asynchat::{BoxError, Registry, Result};
use shared::{
    client::Outcome,
    screen,
    telnet::{Line, Script, Step, User},
    text::printable,
};

/// The part of a session that a script is.
pub(crate) struct Progress {
    script: Script,
    /// There is a password in it, which must not pass in clear.
    secret: bool,
    /// Since when the same text has been waited for.
    since: Option<Instant>,
    /// The error is this script's own.
    refused: bool,
}

impl Progress {
    pub(crate) fn new(steps: Vec<Step>, secret: bool) -> Self {
        Self {
            script: Script::new(steps),
            secret,
            since: None,
            refused: false,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.script.is_over()
    }

    /// Takes what the server sent. True once the script is over.
    pub(crate) fn go_on(&mut self, line: &mut Line<'_, '_, '_>, data: &[u8]) -> Result<bool> {
        if self.secret && !line.talk.is_confidential() {
            self.refused = true;
            return Err("the password would pass in clear: --tls encrypts it, --allow-cleartext sends it as it is".into());
        }
        let before = self.script.expects().map(<[u8]>::to_vec);
        let send = self.script.go_on(data);
        if !send.is_empty() {
            line.send(&send);
        }
        let Some(expected) = self.script.expects() else {
            return Ok(true);
        };
        if before.as_deref() != Some(expected) || !send.is_empty() {
            self.since = None;
        }
        self.check_limit(line)?;
        Ok(false)
    }

    /// Commands without text are no silence: they must not keep a script waiting for ever.
    pub(crate) fn check_limit(&mut self, line: &mut Line<'_, '_, '_>) -> Result {
        let Some(expected) = self.script.expects() else {
            return Ok(());
        };
        let now = line.talk.registry().now();
        let limit = line.talk.contact().timeout;
        let since = *self.since.get_or_insert(now);
        match now.saturating_duration_since(since) > limit {
            true => {
                self.refused = true;
                Err(format!("{} did not come within {limit:?}", shown(expected)).into())
            }
            false => Ok(()),
        }
    }

    /// The error of a session that ended before the script.
    pub(crate) fn error(&self, outcome: Result<(), BoxError>) -> Result<(), BoxError> {
        let Some(expected) = self.script.expects() else {
            return outcome;
        };
        let why = match outcome {
            Ok(()) => "the server ended the session".into(),
            Err(error) => error.to_string(),
        };
        Err(match self.refused {
            true => why.into(),
            false => format!("waiting for {}: {why}", shown(expected)).into(),
        })
    }
}

fn shown(text: &[u8]) -> String {
    format!("{:?}", printable(&String::from_utf8_lossy(text)))
}

pub(crate) struct Scripted {
    progress: Progress,
    output: Box<dyn Write>,
    outcome: Outcome,
}

impl Scripted {
    pub(crate) fn new(progress: Progress, outcome: Outcome) -> Self {
        Self {
            progress,
            output: screen::stdout(),
            outcome,
        }
    }
}

impl User for Scripted {
    fn connected(&mut self, line: &mut Line<'_, '_, '_>) -> Result {
        self.progress.go_on(line, b"")?;
        Ok(())
    }

    fn text(&mut self, line: &mut Line<'_, '_, '_>, text: &[u8]) -> Result {
        let written = self
            .output
            .write_all(text)
            .and_then(|()| self.output.flush());
        written.map_err(|error| format!("standard output: {error}"))?;
        self.progress.go_on(line, text)?;
        Ok(())
    }

    fn received(&mut self, line: &mut Line<'_, '_, '_>) -> Result {
        self.progress.check_limit(line)
    }

    fn finished(&mut self, _: &mut Registry, outcome: Result<(), BoxError>) {
        self.outcome.set(self.progress.error(outcome));
    }
}
