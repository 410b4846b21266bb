//! The server of `shared::smtp`, through the testing kit.

mod cpython;
mod ends;
mod limits;
mod recorder;
mod smuggling;
mod tls;

use asynchat::{
    Reactor, accept_fn,
    testing::{Harness, Listener},
};
use recorder::{Mails, Recorder};
use shared::smtp::server::{self, Options, Server};

const HOST: &str = "mx.example";
const IPV4: ([u8; 4], u16) = ([192, 0, 2, 1], 4000);

fn options() -> Options {
    Options {
        hostname: HOST.into(),
        ..Options::default()
    }
}

/// A server in memory.
struct Setup {
    listener: Listener,
    mails: Mails,
    server: std::rc::Rc<Server>,
}

fn serve(options: Options) -> Setup {
    serve_with(options, Recorder::default())
}

fn serve_with(options: Options, recorder: Recorder) -> Setup {
    let mails = recorder.mails();
    let channels = Server::max_channels(&options, 1);
    let server = Server::new(options, recorder).expect("options that fit");
    let shared = server.clone();
    let accept =
        accept_fn(move |registry, stream, peer| server::accept(&shared, registry, stream, peer));
    let builder = Reactor::builder()
        .propagate_panics(true)
        .max_channels(channels)
        .watermarks(1024, 4096);
    Setup {
        listener: Listener::with_builder(builder, accept),
        mails,
        server,
    }
}

impl Setup {
    /// A client that has been greeted.
    fn client(&mut self) -> Harness {
        self.client_from(IPV4.into())
    }

    #[track_caller]
    fn client_from(&mut self, peer: std::net::SocketAddr) -> Harness {
        let mut client = self.listener.connect_from(peer);
        assert_eq!(said(&mut client), ["220 mx.example asynchat SMTP server"]);
        client
    }
}

/// The lines that the server has said since the last call.
fn said(client: &mut Harness) -> Vec<String> {
    let output = String::from_utf8(client.output()).expect("ASCII");
    assert!(output.is_empty() || output.ends_with("\r\n"), "{output:?}");
    output.lines().map(str::to_owned).collect()
}

/// Sends lines, each behind the reply to the one before, and gives the last lines of the replies.
fn replies(client: &mut Harness, lines: &[&[u8]], bytewise: bool) -> Vec<String> {
    let send = |line: &&[u8]| {
        let line = [line, b"\r\n".as_slice()].concat();
        match bytewise {
            true => client.feed_bytewise(&line),
            false => client.feed(&line),
        }
        said(client).pop().unwrap_or_default()
    };
    lines.iter().map(send).collect()
}

/// As far as DATA.
const ENVELOPE: &str = "EHLO client\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n";
