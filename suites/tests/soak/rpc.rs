//! Traffic of `unix_rpc`: requests over a Unix socket.

use std::{net::Shutdown, thread, time::Duration};

use socket2::{SockAddr, Socket};

use crate::wire::{
    Step, at, connect, expect, expect_any_end, expect_end, expect_slowly, half_close, reset, send,
};

const END: &str = "\0\0<F2B_END_COMMAND>\0\0";
const CLOSE: &str = "<F2B_CLOSE_COMMAND>";
/// The longest request.
const LONGEST: usize = 64 * 1024;

pub const PING: &[u8] = b"ping\0\0<F2B_END_COMMAND>\0\0";
pub const PONG: &[u8] = b"ok pong\0\0<F2B_END_COMMAND>\0\0";

fn ask(socket: &Socket, request: &str, answer: &str) -> Step {
    send(socket, format!("{request}{END}").as_bytes())?;
    expect(socket, format!("{answer}{END}").as_bytes()).map_err(at(request))
}

fn close(socket: &Socket) -> Step {
    send(socket, format!("{CLOSE}{END}").as_bytes())?;
    expect_end(socket)
}

/// Sets values, gets them, looks at the list and takes them away again, on one connection. Nobody else leaves names.
pub fn kept(to: &SockAddr, round: u64) -> Step {
    let socket = connect(to)?;
    let mut names = Vec::new();
    for number in 0..10 {
        let (name, value) = (
            format!("kept-{number}"),
            format!("{round}%20{number}%C3%BC"),
        );
        ask(&socket, &format!("set {name} {value}"), "ok")?;
        ask(&socket, &format!("get {name}"), &format!("ok {value}"))?;
        names.push(name);
    }
    ask(&socket, "list", &format!("ok {}", names.join(" ")))?;
    for name in names {
        ask(&socket, &format!("unset {name}"), "ok")?;
        let gone = format!("error there%20is%20no%20{name}");
        ask(&socket, &format!("get {name}"), &gone)?;
    }
    ask(&socket, "list", "ok")?;
    close(&socket)
}

/// One request and the end, as the client of the example does it.
pub fn short(to: &SockAddr, round: u64) -> Step {
    let socket = connect(to)?;
    ask(
        &socket,
        &format!("echo {round} %20"),
        &format!("ok {round} %20"),
    )?;
    close(&socket)
}

/// Many requests in one piece, the last one to close; what is no list among them is answered too.
pub fn pipelined(to: &SockAddr) -> Step {
    let socket = connect(to)?;
    let requests = format!("echo a{END}a+b{END}").repeat(100);
    send(&socket, format!("{requests}{CLOSE}{END}").as_bytes())?;
    let answers = format!("ok a{END}error not%20a%20list%20of%20strings{END}").repeat(100);
    expect(&socket, answers.as_bytes())?;
    expect_end(&socket)
}

/// Goes in the middle of a request: at once, or with a half-close.
pub fn cut(to: &SockAddr, at_once: bool) -> Step {
    let socket = connect(to)?;
    send(&socket, b"set half-a-request 1\0\0<F2B_END")?;
    if at_once {
        return Ok(());
    }
    half_close(&socket)?;
    expect_any_end(&socket)
}

/// Leaves with its answers unread, which is the reset of a Unix socket: more than the kernel holds.
pub fn unread(to: &SockAddr) -> Step {
    let socket = connect(to)?;
    let request = format!("echo {}{END}", "x".repeat(20_000));
    for _ in 0..20 {
        send(&socket, request.as_bytes())?;
    }
    reset(socket)
}

/// Too long a request is skipped and answered, and the next one is as good as any.
pub fn too_long(to: &SockAddr) -> Step {
    let socket = connect(to)?;
    let request = "x".repeat(2 * LONGEST);
    ask(
        &socket,
        &request,
        &format!("error a%20request%20has%20at%20most%20{LONGEST}%20bytes"),
    )
    .map_err(|_| "wrong answer to a request that is too long".to_owned())?;
    ask(&socket, "ping", "ok pong")?;
    close(&socket)
}

/// Asks for more than the server may hold back, and reads slowly at first.
pub fn stalled(to: &SockAddr) -> Step {
    const REQUESTS: usize = 100;
    let socket = connect(to)?;
    let text = "x".repeat(LONGEST - 100);
    let request = format!("echo {text}{END}").into_bytes();
    let answer = format!("ok {text}{END}").into_bytes();
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            for _ in 0..REQUESTS {
                send(&socket, &request)?;
            }
            send(&socket, format!("{CLOSE}{END}").as_bytes())
        });
        let read = (0..REQUESTS).try_for_each(|number| {
            if number < 5 {
                expect_slowly(&socket, &answer, 16 * 1024, Duration::from_millis(40))
            } else {
                expect(&socket, &answer)
            }
        });
        let read = read.and_then(|()| expect_end(&socket));
        if read.is_err() {
            // Nobody reads any more, so the sender would wait to the end of its patience.
            let _ = socket.shutdown(Shutdown::Both);
        }
        read.and(
            sending
                .join()
                .unwrap_or_else(|_| Err("the sender panicked".into())),
        )
    })
}
