//! Standard input that is no terminal: read by a thread, since a file cannot be watched, and passed on piece by piece.

use std::{
    io::{self, Read},
    sync::mpsc,
    thread,
};

use asynchat::{ChannelId, Reactor, Registry};
use shared::{
    client::Connection,
    telnet::{Line, Session},
};

/// Bytes that are read at once.
const PIECE: usize = 16 * 1024;

/// Sends standard input to the end of it. The session goes on until the server ends it.
pub(crate) fn pass_on(reactor: &mut Reactor, id: ChannelId) {
    let handle = reactor.handle();
    thread::spawn(move || {
        let mut piece = vec![0; PIECE];
        loop {
            let n = match io::stdin().read(&mut piece) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    log::error!("standard input: {error}");
                    break;
                }
            };
            let text = piece[..n].to_vec();
            // The next piece is read when this one has left.
            let (sent, wait) = mpsc::channel();
            let posted = handle.call_soon(move |registry| {
                with_line(registry, id, |line| {
                    line.send(&text);
                    line.talk.push_then("", move |_, _| {
                        // The thread may be gone.
                        let _ = sent.send(());
                        Ok(())
                    });
                });
                Ok(())
            });
            if posted.is_err() || wait.recv().is_err() {
                return;
            }
        }
        // A CR at the end was kept back, because an LF might follow. The reactor may be gone.
        let _ = handle.call_soon(move |registry| {
            with_line(registry, id, |line| line.send_keys(b""));
            Ok(())
        });
    });
}

/// Unless the session is over: then there is another outcome.
fn with_line(registry: &mut Registry, id: ChannelId, call: impl FnOnce(&mut Line<'_, '_, '_>)) {
    let called = registry.with_chat(id, |connection: &mut Connection<Session>, chat| {
        connection.with(chat, |session, talk| {
            session.with(talk, |_, line| call(line));
        });
    });
    if let Err(error) = called {
        log::debug!("no session: {error}");
    }
}
