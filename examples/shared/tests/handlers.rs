//! `shared::handlers`: straight code behind the reactor, whatever clients and handlers do.

use std::{
    io::{BufRead, Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    sync::{Arc, Mutex, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use asynchat::{Dispatcher, Handle, Reactor, Result};
use shared::handlers::{
    BlockingHandler, BlockingRequest, DatagramServer, LoopDatagramServer, LoopHandler,
    LoopStreamServer, Pool, PoolOptions, Reply, StreamServer, Times, shut_down,
};
use util::{SLOWNESS, peer::tells_resets};

/// More than anything takes here, also on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20 * SLOWNESS);

/// A reactor on a thread of its own.
struct Running {
    address: SocketAddr,
    pool: Pool,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// What `make` makes of the pool serves a TCP port.
    fn start<D: Dispatcher>(
        options: PoolOptions,
        make: impl FnOnce(&Pool) -> D + Send + 'static,
    ) -> Self {
        let pool = Pool::new(options);
        let its_pool = pool.clone();
        let (tell, told) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut reactor = Reactor::new().unwrap();
            let listener = reactor.listen("127.0.0.1:0", make(&its_pool)).unwrap();
            let address = reactor.channel(listener).unwrap().local_addr().unwrap();
            let _ = tell.send((address.inet().unwrap(), reactor.handle()));
            reactor.run().unwrap();
        });
        let (address, handle) = told.recv_timeout(DEADLINE).unwrap();
        Self {
            address,
            pool,
            handle,
            thread: Some(thread),
        }
    }

    fn serve(options: PoolOptions, times: Times, handler: impl BlockingHandler) -> Self {
        Self::start(options, move |pool| {
            StreamServer::new(pool, Arc::new(handler), times)
        })
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    fn shut_down(&mut self, grace: Duration) {
        let posted = self.handle.call_soon(move |registry| {
            shut_down(registry, grace);
            Ok(())
        });
        posted.unwrap();
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.pool.finish(Duration::from_secs(1));
    }
}

fn threads(threads: usize) -> PoolOptions {
    PoolOptions {
        threads,
        waiting: 1,
        overdue: 2,
    }
}

fn times(milliseconds: u64) -> Times {
    let time = Duration::from_millis(milliseconds);
    Times {
        idle: time,
        handler: time,
    }
}

fn rest(mut stream: &TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // A reset ends it too.
    let _ = stream.read_to_end(&mut rest);
    rest
}

fn ask(stream: &TcpStream, text: &str) -> String {
    let mut writer = stream;
    writer.write_all(text.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    String::from_utf8(rest(stream)).unwrap()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < end, "{what}: not in {DEADLINE:?}");
        // Not a wait for anything: only leaves the processor to the other threads.
        thread::yield_now();
    }
}

/// Numbers each line.
fn number(request: &mut BlockingRequest<'_>) -> Result {
    let mut line = String::new();
    let mut number = 0;
    while request.rfile.read_line(&mut line)? > 0 {
        number += 1;
        write!(request.wfile, "{number} {line}")?;
        line.clear();
    }
    Ok(())
}

#[test]
fn straight_code_reads_and_writes() {
    let server = Running::serve(threads(2), Times::default(), number);
    for _ in 0..50 {
        assert_eq!(ask(&server.connect(), "a\nb\nc"), "1 a\n2 b\n3 c");
    }
}

#[test]
fn an_answer_may_come_before_the_end_of_the_request() {
    let server = Running::serve(
        threads(1),
        Times::default(),
        |request: &mut BlockingRequest<'_>| {
            for _ in 0..2 {
                let mut line = String::new();
                request.rfile.read_line(&mut line)?;
                request.wfile.write_all(line.as_bytes())?;
                request.wfile.flush()?;
            }
            Ok(())
        },
    );
    let mut client = server.connect();
    for line in ["a\n", "b\n"] {
        client.write_all(line.as_bytes()).unwrap();
        let mut echo = [0; 2];
        client.read_exact(&mut echo).unwrap();
        assert_eq!(&echo, line.as_bytes());
    }
    assert_eq!(rest(&client), b"");
}

