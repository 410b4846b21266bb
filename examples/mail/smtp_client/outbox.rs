//! The messages of a run and what became of them.

use std::{cell::RefCell, collections::VecDeque, io, rc::Rc};

use asynchat::{BoxError, Produced, Producer, Registry, Result};

use shared::{
    cli,
    progress::Bar,
    reply::Reply,
    smtp::client::{Address, Mail, Mailer},
};

use crate::message::Message;

/// Bytes of a message whose progress is shown.
const LONG: u64 = 1024 * 1024;

pub(crate) struct Envelope {
    pub(crate) from: Option<Address>,
    pub(crate) to: Vec<Address>,
}

/// What went wrong, a line each.
#[derive(Clone, Default)]
pub(crate) struct Report(Rc<RefCell<Vec<String>>>);

impl Report {
    fn failed(&self, line: String) {
        self.0.borrow_mut().push(line);
    }

    pub(crate) fn result(&self) -> Result {
        match self.0.borrow().as_slice() {
            [] => Ok(()),
            lines => Err(lines.join("\nsmtp_client: ").into()),
        }
    }
}

pub(crate) struct Outbox {
    envelope: Envelope,
    messages: VecDeque<Message>,
    /// Label of the one under way.
    label: String,
    /// Recipients that were refused.
    refused: usize,
    report: Report,
}

impl Outbox {
    pub(crate) fn new(envelope: Envelope, messages: VecDeque<Message>, report: Report) -> Self {
        Self {
            envelope,
            messages,
            label: String::new(),
            refused: 0,
            report,
        }
    }
}

impl Mailer for Outbox {
    fn next(&mut self) -> Option<Mail> {
        loop {
            let message = self.messages.pop_front()?;
            self.refused = 0;
            let total = message.measure.bytes;
            match message.text() {
                Ok(text) => {
                    self.label = message.label;
                    return Some(Mail {
                        from: self.envelope.from.clone(),
                        to: self.envelope.to.clone(),
                        measure: message.measure,
                        text: Box::new(Watched::new(text, total)),
                    });
                }
                Err(error) => self.report.failed(format!("{}: {error}", message.label)),
            }
        }
    }

    fn refused(&mut self, recipient: &Address, reply: &Reply) {
        self.refused += 1;
        let refusal = reply.refusal(recipient.as_str());
        self.report.failed(format!("{}: {refusal}", self.label));
    }

    fn answered(&mut self, answer: Result<Reply, String>) {
        let label = std::mem::take(&mut self.label);
        match answer {
            Ok(reply) => {
                let all = self.envelope.to.len();
                let taken = all - self.refused;
                let line = format!("{label}: sent to {taken} of {all}: {reply}");
                if let Err(error) = cli::say(&line) {
                    self.report.failed(format!("standard output: {error}"));
                }
            }
            Err(error) => self.report.failed(format!("{label}: {error}")),
        }
    }

    fn finished(&mut self, _: &mut Registry, outcome: Result<(), BoxError>) {
        let Err(error) = outcome else {
            return;
        };
        let under_way = match self.label.as_str() {
            "" => String::new(),
            label => format!("{label}: "),
        };
        self.report.failed(format!("{under_way}{error}"));
        match self.messages.len() {
            0 => {}
            1 => self.report.failed("1 message was not sent".into()),
            left => self.report.failed(format!("{left} messages were not sent")),
        }
    }
}

/// Shows how far a long text has come.
struct Watched<P> {
    text: P,
    bar: Bar,
}

impl<P> Watched<P> {
    fn new(text: P, total: u64) -> Self {
        let bar = match total {
            LONG.. => Bar::new(Some(total)),
            _ => Bar::hidden(),
        };
        Self { text, bar }
    }
}

impl<P: Producer> Producer for Watched<P> {
    fn more(&mut self) -> io::Result<Produced> {
        let answer = self.text.more()?;
        if let Produced::Data(data) = &answer {
            self.bar.inc(data.len() as u64);
        }
        Ok(answer)
    }
}

impl<P> Drop for Watched<P> {
    fn drop(&mut self) {
        self.bar.end();
    }
}
