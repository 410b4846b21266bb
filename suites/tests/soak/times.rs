//! Traffic of time servers, and the two client programs of the examples.

use std::{
    fs,
    net::UdpSocket,
    path::Path,
    process::Output,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use socket2::SockAddr;

use crate::wire::{Step, at, connect, ensure, expect_end, reset};
use suites::program::example;

/// From 1900 to 1970, in seconds.
const BEFORE_UNIX: u64 = 2_208_988_800;

fn expect_now(time: [u8; 4]) -> Step {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_err(at("the clock"))?.as_secs() + BEFORE_UNIX;
    // It wraps in 2036.
    let off = (now as u32)
        .wrapping_sub(u32::from_be_bytes(time))
        .cast_signed();
    ensure(off.abs() <= 60, || format!("{off} seconds off"))
}

pub fn tcp(to: &SockAddr) -> Step {
    let socket = connect(to)?;
    let mut time = [0; 4];
    std::io::Read::read_exact(&mut &socket, &mut time).map_err(at("the time"))?;
    expect_now(time)?;
    expect_end(&socket)
}

/// Does not wait for its answer.
pub fn impatient(to: &SockAddr) -> Step {
    reset(connect(to)?)
}

/// Ten datagrams, each asked again where its answer is lost.
pub fn udp(to: &SockAddr) -> Step {
    let socket = UdpSocket::bind("127.0.0.1:0").map_err(at("a UDP socket"))?;
    let to = to.as_socket().ok_or("no address")?;
    socket.connect(to).map_err(at("a UDP socket"))?;
    let timeout = Some(Duration::from_secs(2));
    socket
        .set_read_timeout(timeout)
        .map_err(at("a UDP socket"))?;
    for _ in 0..10 {
        let mut time = [0; 8];
        let ask = || {
            socket.send(b"?").map_err(at("asking"))?;
            socket.recv(&mut time).map_err(at("a datagram"))
        };
        let received = std::iter::repeat_with(ask).take(5).find(Result::is_ok);
        let length = received.ok_or("no answer to five datagrams")??;
        ensure(length == 4, || format!("a datagram of {length} bytes"))?;
        expect_now([time[0], time[1], time[2], time[3]])?;
    }
    Ok(())
}

fn run(name: &str, args: &[&str]) -> Step<Output> {
    let output = example(name).args(args).output().map_err(at(name))?;
    ensure(output.status.success() && output.stderr.is_empty(), || {
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        format!("{name} {args:?}: {}: {error}", output.status)
    })?;
    Ok(output)
}

pub fn time_client(to: &SockAddr, transport: Option<&str>) -> Step {
    let to = to.as_socket().ok_or("no address")?;
    let (host, port) = (to.ip().to_string(), to.port().to_string());
    let mut args = vec![host.as_str(), port.as_str()];
    args.extend(transport);
    let output = run("time_client", &args)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure(text.contains("seconds off"), || text.clone())
}

/// Saves a file, and asks for several URLs at once.
pub fn http_client(urls: &[String], content: &[u8], folder: &Path) -> Step {
    let file = folder.join("saved");
    let name = file.to_string_lossy();
    run("http_client", &["-o", &name, &urls[0]])?;
    let saved = fs::read(&file).map_err(at("what was saved"))?;
    ensure(saved == content, || {
        format!("{} bytes were saved", saved.len())
    })?;
    let all: Vec<_> = urls.iter().map(String::as_str).collect();
    let output = run("http_client", &all)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let answered = text.matches("HTTP/1.").count();
    ensure(answered == urls.len(), || {
        format!("{answered} of {} in {text}", urls.len())
    })
}