#[test]
fn much_goes_both_ways_through_little() {
    let server = Running::serve(
        threads(1),
        Times::default(),
        |request: &mut BlockingRequest<'_>| {
            std::io::copy(request.rfile, request.wfile)?;
            Ok(())
        },
    );
    const MUCH: usize = 20 << 20;
    let client = server.connect();
    let pattern = |at: usize| (at * 7 % 251) as u8;
    let mut writer = client.try_clone().unwrap();
    let sending = thread::spawn(move || {
        let data: Vec<u8> = (0..MUCH).map(pattern).collect();
        writer.write_all(&data).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let got = rest(&client);
    sending.join().unwrap();
    assert_eq!(got.len(), MUCH);
    assert!(
        got.iter()
            .enumerate()
            .all(|(at, &byte)| byte == pattern(at))
    );
}

#[test]
fn a_handler_waits_for_a_client_that_does_not_read() {
    let (tell, told) = mpsc::channel();
    let server = Running::serve(
        threads(1),
        Times {
            idle: Duration::from_millis(500),
            ..Times::default()
        },
        move |request: &mut BlockingRequest<'_>| {
            let mut written = 0_usize;
            loop {
                if let Err(error) = request.wfile.write_all(&[b'x'; 1024]) {
                    let _ = tell.send((written, error.to_string()));
                    return Err(error.into());
                }
                written += 1024;
            }
        },
    );
    let client = server.connect();
    // It stood still until the client had been silent for long enough.
    let (written, error) = told.recv_timeout(DEADLINE).unwrap();
    assert!(error.contains("silent"), "{error}");
    // What the kernel and the queue hold, and no more.
    assert!((1..32 << 20).contains(&written), "{written}");
    // And its thread is free.
    let other = server.connect();
    let mut byte = [0];
    (&other).read_exact(&mut byte).unwrap();
    drop(client);
}

#[test]
fn a_handler_that_fails_or_panics_ends_its_own_connection_alone() {
    let server = Running::serve(
        threads(1),
        Times::default(),
        |request: &mut BlockingRequest<'_>| {
            let mut line = String::new();
            request.rfile.read_line(&mut line)?;
            write!(request.wfile, "{line}")?;
            match &*line {
                "error\n" => Err("as told".into()),
                "panic\n" => panic!("as told"),
                _ => Ok(()),
            }
        },
    );
    for (line, answer) in [
        ("error\n", "error\n"),
        ("panic\n", ""),
        ("hello\n", "hello\n"),
        ("panic\n", ""),
        ("hello\n", "hello\n"),
    ] {
        assert_eq!(ask(&server.connect(), line), answer);
    }
}

#[test]
fn a_handler_that_never_returns_is_replaced() {
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let server = Running::serve(
        threads(1),
        times(200),
        move |request: &mut BlockingRequest<'_>| {
            let mut line = String::new();
            request.rfile.read_line(&mut line)?;
            if line == "never\n" {
                // Until the test is over.
                let _ = released.lock().map(|released| released.recv());
            }
            Ok(write!(request.wfile, "done")?)
        },
    );
    for _ in 0..2 {
        assert_eq!(ask(&server.connect(), "never\n"), "");
        assert_eq!(ask(&server.connect(), "hello\n"), "done");
    }
    drop(release);
    assert!(server.pool.finish(DEADLINE));
}

#[test]
fn clients_wait_for_a_thread_without_being_lost() {
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let (begin, begun) = mpsc::channel();
    let server = Running::serve(
        threads(2),
        Times::default(),
        move |request: &mut BlockingRequest<'_>| {
            // Nobody listens any more once two have begun.
            let _ = begin.send(());
            let _ = released.lock().map(|released| released.recv());
            Ok(write!(request.wfile, "served")?)
        },
    );
    let clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for _ in 0..2 {
        begun.recv_timeout(DEADLINE).unwrap();
    }
    eventually("one waits", || !server.pool.has_room());
    assert!(begun.try_recv().is_err());
    drop(release);
    for client in clients {
        assert_eq!(rest(&client), b"served");
    }
}

#[test]
fn a_client_that_leaves_ends_the_waiting_of_its_handler() {
    // The one who is silent, and one who resets the connection.
    let ways: &[bool] = if tells_resets() {
        &[false, true]
    } else {
        &[true]
    };
    for &silent in ways {
        let (tell, told) = mpsc::channel();
        let server = Running::serve(
            threads(1),
            Times {
                idle: Duration::from_millis(300),
                ..Times::default()
            },
            move |request: &mut BlockingRequest<'_>| {
                request.wfile.write_all(b"ready")?;
                request.wfile.flush()?;
                let outcome = request.rfile.read_to_end(&mut Vec::new());
                let _ = tell.send(outcome.map_err(|error| error.to_string()));
                Ok(())
            },
        );
        let mut client = server.connect();
        client.read_exact(&mut [0; 5]).unwrap();
        client.write_all(b"a").unwrap();
        let kept = match silent {
            true => Some(client),
            false => {
                let reset = socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO));
                reset.unwrap();
                drop(client);
                None
            }
        };
        let outcome = told.recv_timeout(DEADLINE).unwrap();
        let error = outcome.expect_err("it is no end of file");
        assert!(
            error.contains(if silent { "silent" } else { "reset" }),
            "{error}"
        );
        drop(kept);
    }
}

