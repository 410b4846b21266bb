//! One connection to the server: fail2ban's `RequestHandler`.

use std::time::Duration;

use asynchat::{AsyncChat, BoxError, ChannelId, ChatChannel, FrameTooLong, Result};

use crate::{
    server::{Acceptor, GRACE},
    wire::{self, Answer, CLOSE, END, MAX_REQUEST},
};

/// How long a connection may stay without a byte in either direction.
pub(crate) const IDLE: Duration = Duration::from_secs(60);

pub(crate) struct RequestHandler {
    acceptor: ChannelId,
    request: Vec<u8>,
    /// The request that is being read is to be skipped.
    too_long: bool,
    /// The client does not read its answers, so it gets no more of them.
    held_up: bool,
}

impl RequestHandler {
    pub(crate) fn new(acceptor: ChannelId) -> Self {
        Self {
            acceptor,
            request: Vec::new(),
            too_long: false,
            held_up: false,
        }
    }

    fn proceed(&self, chat: &mut ChatChannel<'_>, request: &[String]) -> Result<Answer> {
        let answer = chat
            .registry()
            .with(self.acceptor, |acceptor: &mut Acceptor, _| {
                acceptor.store.proceed(request)
            })?;
        Ok(answer)
    }

    fn answer(&mut self, chat: &mut ChatChannel<'_>, answer: Answer) {
        chat.push(wire::encode_answer(answer));
        chat.push(END);
        self.held_up = chat.is_congested();
    }
}

impl AsyncChat for RequestHandler {
    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        // The default `handle_timeout` closes.
        chat.set_idle_timeout(Some(IDLE));
        Ok(())
    }

    fn readable(&self) -> bool {
        !self.held_up
    }

    fn handle_drain(&mut self, _: &mut ChatChannel<'_>) -> Result {
        self.held_up = false;
        Ok(())
    }

    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        self.request.extend_from_slice(data);
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let request = std::mem::take(&mut self.request);
        if std::mem::take(&mut self.too_long) {
            let what = format!("a request has at most {MAX_REQUEST} bytes");
            self.answer(chat, Err(what));
            return Ok(());
        }
        if request == CLOSE {
            chat.close_when_done();
            return Ok(());
        }
        match wire::decode(&request) {
            Ok(request) if request == ["stop"] => {
                log::info!("{}: stopped", chat.describe());
                // Before the shutdown, which ends this channel too.
                self.answer(chat, Ok(vec![]));
                chat.registry().shutdown(GRACE);
            }
            Ok(request) => {
                let answer = self.proceed(chat, &request)?;
                self.answer(chat, answer);
            }
            Err(what) => self.answer(chat, Err(what)),
        }
        Ok(())
    }

    /// Too long a request is skipped and answered with an error.
    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        log::warn!("{}: {error}", chat.describe());
        if error.is::<FrameTooLong>() {
            self.request = Vec::new();
            self.too_long = true;
        } else {
            chat.close();
        }
    }
}
