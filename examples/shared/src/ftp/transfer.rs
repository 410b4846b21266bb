//! One transfer: TYPE, an address for the data, REST, the command, and two ends that may come in any order.

use std::{cell::RefCell, net::SocketAddr, rc::Rc};

use asynchat::{Address, BoxError, ChannelId, Result};

use super::{
    address, command,
    data::{self, Data, Work},
    login::{Mode, Options, Protection},
};
use crate::{client::Talk, reply::Reply};

/// What is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    File(Vec<u8>),
    /// LIST: for people, in the server's own form. An empty name is the current folder, as in all listings.
    List(Vec<u8>),
    /// NLST: names alone.
    Names(Vec<u8>),
    /// MLSD: names and facts in one form (RFC 3659, 7).
    Facts(Vec<u8>),
}

impl What {
    pub(super) fn command(self) -> (&'static str, Vec<u8>) {
        match self {
            Self::File(name) => ("RETR", name),
            Self::List(name) => ("LIST", name),
            Self::Names(name) => ("NLST", name),
            Self::Facts(name) => ("MLSD", name),
        }
    }
}

/// Of a session, beside the transfer that is running.
pub(super) struct Habits {
    pub(super) options: Options,
    /// The type that the server was told last.
    pub(super) text: Option<bool>,
    /// The server does not know EPSV and EPRT.
    pub(super) no_extended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Type,
    /// EPSV, PASV, EPRT or PORT.
    Address,
    /// The data connection is being made.
    Connect,
    Rest,
    /// The command itself.
    Command,
}

/// Whether the transfer is over, and how.
pub(super) enum Flow {
    On,
    Over(Result<(), BoxError>),
}

pub(super) struct Transfer {
    verb: &'static str,
    argument: Vec<u8>,
    text: bool,
    offset: u64,
    pub(super) work: Rc<RefCell<Work>>,
    step: Step,
    /// The data connection, or the listener that it will come to.
    channel: Option<ChannelId>,
    /// The last reply to the command.
    replied: Option<Reply>,
    /// The end of the data.
    ended: Option<Result<(), BoxError>>,
}

