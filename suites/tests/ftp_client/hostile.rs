//! Servers that no other program would be.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    thread,
    time::Duration,
};

use suites::program::{Ended, Program, example};
use tempfile::TempDir;
use util::peer::tells_resets;

/// Answers commands by the first of these words that fits. `DATA` in an answer is the port of a data connection, for which
/// `data` is called once a command that moves data came.
fn serve(
    answers: &'static [(&'static str, &'static str)],
    data: impl Fn(TcpStream) + Send + 'static,
) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (control, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(control.try_clone().unwrap()).lines();
        let mut control = control;
        let arrivals = TcpListener::bind("127.0.0.1:0").unwrap();
        let arrival = arrivals.local_addr().unwrap().port();
        let _ = control.write_all(b"220 ready\r\n");
        while let Some(Ok(line)) = lines.next() {
            let answer = answers.iter().find(|(word, _)| line.starts_with(word));
            let answer = answer.map_or("200 fine", |(_, answer)| answer);
            let answer = answer.replace("DATA", &arrival.to_string());
            if control
                .write_all(format!("{answer}\r\n").as_bytes())
                .is_err()
            {
                break;
            }
            if ["RETR", "STOR", "LIST", "NLST"]
                .iter()
                .any(|verb| line.starts_with(verb))
            {
                data(arrivals.accept().unwrap().0);
                let _ = control.write_all(b"226 done\r\n");
            }
        }
    });
    port
}

const PLAIN: &[(&str, &str)] = &[
    ("USER", "230 in"),
    ("EPSV", "229 here (|||DATA|)"),
    ("SIZE", "550 no"),
    ("RETR", "150 now"),
    ("LIST", "150 now"),
];

#[track_caller]
fn client(port: u16, args: &[&str]) -> (Ended, TempDir) {
    let here = tempfile::tempdir().unwrap();
    (client_in(here.path(), port, args), here)
}

fn client_in(here: &Path, port: u16, args: &[&str]) -> Ended {
    let mut client = example("ftp_client");
    client
        .current_dir(here)
        .args(["--timeout", "5", "--port", &port.to_string(), "127.0.0.1"])
        .args(args);
    Program::start(&mut client).ended()
}

#[test]
fn a_file_that_is_too_large_is_given_up() {
    let port = serve(
        PLAIN,
        |mut data| while data.write_all(&[b'x'; 65536]).is_ok() {},
    );
    let (ended, here) = client(port, &["get", "--max-size", "1000000", "f"]);
    let why = "ftp_client: f: larger than --max-size 1000000\n";
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), why));
    assert_eq!(fs::read_dir(here).unwrap().count(), 0);
}

#[test]
fn an_endless_reply_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut control = listener.accept().unwrap().0;
        while control.write_all(b"220-and more\r\n").is_ok() {}
    });
    let (ended, _) = client(port, &["list"]);
    let why = "ftp_client: the server sent a reply of more than 1000 lines or 262144 bytes\n";
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), why));
}

#[test]
fn a_file_that_is_cut_is_not_saved() {
    if !tells_resets() {
        return;
    }
    let port = serve(PLAIN, |mut data| {
        data.write_all(b"half").unwrap();
        // Closing with unread input, or with this option, is a reset.
        let socket = socket2::Socket::from(data);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    });
    let (ended, here) = client(port, &["get", "f"]);
    let why = "ftp_client: f: the server broke the data connection\n";
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), why));
    assert_eq!(fs::read_dir(here).unwrap().count(), 0);
}

