//! `shared::http::request_handler`: straight code serves requests, whatever clients and handlers do.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use asynchat::{Handle, Reactor, Result};
use shared::{
    handlers::{Pool, PoolOptions, Times},
    http::{
        request_handler::{HttpRequest, RequestHandler, Threaded},
        service::{Limits, Options, Service},
    },
};
use util::{SLOWNESS, peer::tells_resets};

/// More than anything takes here, also on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20 * SLOWNESS);

/// Those of `/never` come when the sender is dropped.
struct Pages(Mutex<mpsc::Receiver<()>>);

impl RequestHandler for Pages {
    fn do_GET(&self, request: &mut HttpRequest) -> Result {
        request.send_response(200);
        match request.path() {
            "/forged" => request.send_header("X", "a\r\nSet-Cookie: b")?,
            "/forged-name" => request.send_header("X: y\r\nZ", "a")?,
            "/forged-reason" => request.send_response_with(200, "OK\r\nSet-Cookie: b")?,
            "/framed" => request.send_header("Transfer-Encoding", "chunked")?,
            "/length" => request.send_header("Content-Length", "1, 2")?,
            "/panic" => panic!("as told"),
            "/error" => return Err("as told".into()),
            "/nothing" => return Ok(()),
            "/twice" => {
                request.end_headers()?;
                return request.send_error(404, "");
            }
            "/short" => request.send_header("Content-Length", "9")?,
            "/cut" => {
                request.end_headers()?;
                request.wfile().write_all(b"begun")?;
                request.wfile().flush()?;
                return Err("as told".into());
            }
            "/never" => {
                let _ = self.0.lock().map(|released| released.recv());
            }
            _ => {
                request.send_header("X-Address", &request.client_address().unwrap().to_string())?;
            }
        }
        request.end_headers()?;
        Ok(request.wfile().write_all(b"page")?)
    }

    fn do_HEAD(&self, request: &mut HttpRequest) -> Result {
        self.do_GET(request)
    }

    /// Sends back what comes.
    fn do_POST(&self, request: &mut HttpRequest) -> Result {
        request.send_response(200);
        request.end_headers()?;
        let mut piece = vec![0; 10_000];
        loop {
            let length = request.rfile().read(&mut piece)?;
            if length == 0 {
                return Ok(());
            }
            request.wfile().write_all(&piece[..length])?;
        }
    }
}

struct Running {
    address: SocketAddr,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
    release: Option<mpsc::Sender<()>>,
}

