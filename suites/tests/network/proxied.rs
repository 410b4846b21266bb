//! A proxy between client and server, and a fault on one of the two legs. The proxy listens on port 9000.

use std::time::Duration;

use crate::{
    namespace::{Network, Step, inside, thorough},
    site::{BIG, Download, PARTS, SMALL, Server, Site, fetch},
};

const CPU: Duration = Duration::from_millis(1500);
const LENGTH: usize = 1_000_000;

struct Line {
    site: Site,
    proxy: Server,
    server: Server,
}

impl Line {
    /// With a proxy that gives up on silence after so many seconds.
    fn new(patience: u32) -> Self {
        let site = Site::new(LENGTH);
        let server = site.http_server(0, 30);
        let to = server.address.to_string();
        let listen = [
            "--listen",
            "127.0.0.1:9000",
            "--to",
            &to,
            "--connect-timeout",
            "1",
        ];
        let proxy = Server::start(
            "tcp_proxy",
            &[&listen[..], &["--idle-timeout", &patience.to_string()]].concat(),
        );
        Self {
            site,
            proxy,
            server,
        }
    }

    /// All is well: both programs have nothing left, serve, and end.
    fn ends_as_before(self) {
        self.proxy.is_idle();
        self.server.is_idle();
        self.site.whole(self.proxy.address, SMALL, 2);
        self.proxy.ends_as_before();
        self.server.ends_as_before();
    }
}

/// The port that tells each leg from the other.
fn legs(line: &Line) -> [(&'static str, u16); 2] {
    let (near, far) = (line.proxy.address.port(), line.server.address.port());
    [("client to proxy", near), ("proxy to server", far)]
}

#[test]
fn a_loss_on_either_leg_costs_no_byte() {
    inside(CPU, |network| {
        network.mtu(1500)?;
        if !thorough() {
            network.quick_repeats()?;
        }
        let line = Line::new(20);
        for (leg, port) in legs(&line) {
            network.loss(port)?;
            line.site.everything(leg, line.proxy.address, 20);
            assert!(network.hit()? > 20, "nothing was lost");
            network.forget_rules()?;
        }
        line.ends_as_before();
        Ok(())
    });
}

#[test]
fn a_slow_leg_slows_down_the_other_and_loses_nothing() {
    inside(CPU, |network| {
        let line = Line::new(3);
        for (leg, port) in legs(&line) {
            network.rate_of_port(port, "8mbit")?;
            let took = line.site.whole(line.proxy.address, BIG, 2);
            println!("{leg}: {took:.1?}");
            assert!(took > Duration::from_millis(700), "{took:?} shows nothing");
            network.full_rate()?;
        }
        line.ends_as_before();
        Ok(())
    });
}

/// Has a download through the proxy begin at a low rate, and does something to it.
fn in_the_middle(
    network: &Network,
    line: &Line,
    fault: impl FnOnce() -> Step,
) -> Step<crate::site::Fetched> {
    network.rate("4mbit")?;
    let download = Download::start(line.proxy.address, BIG, 2).begun();
    fault()?;
    let fetched = download.ended();
    network.full_rate()?;
    network.forget_rules()?;
    Ok(fetched)
}

#[test]
fn a_connection_that_fails_on_either_leg_ends_on_both() {
    inside(CPU, |network| {
        let line = Line::new(3);
        let content = line.site.content(BIG);
        for (leg, port) in legs(&line) {
            for end in ["sport", "dport"] {
                let fetched =
                    in_the_middle(network, &line, || network.kill(&format!("{end} = :{port}")))?;
                println!("{leg}, {end}: {}", fetched.error);
                // The proxy passes a reset of its server on as one.
                fetched.is_cut("connection reset", &content);
                line.proxy.is_idle();
                line.server.is_idle();
            }
        }
        line.ends_as_before();
        Ok(())
    });
}

#[test]
fn a_half_dead_peer_on_either_leg_is_given_up() {
    inside(CPU, |network| {
        let line = Line::new(3);
        let content = line.site.content(BIG);
        for (leg, port) in legs(&line) {
            let reject = format!("--sport {port} -j REJECT --reject-with tcp-reset");
            let fetched = in_the_middle(network, &line, || network.rule(&reject))?;
            println!("{leg}: {}", fetched.error);
            fetched.is_cut("timed out", &content);
            line.proxy.is_idle();
            line.server.is_idle();
        }
        line.ends_as_before();
        Ok(())
    });
}

#[test]
fn a_server_that_cannot_be_reached_is_an_end_for_the_proxys_client() {
    inside(CPU, |network| {
        let line = Line::new(3);
        let port = line.server.address.port();
        for target in [
            "DROP",
            "REJECT --reject-with tcp-reset",
            "REJECT --reject-with icmp-host-unreachable",
        ] {
            network.rule(&format!("--dport {port} --syn -j {target}"))?;
            fetch(line.proxy.address, SMALL, 5).failed("connection closed without an answer");
            network.forget_rules()?;
            line.proxy.is_idle();
            line.site.whole(line.proxy.address, SMALL, 2);
        }
        line.ends_as_before();
        Ok(())
    });
}

#[test]
fn of_several_connections_through_a_proxy_one_fails_alone() {
    inside(CPU, |network| {
        let line = Line::new(3);
        network.rate("20mbit")?;
        let downloads: Vec<_> = (0..PARTS / 2)
            .map(|_| Download::start(line.proxy.address, BIG, 5))
            .collect();
        let downloads: Vec<_> = downloads.into_iter().map(Download::begun).collect();
        let one = network.connected_to(line.proxy.address.port())?;
        network.kill(&format!("sport = :{one}"))?;
        let content = line.site.content(BIG);
        let fetched: Vec<_> = downloads.into_iter().map(Download::ended).collect();
        let (whole, cut): (Vec<_>, Vec<_>) = fetched.iter().partition(|f| f.code == Some(0));
        assert_eq!((whole.len(), cut.len()), (PARTS / 2 - 1, 1), "{cut:?}");
        cut[0].is_cut("connection reset", &content);
        assert!(whole.iter().all(|fetched| fetched.saved == content));
        network.full_rate()?;
        line.ends_as_before();
        Ok(())
    });
}
