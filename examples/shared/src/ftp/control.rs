//! The control connection: one command at a time, each with its reply.

use asynchat::{BoxError, ChannelId, Registry, Result};

use super::{
    command::{Client, Command},
    data::Work,
    login::{Next, Options, Step},
    transfer::{self, Flow, Habits, Transfer, send},
};
use crate::{
    client::{Protocol, Talk},
    reply::{Replies, Reply},
};

/// Preliminary replies (1xx) to one command: a server that sends more of them is not understood.
pub const MAX_PRELIMINARY: u32 = 100;

/// FTP on a [`Connection`](crate::client::Connection).
pub struct Session {
    client: Box<dyn Client>,
    habits: Habits,
    replies: Replies,
    preliminary: u32,
    stage: Stage,
}

enum Stage {
    Login(Step),
    /// TYPE I without a transfer.
    Binary,
    Ask(Box<dyn FnOnce(Result<Reply>) -> Result>),
    Transfer(Box<Transfer>),
    Quit,
    /// In a callback, and at the end.
    None,
}

impl Session {
    pub fn new(options: Options, client: impl Client + 'static) -> Self {
        Self {
            client: Box::new(client),
            habits: Habits {
                options,
                text: None,
                no_extended: false,
            },
            replies: Replies::default(),
            preliminary: 0,
            stage: Stage::Login(Step::Greeting),
        }
    }

    fn preliminary(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        self.preliminary += 1;
        if self.preliminary > MAX_PRELIMINARY {
            return Err(format!(
                "the server sent more than {MAX_PRELIMINARY} preliminary replies to one command"
            )
            .into());
        }
        if let Stage::Transfer(transfer) = &mut self.stage {
            transfer.preliminary(talk);
        }
        Ok(())
    }

    fn reply(&mut self, talk: &mut Talk<'_, '_>, reply: Reply) -> Result {
        self.preliminary = 0;
        // The server ends the session, with this code in answer to any command (RFC 959, 5.4).
        if reply.code == 421 && !matches!(self.stage, Stage::Login(_) | Stage::Quit) {
            return Err(reply.refusal("the session").into());
        }
        match std::mem::replace(&mut self.stage, Stage::None) {
            Stage::Login(step) => self.log_in(talk, step.reply(&self.habits.options, &reply)?),
            Stage::Binary => {
                // A server that refuses is asked again by the next transfer.
                self.habits.text = (reply.class() == 2).then_some(false);
                self.go_on(talk)
            }
            Stage::Ask(then) => {
                then(Ok(reply))?;
                self.go_on(talk)
            }
            Stage::Transfer(transfer) => self.transfer(talk, transfer, |transfer, habits, talk| {
                transfer.reply(habits, talk, reply)
            }),
            Stage::Quit => {
                self.stage = Stage::Quit;
                talk.succeed();
                Ok(())
            }
            Stage::None => Err(reply.refusal("an answer to no question").into()),
        }
    }

    fn log_in(&mut self, talk: &mut Talk<'_, '_>, next: Next) -> Result {
        match next {
            Next::Send(Step::Password | Step::Account, ..)
                if self.habits.options.has_secret() && !talk.is_confidential() =>
            {
                Err("the password would pass in clear: --tls or --starttls encrypts it, --allow-cleartext sends it as it is".into())
            }
            Next::Send(step, verb, argument) => {
                self.stage = Stage::Login(step);
                send(talk, verb, &argument)
            }
            Next::StartTls => {
                self.stage = Stage::Login(Step::Handshake);
                talk.start_tls()
            }
            Next::LoggedIn => self.go_on(talk),
        }
    }

