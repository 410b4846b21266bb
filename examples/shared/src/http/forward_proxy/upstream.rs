//! A connection to a server: one request after another, each for a client.

use std::{cell::Cell, io::Write, rc::Rc};

use asynchat::{
    AsyncChat, BoxError, Channel, ChannelId, ChatChannel, Closed, Exceptional, Registry, Result,
};

use super::{
    Proxy,
    client::Client,
    fields,
    limits::{HIGH_MARK, LOW_MARK},
    pass,
    refusal::Refusal,
    target::Place,
};
use crate::http::answer_reader::{AnswerReader, Bad, Found};

/// How the bytes of a body go to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// As they are.
    Plain,
    /// In the chunks they come in.
    Chunks,
    /// Each piece is a chunk: the server ends the answer with the connection, and the client's goes on.
    Pieces,
}

pub(super) struct Upstream {
    proxy: Rc<Proxy>,
    place: Rc<Place>,
    reader: AnswerReader,
    work: Option<Work>,
    /// Whether the server has begun to answer the request.
    has_answered: bool,
    /// The client has enough to take.
    is_held: bool,
}

/// A request under way.
struct Work {
    client: ChannelId,
    coding: Coding,
    keeps_alive: bool,
    /// Bytes of the body so far.
    passed: Rc<Cell<u64>>,
}

/// How a request was lost.
pub(super) struct Lost {
    pub(super) why: Refusal,
    /// The server has not said a word of an answer.
    pub(super) is_unanswered: bool,
}

impl Upstream {
    pub(super) fn new(proxy: &Rc<Proxy>, place: &Rc<Place>) -> Self {
        Self {
            proxy: Rc::clone(proxy),
            place: Rc::clone(place),
            reader: AnswerReader::default(),
            work: None,
            has_answered: false,
            is_held: false,
        }
    }

    /// A request of this client is on its way; its head is sent by the caller.
    pub(super) fn begin(&mut self, client: ChannelId, to_head: bool, passed: Rc<Cell<u64>>) {
        passed.set(0);
        self.reader.begin(to_head);
        self.has_answered = false;
        self.is_held = false;
        self.work = Some(Work {
            client,
            coding: Coding::Plain,
            keeps_alive: false,
            passed,
        });
    }

    /// The client takes bytes again.
    pub(super) fn release(&mut self) {
        self.is_held = false;
    }

    pub(super) fn is_idle(&self) -> bool {
        self.work.is_none()
    }

    /// Calls the client; false if it has gone.
    fn tell<R>(
        &self,
        chat: &mut ChatChannel<'_>,
        call: impl FnOnce(&mut Client, &mut ChatChannel<'_>) -> R,
    ) -> Option<R> {
        let client = self.work.as_ref()?.client;
        chat.registry().with_chat(client, call).ok()
    }

    /// The request cannot be answered, or not to its end.
    fn lose(&mut self, chat: &mut ChatChannel<'_>, why: Refusal) {
        let is_unanswered = !self.has_answered;
        let lost = Lost { why, is_unanswered };
        let id = chat.id();
        self.tell(chat, |client, chat| client.lost(chat, id, &lost));
        self.work = None;
        chat.close();
    }

    fn take(&mut self, chat: &mut ChatChannel<'_>, found: Found) -> Result {
        match found {
            Found::Nothing => {}
            Found::Interim(head) if head.status == 101 => {
                return Err("the server switched protocols without being asked to".into());
            }
            Found::Interim(head) => {
                self.tell(chat, |client, chat| client.interim(chat, &head));
            }
            Found::Head(head, body) => {
                if let Err(unfit) = fields::check_answer(&head) {
                    self.broken(chat, &unfit);
                    return Ok(());
                }
                let keeps_alive = fields::keeps_alive(&head) && !self.reader.ends_with_connection();
                match self.tell(chat, |client, chat| client.answer(chat, &head, body)) {
                    Some(Ok(coding)) => {
                        if let Some(work) = &mut self.work {
                            work.coding = coding;
                            work.keeps_alive = keeps_alive;
                        }
                    }
                    Some(Err(unfit)) => {
                        self.broken(chat, &unfit);
                        return Ok(());
                    }
                    None => {
                        chat.close();
                        return Ok(());
                    }
                }
                if self.reader.has_ended() {
                    self.finish(chat);
                }
            }
            Found::Chunk(size) => self.send_framing(chat, format_args!("{size:x}\r\n")),
            Found::ChunkEnd => self.send_framing(chat, format_args!("\r\n")),
            Found::End => {
                self.send_framing(chat, format_args!("0\r\n\r\n"));
                self.finish(chat);
            }
        }
        Ok(())
    }

    fn send_framing(&self, chat: &mut ChatChannel<'_>, text: std::fmt::Arguments<'_>) {
        if let Some(work) = self
            .work
            .as_ref()
            .filter(|work| work.coding == Coding::Chunks)
            && let Some(mut client) = chat.registry().channel(work.client)
        {
            // Into the queue, which never fails.
            let _ = client.write_fmt(text);
        }
    }

    /// The answer is complete.
    fn finish(&mut self, chat: &mut ChatChannel<'_>) {
        let is_sent = self.tell(chat, Client::answered).unwrap_or(false);
        let keeps_alive = self.work.take().is_some_and(|work| work.keeps_alive);
        // What of the request is not sent would become a part of the next one.
        let is_clean = is_sent && keeps_alive && chat.outgoing_len() == 0;
        if is_clean && self.proxy.keep(&self.place, chat.id()) {
            chat.set_idle_timeout(Some(self.proxy.settings.limits.pool_timeout));
        } else {
            chat.close();
        }
    }

    /// Something that the server sent cannot be understood.
    fn broken(&mut self, chat: &mut ChatChannel<'_>, error: &dyn std::fmt::Display) {
        let place = &self.place;
        if self.work.is_some() {
            log::info!("{place}: {error}");
        }
        let text = format!("The answer of {place} is malformed: {error}.");
        self.lose(chat, Refusal::bad_gateway("http_protocol_error", text));
    }
}

/// A piece of a body, as the client is to get it. True if it has enough for now.
fn hand_over(to: &mut Channel<'_>, coding: Coding, data: &[u8]) -> bool {
    if coding != Coding::Pieces {
        return pass(to, data);
    }
    // Into the queue, which never fails.
    let _ = write!(to, "{:x}\r\n", data.len());
    let _ = to.write_all(data);
    let _ = to.write_all(b"\r\n");
    to.is_congested()
}

impl AsyncChat for Upstream {
    fn readable(&self) -> bool {
        !self.is_held
    }

    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.set_watermarks(LOW_MARK, HIGH_MARK);
        chat.set_idle_timeout(Some(self.proxy.settings.limits.answer_timeout));
        Ok(())
    }