#[test]
fn a_shutdown_waits_for_handlers_that_have_begun() {
    let mut server = Running::serve(
        threads(1),
        Times::default(),
        |request: &mut BlockingRequest<'_>| {
            request.wfile.write_all(b"begun\n")?;
            request.wfile.flush()?;
            request.rfile.read_line(&mut String::new())?;
            Ok(request.wfile.write_all(b"done")?)
        },
    );
    let client = server.connect();
    (&client).read_exact(&mut [0; 6]).unwrap();
    let waiting = server.connect();
    let mut writer = client.try_clone().unwrap();
    let answering = thread::spawn(move || {
        // The waiting one is closed first, which shows that the end has begun.
        assert_eq!(rest(&waiting), b"");
        writer.write_all(b"go on\n").unwrap();
        rest(&client)
    });
    server.shut_down(DEADLINE);
    assert_eq!(answering.join().unwrap(), b"done");
    assert!(TcpStream::connect(server.address).is_err());
}

/// Numbers each line, with callbacks.
#[derive(Default)]
struct Numbers(Vec<u8>);

impl LoopHandler for Numbers {
    fn received(&mut self, _: &mut Reply<'_>, data: &[u8]) -> Result {
        self.0.extend_from_slice(data);
        Ok(())
    }

    fn end(&mut self, reply: &mut Reply<'_>) -> Result {
        for (number, line) in self.0.lines().enumerate() {
            writeln!(reply, "{} {}", number + 1, line?)?;
        }
        Ok(())
    }
}

#[test]
fn callbacks_on_the_loop_do_the_same() {
    let server = Running::start(threads(1), |_| {
        LoopStreamServer::new(Numbers::default, Times::default())
    });
    assert_eq!(ask(&server.connect(), "a\nb\n"), "1 a\n2 b\n");
}

#[test]
fn a_datagram_is_a_request_and_its_answer_another() {
    let pool = Pool::new(threads(2));
    let blocking = DatagramServer::new(&pool, Arc::new(number), Times::default());
    let mut reactor = Reactor::new().unwrap();
    let mut addresses = Vec::new();
    for _ in 0..2 {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        addresses.push((socket.local_addr().unwrap(), socket));
    }
    let (first, second) = (addresses.remove(0), addresses.remove(0));
    reactor.register(first.1, blocking).unwrap();
    reactor
        .register(second.1, LoopDatagramServer::new(Numbers::default))
        .unwrap();
    let handle = reactor.handle();
    let asking = thread::spawn(move || {
        for address in [first.0, second.0] {
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            client.set_read_timeout(Some(DEADLINE)).unwrap();
            client.send_to(b"a\nb\n", address).unwrap();
            let mut answer = [0; 100];
            let length = client.recv(&mut answer).unwrap();
            assert_eq!(&answer[..length], b"1 a\n2 b\n");
        }
        handle.stop();
    });
    reactor.run().unwrap();
    asking.join().unwrap();
}

#[test]
fn a_pool_may_have_any_number_of_threads() {
    let pool = Pool::new(threads(usize::MAX));
    assert!(pool.has_room());
    let (tell, told) = mpsc::channel();
    assert!(pool.submit(move || tell.send(()).unwrap()).is_ok());
    told.recv_timeout(DEADLINE).unwrap();
    assert!(pool.has_room());
}

#[test]
fn a_pool_that_is_dropped_ends_its_threads() {
    let pool = Pool::new(threads(2));
    let (tell, told) = mpsc::channel();
    for _ in 0..2 {
        let tell = tell.clone();
        assert!(pool.submit(move || tell.send(()).unwrap()).is_ok());
    }
    drop(tell);
    told.recv_timeout(DEADLINE).unwrap();
    told.recv_timeout(DEADLINE).unwrap();
    assert!(pool.finish(DEADLINE));
    assert!(!pool.has_room());
}
