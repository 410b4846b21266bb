//! The dialogue: which command comes next, and what the reply to each means.

use std::{collections::VecDeque, io::Write, mem, time::Duration};

use asynchat::{BoxError, Part, Registry, Result};

use super::{
    Mailer, Settings, authentication::Exchange, extensions::Extensions, transaction::Transaction,
};
use crate::{
    client::{Connection, Protocol, Talk},
    reply::{Replies, Reply},
    stuffing,
};

/// Commands on their way to a server that takes several (PIPELINING): the answers to them wait in its buffers.
const PIPELINED: usize = 100;

/// What the server's next reply is the answer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    Auth,
    Mail,
    Recipient(usize),
    Data,
    Text,
    Reset,
}

/// The protocol of a connection that carries mail.
pub struct Session<M> {
    settings: Settings,
    /// How long nothing may move, but behind the end of a message.
    timeout: Duration,
    mailer: M,
    replies: Replies,
    awaited: VecDeque<Awaited>,
    offered: Extensions,
    exchange: Option<Exchange>,
    transaction: Option<Transaction>,
    /// All of a message has left.
    text_sent: bool,
    /// The server still has the envelope of a message that did not go through.
    needs_reset: bool,
}

impl<M: Mailer> Session<M> {
    pub fn new(settings: Settings, timeout: Duration, mailer: M) -> Self {
        Self {
            settings,
            timeout,
            mailer,
            replies: Replies::default(),
            awaited: [Awaited::Greeting].into(),
            offered: Extensions::default(),
            exchange: None,
            transaction: None,
            text_sent: false,
            needs_reset: false,
        }
    }

    fn send(&mut self, talk: &mut Talk<'_, '_>, command: &str, awaited: Awaited) -> Result {
        self.awaited.push_back(awaited);
        Ok(write!(talk, "{command}\r\n")?)
    }

    /// Ends the session as RFC 5321, 4.1.1.10 has it.
    fn give_up(&mut self, talk: &mut Talk<'_, '_>, error: String) -> Result {
        talk.push("QUIT\r\n");
        talk.give_up(error);
        Ok(())
    }

    fn reply(&mut self, talk: &mut Talk<'_, '_>, reply: Reply) -> Result {
        let awaited = self.awaited.pop_front();
        // The server ends the session, with this code in answer to any command (RFC 5321, 3.8).
        if reply.code == 421 {
            self.text_sent = false;
            return Err(reply.refusal("the session").into());
        }
        match (awaited, reply.class()) {
            (None, _) => Err(reply.refusal("without being asked").into()),
            (Some(Awaited::Greeting), 2) => self.introduce(talk),
            (Some(Awaited::Ehlo), 2) => {
                self.offered = Extensions::of(&reply);
                self.introduced(talk)
            }
            (Some(Awaited::Ehlo), 5) => {
                let command = format!("HELO {}", self.name(talk));
                self.send(talk, &command, Awaited::Helo)
            }
            (Some(Awaited::Helo), 2) => self.introduced(talk),
            (Some(Awaited::StartTls), 2) => talk.start_tls(),
            (Some(Awaited::Auth), 2) => self.next_mail(talk),
            (Some(Awaited::Auth), 3) => self.answer_challenge(talk),
            (Some(Awaited::Mail), _) => {
                if let Some(transaction) = &mut self.transaction
                    && reply.class() != 2
                {
                    transaction.refusal = Some(reply.refusal("the sender"));
                }
                self.ask_for_recipients(talk)
            }
            (Some(Awaited::Recipient(at)), _) => {
                self.answered_recipient(at, &reply);
                self.ask_for_recipients(talk)
            }
            (Some(Awaited::Data), 3) => self.send_text(talk),
            (Some(Awaited::Data), _) => self.failed(talk, reply.refusal("the message")),
            (Some(Awaited::Text), _) => self.answered_text(talk, reply),
            (Some(Awaited::Reset), 2) => self.begin(talk),
            (Some(awaited), _) => self.give_up(talk, reply.refusal(step(awaited))),
        }
    }

    /// The address of this end is a name that is always right (RFC 5321, 4.1.3).
    fn name(&self, talk: &Talk<'_, '_>) -> String {
        if let Some(name) = &self.settings.helo {
            return name.clone();
        }
        match talk
            .local_addr()
            .ok()
            .and_then(|address| address.inet())
            .map(|address| address.ip())
        {
            Some(ip) if ip.is_ipv6() => format!("[IPv6:{ip}]"),
            Some(ip) => format!("[{ip}]"),
            None => "localhost".into(),
        }
    }

    fn introduce(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        let command = format!("EHLO {}", self.name(talk));
        self.send(talk, &command, Awaited::Ehlo)
    }

    fn introduced(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        if self.settings.encryption.starttls && !talk.is_secure() {
            return match self.offered.starttls {
                true => self.send(talk, "STARTTLS", Awaited::StartTls),
                false => self.give_up(talk, "the server offers no STARTTLS".into()),
            };
        }
        let Some((user, password)) = self.settings.login.take() else {
            return self.next_mail(talk);
        };
        if !talk.is_confidential() && !self.settings.allow_cleartext {
            let error = "the password would pass in clear: --tls or --starttls encrypts it, --allow-cleartext sends it as it is";
            return self.give_up(talk, error.into());
        }
        match Exchange::begin(&self.offered, &user, &password) {
            Ok(exchange) => {
                self.send(talk, &exchange.command, Awaited::Auth)?;
                self.exchange = Some(exchange);
                Ok(())
            }
            Err(error) => self.give_up(talk, error),
        }
    }

