//! Connections that never come to be: the error names the reason, or the time that was waited.

use std::{net::SocketAddr, time::Duration};

use crate::{
    namespace::inside,
    site::{Download, PARTS, SMALL, Server, Site, client, fetch},
};
use suites::program::{self, Program};

const CPU: Duration = Duration::from_millis(700);

/// What is done to a connection request, and what the client says to it.
const FAULTS: [(&str, &str); 4] = [
    ("DROP", "connection failed: no answer within 1s"),
    (
        "REJECT --reject-with tcp-reset",
        "connection failed: Connection refused (os error 111)",
    ),
    (
        "REJECT --reject-with icmp-host-unreachable",
        "connection failed: No route to host (os error 113)",
    ),
    (
        "REJECT --reject-with icmp-net-unreachable",
        "connection failed: Network is unreachable (os error 101)",
    ),
];

#[test]
fn a_connection_request_without_success_ends_with_its_reason() {
    inside(CPU, |network| {
        let site = Site::new(0);
        let server = site.http_server(0, 5);
        let port = server.address.port();
        for (target, error) in FAULTS {
            network.rule(&format!("--dport {port} --syn -j {target}"))?;
            let mut download = Download::start(server.address, SMALL, 1);
            if target == "DROP" {
                download = download.waits();
            }
            let fetched = download.ended();
            fetched.failed(error);
            assert!(fetched.took < Duration::from_secs(3), "{:?}", fetched.took);
            assert!(network.hit()? > 0, "no request was lost");
            network.forget_rules()?;
            site.whole(server.address, SMALL, 1);
        }
        server.ends_as_before();
        Ok(())
    });
}

#[test]
fn an_address_without_a_route_is_said_at_once() {
    inside(CPU, |_| {
        let address: SocketAddr = "192.0.2.1:80".parse().unwrap();
        fetch(address, SMALL, 1).failed("connection failed: Network is unreachable (os error 101)");
        Ok(())
    });
}

#[test]
fn of_several_servers_the_silent_one_keeps_nobody_waiting() {
    inside(CPU, |network| {
        let site = Site::new(0);
        let (good, silent) = (site.http_server(0, 5), site.http_server(0, 5));
        network.rule(&format!("--dport {} --syn -j DROP", silent.address.port()))?;
        let url = |server: &Server, part| format!("http://{}/part{part}", server.address);
        let urls: Vec<_> = (0..PARTS)
            .map(|part| url(if part == 3 { &silent } else { &good }, part))
            .collect();
        let ended = Program::start(&mut client(&urls, 1)).ended();
        let told = format!(
            "http_client: {}: connection failed: no answer within 1s\n",
            urls[3]
        );
        assert_eq!((ended.code, ended.err.as_str()), (Some(1), told.as_str()));
        let complete = ended
            .out()
            .lines()
            .filter(|line| line.ends_with(" bytes in body"))
            .count();
        assert_eq!(complete, PARTS - 1, "{}", ended.out());
        good.ends_as_before();
        silent.ends_as_before();
        Ok(())
    });
}

#[test]
fn time_client_says_why_it_has_no_time() {
    inside(CPU, |network| {
        let server = Server::start("time_server", &["--port", "0"]);
        let port = server.address.port().to_string();
        let ask = |more: &[&str]| {
            let args = [&["127.0.0.1", &port, "--timeout", "1"], more].concat();
            program::run("time_client", &args)
        };
        assert_eq!(ask(&[]).code, Some(0));
        for (target, _) in FAULTS {
            network.rule(&format!("--dport {port} --syn -j {target}"))?;
            let ended = ask(&[]);
            println!("{target}: {}", ended.err.trim_end());
            assert_eq!(
                (ended.code, ended.err.lines().count()),
                (Some(1), 1),
                "{}",
                ended.err
            );
            network.forget_rules()?;
        }
        network.run("iptables", "-w -A INPUT -p udp -j DROP")?;
        let ended = ask(&["--udp"]);
        println!("datagrams dropped: {}", ended.err.trim_end());
        assert_eq!(
            (ended.code, ended.err.lines().count()),
            (Some(1), 1),
            "{}",
            ended.err
        );
        server.ends_as_before();
        Ok(())
    });
}
