//! `fetch`: messages into a Maildir.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::{BufWriter, IntoInnerError, Write},
    path::Path,
};

use asynchat::{BoxError, Registry, Result};
use shared::{
    cli::say,
    client::Outcome,
    mail::LineEnds,
    maildir::{Draft, Maildir},
    pop3::{Answer, Command, Session, User},
    progress::Bar,
};

use crate::seen::Seen;

/// In the names of files, where a mail server has its own name.
const HOST: &str = "pop3_client";
/// Refused messages that are named in the error.
const MAX_NAMED: usize = 5;

/// A message is written, noted, and then deleted. A crash between two of these steps makes a second copy at worst.
pub(crate) struct Fetching {
    numbers: BTreeSet<u32>,
    delete: bool,
    maildir: Maildir,
    seen: Seen,
    /// Of the messages on the server.
    sizes: BTreeMap<u32, u64>,
    uids: HashMap<u32, String>,
    /// Lines come one by one.
    draft: Option<LineEnds<BufWriter<Draft>>>,
    /// Messages whose RETR has no whole answer yet.
    awaited: usize,
    saved: usize,
    saved_before: usize,
    deleted: usize,
    refused: Vec<String>,
    bar: Bar,
    outcome: Outcome,
}

impl Fetching {
    pub(crate) fn new(
        numbers: Vec<u32>,
        maildir: &Path,
        account: &str,
        delete: bool,
        outcome: Outcome,
    ) -> Result<Self> {
        let opened = Maildir::open(maildir, HOST)?;
        let seen = Seen::open(maildir, account)?;
        Ok(Self {
            numbers: numbers.into_iter().collect(),
            delete,
            maildir: opened,
            seen,
            sizes: BTreeMap::new(),
            uids: HashMap::new(),
            draft: None,
            awaited: 0,
            saved: 0,
            saved_before: 0,
            deleted: 0,
            refused: Vec::new(),
            bar: Bar::hidden(),
            outcome,
        })
    }

    /// Queues what is wanted. Of a server without UIDL all messages are new each time.
    fn choose(&mut self, session: &mut Session) -> Result {
        let is_seen = |number: &u32| self.uids.get(number).is_some_and(|uid| self.seen.has(uid));
        let (seen, new): (Vec<_>, Vec<_>) = self.sizes.keys().copied().partition(is_seen);
        let wanted = match self.numbers.is_empty() {
            true => new,
            false => self.numbers.iter().copied().collect(),
        };
        if self.numbers.is_empty() {
            self.saved_before = seen.len();
            // An earlier run was interrupted before its QUIT.
            for number in seen.into_iter().filter(|_| self.delete) {
                session.send(Command::Dele(number));
            }
        }
        let sizes = wanted.iter().filter_map(|number| self.sizes.get(number));
        self.bar = Bar::new(Some(sizes.fold(0, |sum, size| sum.saturating_add(*size))));
        self.awaited = wanted.len();
        for number in wanted {
            session.send(Command::Retr(number));
        }
        self.quit_at_the_end(session);
        Ok(())
    }

    /// RFC 1939, 7, lets a server give equal messages the same id: one that was saved does not stand for another.
    fn forget_shared_uids(&mut self) {
        let mut times = HashMap::<String, usize>::new();
        for uid in self.uids.values() {
            *times.entry(uid.clone()).or_default() += 1;
        }
        self.uids.retain(|_, uid| times.get(uid) == Some(&1));
    }

    fn quit_at_the_end(&self, session: &mut Session) {
        if self.awaited == 0 {
            session.send(Command::Quit);
        }
    }

    fn save(&mut self, session: &mut Session, number: u32) -> Result {
        let draft = match self.draft.take() {
            Some(draft) => draft
                .finish()?
                .into_inner()
                .map_err(IntoInnerError::into_error)?,
            None => self.maildir.begin()?,
        };
        self.maildir.deliver(draft)?;
        self.maildir.commit()?;
        if let Some(uid) = self.uids.get(&number) {
            self.seen.add(uid)?;
        }
        self.saved += 1;
        if self.delete {
            session.send(Command::Dele(number));
        }
        Ok(())
    }

    fn report(&self) -> Result {
        let (saved, before, deleted) = (self.saved, self.saved_before, self.deleted);
        say(&format!(
            "{saved} saved, {before} saved before, {deleted} deleted"
        ))?;
        match self.refused.as_slice() {
            [] => Ok(()),
            refused => {
                let named = refused
                    .iter()
                    .take(MAX_NAMED)
                    .cloned()
                    .collect::<Vec<_>>()
                    .join("; ");
                let count = refused.len();
                Err(format!("the server refused {count} commands: {named}").into())
            }
        }
    }
}

impl User for Fetching {
    fn ready(&mut self, session: &mut Session) -> Result {
        session.send(Command::List);
        session.send(Command::Uidl);
        Ok(())
    }

    fn answer(&mut self, session: &mut Session, command: Command, answer: Answer<'_>) -> Result {
        match (command, answer) {
            (_, Answer::Size(number, size)) => {
                self.sizes.insert(number, size);
            }
            (_, Answer::Uid(number, uid)) => {
                self.uids.insert(number, uid.into());
            }
            (Command::Uidl, Answer::Done) => {
                self.forget_shared_uids();
                let on_server = self.uids.values().map(String::as_str).collect();
                self.seen.keep(&on_server)?;
                self.choose(session)?;
            }
            (Command::Uidl, Answer::Refused(_)) => self.choose(session)?,
            (Command::Retr(number), Answer::Done) => {
                self.save(session, number)?;
                self.awaited -= 1;
                self.quit_at_the_end(session);
            }
            (Command::Dele(_), Answer::Done) => self.deleted += 1,
            (Command::Retr(_), Answer::Refused(why)) => {
                self.refused.push(format!("{command}: {why}"));
                self.awaited -= 1;
                self.quit_at_the_end(session);
            }
            (Command::Dele(_), Answer::Refused(why)) => {
                self.refused.push(format!("{command}: {why}"));
            }
            (_, Answer::Refused(why)) => {
                return Err(format!("{command}: the server says {why}").into());
            }
            _ => {}
        }
        Ok(())
    }

    fn data(&mut self, _: Command, data: &[u8]) -> Result {
        if self.draft.is_none() {
            self.draft = Some(LineEnds::new(BufWriter::new(self.maildir.begin()?)));
        }
        if let Some(draft) = &mut self.draft {
            draft.write_all(data)?;
        }
        self.bar.inc(data.len() as u64);
        Ok(())
    }

    fn finished(&mut self, _: &mut Registry, outcome: Result<(), BoxError>) {
        self.bar.end();
        self.outcome.set(outcome.and_then(|()| self.report()));
    }
}
