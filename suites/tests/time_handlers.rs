//! The program `time_handlers`: one handler over four kinds of sockets, on threads and on the loop.
// Half of the sockets are Unix ones.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "the helpers of a test are part of it")]

use std::{
    fs,
    io::Read,
    net::{SocketAddr, TcpStream, UdpSocket},
    os::unix::net::{UnixDatagram, UnixListener, UnixStream},
    path::PathBuf,
    time::SystemTime,
};

use shared::rfc868;
use suites::{
    others::{run, tool},
    program::{self, DEADLINE, Program, ends_well_when_terminated, example},
};
use tempfile::TempDir;

struct Server {
    program: Program,
    tcp: SocketAddr,
    udp: SocketAddr,
    folder: TempDir,
}

const WAYS: [&[&str]; 2] = [&[], &["--on-loop"]];

impl Server {
    fn start(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = example("time_handlers");
        command.args(["--port", "0"]).args(options);
        for (option, name) in [("--unix", "stream"), ("--unix-datagram", "datagram")] {
            command.arg(option).arg(folder.path().join(name));
        }
        let program = Program::start(&mut command);
        let line = program.line();
        let addresses = line.trim_start_matches("listening on ").split(", ");
        let addresses: Vec<_> = addresses.filter_map(|word| word.parse().ok()).collect();
        Self {
            program,
            tcp: addresses[0],
            udp: addresses[1],
            folder,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// The time in an answer is that of this machine.
#[track_caller]
fn check(answer: &[u8]) {
    let answer: [u8; 4] = answer.try_into().unwrap();
    let now = SystemTime::now();
    let off = rfc868::seconds_off(now, rfc868::decode(answer, now));
    assert!(off.abs() <= 2, "{off}");
}

fn to_end(mut stream: impl Read) -> Vec<u8> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

#[test]
fn each_kind_of_socket_gives_the_time() {
    for way in WAYS {
        let server = Server::start(way);
        for _ in 0..20 {
            let tcp = TcpStream::connect(server.tcp).unwrap();
            tcp.set_read_timeout(Some(DEADLINE)).unwrap();
            check(&to_end(tcp));
            let unix = UnixStream::connect(server.path("stream")).unwrap();
            unix.set_read_timeout(Some(DEADLINE)).unwrap();
            check(&to_end(unix));
        }
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.set_read_timeout(Some(DEADLINE)).unwrap();
        let unix = UnixDatagram::bind(server.path("client")).unwrap();
        unix.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut answer = [0; 100];
        for question in [&b""[..], b"?", &[0; 1000]] {
            udp.send_to(question, server.udp).unwrap();
            let length = udp.recv(&mut answer).unwrap();
            check(&answer[..length]);
            unix.send_to(question, server.path("datagram")).unwrap();
            let length = unix.recv(&mut answer).unwrap();
            check(&answer[..length]);
        }
        // A client without a name of its own cannot be answered, and does no harm.
        let nameless = UnixDatagram::unbound().unwrap();
        nameless.send_to(b"?", server.path("datagram")).unwrap();
        unix.send_to(b"?", server.path("datagram")).unwrap();
        assert_eq!(unix.recv(&mut answer).unwrap(), 4);
        drop(unix);
        let stream = server.path("stream");
        program_ends_without_its_files(
            server.program,
            &[stream, server.folder.path().join("datagram")],
        );
    }
}

#[track_caller]
fn program_ends_without_its_files(program: Program, files: &[PathBuf]) {
    assert!(files.iter().all(|file| file.exists()));
    ends_well_when_terminated(program);
    assert!(!files.iter().any(|file| file.exists()));
}

#[test]
fn a_file_that_another_server_has_put_there_stays() {
    let server = Server::start(&[]);
    let files = ["stream", "datagram"].map(|name| server.path(name));
    files.iter().for_each(|file| fs::remove_file(file).unwrap());
    let _other = UnixListener::bind(&files[0]).unwrap();
    let _other = UnixDatagram::bind(&files[1]).unwrap();
    ends_well_when_terminated(server.program);
    assert!(files.iter().all(|file| file.exists()));
}

#[test]
fn time_client_and_python_read_it() {
    for way in WAYS {
        let server = Server::start(way);
        for (address, transport) in [(server.tcp, None), (server.udp, Some("--udp"))] {
            let port = address.port().to_string();
            let args = ["127.0.0.1", &port].into_iter().chain(transport);
            let ended = program::run("time_client", &args.collect::<Vec<_>>());
            assert_eq!(ended.code, Some(0), "{}", ended.err);
        }
        let Some(mut python) = tool("python3") else {
            return;
        };
        let script = "import socket, struct, sys, time\n\
            s = socket.create_connection(('127.0.0.1', int(sys.argv[1])), timeout=20)\n\
            t, = struct.unpack('!I', s.recv(4, socket.MSG_WAITALL))\n\
            assert abs(t - 2208988800 - time.time()) < 3\n\
            assert s.recv(1) == b''\n\
            print('done')\n";
        let said = run(
            python.args(["-c", script, &server.tcp.port().to_string()]),
            b"",
        );
        assert_eq!((said.code, said.all.as_str()), (Some(0), "done\n"));
    }
}

#[test]
fn a_crowd_is_served_by_few_threads() {
    for way in [&["--threads", "1"][..], &["--on-loop"]] {
        let server = Server::start(way);
        let clients: Vec<_> = (0..300)
            .map(|_| TcpStream::connect(server.tcp).unwrap())
            .collect();
        for client in clients {
            client.set_read_timeout(Some(DEADLINE)).unwrap();
            check(&to_end(client));
        }
        // More datagrams than find room; those that do are answered, and the next one too.
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..2000 {
            udp.send_to(b"?", server.udp).unwrap();
        }
        program::eventually(|| {
            let other = UdpSocket::bind("127.0.0.1:0").unwrap();
            other.send_to(b"?", server.udp).unwrap();
            let limit = std::time::Duration::from_millis(200);
            other.set_read_timeout(Some(limit)).unwrap();
            let mut answer = [0; 4];
            other.recv(&mut answer).ok().map(|_| check(&answer))
        });
        ends_well_when_terminated(server.program);
    }
}

#[test]
fn a_file_that_is_there_already_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "kept").unwrap();
    for option in ["--unix", "--unix-datagram"] {
        let args = ["--port", "0", option, file.to_str().unwrap()];
        let ended = program::run("time_handlers", &args);
        assert_eq!(ended.code, Some(1), "{option}");
        let way_out = "; remove the file if no server runs there\n";
        assert!(ended.err.ends_with(way_out), "{option}: {}", ended.err);
        assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    }
}
