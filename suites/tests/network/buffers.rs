//! Kernel buffers of 3 kB: every write is a part of what was to be written, and everybody is held back by everybody.

use std::{
    io::{Read, Write},
    thread,
    time::Duration,
};

use crate::{
    namespace::{inside, thorough},
    peers,
    site::{BIG, Server, Site},
};

const CPU: Duration = Duration::from_secs(2);

fn big() -> usize {
    if thorough() { 8_000_000 } else { 1_000_000 }
}

#[test]
fn files_arrive_whole_through_buffers_of_three_kilobytes() {
    inside(CPU, |network| {
        network.small_buffers()?;
        let site = Site::new(big());
        assert!(peers::swallowed() < 8192, "the buffers are large");
        for server in [site.http_server(0, 30), site.files_server()] {
            let server_takes = thread::scope(|scope| {
                // Meanwhile somebody reads nothing and is not served.
                let mut stalled = peers::connect(server.address);
                write!(stalled, "GET /{BIG} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
                stalled.read_exact(&mut [0; 100]).unwrap();
                let others = scope.spawn(|| {
                    site.everything(&format!("{}", server.address), server.address, 5);
                });
                others.join().unwrap();
                // And takes it in the end, all that came being held for it by the server.
                let mut rest = vec![0; 1000];
                stalled.read_exact(&mut rest).map(|()| rest.len())
            });
            assert_eq!(
                server_takes.unwrap(),
                1000,
                "nothing was kept for who was slow"
            );
            server.ends_as_before();
        }
        Ok(())
    });
}

#[test]
fn echoes_and_lines_come_back_through_buffers_of_three_kilobytes() {
    inside(CPU, |network| {
        network.small_buffers()?;
        let echo = Server::start("bench_server", &["echo", "0"]);
        let to = echo.address.to_string();
        let proxy = Server::start("tcp_proxy", &["--listen", "127.0.0.1:0", "--to", &to]);
        let lines = Server::start("bench_server", &["lines", "0"]);
        let room = Server::start("chat_room", &["--port", "0"]);
        peers::echo(echo.address, big());
        peers::echo(proxy.address, big());
        peers::lines(lines.address);
        peers::chat(room.address);
        for server in [proxy, echo, lines, room] {
            server.ends_as_before();
        }
        Ok(())
    });
}

#[test]
fn a_proxy_holds_a_server_back_as_its_client_is_slow() {
    inside(CPU, |network| {
        network.small_buffers()?;
        let site = Site::new(4_000_000);
        let server = site.files_server();
        let to = server.address.to_string();
        let proxy = Server::start("tcp_proxy", &["--listen", "127.0.0.1:0", "--to", &to]);
        let mut slow = peers::connect(proxy.address);
        write!(
            slow,
            "GET /{BIG} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        slow.read_exact(&mut [0; 100]).unwrap();
        site.whole(proxy.address, BIG, 5);
        assert!(
            proxy.most_memory() < 24 * 1024,
            "{} KiB",
            proxy.most_memory()
        );
        let mut answer = Vec::new();
        slow.read_to_end(&mut answer).unwrap();
        assert!(
            answer.ends_with(&site.content(BIG)),
            "{} bytes came",
            answer.len()
        );
        drop(slow);
        proxy.ends_as_before();
        server.ends_as_before();
        Ok(())
    });
}
