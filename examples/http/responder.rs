//! A minimal HTTP server: `cargo run --example http_responder`, then open http://127.0.0.1:8000/ in a browser.
//!
//! It answers every request with a page that shows the request. The first terminator, `"\r\n"`, ends the request
//! line, the second, `"\r\n\r\n"`, the header.

use std::{process::ExitCode, time::Duration};

use asynchat::{
    Address, AsyncChat, BoxError, Channel, ChatChannel, ChatDispatcher, Dispatcher, FrameTooLong,
    Reactor, Result, Stream,
};
use clap::Parser;
use shared::{
    cli::{self, Listen},
    http::escape,
    signals,
};

/// The longest request line, and the longest header.
const MAX_FRAME: usize = 16 * 1024;
const MAX_CONNECTIONS: usize = 1000;

/// The listening socket.
struct HttpServer {
    timeout: Duration,
}

impl Dispatcher for HttpServer {
    fn handle_accepted(
        &mut self,
        channel: &mut Channel<'_>,
        stream: Stream,
        peer: Address,
    ) -> Result {
        log::info!("connection from {peer}");
        let http = HttpChannel {
            timeout: self.timeout,
            expecting: Expecting::RequestLine,
            data: Vec::new(),
        };
        let chat = ChatDispatcher::new(http, "\r\n").max_frame(MAX_FRAME);
        channel.registry().register(stream, chat)?;
        Ok(())
    }
}

enum Expecting {
    RequestLine,
    /// Two bytes that say whether there is a header at all: without one they are its end.
    HeaderStart,
    Header,
}

/// One connection, for one request.
struct HttpChannel {
    timeout: Duration,
    expecting: Expecting,
    /// The request so far.
    data: Vec<u8>,
}

impl HttpChannel {
    fn answer(&self, chat: &mut ChatChannel<'_>, status: &str, text: &[u8]) {
        chat.push(format!(
            "HTTP/1.0 {status}\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
        ));
        // A client that asks with HEAD takes a body for the start of the next answer.
        if !self.data.starts_with(b"HEAD ") {
            chat.push("<html><body><pre>\r\n");
            // What was asked for must not run as a script in the browser of who asked.
            let text = String::from_utf8_lossy(text);
            chat.push(escape::html(&text).into_owned());
            chat.push("</pre></body></html>\r\n");
        }
        chat.close_when_done();
    }
}

impl AsyncChat for HttpChannel {
    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.set_idle_timeout(Some(self.timeout));
        Ok(())
    }

    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        self.data.extend_from_slice(data);
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        match self.expecting {
            Expecting::RequestLine => {
                let words = self.data.split(u8::is_ascii_whitespace);
                if words.filter(|word| !word.is_empty()).count() != 3 {
                    self.answer(chat, "400 Bad Request", b"not a request line\r\n");
                    return Ok(());
                }
                self.data.extend_from_slice(b"\r\n");
                self.expecting = Expecting::HeaderStart;
                chat.set_terminator(2);
            }
            Expecting::HeaderStart if !self.data.ends_with(b"\r\n\r\n") => {
                self.expecting = Expecting::Header;
                chat.set_terminator("\r\n\r\n");
            }
            Expecting::HeaderStart | Expecting::Header => self.answer(chat, "200 OK", &self.data),
        }
        Ok(())
    }

    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        log::info!("{}: {error}", chat.describe());
        if error.is::<FrameTooLong>() {
            let status = "431 Request Header Fields Too Large";
            self.answer(chat, status, b"a request has to be shorter\r\n");
        } else {
            chat.close();
        }
    }
}

/// Answer every HTTP request with a page that shows it
#[derive(Debug, Parser)]
#[command(name = "http_responder")]
struct Args {
    #[command(flatten)]
    listen: Listen<8000>,
    /// Close connections on which nothing moves for this time
    #[arg(long, value_name = "SECS", default_value = "30", value_parser = cli::seconds)]
    timeout: Duration,
}

#[allow(clippy::needless_pass_by_value, reason = "what cli::main calls")]
fn run(args: Args) -> Result {
    let mut reactor = Reactor::builder().max_channels(MAX_CONNECTIONS).build()?;
    signals::shut_down_on_signal(&mut reactor, Duration::from_secs(1))?;
    let server = HttpServer {
        timeout: args.timeout,
    };
    let address = args.listen.address();
    let id = reactor.listen(address, server)?;
    if let Some(listener) = reactor.channel(id) {
        cli::say(&format!("serving at http://{}/", listener.local_addr()?))?;
    }
    Ok(reactor.run()?)
}

fn main() -> ExitCode {
    cli::main(run)
}

/// `cargo test --features testing --example http_responder`.
#[cfg(all(test, feature = "testing"))]
mod tests {
    use asynchat::testing::Harness;

    use super::*;

    fn browser() -> Harness {
        let http = HttpChannel {
            timeout: Duration::from_secs(30),
            expecting: Expecting::RequestLine,
            data: Vec::new(),
        };
        Harness::new(ChatDispatcher::new(http, "\r\n").max_frame(MAX_FRAME))
    }

    #[test]
    fn a_request_is_shown_without_running_in_the_browser() {
        let script = "
            C: GET /<script> HTTP/1.0
            C: Host: x
            C:
            S: HTTP/1.0 200 OK
            S: Content-Type: text/html; charset=utf-8
            S:
            S: <html><body><pre>
            S: GET /&lt;script&gt; HTTP/1.0
            S: Host: x</pre></body></html>
            S ends
            C ends
            S closes";
        browser().play(script);
        browser().play_bytewise(script);
    }

    #[test]
    fn a_request_without_a_header_is_complete_after_its_empty_line() {
        let script = "
            C: HEAD / HTTP/1.0
            C:
            S: HTTP/1.0 200 OK
            S: …
            S:
            S ends";
        browser().play(script);
        browser().play_bytewise(script);
    }

    #[test]
    fn what_is_no_request_or_too_long_is_refused() {
        let mut peer = browser();
        peer.feed("hello\r\n");
        assert!(peer.output().starts_with(b"HTTP/1.0 400 "));
        let mut peer = browser();
        peer.feed([b'x'; MAX_FRAME + 1]);
        assert!(peer.output().starts_with(b"HTTP/1.0 431 "));
        assert!(peer.has_ended());
    }

    #[test]
    fn silence_ends_the_connection() {
        browser().play("C: GET / HTTP/1.0\nwait 29s\nC: Host: x\nwait 30s\nS closes");
    }
}
