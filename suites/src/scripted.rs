//! Servers of line protocols that do as a test says.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use crate::program::DEADLINE;

/// Clients of a server: more than a test has.
const CLIENTS: usize = 50;

/// A server for one client after another, on the port that this gives. `answer` has a line of the client, and gives what is
/// sent to it; `None` ends the connection.
pub fn serve(
    greeting: &'static str,
    answer: impl Fn(&str) -> Option<String> + Send + 'static,
) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // It ends with the process of the test.
    thread::spawn(move || {
        for stream in listener.incoming().take(CLIENTS) {
            talk(stream.unwrap(), greeting, &answer);
        }
    });
    port
}

fn talk(mut stream: TcpStream, greeting: &str, answer: impl Fn(&str) -> Option<String>) {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    // The client may be gone, here and below.
    let _ = stream.write_all(greeting.as_bytes());
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    let mut line = Vec::new();
    while matches!(lines.read_until(b'\n', &mut line), Ok(1..)) {
        let Some(answer) = answer(String::from_utf8_lossy(&line).trim_end()) else {
            return;
        };
        let _ = stream.write_all(answer.as_bytes());
        line.clear();
    }
}
