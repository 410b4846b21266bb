//! Every pair of a client and a server of the examples with a relay between them that writes one byte at a time.

use std::time::Duration;

use crate::{
    namespace::{inside, thorough},
    peers,
    relay::Slicer,
    site::{SMALL, Server, Site, fetch},
};
use suites::program;

const CPU: Duration = Duration::from_secs(2);

fn big() -> usize {
    if thorough() { 1_000_000 } else { 60_000 }
}

/// A server behind a slicer, through which at least so many bytes go.
fn behind_slicer(server: Server, bytes: usize, work: impl FnOnce(&Slicer)) {
    let slicer = Slicer::before(server.address);
    work(&slicer);
    assert!(
        slicer.passed() >= bytes as u64,
        "{} bytes in slices",
        slicer.passed()
    );
    server.ends_as_before();
}

#[test]
fn http_client_and_http_server_understand_single_bytes() {
    inside(CPU, |_| {
        let site = Site::new(big());
        for server in [site.http_server(0, 5), site.files_server()] {
            behind_slicer(server, big() + 8 * 10_000, |slicer| {
                site.everything("byte by byte", slicer.address, 5);
            });
        }
        Ok(())
    });
}

#[test]
fn http_client_and_http_responder_understand_single_bytes() {
    inside(CPU, |_| {
        let server = Server::start("http_responder", &["--port", "0"]);
        let address = server.address;
        let direct = fetch(address, SMALL, 5);
        assert!(direct.saved.len() > 100, "{direct:?}");
        behind_slicer(server, direct.saved.len(), |slicer| {
            let fetched = fetch(slicer.address, SMALL, 5);
            assert_eq!((fetched.code, fetched.error.as_str()), (Some(0), ""));
            // The page shows the request, and with it where it was sent.
            let wanted = String::from_utf8(direct.saved).unwrap();
            let wanted = wanted.replace(&address.to_string(), &slicer.address.to_string());
            assert_eq!(String::from_utf8(fetched.saved).unwrap(), wanted);
        });
        Ok(())
    });
}

#[test]
fn time_client_and_time_server_understand_single_bytes() {
    inside(CPU, |_| {
        let server = Server::start("time_server", &["--port", "0"]);
        behind_slicer(server, 4, |slicer| {
            let port = slicer.address.port().to_string();
            let ended = program::run("time_client", &["127.0.0.1", &port, "--timeout", "5"]);
            assert_eq!(
                (ended.code, ended.err.as_str()),
                (Some(0), ""),
                "{}",
                ended.out()
            );
        });
        Ok(())
    });
}

#[test]
fn members_of_a_chat_room_understand_single_bytes() {
    inside(CPU, |_| {
        let server = Server::start("chat_room", &["--port", "0"]);
        behind_slicer(server, 1000, |slicer| peers::chat(slicer.address));
        Ok(())
    });
}

#[test]
fn a_proxy_between_single_bytes_passes_on_every_one() {
    inside(CPU, |_| {
        let site = Site::new(big());
        let server = site.http_server(0, 5);
        let behind = Slicer::before(server.address);
        let to = behind.address.to_string();
        let proxy = Server::start("tcp_proxy", &["--listen", "127.0.0.1:0", "--to", &to]);
        behind_slicer(proxy, big(), |slicer| {
            site.everything("byte by byte twice", slicer.address, 5);
        });
        assert!(behind.passed() >= big() as u64);
        server.ends_as_before();
        Ok(())
    });
}

#[test]
fn echoes_and_lines_come_back_in_single_bytes() {
    inside(CPU, |_| {
        // The one of the README takes no port of the system's choice, and no signal.
        let echo = Server::start("echo", &["127.0.0.1:8007"]);
        peers::echo(Slicer::before(echo.address).address, big());
        echo.is_idle();
        behind_slicer(
            Server::start("bench_server", &["echo", "0"]),
            big(),
            |slicer| {
                peers::echo(slicer.address, big());
            },
        );
        behind_slicer(
            Server::start("bench_server", &["lines", "0"]),
            10_000,
            |slicer| {
                peers::lines(slicer.address);
            },
        );
        Ok(())
    });
}
