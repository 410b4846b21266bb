//! An honest client of every server, which measures how long it waits; and in turns with it a peer that cannot degrade,
//! which measures the machine.

use std::{
    collections::HashMap,
    io::{BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use socket2::{SockAddr, Socket};
use suites::tls;

use crate::{
    board, chat, fleet,
    fleet::Fleet,
    gate::Gate,
    rpc,
    samples::quantile,
    times,
    traffic::Book,
    web,
    wire::{Step, at, connect, expect, expect_end, half_close, line, reader, send},
};

const EVERY: Duration = Duration::from_millis(50);

/// Microseconds that were waited since they were last asked for.
#[derive(Default)]
pub struct Waits {
    pub server: Mutex<Vec<u32>>,
    pub reference: Mutex<Vec<u32>>,
}

pub struct Honest<'a> {
    pub server: &'static str,
    address: SockAddr,
    kind: Kind<'a>,
    pub waits: Waits,
}

enum Kind<'a> {
    /// A round trip on one connection, which begins with something said by the server or does not.
    Stays(bool, Box<dyn Fn(&Socket) -> Step + Send + Sync + 'a>),
    /// A connection from its beginning to its end.
    Goes(Box<dyn Fn(&SockAddr) -> Step + Send + Sync + 'a>),
}

/// A round trip of a fixed question and answer.
fn says(question: &'static [u8], answer: &'static [u8]) -> impl Fn(&Socket) -> Step {
    move |socket| {
        send(socket, question)?;
        expect(socket, answer)
    }
}

/// Four bytes to somebody who ends where its client ends.
fn short_echo(to: &SockAddr, answer: &[u8]) -> Step {
    let socket = connect(to)?;
    send(&socket, b"ping")?;
    half_close(&socket)?;
    expect(&socket, answer)?;
    expect_end(&socket)
}

/// One for every server.
pub fn clients(fleet: &Fleet) -> Vec<Honest<'_>> {
    let small = &fleet.files.small[..];
    let get = move |socket: &Socket| {
        send(socket, &web::request("small"))?;
        web::expect_file(&mut reader(socket), small)
    };
    let hello = |socket: &Socket| {
        send(socket, &web::request(""))?;
        web::expect_file(&mut reader(socket), b"Hello, world!")
    };
    let kind = |name: &str| match name {
        fleet::HTTP | fleet::HTTP_2 | fleet::PROXY | fleet::PROXY_TLS | fleet::BENCH_FILES => {
            Kind::Stays(false, Box::new(get))
        }
        fleet::BENCH_HTTP => Kind::Stays(false, Box::new(hello)),
        fleet::ECHO | fleet::BENCH_ECHO => Kind::Stays(false, Box::new(says(b"ping", b"ping"))),
        fleet::BENCH_LINES => Kind::Stays(false, Box::new(says(b"ping\r\n", b"ping\r\n"))),
        fleet::BENCH_SOURCE => Kind::Stays(false, Box::new(says(b"GIVE 4\r\n", &[0, 1, 2, 3]))),
        fleet::CHAT | fleet::CHAT_SLOW | fleet::TALK | fleet::TALK_SLOW => {
            Kind::Goes(Box::new(chat::look_in))
        }
        fleet::BOARD => Kind::Goes(Box::new(board::look_in)),
        fleet::RPC => Kind::Stays(false, Box::new(says(rpc::PING, rpc::PONG))),
        fleet::NOTES => Kind::Stays(true, Box::new(says(b"?\r\n", b"500 what?\r\n"))),
        fleet::BENCH_SINK | fleet::PROXY_SINK => Kind::Goes(Box::new(|to| short_echo(to, b""))),
        fleet::TIME | fleet::SELECT | fleet::BENCH_TIME => Kind::Goes(Box::new(times::tcp)),
        fleet::RESPONDER => Kind::Goes(Box::new(|to| {
            let socket = connect(to)?;
            send(&socket, b"HEAD / HTTP/1.0\r\n\r\n")?;
            let mut answer = reader(&socket);
            web::head(&mut answer)?;
            expect_end(answer)
        })),
        // A handshake each time.
        fleet::TLS => Kind::Goes(Box::new(|to| {
            let mut stream = tls::client(connect(to)?.into(), &fleet.trusting);
            stream
                .write_all(&web::request("small"))
                .map_err(at("sending"))?;
            web::expect_file(&mut BufReader::new(&mut stream), small)?;
            tls::end(&mut stream);
            expect_end(stream)
        })),
        _ => panic!("nobody measures {name}"),
    };
    let client = |server: &crate::programs::Server| Honest {
        server: server.name,
        address: server.address.clone(),
        kind: kind(server.name),
        waits: Waits::default(),
    };
    fleet.servers.iter().map(client).collect()
}

impl Honest<'_> {
    /// In turns with the reference until it is over.
    pub fn run(&self, reference: &SockAddr, gate: &Gate, book: &Book) {
        let mut open = None;
        while gate.pass_without(|| open = None) {
            let due = Instant::now() + EVERY;
            match self.round(&mut open, reference) {
                Ok((server, machine)) => {
                    self.waits.server.lock().unwrap().push(server);
                    self.waits.reference.lock().unwrap().push(machine);
                }
                Err(error) => {
                    open = None;
                    book.wrong(&format!("{}, honest client", self.server), error);
                }
            }
            gate.wait_until(due);
        }
    }

    /// The medians of some rounds one after the other.
    fn pass(&self, reference: &SockAddr) -> Step<[u32; 2]> {
        const ROUNDS: usize = 60;
        let mut open = None;
        let (mut server, mut machine) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let waited = self.round(&mut open, reference)?;
            server.push(waited.0);
            machine.push(waited.1);
        }
        Ok([&mut server, &mut machine].map(|of| quantile(of, 0.5).unwrap_or(u32::MAX)))
    }

    fn round(&self, open: &mut Option<(Socket, Socket)>, reference: &SockAddr) -> Step<(u32, u32)> {
        match &self.kind {
            Kind::Goes(f) => Ok((
                timed(|| f(&self.address))?,
                timed(|| short_echo(reference, b"ping"))?,
            )),
            Kind::Stays(greets, f) => {
                if open.is_none() {
                    let server = connect(&self.address)?;
                    if *greets {
                        line(&mut reader(&server))?;
                    }
                    *open = Some((server, connect(reference)?));
                }
                let Some((server, reference)) = open else {
                    return Err("not open".into());
                };
                Ok((
                    timed(|| f(server))?,
                    timed(|| says(b"ping", b"ping")(reference))?,
                ))
            }
        }
    }
}