#[test]
fn a_file_that_is_cut_can_be_gone_on_with() {
    const SIX: &[(&str, &str)] = &[
        ("USER", "230 in"),
        ("EPSV", "229 here (|||DATA|)"),
        ("SIZE", "213 6"),
        ("REST 3", "350 behind that"),
        ("RETR", "150 now"),
    ];
    let (ended, here) = client(
        serve(SIX, |mut data| data.write_all(b"abc").unwrap()),
        &["get", "-c", "f"],
    );
    let why = "ftp_client: f: 3 bytes came, and the server told of 6\n";
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), why));
    let port = serve(SIX, |mut data| data.write_all(b"def").unwrap());
    let ended = client_in(here.path(), port, &["get", "-c", "f"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    assert_eq!(fs::read(here.path().join("f")).unwrap(), b"abcdef");
}

#[test]
fn an_empty_file_is_made_and_one_that_is_refused_is_not() {
    const EMPTY: &[(&str, &str)] = &[
        ("USER", "230 in"),
        ("EPSV", "229 here (|||DATA|)"),
        ("SIZE", "213 0"),
        ("RETR", "150 now"),
    ];
    let (ended, here) = client(serve(EMPTY, |_| ()), &["get", "-c", "f"]);
    assert_eq!(
        (ended.code, ended.out().as_str()),
        (Some(0), "f: 0 bytes\n")
    );
    assert_eq!(fs::read(here.path().join("f")).unwrap(), b"");
    const NONE: &[(&str, &str)] = &[("USER", "230 in"), ("EPSV", "550 no"), ("SIZE", "550 no")];
    let (ended, here) = client(serve(NONE, |_| ()), &["get", "-c", "f"]);
    assert_eq!(ended.code, Some(1));
    assert_eq!(fs::read_dir(here.path()).unwrap().count(), 0);
}

#[test]
fn a_listing_that_is_no_text_is_passed_on_as_it_is_to_a_pipe() {
    let port = serve(PLAIN, |mut data| {
        data.write_all(b"\x1b[2J../../etc/passwd\r\n\xff\r\n")
            .unwrap();
    });
    let (ended, here) = client(port, &["list"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(ended.out, b"\x1b[2J../../etc/passwd\n\xff\n");
    assert_eq!(fs::read_dir(here).unwrap().count(), 0);
}

#[test]
fn what_the_server_says_reaches_no_terminal_raw() {
    let port = serve(&[("USER", "530 \x1b[2J\u{202e}no")], |_| ());
    let (ended, _) = client(port, &["list"]);
    let why = "ftp_client: login: the server says 530 \u{fffd}[2J\u{fffd}no\n";
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), why));
}

#[test]
fn names_are_checked_before_anything_is_sent() {
    let port = serve(PLAIN, |_| ());
    let (ended, here) = client(port, &["get", "a\r\nDELE b", "-o", "c"]);
    let why = "ftp_client: a\u{fffd}\u{fffd}DELE b: RETR: CR cannot be sent in a name\n";
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), why));
    assert_eq!(fs::read_dir(here).unwrap().count(), 0);
}

#[test]
fn a_name_that_cannot_be_sent_keeps_no_other_back() {
    let port = serve(PLAIN, |mut data| data.write_all(b"whole").unwrap());
    let (ended, here) = client(port, &["get", "a\nb", "f"]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert_eq!(fs::read_to_string(here.path().join("f")).unwrap(), "whole");
}

#[test]
fn a_server_that_ends_the_session_is_quoted() {
    const BUSY: &[(&str, &str)] = &[("USER", "230 in"), ("SIZE", "421 closing for today")];
    let (ended, _) = client(serve(BUSY, |_| ()), &["get", "f"]);
    let why = "ftp_client: the session: the server says 421 closing for today\n";
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), why));
}

#[test]
fn a_signal_ends_a_transfer() {
    let port = serve(PLAIN, |mut data| {
        let _ = data.write_all(b"half");
        // Until the client is gone.
        let _ = std::io::Read::read(&mut data, &mut [0]);
    });
    let here = tempfile::tempdir().unwrap();
    let mut client = example("ftp_client");
    client
        .current_dir(&here)
        .args(["--port", &port.to_string(), "127.0.0.1", "get", "f"]);
    let client = Program::start(&mut client);
    // The part is there once the transfer is under way.
    suites::program::eventually(|| fs::read_dir(&here).unwrap().find_map(Result::ok));
    client.signal("INT");
    let ended = client.ended();
    let why = "ftp_client: f: interrupted\n";
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), why));
    assert_eq!(fs::read_dir(&here).unwrap().count(), 0);
}