impl Running {
    fn start(threads: usize, handler_time: Duration) -> Self {
        let (tell, told) = mpsc::channel();
        let (release, released) = mpsc::channel();
        let thread = thread::spawn(move || {
            let pool = Pool::new(PoolOptions {
                threads,
                waiting: 2,
                overdue: 2,
            });
            let service = Service::new(Options {
                limits: Limits {
                    body: u64::MAX,
                    ..Limits::default()
                },
                ..Options::default()
            });
            let times = Times {
                handler: handler_time,
                ..Times::default()
            };
            let handler = Arc::new(Pages(Mutex::new(released)));
            let mut reactor = Reactor::new().unwrap();
            let address = SocketAddr::from(([127, 0, 0, 1], 0));
            let make = move |_: &mut _, _: &_| Threaded::new(&handler, &pool, times);
            let id = service.listen(&mut reactor, address, None, make).unwrap();
            let address = reactor.channel(id).unwrap().local_addr().unwrap();
            let _ = tell.send((address.inet().unwrap(), reactor.handle()));
            reactor.run().unwrap();
        });
        let (address, handle) = told.recv_timeout(DEADLINE).unwrap();
        Self {
            address,
            handle,
            thread: Some(thread),
            release: Some(release),
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// The answer to a request, up to the end of the connection.
    fn ask(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn get(&self, path: &str) -> String {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        ))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[test]
fn what_a_handler_does_is_what_its_client_gets() {
    let server = Running::start(2, DEADLINE);
    for (path, start, end) in [
        ("/", "HTTP/1.1 200 OK\r\n", "\r\n4\r\npage\r\n0\r\n\r\n"),
        ("/forged", "HTTP/1.1 500 ", "</html>\n"),
        ("/forged-name", "HTTP/1.1 500 ", "</html>\n"),
        ("/forged-reason", "HTTP/1.1 500 ", "</html>\n"),
        ("/framed", "HTTP/1.1 500 ", "</html>\n"),
        ("/length", "HTTP/1.1 500 ", "</html>\n"),
        ("/panic", "HTTP/1.1 500 ", "</html>\n"),
        ("/error", "HTTP/1.1 500 ", "</html>\n"),
        ("/nothing", "HTTP/1.1 500 ", "</html>\n"),
        // The client sees that it is not all.
        ("/twice", "HTTP/1.1 200 OK\r\n", "\r\n\r\n"),
        ("/short", "HTTP/1.1 200 OK\r\n", "\r\n\r\npage"),
        ("/cut", "HTTP/1.1 200 OK\r\n", "\r\n5\r\nbegun\r\n"),
        ("http://a/error", "HTTP/1.1 500 ", "</html>\n"),
        ("http:///error", "HTTP/1.1 400 ", "</html>\n"),
    ] {
        let answer = server.get(path);
        assert!(answer.starts_with(start), "{path}: {answer}");
        assert!(answer.ends_with(end), "{path}: {answer}");
        assert!(!answer.contains("Set-Cookie"), "{path}: {answer}");
    }
    let head = server.ask("HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(head.contains("\r\nX-Address: 127.0.0.1:"), "{head}");
    assert!(head.ends_with("\r\n\r\n"), "{head}");
    // An answer that lasts until the connection closes is cut by a reset.
    let mut old = server.connect();
    old.write_all(b"GET /cut HTTP/1.0\r\n\r\n").unwrap();
    let read = old.read_to_end(&mut Vec::new());
    // Wine tells the reset only to a read that waits when it arrives.
    if tells_resets() {
        let error = read.expect_err("it must not look complete");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
}

#[test]
fn slow_clients_take_no_thread() {
    let server = Running::start(1, DEADLINE);
    let begun = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx";
    let slow: Vec<_> = (0..20)
        .map(|_| {
            let mut client = server.connect();
            client.write_all(begun.as_bytes()).unwrap();
            client
        })
        .collect();
    for _ in 0..20 {
        let answer = server.get("/");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    drop(slow);
}

#[test]
fn handlers_beyond_the_threads_and_the_places_are_503_and_a_stuck_one_is_replaced() {
    let mut server = Running::start(1, Duration::from_millis(300));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let mut client = server.connect();
            client
                .write_all(b"GET /never HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                .unwrap();
            client
        })
        .collect();
    let mut statuses: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            answer[9..12].to_owned()
        })
        .collect();
    statuses.sort();
    // One runs and two wait at first; the pool replaces two threads, and the third ends.
    assert!(
        statuses.iter().filter(|status| *status == "503").count() >= 4,
        "{statuses:?}"
    );
    assert!(statuses.contains(&"500".into()), "{statuses:?}");
    drop(server.release.take());
    let answer = server.get("/");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[test]
fn much_streams_both_ways_through_a_handler() {
    const MUCH: usize = 8 << 20;
    let server = Running::start(1, DEADLINE);
    let client = server.connect();
    let mut writer = client.try_clone().unwrap();
    let sending = thread::spawn(move || {
        let head =
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
        writer.write_all(head.as_bytes()).unwrap();
        let piece = vec![b'x'; 64 << 10];
        for _ in 0..MUCH / piece.len() {
            write!(writer, "{:x}\r\n", piece.len()).unwrap();
            writer.write_all(&piece).unwrap();
            writer.write_all(b"\r\n").unwrap();
        }
        writer.write_all(b"0\r\n\r\n").unwrap();
    });
    let mut answer = Vec::new();
    (&client).read_to_end(&mut answer).unwrap();
    sending.join().unwrap();
    assert!(answer.ends_with(b"\r\n0\r\n\r\n"));
    let content = answer.iter().filter(|&&byte| byte == b'x').count();
    assert_eq!(content, MUCH);
}

#[test]
fn requests_of_one_connection_are_served_in_order() {
    let server = Running::start(4, DEADLINE);
    let bodies: String = (0..100)
        .map(|number| {
            let body = format!("<{number}>");
            let close = if number == 99 {
                "Connection: close\r\n"
            } else {
                ""
            };
            let length = body.len();
            format!("POST / HTTP/1.1\r\nHost: a\r\n{close}Content-Length: {length}\r\n\r\n{body}")
        })
        .collect();
    let answer = server.ask(&bodies);
    let found: Vec<_> = answer
        .split('<')
        .skip(1)
        .map(|rest| rest.split('>').next().unwrap().parse::<usize>().unwrap())
        .collect();
    assert!(found.into_iter().eq(0..100), "{answer}");
}