    fn answer_challenge(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        match self.exchange.as_mut().and_then(Exchange::answer) {
            Some(answer) => self.send(talk, &answer, Awaited::Auth),
            None => Err("the server asks for more than a name and a password".into()),
        }
    }

    fn next_mail(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        self.exchange = None;
        // In a loop, because messages that are not sent need no reply.
        while let Some(mail) = self.mailer.next() {
            match Transaction::new(mail, &self.offered) {
                Ok(transaction) => {
                    self.transaction = Some(transaction);
                    return match mem::take(&mut self.needs_reset) {
                        true => self.send(talk, "RSET", Awaited::Reset),
                        false => self.begin(talk),
                    };
                }
                Err(error) => self.mailer.answered(Err(error)),
            }
        }
        talk.push("QUIT\r\n");
        talk.succeed();
        Ok(())
    }

    fn begin(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        let Some(transaction) = &self.transaction else {
            return Ok(());
        };
        let command = transaction.mail_command(&self.offered);
        self.send(talk, &command, Awaited::Mail)?;
        match self.offered.pipelining {
            true => self.ask_for_recipients(talk),
            false => Ok(()),
        }
    }

    /// As many as may be on their way; then DATA, or the end of the message. DATA waits for the replies: nobody may be left
    /// to send to, and a server that has said 354 wants a text (RFC 2920, 3.1).
    fn ask_for_recipients(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        let room = if self.offered.pipelining {
            PIPELINED
        } else {
            1
        };
        let Some(transaction) = &mut self.transaction else {
            return Ok(());
        };
        while self.awaited.len() < room
            && let Some(at) = transaction.next_recipient()
        {
            write!(talk, "RCPT TO:<{}>\r\n", transaction.mail.to[at])?;
            self.awaited.push_back(Awaited::Recipient(at));
        }
        if !self.awaited.is_empty() {
            return Ok(());
        }
        match transaction.refusal.take() {
            Some(refusal) => self.failed(talk, refusal),
            None if transaction.accepted == 0 => {
                self.failed(talk, "the server takes it for no recipient".into())
            }
            None => self.send(talk, "DATA", Awaited::Data),
        }
    }

    fn answered_recipient(&mut self, at: usize, reply: &Reply) {
        let Some(transaction) = &mut self.transaction else {
            return;
        };
        match reply.class() {
            2 => transaction.accepted += 1,
            // Only because the sender was.
            _ if transaction.refusal.is_some() => {}
            _ => self.mailer.refused(&transaction.mail.to[at], reply),
        }
    }

    fn send_text(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        let Some(transaction) = &mut self.transaction else {
            return Ok(());
        };
        let text = mem::replace(&mut transaction.mail.text, Box::new(""));
        let text = Part::producer(stuffing::dot_ended(text));
        self.text_sent = false;
        self.awaited.push_back(Awaited::Text);
        talk.push_then(text, |registry, sent| {
            if !sent.complete {
                return Ok(());
            }
            let id = sent.channel;
            Ok(
                registry.with_chat(id, |connection: &mut Connection<Self>, chat| {
                    connection.with(chat, |session, talk| {
                        session.text_sent = true;
                        talk.set_timeout(session.settings.patience);
                    });
                })?,
            )
        });
        Ok(())
    }

    fn answered_text(&mut self, talk: &mut Talk<'_, '_>, reply: Reply) -> Result {
        if !self.text_sent {
            // The rest of the text would be taken for commands.
            return Err(reply.refusal("before the message was complete").into());
        }
        self.text_sent = false;
        talk.set_timeout(self.timeout);
        if reply.class() != 2 {
            return self.failed(talk, reply.refusal("the message"));
        }
        self.transaction = None;
        self.mailer.answered(Ok(reply));
        self.next_mail(talk)
    }

    /// The message is over without having been sent; the session goes on.
    fn failed(&mut self, talk: &mut Talk<'_, '_>, why: String) -> Result {
        self.transaction = None;
        self.needs_reset = true;
        self.mailer.answered(Err(why));
        self.next_mail(talk)
    }
}

/// As an error names it.
fn step(awaited: Awaited) -> &'static str {
    match awaited {
        Awaited::Greeting => "the connection",
        Awaited::Ehlo => "EHLO",
        Awaited::Helo => "HELO",
        Awaited::StartTls => "STARTTLS",
        Awaited::Auth => "the login",
        Awaited::Mail => "the sender",
        Awaited::Recipient(_) => "a recipient",
        Awaited::Data | Awaited::Text => "the message",
        Awaited::Reset => "RSET",
    }
}

impl<M: Mailer> Protocol for Session<M> {
    /// What was said in clear is forgotten (RFC 3207, 4.2).
    fn secured(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        self.replies = Replies::default();
        self.offered = Extensions::default();
        self.introduce(talk)
    }

    fn line(&mut self, talk: &mut Talk<'_, '_>, line: &[u8]) -> Result {
        match self.replies.line(line)? {
            Some(reply) => self.reply(talk, reply),
            None => Ok(()),
        }
    }

    fn finished(&mut self, registry: &mut Registry, outcome: Result<(), BoxError>) {
        let outcome = outcome.map_err(|error| match self.text_sent {
            true => format!("{error}; the server may have taken the message").into(),
            false => error,
        });
        self.mailer.finished(registry, outcome);
    }
}
