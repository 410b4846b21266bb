//! The servers of a run, and what they serve.

use std::{fs, net::SocketAddr, sync::Arc};

use rustls::ClientConfig;
use socket2::SockAddr;
use suites::{
    certificates::{Authority, text},
    tls,
};
use tempfile::TempDir;

use crate::{programs::Server, talk, wire::pattern};

/// Seconds after which `http_server` closes a connection that says nothing, and one whose request does not end.
pub const IDLE: &str = "3";
pub const REQUEST: &str = "2";
/// The proxy's own is longer than either, so that what ends a connection is what stands behind it.
const PROXY_IDLE: &str = "6";

pub const HTTP: &str = "http_server";
pub const HTTP_2: &str = "http_server --threads 2";
pub const RESPONDER: &str = "http_responder";
pub const CHAT: &str = "chat_room";
pub const CHAT_SLOW: &str = "chat_room --max-outgoing";
pub const TALK: &str = "chat_server";
pub const TALK_SLOW: &str = "chat_server --max-outgoing";
pub const BOARD: &str = "sharing shared";
pub const RPC: &str = "unix_rpc";
pub const PROXY: &str = "tcp_proxy to http_server";
pub const PROXY_SINK: &str = "tcp_proxy to bench sink";
pub const TLS: &str = "http_server, TLS";
pub const PROXY_TLS: &str = "tcp_proxy to http_server, TLS";
pub const ECHO: &str = "echo";
pub const TIME: &str = "time_server";
pub const SELECT: &str = "select_loop";
pub const NOTES: &str = "porting";
pub const BENCH_ECHO: &str = "bench echo";
pub const BENCH_LINES: &str = "bench lines";
pub const BENCH_SINK: &str = "bench sink";
pub const BENCH_SOURCE: &str = "bench source";
pub const BENCH_TIME: &str = "bench time";
pub const BENCH_HTTP: &str = "bench http";
pub const BENCH_FILES: &str = "bench files";

/// What lies in the folder that is served.
pub struct Files {
    pub folder: TempDir,
    pub small: Vec<u8>,
    pub large: Vec<u8>,
}

/// Files of the folder `list`.
pub const LISTED: usize = 40;

impl Files {
    fn make() -> Self {
        let folder = TempDir::new().unwrap();
        let files = Self {
            small: pattern(1, 900),
            large: pattern(2, 2 * 1024 * 1024),
            folder,
        };
        let root = files.root();
        fs::create_dir_all(root.join("list")).unwrap();
        fs::write(files.password(), talk::PASSWORD).unwrap();
        fs::write(root.join("small"), &files.small).unwrap();
        fs::write(root.join("large"), &files.large).unwrap();
        for number in 0..LISTED {
            fs::write(root.join(format!("list/entry-{number:02}")), "").unwrap();
        }
        files
    }

    fn password(&self) -> std::path::PathBuf {
        self.folder.path().join("password")
    }

    pub fn root(&self) -> std::path::PathBuf {
        self.folder.path().join("root")
    }
}

pub struct Fleet {
    pub servers: Vec<Server>,
    pub files: Files,
    /// Trusts the server of TLS.
    pub trusting: Arc<ClientConfig>,
    _authority: Authority,
}

