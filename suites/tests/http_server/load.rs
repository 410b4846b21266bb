//! Memory and fairness: peers that do not read, and peers that hardly write.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

#[cfg(target_os = "linux")]
use suites::web_server::Client;
use suites::{
    program::{self, Program},
    web_server::serve,
};

const GET: &str = "GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n";

/// Smaller on Windows: for each file and each readiness wine asks a server, another process, and the sizes of the others take
/// minutes there.
const fn size(elsewhere: usize) -> usize {
    if cfg!(windows) {
        elsewhere / 5
    } else {
        elsewhere
    }
}

/// More memory, in KiB, than one connection may cost.
#[cfg(target_os = "linux")]
const LITTLE: u64 = 16 * 1024;

#[cfg(target_os = "linux")]
#[test]
fn a_gigabyte_to_a_slow_reader_takes_no_memory() {
    use std::io::Read;
    let server = serve(&[], |root| {
        std::fs::File::create(root.join("sparse"))
            .unwrap()
            .set_len(1 << 30)
            .unwrap();
    });
    let mut client = server.connect();
    client.ask(GET).expect(200);
    let before = server.most_memory();
    let request = "GET /sparse HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    client.send(request);
    // Read in small pieces while others are served, so that the server waits for this client all the time.
    let mut piece = vec![0; 256 * 1024];
    let mut total = 0;
    loop {
        let n = client.stream.read(&mut piece).unwrap();
        if n == 0 {
            break;
        }
        total += n;
        if total % (64 << 20) < n {
            server.get("/hello.txt").expect(200);
        }
    }
    assert!(total > 1 << 30, "{total}");
    let grown = server.most_memory().saturating_sub(before);
    assert!(grown < LITTLE, "{grown} KiB more");
}

