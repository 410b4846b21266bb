//! Four local ports: the fifth connection cannot be made, which is its own error and nobody else's.

use std::{net::TcpStream, time::Duration};

use crate::{
    namespace::inside,
    peers,
    site::{SMALL, Server, Site, client, fetch},
};
use suites::program::{Program, eventually};

const CPU: Duration = Duration::from_secs(6);
const NONE_LEFT: &str = "connection failed: Cannot assign requested address (os error 99)";

#[test]
fn without_a_local_port_a_connection_fails_and_later_ones_work() {
    inside(CPU, |network| {
        network.set("ip_local_port_range", "40000 40003")?;
        let site = Site::new(0);
        let server = site.http_server(8000, 30);
        let mut held: Vec<TcpStream> = (0..4).map(|_| peers::connect(server.address)).collect();
        fetch(server.address, SMALL, 2).failed(NONE_LEFT);
        held.pop().into_iter().for_each(peers::reset);
        site.whole(server.address, SMALL, 2);
        held.drain(..).for_each(peers::reset);
        // Until the port of that download, too, is free again: it rests where the client closed first.
        let connected = || TcpStream::connect(server.address).ok();
        held.extend((0..4).map(|_| eventually(connected)));
        held.drain(..).for_each(peers::reset);
        server.is_idle();
        let urls: Vec<_> = (0..5)
            .map(|n| format!("http://{}/part{n}", server.address))
            .collect();
        let ended = Program::start(&mut client(&urls, 2)).ended();
        let told = format!("http_client: {}: {NONE_LEFT}\n", urls[4]);
        assert_eq!((ended.code, ended.err.as_str()), (Some(1), told.as_str()));
        let complete = ended
            .out()
            .lines()
            .filter(|line| line.ends_with(" bytes in body"))
            .count();
        assert_eq!(complete, 4, "{}", ended.out());
        // A port rests for a second after a connection that its own end has closed first.
        for _ in 0..8 {
            eventually(|| (fetch(server.address, SMALL, 2).code == Some(0)).then_some(()));
        }
        server.ends_as_before();
        Ok(())
    });
}

#[test]
fn a_proxy_without_a_local_port_lets_its_client_go_and_serves_the_others() {
    inside(CPU, |network| {
        let site = Site::new(0);
        let server = site.http_server(8000, 30);
        let to = server.address.to_string();
        let proxy = Server::start("tcp_proxy", &["--listen", "127.0.0.1:9000", "--to", &to]);
        network.set("ip_local_port_range", "40000 40003")?;
        // The same port may be used for two connections, to the proxy and from it.
        let held: Vec<TcpStream> = (0..3).map(|_| peers::connect(proxy.address)).collect();
        server.is_busy();
        let direct = peers::connect(server.address);
        let fetched = fetch(proxy.address, SMALL, 2);
        fetched.failed("connection closed without an answer");
        assert!(fetched.took < Duration::from_secs(1), "{:?}", fetched.took);
        peers::get(&held[1], SMALL, &site.content(SMALL));
        peers::reset(direct);
        site.whole(proxy.address, SMALL, 2);
        held.into_iter().for_each(peers::reset);
        proxy.ends_as_before();
        server.ends_as_before();
        Ok(())
    });
}
