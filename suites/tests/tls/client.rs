//! Clients of TLS: an honest one, and one whose ciphertext is in the hands of a test.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use rustls::{
    AlertDescription, ClientConfig, ClientConnection, StreamOwned, SupportedProtocolVersion,
    client::Resumption, crypto::ring, pki_types::ServerName, version,
};
use socket2::SockRef;
use suites::victim::DEADLINE;

use crate::{certificate::CERTIFICATES, site};

pub const GET: &[u8] = b"GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n";
pub const HELLO: &[u8] = b"hello, world";

/// Both versions of the protocol, with their names.
pub const VERSIONS: [(&str, &SupportedProtocolVersion); 2] =
    [("1.2", &version::TLS12), ("1.3", &version::TLS13)];

/// Without resumption: each handshake is a full one.
pub fn config(versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(CERTIFICATES.roots())
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

pub fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Ends a connection with a reset.
#[allow(clippy::needless_pass_by_value, reason = "it is closed here")]
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

fn connection(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from("localhost").unwrap();
    ClientConnection::new(Arc::clone(config), name).unwrap()
}

/// A client that keeps its connection and checks its answers.
pub struct Honest {
    tls: StreamOwned<ClientConnection, TcpStream>,
    buffer: Vec<u8>,
}

impl Honest {
    pub fn new(to: SocketAddr, config: &Arc<ClientConfig>) -> Self {
        Self {
            tls: StreamOwned::new(connection(config), connect(to)),
            buffer: vec![0; 4096],
        }
    }

    #[track_caller]
    pub fn ask(&mut self) {
        self.try_ask().unwrap();
    }

    pub fn try_ask(&mut self) -> io::Result<()> {
        self.tls.write_all(GET)?;
        let mut got = 0;
        while !self.buffer[..got].ends_with(HELLO) {
            let n = self.tls.read(&mut self.buffer[got..])?;
            if n == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            got += n;
        }
        let answer = &self.buffer[..got];
        assert!(
            answer.starts_with(b"HTTP/1.1 200 OK\r\n"),
            "{}",
            answer.escape_ascii()
        );
        Ok(())
    }

    /// The certificate that the server has shown.
    pub fn certificate(&self) -> Vec<u8> {
        let shown = self.tls.conn.peer_certificates().unwrap();
        shown[0].to_vec()
    }
}

/// How a connection ends, as its client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// close_notify, then FIN.
    Clean,
    /// FIN without close_notify.
    Cut,
    Reset,
    Alert(AlertDescription),
    /// What came is no TLS.
    Nonsense,
}

impl End {
    /// By close_notify. nginx ends without.
    pub fn is_clean(self) -> bool {
        self == Self::Clean || (site::is_nginx() && matches!(self, Self::Cut | Self::Reset))
    }
}

/// A client that encrypts in memory: what goes over the wire, and in which pieces, is up to the test.
pub struct Hostile {
    pub tls: ClientConnection,
    pub stream: TcpStream,
    has_close_notify: bool,
}

impl Hostile {
    pub fn new(to: SocketAddr, config: &Arc<ClientConfig>) -> Self {
        Self::on(connect(to), config)
    }

    pub fn on(stream: TcpStream, config: &Arc<ClientConfig>) -> Self {
        let tls = connection(config);
        Self {
            tls,
            stream,
            has_close_notify: false,
        }
    }

    /// With the handshake done.
    pub fn shaken(to: SocketAddr, config: &Arc<ClientConfig>) -> Self {
        let mut client = Self::new(to, config);
        client.shake();
        client
    }

    #[track_caller]
    pub fn shake(&mut self) {
        while self.tls.is_handshaking() {
            let flight = self.flight();
            self.stream.write_all(&flight).unwrap();
            if self.tls.is_handshaking() {
                self.take().unwrap();
            }
        }
        let flight = self.flight();
        self.stream.write_all(&flight).unwrap();
    }

    /// Ciphertext that is ready to be sent.
    pub fn flight(&mut self) -> Vec<u8> {
        let mut flight = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut flight).unwrap();
        }
        flight
    }

    /// The ciphertext of some plaintext.
    pub fn seal(&mut self, plain: &[u8]) -> Vec<u8> {
        self.tls.writer().write_all(plain).unwrap();
        self.flight()
    }

    /// Reads once; gives the bytes of plaintext that are there now, or the end.
    pub fn take(&mut self) -> Result<usize, End> {
        match self.tls.read_tls(&mut self.stream) {
            Ok(0) if self.has_close_notify => return Err(End::Clean),
            Ok(0) => return Err(End::Cut),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Err(End::Reset),
            // Only on a stream that does not block.
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) => panic!("{error}"),
        }
        match self.tls.process_new_packets() {
            Ok(state) => {
                self.has_close_notify |= state.peer_has_closed();
                Ok(state.plaintext_bytes_to_read())
            }
            Err(rustls::Error::AlertReceived(alert)) => Err(End::Alert(alert)),
            Err(_) => Err(End::Nonsense),
        }
    }

    /// Reads the answer to [`GET`].
    #[track_caller]
    pub fn is_answered(&mut self) {
        if let Err(end) = self.answer() {
            panic!("{end:?} in the place of an answer");
        }
    }

    /// Reads the answer to [`GET`], or the end that comes in its place.
    #[track_caller]
    pub fn answer(&mut self) -> Result<(), End> {
        let mut answer = Vec::new();
        while !answer.ends_with(HELLO) {
            let there = self.take()?;
            let begin = answer.len();
            answer.resize(begin + there, 0);
            self.tls.reader().read_exact(&mut answer[begin..]).unwrap();
        }
        assert!(
            answer.starts_with(b"HTTP/1.1 200 "),
            "{}",
            answer.escape_ascii()
        );
        Ok(())
    }

    /// Reads once, and forgets what has come.
    pub fn skip(&mut self) -> Result<(), End> {
        let mut plain = vec![0; self.take()?];
        self.tls.reader().read_exact(&mut plain).unwrap();
        Ok(())
    }

    /// Reads up to the end, and forgets what comes before it.
    pub fn end(&mut self) -> End {
        loop {
            if let Err(end) = self.skip() {
                return end;
            }
        }
    }
}

/// Everything that comes up to the end of file, or to a reset.
pub fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error} after {} bytes", all.len()),
    }
    all
}