#[cfg(target_os = "linux")]
#[test]
fn ten_thousand_pipelined_requests_of_a_peer_that_does_not_read_take_no_memory() {
    use std::io::Write;
    const REQUESTS: usize = 10_000;
    let server = serve(&["--quiet"], |root| {
        std::fs::write(root.join("small"), vec![b's'; 10_000]).unwrap();
        std::fs::write(root.join("large"), vec![b'l'; 50_000]).unwrap();
    });
    server.get("/small").expect(200);
    let before = server.most_memory();
    // Small files are queued whole, large ones come from a producer.
    for files in [
        [("small", 10_000); 2],
        [("large", 50_000); 2],
        [("small", 10_000), ("large", 50_000)],
    ] {
        let pair = files.map(|(name, _)| format!("GET /{name} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let requests = pair.concat().repeat(REQUESTS / 2);
        let mut client = server.connect();
        let mut sender = client.stream.try_clone().unwrap();
        let sending = std::thread::spawn(move || sender.write_all(requests.as_bytes()));
        // Others are served meanwhile, often enough for the server to take all it wants to take.
        for _ in 0..200 {
            server.get("/small").expect(200);
        }
        let grown = server.most_memory().saturating_sub(before);
        assert!(grown < LITTLE, "{grown} KiB more");
        let descriptors = server.descriptors();
        assert!(descriptors < 30, "{descriptors} descriptors are open");
        for n in 0..REQUESTS {
            let reply = client.reply_to(GET).expect(200);
            assert_eq!(reply.body.len(), files[n % 2].1, "answer {n}");
        }
        sending.join().unwrap().unwrap();
        let grown = server.most_memory().saturating_sub(before);
        assert!(grown < LITTLE, "{grown} KiB more after all answers");
    }
}

fn fill_big(root: &Path) {
    std::fs::create_dir(root.join("big")).unwrap();
    for n in 0..size(2000) {
        std::fs::write(root.join(format!("big/file-{n}")), "").unwrap();
    }
}

#[test]
fn others_are_served_between_the_pipelined_requests_of_one() {
    const REQUESTS: usize = 1500;
    // One client after the other would be 1 at most. Under wine the other client is slower than the server: each of its steps
    // asks wine's own server.
    const OTHERS: usize = if cfg!(windows) { 3 } else { 10 };
    let server = serve(&[], fill_big);
    for target in ["/big/", "/hello.txt"] {
        let request = format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut other = server.connect();
        other.ask(GET).expect(200);
        let mut greedy = server.connect();
        let asking = std::thread::spawn(move || {
            greedy.send(&request.repeat(REQUESTS));
            for _ in 0..REQUESTS {
                greedy.reply_to(&request).expect(200);
            }
        });
        while !asking.is_finished() {
            other.ask(GET).expect(200);
        }
        asking.join().unwrap();
        let (mut heads, mut between) = (0, 0);
        while heads < REQUESTS {
            let head = server.next_log_line().contains("\"HEAD ");
            heads += usize::from(head);
            between += usize::from(!head && heads > 0);
        }
        assert!(
            between >= OTHERS,
            "{target}: only {between} answers of others"
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn readers_who_stall_share_one_directory_page() {
    let server = serve(&["--quiet"], fill_big);
    let request = "GET /big/ HTTP/1.1\r\nHost: a\r\n\r\n";
    server.ask(request).expect(200);
    let before = server.most_memory();
    let mut stalled: Vec<Client> = (0..150)
        .map(|_| {
            let mut client = server.connect();
            client.send(&request.repeat(30));
            client.stream.peek(&mut [0]).unwrap();
            client
        })
        .collect();
    server.get("/hello.txt").expect(200);
    let grown = server.most_memory().saturating_sub(before);
    assert!(grown < LITTLE, "{grown} KiB more");
    for client in &mut stalled {
        client.reply_to(request).expect(200);
    }
}

#[test]
fn a_download_that_stalls_makes_room_and_one_that_is_taken_steadily_does_not() {
    use std::{
        io::Read,
        sync::atomic::{AtomicBool, Ordering},
    };
    let server = serve(&[], fill_sparse);
    let root = server.root.path().to_str().unwrap();
    let options = [
        "--port",
        "0",
        "--max-connections",
        "2",
        "--idle-timeout",
        "6",
        root,
    ];
    let mut command = program::example("http_server");
    let full = Program::start(command.env("RUST_LOG", "http_server=debug").args(options));
    let line = full.line();
    let address = line.rsplit_once("http://").unwrap().1.trim_end_matches('/');
    let address = address.parse().unwrap();
    let download = || {
        let mut client = server.connect_to(address);
        client.send("GET /sparse HTTP/1.1\r\nHost: a\r\n\r\n");
        client.stream.peek(&mut [0]).unwrap();
        client.stream
    };
    let (mut steady, stalled) = (download(), download());
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut block = vec![0; 16 * 1024];
            while !is_over.load(Ordering::Relaxed) {
                steady.read_exact(&mut block).unwrap();
                std::thread::sleep(Duration::from_millis(10)); // what makes it last
            }
        });
        program::eventually(|| {
            let reply = server.connect_to(address).ask(GET);
            (reply.status == 200).then_some(())
        });
        is_over.store(true, Ordering::Relaxed);
        reading.join().unwrap();
    });
    // It is still being sent.
    steady.read_exact(&mut vec![0; 8 << 20]).unwrap();
    drop((steady, stalled));
    full.signal("TERM");
    let ended = full.ended();
    // Otherwise it was the idle timeout that closed it.
    assert_eq!(ended.err.matches("makes room").count(), 1, "{}", ended.err);
}

fn fill_sparse(root: &Path) {
    let file = std::fs::File::create(root.join("sparse")).unwrap();
    file.set_len(1 << 30).unwrap();
}

/// Two tests that open a thousand connections each could use up the descriptors of this process.
static MANY: Mutex<()> = Mutex::new(());

/// The number of slow clients: the default of `--max-connections`, if this process may have so many descriptors.
#[cfg(unix)]
fn places() -> usize {
    let mut files = Vec::new();
    while files.len() < 1100 {
        let Ok(file) = std::fs::File::open("/dev/null") else {
            break;
        };
        files.push(file);
    }
    if files.len() == 1100 {
        1000
    } else {
        files.len() / 2
    }
}

/// Windows limits no descriptors.
#[cfg(not(unix))]
fn places() -> usize {
    size(1000)
}

#[test]
fn as_many_slow_clients_as_there_are_places_lock_nobody_out() {
    let _alone = MANY.lock().unwrap_or_else(PoisonError::into_inner);
    let places = places();
    let limit = places.to_string();
    let options = ["--quiet", "--max-connections", &limit];
    let options = if places == 1000 {
        &options[..1]
    } else {
        &options[..]
    };
    let server = serve(options, |_| ());
    let mut slow: Vec<_> = (0..places).map(|_| server.connect()).collect();
    for (n, client) in slow.iter_mut().enumerate() {
        client.send(match n % 3 {
            0 => "GET / HTTP/1.1\r\nX: ",
            1 => "",
            _ => "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx",
        });
    }
    let started = Instant::now();
    for _ in 0..10 {
        server.get("/hello.txt").expect(200);
    }
    // Well before the first slow request is too slow.
    let taken = started.elapsed();
    assert!(
        taken < Duration::from_secs(10),
        "10 requests took {taken:?}"
    );
}

#[test]
fn a_thousand_slow_clients_do_not_slow_down_a_fast_one() {
    let _alone = MANY.lock().unwrap_or_else(PoisonError::into_inner);
    let server = serve(&["--quiet", "--max-connections", "2000"], |_| ());
    // As many as this process may have; the default of many systems is 1,024 descriptors.
    let mut slow = Vec::new();
    while slow.len() < size(1000) + 20 {
        let Ok(mut stream) = std::net::TcpStream::connect(server.address) else {
            break;
        };
        if std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\nX: ").is_err() {
            break;
        }
        slow.push(stream);
    }
    slow.truncate(slow.len().saturating_sub(20));
    assert!(slow.len() >= 200, "only {} connections", slow.len());
    let started = Instant::now();
    let mut fast = server.connect();
    for round in 0..size(500) {
        for stream in slow.iter_mut().skip(round % 7).step_by(50) {
            std::io::Write::write_all(stream, b"x").unwrap();
        }
        fast.ask(GET).expect(200);
    }
    let taken = started.elapsed();
    assert!(
        taken < Duration::from_secs(10),
        "{} requests took {taken:?}",
        size(500)
    );
}
