//! One question over TCP: the length of a message in two bytes, then the message.

use asynchat::{
    AsyncChat, BoxError, ChatChannel, ChatDispatcher, Closed, ConnectOptions, Exceptional, Frame,
    Registry, Result,
};

use crate::{
    lookups::{Lookup, unfinished},
    query::{Answer, Told},
};

/// Bytes of a length.
const LENGTH: u64 = 2;
const LONGEST: usize = u16::MAX as usize;

pub(crate) struct Stream {
    lookup: Lookup,
    /// Whether the next frame is a message.
    in_message: bool,
    outcome: Option<Result<Told, String>>,
}

impl Stream {
    pub(crate) fn start(registry: &mut Registry, lookup: Lookup) -> Result {
        let (server, timeout) = (lookup.all.plan.server, lookup.all.plan.timeout);
        let message = lookup.query.message();
        let mut question = u16::try_from(message.len())?.to_be_bytes().to_vec();
        question.extend_from_slice(message);
        let stream = Self {
            lookup,
            in_message: false,
            outcome: None,
        };
        let options = ConnectOptions::new().timeout(timeout);
        let chat = ChatDispatcher::collecting(stream, LENGTH, LONGEST);
        let id = registry.connect_with(&[server], &options, chat)?;
        registry.with_chat(id, |_: &mut Self, chat| {
            chat.push(question);
            chat.call_later(timeout, |stream: &mut Self, chat| {
                stream.fail(chat, &"no answer in time");
                Ok(())
            });
        })?;
        Ok(())
    }

    fn fail(&mut self, chat: &mut ChatChannel<'_>, why: &dyn std::fmt::Display) {
        let server = self.lookup.all.plan.server;
        self.outcome = Some(Err(format!("{server} over TCP: {why}")));
        chat.close();
    }
}

impl AsyncChat for Stream {
    fn found_frame(&mut self, chat: &mut ChatChannel<'_>, frame: Frame<'_>) -> Result {
        if !self.in_message {
            let length = u16::from_be_bytes(frame.data().try_into()?);
            self.in_message = true;
            chat.set_terminator(u64::from(length));
            return Ok(());
        }
        match self.lookup.query.take(&frame) {
            Ok(Answer::Told(told)) => {
                self.outcome = Some(Ok(told));
                chat.close();
            }
            Ok(Answer::Truncated) => self.fail(chat, &"a truncated answer"),
            // Nobody but the server can have sent it.
            Err(why) => self.fail(chat, &format_args!("no answer: {why}")),
        }
        Ok(())
    }

    fn handle_expt(&mut self, chat: &mut ChatChannel<'_>, what: Exceptional) -> Result {
        if let Exceptional::ConnectFailed(error) = what {
            self.fail(chat, &error);
        }
        Ok(())
    }

    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        self.fail(chat, &error);
    }

    fn handle_closed(&mut self, registry: &mut Registry, why: Closed) {
        let outcome = self.outcome.take();
        let server = self.lookup.all.plan.server;
        let outcome =
            outcome.unwrap_or_else(|| Err(format!("{server} over TCP: {}", unfinished(&why))));
        self.lookup.finish(registry, outcome);
    }
}