impl Transfer {
    pub(super) fn new(
        (verb, argument): (&'static str, Vec<u8>),
        text: bool,
        offset: u64,
        work: Work,
    ) -> Self {
        Self {
            verb,
            argument,
            text,
            offset,
            work: Rc::new(RefCell::new(work)),
            step: Step::Type,
            channel: None,
            replied: None,
            ended: None,
        }
    }

    /// # Errors
    /// Each `Err` of this type's methods is the end of the session; that of the transfer alone is [`Flow::Over`].
    pub(super) fn begin(&mut self, habits: &mut Habits, talk: &mut Talk<'_, '_>) -> Result<Flow> {
        // Before anything is asked for: a name that cannot be sent.
        if let Err(error) = command::line(self.verb, &self.argument) {
            return Ok(Flow::Over(Err(error)));
        }
        if habits.text == Some(self.text) {
            return self.ask_for_address(habits, talk);
        }
        send(talk, "TYPE", if self.text { b"A" } else { b"I" })?;
        Ok(Flow::On)
    }

    pub(super) fn preliminary(&mut self, talk: &mut Talk<'_, '_>) {
        if self.step == Step::Command && self.replied.is_none() {
            self.work.borrow_mut().begun = true;
            if let Some(channel) = self.channel {
                // The listener of an active mode is no `Data`: its connection finds `begun`.
                let _ = talk
                    .registry()
                    .with(channel, |data: &mut Data, channel| data.go(channel));
            }
        }
    }

    pub(super) fn reply(
        &mut self,
        habits: &mut Habits,
        talk: &mut Talk<'_, '_>,
        reply: Reply,
    ) -> Result<Flow> {
        match self.step {
            Step::Type if reply.class() == 2 => {
                habits.text = Some(self.text);
                self.ask_for_address(habits, talk)
            }
            Step::Address => self.address(habits, talk, &reply),
            Step::Connect => Err(reply.refusal("an answer to no question").into()),
            Step::Rest if reply.class() == 3 => self.send_command(talk),
            Step::Rest => Ok(Flow::Over(Err(reply
                .refusal("REST: the server cannot begin in the middle")
                .into()))),
            Step::Command if self.replied.is_none() => {
                let unsent = reply.class() == 2 && self.work.borrow().is_unsent();
                if self.ended.is_none() && (unsent || reply.class() != 2) {
                    self.close(talk);
                    self.ended = Some(match unsent {
                        true => Err(reply.refusal("complete before anything was sent").into()),
                        false => Ok(()),
                    });
                }
                self.replied = Some(reply);
                Ok(self.conclude())
            }
            Step::Command => Err(reply.refusal("an answer to no question").into()),
            Step::Type => Ok(Flow::Over(Err(reply.refusal("TYPE").into()))),
        }
    }

    fn ask_for_address(&mut self, habits: &Habits, talk: &mut Talk<'_, '_>) -> Result<Flow> {
        self.step = Step::Address;
        if habits.options.mode.is_active() {
            return self.listen(habits, talk);
        }
        let plain = habits.no_extended || habits.options.mode == Mode::Pasv;
        send(talk, if plain { "PASV" } else { "EPSV" }, b"")?;
        Ok(Flow::On)
    }

    fn listen(&mut self, habits: &Habits, talk: &mut Talk<'_, '_>) -> Result<Flow> {
        let (here, there) = ends(talk)?;
        let data = self.data(habits, talk)?;
        let listening = data::listen(
            talk.registry(),
            here.ip(),
            there.ip(),
            habits.options.ports,
            data,
        );
        let (id, address) = match listening {
            Ok(listening) => listening,
            Err(error) => return Ok(Flow::Over(Err(error))),
        };
        self.channel = Some(id);
        let plain = habits.no_extended || habits.options.mode == Mode::Port;
        if !plain {
            send(talk, "EPRT", address::extended_port(address).as_bytes())?;
            return Ok(Flow::On);
        }
        let Some(argument) = address::port(address) else {
            return Ok(Flow::Over(Err(
                "PORT: IPv4 only; --mode active is for IPv6 too".into(),
            )));
        };
        send(talk, "PORT", argument.as_bytes())?;
        Ok(Flow::On)
    }

    fn address(
        &mut self,
        habits: &mut Habits,
        talk: &mut Talk<'_, '_>,
        reply: &Reply,
    ) -> Result<Flow> {
        let (mode, plain) = (habits.options.mode, habits.no_extended);
        let extended = !plain && matches!(mode, Mode::Passive | Mode::Active);
        if extended && reply.class() == 5 && ends(talk)?.1.is_ipv4() {
            habits.no_extended = true;
            self.close(talk);
            return self.ask_for_address(habits, talk);
        }
        if reply.class() != 2 {
            let of = match (mode.is_active(), extended) {
                (true, true) => "EPRT",
                (true, false) => "PORT",
                (false, true) => "EPSV",
                (false, false) => "PASV",
            };
            return Ok(Flow::Over(Err(reply.refusal(of).into())));
        }
        if mode.is_active() {
            return self.rest(talk);
        }
        let peer = ends(talk)?.1;
        let port = if extended {
            address::extended_passive(reply.text())
        } else {
            address::passive(reply.text()).map(|(host, port)| {
                if peer.ip() != SocketAddr::from((host, port)).ip() {
                    log::info!("the server names another host, which is ignored: {reply}");
                }
                port
            })
        };
        let Some(port) = port else {
            return Ok(Flow::Over(Err(reply
                .refusal("no port for the data")
                .into())));
        };
        let mut to = peer;
        to.set_port(port);
        let options = talk.contact().connect_options();
        let data = self.data(habits, talk)?;
        let id = talk.registry().connect_with(&[to], &options, data)?;
        self.channel = Some(id);
        self.step = Step::Connect;
        // The connection has its own limit of time.
        talk.set_idle_timeout(None);
        Ok(Flow::On)
    }

    fn data(&self, habits: &Habits, talk: &mut Talk<'_, '_>) -> Result<Data> {
        let tls = match habits.options.protection {
            Protection::None => None,
            _ => Some(talk.contact().tls()?),
        };
        Ok(Data::new(talk, Rc::clone(&self.work), tls))
    }

    /// The data connection is made. While it is there, the control connection may be silent.
    pub(super) fn connected(&mut self, talk: &mut Talk<'_, '_>, id: ChannelId) -> Result<Flow> {
        if self.step == Step::Connect && self.channel != Some(id) || self.ended.is_some() {
            // Of a transfer that is over.
            close(talk, id);
            return Ok(Flow::On);
        }
        talk.set_idle_timeout(None);
        self.channel = Some(id);
        match self.step {
            Step::Connect => self.rest(talk),
            _ => Ok(Flow::On),
        }
    }

    fn rest(&mut self, talk: &mut Talk<'_, '_>) -> Result<Flow> {
        if self.offset == 0 {
            return self.send_command(talk);
        }
        self.step = Step::Rest;
        send(talk, "REST", self.offset.to_string().as_bytes())?;
        Ok(Flow::On)
    }

    fn send_command(&mut self, talk: &mut Talk<'_, '_>) -> Result<Flow> {
        self.step = Step::Command;
        send(talk, self.verb, &self.argument)?;
        Ok(Flow::On)
    }

    /// The data connection is gone.
    pub(super) fn ended(
        &mut self,
        talk: &mut Talk<'_, '_>,
        id: ChannelId,
        outcome: Result<(), BoxError>,
    ) -> Result<Flow> {
        if self.channel != Some(id) {
            return Ok(Flow::On);
        }
        self.channel = None;
        let timeout = talk.contact().timeout;
        talk.set_idle_timeout(Some(timeout));
        if self.step != Step::Command {
            // The server was not asked yet, or waits for no more than the next command.
            let error = outcome
                .err()
                .unwrap_or_else(|| "the data ended before its command".into());
            return match self.step {
                Step::Connect => Ok(Flow::Over(Err(error))),
                _ => Err(error),
            };
        }
        self.ended = Some(outcome);
        Ok(self.conclude())
    }

    /// Complete, once both the reply and the end of the data are here.
    fn conclude(&mut self) -> Flow {
        let (Some(reply), Some(_)) = (&self.replied, &self.ended) else {
            return Flow::On;
        };
        let name = String::from_utf8_lossy(&self.argument);
        let name = format!("{} {name}", self.verb);
        let mut work = self.work.borrow_mut();
        Flow::Over(match (work.failed.take(), self.ended.take()) {
            (Some(error), _) => Err(error),
            (None, Some(Err(error))) if reply.class() != 2 && !work.ended_there => {
                Err(format!("{}: {error}; the server says {reply}", name.trim_end()).into())
            }
            _ if reply.class() != 2 => Err(reply.refusal(name.trim_end()).into()),
            (None, Some(Err(error))) => Err(error),
            _ => work.check_length(),
        })
    }

    /// Ends the data connection, or the wait for it. It is not told any more.
    pub(super) fn close(&mut self, talk: &mut Talk<'_, '_>) {
        if let Some(id) = self.channel.take() {
            close(talk, id);
        }
    }

    pub(super) fn channel(&self) -> Option<ChannelId> {
        self.channel
    }

    /// How it ended if the session did.
    pub(super) fn error(&mut self) -> Option<BoxError> {
        let failed = self.work.borrow_mut().failed.take();
        failed.or_else(|| self.ended.take().and_then(Result::err))
    }
}

/// Closes a data connection.
pub(super) fn close(talk: &mut Talk<'_, '_>, id: ChannelId) {
    if let Some(mut channel) = talk.registry().channel(id) {
        channel.close();
    }
}

/// The addresses of the control connection, here and there.
fn ends(talk: &Talk<'_, '_>) -> Result<(SocketAddr, SocketAddr)> {
    let inet = |address: Address| address.inet().ok_or("FTP needs an IP address");
    Ok((inet(talk.local_addr()?)?, inet(talk.peer_addr()?)?))
}

pub(super) fn send(talk: &mut Talk<'_, '_>, verb: &str, argument: &[u8]) -> Result {
    let line = command::line(verb, argument)?;
    match verb {
        "PASS" | "ACCT" => log::debug!("{verb} (not shown)"),
        _ => log::debug!("{}", String::from_utf8_lossy(&line).trim_end()),
    }
    talk.push(line);
    Ok(())
}