    /// Asks for commands until one of them waits for the server.
    fn go_on(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        while matches!(self.stage, Stage::None) {
            match self.client.next()? {
                None => {
                    self.stage = Stage::Quit;
                    send(talk, "QUIT", b"")?;
                }
                Some(Command::Binary) if self.habits.text == Some(false) => {}
                Some(Command::Binary) => {
                    self.stage = Stage::Binary;
                    send(talk, "TYPE", b"I")?;
                }
                Some(Command::Ask(ask)) => match send(talk, ask.verb, &ask.argument) {
                    Ok(()) => self.stage = Stage::Ask(ask.then),
                    Err(error) => (ask.then)(Err(error))?,
                },
                Some(Command::Fetch(fetch)) => {
                    let work = Work::receive(fetch.consumer, fetch.text, fetch.length);
                    let command = fetch.what.command();
                    let transfer = Transfer::new(command, fetch.text, fetch.offset, work);
                    self.begin(talk, transfer)?;
                }
                Some(Command::Store(store)) => {
                    let command = ("STOR", store.name.clone());
                    let (text, offset) = (store.text, store.offset);
                    match Work::send(store) {
                        Ok(work) => {
                            self.begin(talk, Transfer::new(command, text, offset, work))?;
                        }
                        Err((then, error)) => then(Err(error)),
                    }
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, talk: &mut Talk<'_, '_>, mut transfer: Transfer) -> Result {
        let flow = transfer.begin(&mut self.habits, talk);
        self.after(talk, Box::new(transfer), flow)
    }

    /// A step of the transfer, and further commands if it was the last one.
    fn transfer(
        &mut self,
        talk: &mut Talk<'_, '_>,
        mut transfer: Box<Transfer>,
        step: impl FnOnce(&mut Transfer, &mut Habits, &mut Talk<'_, '_>) -> Result<Flow>,
    ) -> Result {
        let flow = step(&mut transfer, &mut self.habits, talk);
        self.after(talk, transfer, flow)?;
        self.go_on_if_free(talk)
    }

    fn after(
        &mut self,
        talk: &mut Talk<'_, '_>,
        mut transfer: Box<Transfer>,
        flow: Result<Flow>,
    ) -> Result {
        match flow {
            Ok(Flow::Over(outcome)) => {
                transfer.close(talk);
                let timeout = talk.contact().timeout;
                talk.set_idle_timeout(Some(timeout));
                Work::close(&transfer.work, outcome);
                Ok(())
            }
            // `finished` ends it.
            Err(error) => {
                self.stage = Stage::Transfer(transfer);
                Err(error)
            }
            Ok(Flow::On) => {
                self.stage = Stage::Transfer(transfer);
                Ok(())
            }
        }
    }

    fn go_on_if_free(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        match self.stage {
            Stage::None => self.go_on(talk),
            _ => Ok(()),
        }
    }

    fn of_transfer(
        &mut self,
        talk: &mut Talk<'_, '_>,
        step: impl FnOnce(&mut Transfer, &mut Habits, &mut Talk<'_, '_>) -> Result<Flow>,
    ) -> Result {
        match std::mem::replace(&mut self.stage, Stage::None) {
            Stage::Transfer(transfer) => self.transfer(talk, transfer, step),
            other => {
                self.stage = other;
                Ok(())
            }
        }
    }

    /// The data connection is made.
    pub(super) fn data_connected(&mut self, talk: &mut Talk<'_, '_>, id: ChannelId) -> Result {
        if !matches!(self.stage, Stage::Transfer(_)) {
            transfer::close(talk, id);
        }
        self.of_transfer(talk, |transfer, _, talk| transfer.connected(talk, id))
    }

    /// The data connection is gone.
    pub(super) fn data_ended(
        &mut self,
        talk: &mut Talk<'_, '_>,
        id: ChannelId,
        outcome: Result<(), BoxError>,
    ) -> Result {
        self.of_transfer(talk, |transfer, _, talk| transfer.ended(talk, id, outcome))
    }
}

impl Protocol for Session {
    fn secured(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        self.replies = Replies::default();
        self.log_in(talk, Step::secured())
    }

    fn line(&mut self, talk: &mut Talk<'_, '_>, line: &[u8]) -> Result {
        let Some(reply) = self.replies.line(line)? else {
            return Ok(());
        };
        log::debug!("the server says {reply}");
        match reply.class() {
            1 => self.preliminary(talk),
            _ => self.reply(talk, reply),
        }
    }

    fn end_of_file(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        if let Stage::Quit = self.stage {
            talk.succeed();
            return Ok(());
        }
        Err("the server closed the control connection".into())
    }

    fn finished(&mut self, registry: &mut Registry, outcome: Result<(), BoxError>) {
        let outcome = match std::mem::replace(&mut self.stage, Stage::None) {
            // Everything was done before.
            Stage::Quit => Ok(()),
            Stage::Transfer(mut transfer) => {
                if let Some(id) = transfer.channel()
                    && let Some(mut channel) = registry.channel(id)
                {
                    channel.close();
                }
                let why = error_of(&outcome);
                let error = transfer.error().unwrap_or_else(|| why.into());
                Work::close(&transfer.work, Err(error));
                outcome
            }
            Stage::Ask(then) => {
                // Its error would be a second one.
                let _ = then(Err(error_of(&outcome).into()));
                outcome
            }
            Stage::Login(_) | Stage::Binary | Stage::None => outcome,
        };
        self.client.finished(registry, outcome);
    }
}

fn error_of(outcome: &Result<(), BoxError>) -> String {
    match outcome {
        Ok(()) => "the session ended".into(),
        Err(error) => error.to_string(),
    }
}
