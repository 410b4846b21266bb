//! Connections that end, or go dead, in the middle of a file: the client says how much is missing and has saved just
//! that, and the server keeps nothing.

use std::time::Duration;

use crate::{
    namespace::{Network, Step, inside},
    site::{BIG, Download, SMALL, Server, Site},
};

const LENGTH: usize = 2_000_000;
/// Of the client, and of `http_server`, in seconds.
const PATIENCE: u32 = 1;
const CPU: Duration = Duration::from_millis(900);

/// Lets a download begin at a low rate and does something to it, on each server; then all is well again.
fn in_the_middle(
    network: &Network,
    mut fault: impl FnMut(&Server, Download, &[u8]) -> Step,
) -> Step {
    let site = Site::new(LENGTH);
    let content = site.content(BIG);
    for server in [site.http_server(0, PATIENCE), site.files_server()] {
        network.rate("4mbit")?;
        let download = Download::start(server.address, BIG, PATIENCE).begun();
        fault(&server, download, &content)?;
        network.full_rate()?;
        network.forget_rules()?;
        site.whole(server.address, BIG, PATIENCE);
        server.ends_as_before();
    }
    Ok(())
}

#[test]
fn a_connection_that_fails_at_the_server_is_a_reset_for_the_client() {
    inside(CPU, |network| {
        in_the_middle(network, |server, download, content| {
            network.kill(&format!("sport = :{}", server.address.port()))?;
            download.ended().is_cut("connection reset", content);
            Ok(())
        })
    });
}

#[test]
fn a_connection_that_fails_at_the_client_is_told_with_what_is_missing() {
    inside(CPU, |network| {
        in_the_middle(network, |server, download, content| {
            network.kill(&format!("dport = :{}", server.address.port()))?;
            download.ended().is_cut("connection reset", content);
            Ok(())
        })
    });
}

#[test]
fn a_peer_that_is_only_half_dead_is_given_up_after_its_time() {
    inside(CPU, |network| {
        in_the_middle(network, |server, download, content| {
            // Told to the sender alone.
            let port = server.address.port();
            network.rule(&format!("--sport {port} -j REJECT --reject-with tcp-reset"))?;
            let fetched = download.waits().ended();
            fetched.is_cut("timed out", content);
            assert!(
                fetched.error.ends_with(": the server was silent for 1s"),
                "{}",
                fetched.error
            );
            assert!(network.hit()? > 0, "nothing was rejected");
            server.is_idle();
            Ok(())
        })
    });
}

#[test]
fn a_line_cut_in_mid_stream_is_given_up_by_both_ends() {
    inside(CPU, |network| {
        let site = Site::new(LENGTH);
        let server = site.http_server(0, PATIENCE);
        network.rate("4mbit")?;
        let download = Download::start(server.address, BIG, PATIENCE).begun();
        network.rule("-j DROP")?;
        download
            .waits()
            .ended()
            .is_cut("timed out", &site.content(BIG));
        // Not even the client's end reaches it.
        server.is_idle();
        network.forget_rules()?;
        network.full_rate()?;
        server.ends_as_before();
        Ok(())
    });
}

#[test]
fn what_is_cut_after_a_number_of_bytes_is_told_with_that_number() {
    inside(CPU, |network| {
        network.mtu(1500)?;
        let site = Site::new(LENGTH);
        let content = site.content(BIG);
        // Some time passes with each.
        let servers = [
            (site.http_server(0, PATIENCE), &[100, 20_000, 300_000][..]),
            (site.files_server(), &[300_000]),
        ];
        for (server, cuts) in servers {
            let port = server.address.port();
            for &after in cuts {
                let counted =
                    format!("--connbytes {after}: --connbytes-dir reply --connbytes-mode bytes");
                network.rule(&format!(
                    "--sport {port} -m connbytes {counted} -j REJECT --reject-with tcp-reset"
                ))?;
                let fetched = Download::start(server.address, BIG, PATIENCE)
                    .waits()
                    .ended();
                if after == 100 {
                    fetched.failed("timed out without an answer: the server was silent for 1s");
                } else {
                    fetched.is_cut("timed out", &content);
                    // The rule counts headers, and has counted a segment before it rejects it.
                    let got = fetched.saved.len();
                    let expected = after / 2..after + 1500;
                    assert!(expected.contains(&got), "{got} bytes, cut after {after}");
                }
                server.is_idle();
                network.forget_rules()?;
            }
            site.whole(server.address, SMALL, PATIENCE);
            server.ends_as_before();
        }
        Ok(())
    });
}

#[test]
fn of_several_downloads_the_ones_that_were_not_cut_arrive() {
    inside(CPU, |network| {
        let site = Site::new(LENGTH);
        let (cut, whole) = (site.http_server(0, 5), site.http_server(0, 5));
        network.rate("8mbit")?;
        let downloads = [&cut, &whole].map(|server| Download::start(server.address, BIG, 2));
        let downloads = downloads.map(Download::begun);
        network.kill(&format!("sport = :{}", cut.address.port()))?;
        let [first, second] = downloads.map(Download::ended);
        first.is_cut("connection reset", &site.content(BIG));
        assert_eq!((second.code, second.error.as_str()), (Some(0), ""));
        assert!(second.saved == site.content(BIG));
        cut.ends_as_before();
        whole.ends_as_before();
        Ok(())
    });
}
