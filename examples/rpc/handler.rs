//! One connection to the server: fail2ban's `RequestHandler`.

use std::time::Duration;

use asynchat::{AsyncChat, BoxError, ChannelId, ChatChannel, Frame, FrameTooLong, Result};

use crate::{
    server::{Acceptor, GRACE},
    wire::{self, Answer, CLOSE, END, MAX_REQUEST},
};

/// How long a connection may stay without a byte in either direction.
pub(crate) const IDLE: Duration = Duration::from_secs(60);

pub(crate) struct RequestHandler {
    acceptor: ChannelId,
    /// The client does not read its answers, so it gets no more of them.
    held_up: bool,
}

impl RequestHandler {
    pub(crate) fn new(acceptor: ChannelId) -> Self {
        Self {
            acceptor,
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

    /// The end of a request that was too long, and only of such.
    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let what = format!("a request has at most {MAX_REQUEST} bytes");
        self.answer(chat, Err(what));
        Ok(())
    }

    fn found_frame(&mut self, chat: &mut ChatChannel<'_>, request: Frame<'_>) -> Result {
        if *request == *CLOSE {
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
        if !error.is::<FrameTooLong>() {
            chat.close();
        }
    }
}