    fn collect_incoming_data(&mut self, chat: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        let Some(work) = &self.work else {
            // Whose answer it is nobody knows.
            return Err(Bad::Unasked.into());
        };
        self.has_answered = true;
        self.reader.collect(data)?;
        if self.reader.is_in_content() {
            work.passed.set(work.passed.get() + data.len() as u64);
            match chat.registry().channel(work.client) {
                Some(mut client) => self.is_held = hand_over(&mut client, work.coding, data),
                None => chat.close(),
            }
        }
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        if self.work.is_none() {
            return Err(Bad::Unasked.into());
        }
        let (found, terminator) = self.reader.found()?;
        if let Some(terminator) = terminator {
            chat.set_terminator(terminator);
        }
        self.take(chat, found)
    }

    /// The server has taken what was sent: the client may send more.
    fn handle_drain(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        self.tell(chat, |client, _| client.release());
        Ok(())
    }

    fn handle_expt(&mut self, chat: &mut ChatChannel<'_>, what: Exceptional) -> Result {
        if let Exceptional::ConnectFailed(error) = what {
            let why = super::unreachable(&self.place, &error);
            self.lose(chat, why);
        }
        Ok(())
    }

    /// Nothing moves. While it is the client that everything waits for, its own limit counts.
    fn handle_timeout(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let is_uploading = self.tell(chat, |client, _| client.is_uploading()) == Some(true);
        let waits_for_client = self.is_held || is_uploading && chat.outgoing_len() == 0;
        if self.is_idle() {
            chat.close();
        } else if !waits_for_client {
            let limit = self.proxy.settings.limits.answer_timeout;
            let text = format!("{} was silent for {limit:?}.", self.place);
            self.lose(chat, Refusal::new(504, "connection_read_timeout", text));
        }
        Ok(())
    }

    fn handle_close(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        if self.is_idle() {
            chat.close();
        } else if self.reader.ends_with_connection() && !chat.is_reset() {
            let is_in_pieces = self
                .work
                .as_ref()
                .is_some_and(|work| work.coding == Coding::Pieces);
            if is_in_pieces {
                self.tell(chat, |_, chat| chat.write_all(b"0\r\n\r\n"))
                    .unwrap_or(Ok(()))?;
            }
            self.finish(chat);
        } else {
            let text = format!(
                "{} closed the connection before the end of its answer.",
                self.place
            );
            self.lose(chat, Refusal::bad_gateway("connection_terminated", text));
        }
        Ok(())
    }

    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        self.broken(chat, &error);
    }

    fn handle_closed(&mut self, registry: &mut Registry, why: Closed) {
        self.proxy
            .pool
            .borrow_mut()
            .forget(&self.place, why.channel);
        if let Some(work) = self.work.take() {
            let text = format!("The connection to {} ended: {why}.", self.place);
            let lost = Lost {
                why: Refusal::bad_gateway("connection_terminated", text),
                is_unanswered: !self.has_answered,
            };
            // Has no use for it if it is gone.
            let _ = registry.with_chat(work.client, |client: &mut Client, chat| {
                client.lost(chat, why.channel, &lost);
            });
        }
    }
}
