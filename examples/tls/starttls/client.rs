//! The client: it turns to TLS, or it fails.

use std::{
    cell::RefCell,
    io::{self, Write},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use asynchat::{
    AsyncChat, BoxError, ChatChannel, ChatDispatcher, Closed, ConnectOptions, Exceptional, Frame,
    HandshakeFailed, Reactor, Registry, Result,
};
use asynchat_rustls::ChannelTls;
use rustls::ClientConfig;
use shared::{
    cli, signals,
    text::is_unprintable,
    tls::client::{self, Trust},
};

use crate::MAX_LINE;

/// Lines of a reply.
const MAX_REPLY: usize = 100;

/// The client's side of a connection.
struct Probe {
    host: String,
    timeout: Duration,
    /// Until the stream is TLS.
    config: Option<Arc<ClientConfig>>,
    /// What the next reply answers.
    asked: Asked,
    reply: Vec<String>,
    outcome: Outcome,
}

/// `None` until it is known.
type Outcome = Rc<RefCell<Option<Result>>>;

#[derive(Clone, Copy)]
enum Asked {
    Greeting,
    Ehlo,
    StartTls,
    Quit,
}

impl Probe {
    fn ask(&mut self, chat: &mut ChatChannel<'_>, command: &'static str, asked: Asked) -> Result {
        cli::say(&format!("C: {command}"))?;
        self.asked = asked;
        Ok(write!(chat, "{command}\r\n")?)
    }

    /// The reply is complete: 220 or 250 with its lines.
    fn take_reply(&mut self, chat: &mut ChatChannel<'_>, code: &str) -> Result {
        let reply = std::mem::take(&mut self.reply);
        match (self.asked, code) {
            (Asked::Greeting, "220") => self.ask(chat, "EHLO localhost", Asked::Ehlo),
            (Asked::Ehlo, "250") if self.config.is_none() => self.ask(chat, "QUIT", Asked::Quit),
            // Somebody on the way may have removed it: going on in clear is no way out.
            (Asked::Ehlo, "250")
                if !reply
                    .iter()
                    .any(|line| line.eq_ignore_ascii_case("STARTTLS")) =>
            {
                Err("the server does not offer STARTTLS".into())
            }
            (Asked::Ehlo, "250") => self.ask(chat, "STARTTLS", Asked::StartTls),
            (Asked::StartTls, "220") => self.start_tls(chat),
            (Asked::Quit, "221") => {
                self.outcome.replace(Some(Ok(())));
                chat.close_when_done();
                Ok(())
            }
            _ => Err(format!("the server refuses: {code}").into()),
        }
    }

    fn start_tls(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let config = self.config.take().ok_or("this is TLS")?;
        let fresh = Self {
            host: self.host.clone(),
            timeout: self.timeout,
            config: None,
            asked: Asked::Ehlo,
            reply: Vec::new(),
            outcome: Rc::clone(&self.outcome),
        };
        chat.replace(ChatDispatcher::collecting(fresh, "\r\n", MAX_LINE));
        Ok(chat.start_tls_client(&self.host, config)?)
    }

    fn fail(&self, chat: &mut ChatChannel<'_>, error: BoxError) {
        self.outcome.replace(Some(Err(error)));
        chat.close();
    }
}

impl AsyncChat for Probe {
    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.set_idle_timeout(Some(self.timeout));
        Ok(())
    }

    fn handle_secured(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        if let Some(tls) = chat.tls() {
            cli::say(&format!("-- {:?}, {:?}", tls.protocol(), tls.suite()))?;
        }
        self.ask(chat, "EHLO localhost", Asked::Ehlo)
    }

    fn found_frame(&mut self, chat: &mut ChatChannel<'_>, line: Frame<'_>) -> Result {
        let line = String::from_utf8_lossy(&line).replace(is_unprintable, "\u{fffd}");
        cli::say(&format!("S: {line}"))?;
        if self.reply.len() == MAX_REPLY {
            return Err(format!("a reply of more than {MAX_REPLY} lines").into());
        }
        let (code, text) = line.split_at_checked(3).ok_or("that is no reply of SMTP")?;
        self.reply.push(text.get(1..).unwrap_or_default().into());
        match text.starts_with('-') {
            true => Ok(()),
            false => self.take_reply(chat, code),
        }
    }

    fn handle_expt(&mut self, chat: &mut ChatChannel<'_>, what: Exceptional) -> Result {
        if let Exceptional::ConnectFailed(error) = what {
            self.fail(chat, format!("connection failed: {error}").into());
        }
        Ok(())
    }

    fn handle_timeout(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let silence = self.timeout;
        self.fail(
            chat,
            format!("the server was silent for {silence:?}").into(),
        );
        Ok(())
    }

    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        let error = match error.downcast::<HandshakeFailed>() {
            Ok(failed) => {
                let why = client::reason(&self.host, &failed.error);
                let line = format!("TLS handshake with {} failed: {why}", self.host);
                line.replace(is_unprintable, "\u{fffd}").into()
            }
            Err(other) => other,
        };
        self.fail(chat, error);
    }

    fn handle_closed(&mut self, _: &mut Registry, why: Closed) {
        let mut outcome = self.outcome.borrow_mut();
        outcome.get_or_insert_with(|| Err(format!("the connection ended: {why}").into()));
    }
}

pub(crate) fn probe(host: &str, port: u16, trust: &Trust, timeout: Duration) -> Result {
    if let Some(warning) = trust.warning() {
        let _ = writeln!(io::stderr(), "starttls: {warning}");
    }
    let outcome = Outcome::default();
    let options = ConnectOptions::new()
        .resolve_timeout(timeout)
        .timeout(timeout)
        .deadline(timeout);
    let mut reactor = Reactor::builder().handshake_timeout(timeout).build()?;
    signals::shut_down_on_signal(&mut reactor, Duration::ZERO)?;
    let probe = Probe {
        host: host.into(),
        timeout,
        config: Some(Arc::new(trust.config(&[])?)),
        asked: Asked::Greeting,
        reply: Vec::new(),
        outcome: Rc::clone(&outcome),
    };
    let chat = ChatDispatcher::collecting(probe, "\r\n", MAX_LINE);
    reactor.connect_host_with(host, port, &options, chat)?;
    reactor.run()?;
    let outcome = outcome.take().unwrap_or(Ok(()));
    outcome.map_err(|error| format!("{host}: {error}").into())
}