impl Fleet {
    pub fn start() -> Self {
        let files = Files::make();
        let root = files.root();
        let root = root.to_str().unwrap();
        let mut servers = Vec::new();
        for (name, threads) in [(HTTP, "1"), (HTTP_2, "2")] {
            let args = [
                "--port",
                "0",
                "--status",
                "--root",
                root,
                "--threads",
                threads,
                "--idle-timeout",
                IDLE,
                "--request-timeout",
                REQUEST,
            ];
            servers.push(Server::start(name, "http_server", &args, inet));
        }
        let mut authority = Authority::new();
        let certificate = authority.issue(&["localhost", "127.0.0.1"]);
        let limits = ["--idle-timeout", IDLE, "--request-timeout", REQUEST];
        let (cert, key) = (text(&certificate.cert), text(&certificate.key));
        let pair = ["--tls-cert", cert, "--tls-key", key];
        let args = [&["--port", "0", "--root", root][..], &limits, &pair].concat();
        servers.push(Server::start(TLS, "http_server", &args, inet));
        let modes = [
            (BENCH_ECHO, "echo"),
            (BENCH_LINES, "lines"),
            (BENCH_SINK, "sink"),
            (BENCH_SOURCE, "source"),
            (BENCH_TIME, "time"),
            (BENCH_HTTP, "http"),
            (BENCH_FILES, "files"),
        ];
        for (name, mode) in modes {
            let args = [mode, "0", root, "--count-allocations"];
            servers.push(Server::start(name, "bench_server", &args, inet));
        }
        let issuers = authority.file();
        // Clients of its in plain are clients of TLS to the server.
        let to_tls = ["--to-tls", "--cacert", text(&issuers)];
        for (name, behind, tls) in [
            (PROXY, HTTP, &[][..]),
            (PROXY_SINK, BENCH_SINK, &[]),
            (PROXY_TLS, TLS, &to_tls),
        ] {
            let behind = servers.iter().find(|server| server.name == behind).unwrap();
            let to = behind.address.as_socket().unwrap().to_string();
            let addresses = ["--listen", "127.0.0.1:0", "--to", &to];
            let args = [&addresses[..], &["--idle-timeout", PROXY_IDLE], tls].concat();
            servers.push(Server::start(name, "tcp_proxy", &args, inet));
        }
        for (name, program, args) in [
            (
                RESPONDER,
                "http_responder",
                &["--port", "0", "--timeout", IDLE][..],
            ),
            (CHAT, "chat_room", &["--port", "0"]),
            (
                CHAT_SLOW,
                "chat_room",
                &["--port", "0", "--max-outgoing", "65536", "--rate", "100000"],
            ),
            (BOARD, "sharing", &["shared", "127.0.0.1:0"]),
            (TIME, "time_server", &["--port", "0"]),
            (SELECT, "select_loop", &["--port", "0"]),
            (NOTES, "porting", &["0"]),
        ] {
            servers.push(Server::start(name, program, args, inet));
        }
        let password = files.password();
        let password = password.to_str().unwrap();
        for (name, outgoing) in [(TALK, "262144"), (TALK_SLOW, "131072")] {
            let args = [
                "--port",
                "0",
                "--monitor-port",
                "0",
                "--password-file",
                password,
                "--max-outgoing",
                outgoing,
            ];
            servers.push(Server::start(name, "chat_server", &args, inet));
        }
        let path = files.folder.path().join("rpc.sock");
        let unix = |_: &str| SockAddr::unix(&path).ok();
        let args = ["serve", "--socket", path.to_str().unwrap()];
        servers.push(Server::start(RPC, "unix_rpc", &args, unix));
        // Port 0 would be of no use: it says the address it was given. So it has the traffic over Unix sockets.
        let path = files.folder.path().join("echo.sock");
        let address = format!("unix:{}", path.display());
        let unix = |_: &str| SockAddr::unix(&path).ok();
        servers.push(Server::start(ECHO, "echo", &[&address], unix));
        let trusting = tls::trusting(&issuers, &tls::VERSIONS);
        Self {
            servers,
            files,
            trusting,
            _authority: authority,
        }
    }

    pub fn server(&self, name: &str) -> &Server {
        let found = self.servers.iter().find(|server| server.name == name);
        found.unwrap_or_else(|| panic!("there is no {name}"))
    }

    pub fn address(&self, name: &str) -> SockAddr {
        self.server(name).address.clone()
    }

    /// Where the operator of a `chat_server` connects: its second line.
    pub fn monitor(&self, name: &str) -> SockAddr {
        let line = self.server(name).second_line();
        inet(&line).unwrap_or_else(|| panic!("{name}: no address in {line:?}"))
    }
}

/// Whether the program counts the bytes of its heap.
pub fn counts_heap(name: &str) -> bool {
    name.starts_with("bench ")
}

/// Whether it tells channels and timers.
pub fn has_status(name: &str) -> bool {
    name == HTTP || name == HTTP_2
}

/// Whether a timer is always armed: the second of the status page, or of the loop written by hand, or the look for
/// users without a nick.
pub fn ticks(name: &str) -> bool {
    has_status(name) || [SELECT, TALK, TALK_SLOW].contains(&name)
}

/// Whether the traffic gives it reason for this line on standard error.
pub fn may_say(name: &str, line: &str) -> bool {
    let reason = match name {
        BOARD | RPC => "no terminator within max_frame",
        TALK => "wrong answer to the challenge",
        _ => return false,
    };
    line.contains(reason)
}

/// Whether it has no handler for SIGTERM, so that the signal is its end.
pub fn dies(name: &str) -> bool {
    name == ECHO || name == NOTES
}

fn inet(line: &str) -> Option<SockAddr> {
    let mut words = line.split([' ', ',', '/']);
    let address: SocketAddr = words.find_map(|word| word.parse().ok())?;
    Some(address.into())
}

/// The URL of a server's path.
pub fn url(address: &SockAddr, path: &str) -> String {
    let address = address.as_socket().unwrap();
    format!("http://{address}/{path}")
}
