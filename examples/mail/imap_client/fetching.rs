//! `fetch`: messages on standard output, or in a Maildir.

use std::{
    io::{self, Write},
    path::Path,
};

use asynchat::{BoxError, Registry, Result};
use shared::{
    cli::say,
    client::Outcome,
    imap::{Command, Event, Session, Status, StatusKind, User, Value},
    mail::{Excerpt, LineEnds},
    maildir::{Draft, Maildir},
    progress::Bar,
    screen,
};

use crate::warn;

/// In the names of files, where a mail server has its own name.
const HOST: &str = "imap_client";
/// Bytes of a header that are read for a summary.
const MAX_HEADER: usize = 64 * 1024;

/// What is done with a message.
pub(crate) enum Wanted {
    Summary(Excerpt),
    Readable(Excerpt),
    Raw(Box<dyn Write>),
    Saved(Maildir, Option<LineEnds<Draft>>, Bar),
}

impl Wanted {
    pub(crate) fn new(summary: bool, raw: bool, maildir: Option<&Path>) -> Result<Self> {
        Ok(match maildir {
            Some(folder) => Self::Saved(Maildir::open(folder, HOST)?, None, Bar::new(None)),
            None if summary => Self::Summary(Excerpt::new(MAX_HEADER)),
            None if raw => Self::Raw(screen::stdout()),
            None => Self::Readable(Excerpt::default()),
        })
    }

    fn items(&self) -> &'static str {
        match self {
            Self::Summary(_) => "(UID RFC822.SIZE BODY.PEEK[HEADER.FIELDS (DATE FROM SUBJECT)])",
            _ => "(UID BODY.PEEK[])",
        }
    }
}

pub(crate) struct Fetching {
    mailbox: String,
    set: (String, bool),
    wanted: Wanted,
    /// The message whose body has come, and whose response has not ended.
    begun: Option<u32>,
    messages: usize,
    outcome: Outcome,
}

impl Fetching {
    pub(crate) fn new(
        mailbox: String,
        set: (String, bool),
        wanted: Wanted,
        outcome: Outcome,
    ) -> Self {
        Self {
            mailbox,
            set,
            wanted,
            begun: None,
            messages: 0,
            outcome,
        }
    }

    /// The whole message is there.
    fn take(&mut self, number: u32, items: &[(String, Value)]) -> Result {
        let value = |name: &str| {
            let item = items.iter().find(|(item, _)| item == name);
            item.and_then(|(_, value)| value.number::<u64>())
        };
        let uid = value("UID");
        match &mut self.wanted {
            Wanted::Summary(header) => {
                let header = std::mem::replace(header, Excerpt::new(MAX_HEADER));
                let number = uid.filter(|_| self.set.1).unwrap_or(number.into());
                let size = value("RFC822.SIZE").unwrap_or_default();
                say(&format!("{number:>5} {size:>10}  {}", header.summary()))?;
            }
            Wanted::Readable(excerpt) => {
                let mut stdout = io::stdout().lock();
                match uid {
                    Some(uid) => writeln!(stdout, "--- message {number}, unique id {uid} ---")?,
                    None => writeln!(stdout, "--- message {number} ---")?,
                }
                std::mem::take(excerpt).show(&mut stdout)?;
                stdout.flush()?;
            }
            Wanted::Raw(stdout) => stdout.flush()?,
            Wanted::Saved(maildir, draft, _) => {
                let draft = match draft.take() {
                    Some(draft) => draft.finish()?,
                    None => maildir.begin()?,
                };
                maildir.deliver(draft)?;
                maildir.commit()?;
            }
        }
        self.messages += 1;
        Ok(())
    }
}

impl User for Fetching {
    fn ready(&mut self, session: &mut Session) -> Result {
        session.send(Command::Examine {
            mailbox: self.mailbox.clone(),
        });
        let (set, by_uid) = self.set.clone();
        session.send(Command::Fetch {
            set,
            items: self.wanted.items().into(),
            by_uid,
        });
        session.send(Command::Logout);
        Ok(())
    }

    fn body(&mut self, number: u32, section: &str, _: u64) -> Result {
        if self.begun.replace(number).is_some() {
            return Err(
                format!("message {number}: the server sent a second body, {section}").into(),
            );
        }
        Ok(())
    }

    fn data(&mut self, data: &[u8]) -> Result {
        match &mut self.wanted {
            Wanted::Summary(excerpt) | Wanted::Readable(excerpt) => excerpt.push(data),
            Wanted::Raw(stdout) => stdout.write_all(data)?,
            Wanted::Saved(maildir, draft, bar) => {
                if draft.is_none() {
                    *draft = Some(LineEnds::new(maildir.begin()?));
                }
                if let Some(draft) = draft {
                    draft.write_all(data)?;
                }
                bar.inc(data.len() as u64);
            }
        }
        Ok(())
    }

    fn event(&mut self, _: &mut Session, event: Event<'_>) -> Result {
        match event {
            // Flags of any message may come, too.
            Event::Fetched(number, items) if self.begun.take().is_some() => {
                self.take(number, items)
            }
            Event::Status(status) => {
                warn(status);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn completed(&mut self, _: &mut Session, command: &Command, status: &Status) -> Result {
        match (command, status.kind) {
            (Command::Fetch { .. }, StatusKind::Ok) if self.messages == 0 => {
                Err(format!("{command}: there is no such message").into())
            }
            (_, StatusKind::Ok) => Ok(()),
            _ => Err(status.refusal(command)),
        }
    }

    fn finished(&mut self, _: &mut Registry, outcome: Result<(), BoxError>) {
        if let Wanted::Saved(_, _, bar) = &self.wanted {
            bar.end();
            let outcome = outcome.and_then(|()| Ok(say(&format!("{} saved", self.messages))?));
            return self.outcome.set(outcome);
        }
        self.outcome.set(outcome);
    }
}
