//! The server: EHLO, STARTTLS, NOOP and QUIT.

use std::{io::Write, path::Path, time::Duration};

use asynchat::{
    AsyncChat, BoxError, ChatChannel, ChatDispatcher, Frame, FrameTooLong, Reactor, Result,
};
use asynchat_rustls::{ChannelTls, TlsAcceptor};
use shared::{cli, signals, text::is_unprintable, tls::server::Identity};

use crate::MAX_LINE;

/// Between two commands (RFC 5321, 4.5.3.2.7).
const SILENCE: Duration = Duration::from_secs(300);
const MAX_CLIENTS: usize = 1000;
const GRACE: Duration = Duration::from_secs(1);

/// A client's session on the server.
struct Session {
    /// Until the stream is TLS.
    acceptor: Option<TlsAcceptor>,
    /// What the client calls itself.
    name: Option<String>,
}

impl Session {
    fn start(acceptor: Option<TlsAcceptor>) -> ChatDispatcher<Self> {
        let session = Self {
            acceptor,
            name: None,
        };
        ChatDispatcher::collecting(session, "\r\n", MAX_LINE)
    }

    fn start_tls(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let Some(acceptor) = self.acceptor.take() else {
            chat.push("503 5.5.1 this is TLS\r\n");
            return Ok(());
        };
        chat.push("220 2.0.0 go ahead\r\n"); // the last line in clear
        chat.replace(Self::start(None));
        Ok(chat.start_tls(&acceptor)?)
    }
}

impl AsyncChat for Session {
    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.set_idle_timeout(Some(SILENCE));
        chat.push("220 localhost ESMTP\r\n");
        Ok(())
    }

    /// A client that does not read is not read from.
    fn handle_drain(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.resume_reading();
        Ok(())
    }

    fn found_frame(&mut self, chat: &mut ChatChannel<'_>, line: Frame<'_>) -> Result {
        if chat.is_congested() {
            chat.pause_reading(Duration::MAX);
        }
        let line = String::from_utf8_lossy(&line);
        let (command, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match command.to_ascii_uppercase().as_str() {
            "EHLO" => {
                self.name = Some(rest.replace(is_unprintable, "\u{fffd}"));
                match self.acceptor {
                    Some(_) => chat.push("250-localhost\r\n250 STARTTLS\r\n"),
                    None => chat.push("250 localhost\r\n"),
                }
            }
            "STARTTLS" if !rest.is_empty() => chat.push("501 5.5.4 no parameters\r\n"),
            "STARTTLS" => return self.start_tls(chat),
            "NOOP" => chat.push("250 2.0.0 ok\r\n"),
            "QUIT" => {
                let name = self.name.as_deref().unwrap_or("stranger");
                write!(chat, "221 2.0.0 bye, {name}\r\n")?;
                chat.close_when_done();
            }
            _ => chat.push("502 5.5.1 no such command\r\n"),
        }
        Ok(())
    }

    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        if error.is::<FrameTooLong>() {
            chat.push("500 5.5.2 line too long\r\n");
            chat.close_when_done();
        } else {
            chat.default_error(error);
        }
    }
}

pub(crate) fn serve(listen: cli::Listen<2525>, cert: &Path, key: &Path) -> Result {
    let acceptor = TlsAcceptor::new(Identity::new(cert, key, &[]).config()?);
    let mut reactor = Reactor::builder().max_channels(MAX_CLIENTS).build()?;
    let id = reactor.listen_fn(listen.address(), move |registry, stream, _peer| {
        registry.register(stream, Session::start(Some(acceptor.clone())))?;
        Ok(())
    })?;
    signals::shut_down_on_signal(&mut reactor, GRACE)?;
    let address = reactor.channel(id).ok_or("closed")?.local_addr()?;
    cli::say(&format!("serving SMTP's first steps on {address}"))?;
    Ok(reactor.run()?)
}
