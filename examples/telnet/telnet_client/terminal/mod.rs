//! A user at a terminal, which is a channel of its own: what the server sends is queued to it, and what is typed is read from
//! it.

mod keyboard;
mod tty;
mod user;

use std::{cell::Cell, rc::Rc, time::Duration};

use asynchat::{
    ChannelId, Reactor, Registry, Result,
    signal::{SIGCONT, SIGHUP, SIGQUIT, SIGWINCH},
};
use shared::{
    client::{Connection, Outcome, Talk},
    telnet::Session,
};

use crate::scripted::Progress;

use keyboard::Keyboard;
use tty::Tty;
use user::AtTerminal;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) local_echo: bool,
    pub(crate) plain: bool,
}

/// What both channels know.
struct Desk {
    tty: Tty,
    options: Options,
    session: Cell<Option<ChannelId>>,
    /// What is typed belongs to the session: its script is over.
    open: Cell<bool>,
    /// The terminal takes no more for now, so neither does the session.
    full: Cell<bool>,
}

impl Desk {
    /// Calls the session at the other channel, if there is one.
    fn with_session(
        &self,
        registry: &mut Registry,
        call: impl FnOnce(&mut Session, &mut Talk<'_, '_>),
    ) {
        let Some(id) = self.session.get() else {
            return;
        };
        let called = registry.with_chat(id, |connection: &mut Connection<Session>, chat| {
            connection.with(chat, call);
        });
        if let Err(error) = called {
            log::debug!("no session: {error}");
        }
    }
}

/// Opens the terminal, and gives a user at it and the size of its window.
pub(crate) fn open(
    reactor: &mut Reactor,
    options: Options,
    progress: Progress,
    outcome: Outcome,
) -> Result<(AtTerminal, (u16, u16))> {
    let (tty, channel) = Tty::open()?;
    let size = tty.size();
    let desk = Rc::new(Desk {
        tty,
        options,
        session: Cell::new(None),
        open: Cell::new(false),
        full: Cell::new(false),
    });
    let keyboard = Keyboard::new(Rc::clone(&desk));
    let id = reactor.register(channel, keyboard)?;
    on_signals(reactor, &desk)?;
    Ok((AtTerminal::new(desk, id, progress, outcome), size))
}

fn on_signals(reactor: &mut Reactor, desk: &Rc<Desk>) -> Result {
    let resized = Rc::clone(desk);
    reactor.on_signal(SIGWINCH, move |registry| {
        let size = resized.tty.size();
        resized.with_session(registry, |session, talk| {
            session.with(talk, |_, line| line.resize(size));
        });
        Ok(())
    })?;
    // A shell sets the terminal to its own ways while this program is stopped.
    let resumed = Rc::clone(desk);
    reactor.on_signal(SIGCONT, move |_| {
        resumed.tty.set_again();
        Ok(())
    })?;
    for signal in [SIGHUP, SIGQUIT] {
        reactor.on_signal(signal, |registry| {
            registry.shutdown(Duration::ZERO);
            Ok(())
        })?;
    }
    Ok(())
}
