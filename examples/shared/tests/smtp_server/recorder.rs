//! A handler that keeps what it gets, as the one of CPython's test_smtpd, and does as it is told.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use shared::smtp::server::{Answer, Envelope, Handler, Message, Status};

/// A message with its text.
#[derive(Debug)]
pub(crate) struct Mail {
    pub(crate) envelope: Envelope,
    pub(crate) text: String,
}

pub(crate) type Mails = Rc<RefCell<Vec<Mail>>>;

#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) mails: Mails,
    /// Messages whose end has come, and whose answer is to be given by the test.
    pub(crate) later: Option<Rc<RefCell<Vec<Answer>>>>,
    /// Messages that began and neither ended nor were dropped.
    pub(crate) open: Rc<Cell<usize>>,
    /// Whether messages want data.
    pub(crate) is_full: Rc<Cell<bool>>,
    /// Refuses messages that begin, and data.
    pub(crate) refusing: Option<(Stage, Status)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Recipient,
    Begin,
    Data,
    End,
}

impl Recorder {
    pub(crate) fn mails(&self) -> Mails {
        Rc::clone(&self.mails)
    }

    fn refuses(&self, stage: Stage) -> Result<(), Status> {
        match &self.refusing {
            Some((at, status)) if *at == stage => Err(status.clone()),
            _ => Ok(()),
        }
    }
}

impl Handler for Recorder {
    fn recipient(&self, _: &Envelope, mailbox: &str) -> Result<(), Status> {
        match mailbox {
            "nobody@x" => Err(Status::new(550, "nobody")),
            _ => self.refuses(Stage::Recipient),
        }
    }

    fn message(&self, envelope: &Envelope, answer: Answer) -> Result<Box<dyn Message>, Status> {
        self.refuses(Stage::Begin)?;
        self.open.set(self.open.get() + 1);
        Ok(Box::new(Recording {
            envelope: envelope.clone(),
            answer,
            text: Vec::new(),
            mails: self.mails(),
            later: self.later.clone(),
            open: Rc::clone(&self.open),
            is_full: Rc::clone(&self.is_full),
            at_data: self.refuses(Stage::Data),
            at_end: self.refuses(Stage::End),
        }))
    }
}

struct Recording {
    envelope: Envelope,
    answer: Answer,
    text: Vec<u8>,
    mails: Mails,
    later: Option<Rc<RefCell<Vec<Answer>>>>,
    open: Rc<Cell<usize>>,
    is_full: Rc<Cell<bool>>,
    at_data: Result<(), Status>,
    at_end: Result<(), Status>,
}

impl Message for Recording {
    fn data(&mut self, data: &[u8]) -> Result<(), Status> {
        assert!(!data.is_empty());
        self.text.extend_from_slice(data);
        self.at_data.clone()
    }

    fn readable(&self) -> bool {
        !self.is_full.get()
    }

    fn end(mut self: Box<Self>) -> Option<Status> {
        let text = String::from_utf8_lossy(&self.text).into_owned();
        let status = match text.as_str() {
            "return status\n" => Status::new(250, "Okish"),
            _ if self.envelope.is_utf8 => Status::new(250, "SMTPUTF8 message okish"),
            _ => Status::OK,
        };
        let at_end = std::mem::replace(&mut self.at_end, Ok(()));
        let mail = Mail {
            envelope: self.envelope.clone(),
            text,
        };
        self.mails.borrow_mut().push(mail);
        if let Some(later) = &self.later {
            later.borrow_mut().push(self.answer);
            return None;
        }
        Some(at_end.err().unwrap_or(status))
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.open.set(self.open.get() - 1);
    }
}
