//! One question over UDP, sent again while there is no answer.

use asynchat::{BoxError, Channel, Closed, Dispatcher, Registry, Result, Socket};

use crate::{
    lookups::{Lookup, unfinished},
    query::{Answer, Refused, Told},
    stream::Stream,
};

/// Room for a datagram: without extensions it has 512 bytes at most.
const LONGEST: usize = 4096;

pub(crate) struct Datagram {
    lookup: Lookup,
    /// To be sent.
    due: bool,
    tries: u8,
    refused: u64,
    last_refusal: Refused,
    end: Option<End>,
}

enum End {
    OverTcp,
    Outcome(Result<Told, String>),
}

impl Datagram {
    /// On a socket of its own, so that the system chooses a port for each question.
    pub(crate) fn start(registry: &mut Registry, lookup: Lookup) -> Result {
        let timeout = lookup.all.plan.timeout;
        let socket = Socket::connected_udp(lookup.all.plan.server)?;
        let datagram = Self {
            lookup,
            due: true,
            tries: 1,
            refused: 0,
            last_refusal: "",
            end: None,
        };
        let id = registry.register(socket, datagram)?;
        if let Some(mut channel) = registry.channel(id) {
            channel.call_every(timeout, |datagram: &mut Self, channel| {
                datagram.is_late(channel);
                Ok(())
            });
        }
        Ok(())
    }

    /// Either datagram may have been lost. The question stays the same, so that a late answer to an earlier try counts.
    fn is_late(&mut self, channel: &mut Channel<'_>) {
        if self.tries < self.lookup.all.plan.tries {
            self.tries += 1;
            self.due = true;
            return;
        }
        let mut why = format!(
            "no answer from {}; tries: {}",
            self.lookup.all.plan.server, self.tries
        );
        if self.refused > 0 {
            let refusals = format!(
                "; refused: {}, the last because {}",
                self.refused, self.last_refusal
            );
            why.push_str(&refusals);
        }
        self.end(channel, End::Outcome(Err(why)));
    }

    fn end(&mut self, channel: &mut Channel<'_>, end: End) {
        self.end = Some(end);
        channel.close();
    }
}

impl Dispatcher for Datagram {
    fn writable(&self) -> bool {
        self.due
    }

    fn handle_write(&mut self, channel: &mut Channel<'_>) -> Result {
        channel.send(self.lookup.query.message())?;
        self.due = false;
        Ok(())
    }

    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        let mut buf = [0; LONGEST];
        let (n, from) = channel.recv_from(&mut buf)?;
        // What came before the socket was connected may be anybody's.
        let taken = match from.inet() == Some(self.lookup.all.plan.server) {
            true => self.lookup.query.take(&buf[..n]),
            false => Err("it has another sender"),
        };
        match taken {
            Ok(Answer::Truncated) => self.end(channel, End::OverTcp),
            Ok(Answer::Told(told)) => self.end(channel, End::Outcome(Ok(told))),
            Err(why) => {
                log::debug!("a message from {from} is refused: {why}");
                self.refused += 1;
                self.last_refusal = why;
            }
        }
        Ok(())
    }

    fn handle_error(&mut self, channel: &mut Channel<'_>, error: BoxError) {
        let why = format!("no answer from {}: {error}", self.lookup.all.plan.server);
        self.end(channel, End::Outcome(Err(why)));
    }

    fn handle_closed(&mut self, registry: &mut Registry, why: Closed) {
        match self.end.take() {
            Some(End::OverTcp) => {
                log::debug!("{} once more over TCP", self.lookup.query.name());
                if let Err(error) = Stream::start(registry, self.lookup.clone()) {
                    self.lookup.finish(registry, Err(error.to_string()));
                }
            }
            Some(End::Outcome(outcome)) => self.lookup.finish(registry, outcome),
            None => self.lookup.finish(registry, Err(unfinished(&why))),
        }
    }
}