/// The least of the medians of some passes over all clients, server and reference in turns, while nothing else is asked
/// of anybody: what the scheduler does to one pass it does not do to all of them.
pub fn quiet(
    clients: &[Honest<'_>],
    passes: usize,
    reference: &SockAddr,
    book: &Book,
) -> HashMap<&'static str, [u32; 2]> {
    let mut least = HashMap::new();
    for _ in 0..passes {
        for client in clients {
            let medians = match client.pass(reference) {
                Ok(medians) => medians,
                Err(error) => {
                    book.wrong(&format!("{}, at rest", client.server), error);
                    continue;
                }
            };
            let so_far = least.entry(client.server).or_insert(medians);
            for (so_far, median) in so_far.iter_mut().zip(medians) {
                *so_far = median.min(*so_far);
            }
        }
    }
    least
}

fn timed(f: impl FnOnce() -> Step) -> Step<u32> {
    let start = Instant::now();
    f()?;
    Ok(u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX))
}

/// An echo server of blocking sockets, a thread for each connection. It goes with the process.
pub fn reference() -> SockAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let echo = |mut stream: TcpStream| -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut bytes = [0; 64];
        loop {
            let n = stream.read(&mut bytes)?;
            if n == 0 {
                return Ok(());
            }
            stream.write_all(&bytes[..n])?;
        }
    };
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // What fails shows at its client.
            thread::spawn(move || echo(stream).ok());
        }
    });
    address.into()
}
