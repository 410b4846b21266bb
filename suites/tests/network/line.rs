//! A bad line: segments that get lost, a low rate, small segments. Nothing of it may be seen in what arrives.

use std::time::Duration;

use crate::{
    namespace::{inside, thorough},
    site::{BIG, Site},
};

const CPU: Duration = Duration::from_secs(2);
const MIB: usize = 1024 * 1024;

#[test]
fn a_tenth_of_all_segments_lost_costs_no_byte() {
    inside(CPU, |network| {
        network.mtu(1500)?;
        if !thorough() {
            network.quick_repeats()?;
        }
        let site = Site::new(3 * MIB);
        for server in [site.http_server(0, 60), site.files_server()] {
            let port = server.address.port();
            network.loss(port)?;
            network.lost_requests(port)?;
            site.everything(&format!("port {port}"), server.address, 60);
            assert!(network.hit()? > 100, "nothing was lost");
            network.forget_rules()?;
            server.ends_as_before();
        }
        Ok(())
    });
}

#[test]
fn a_low_rate_is_not_taken_for_silence() {
    inside(CPU, |network| {
        let seconds = if thorough() { 20 } else { 2 };
        let site = Site::new(500_000 * seconds);
        for server in [site.http_server(0, 1), site.files_server()] {
            network.rate("4mbit")?;
            let took = site.whole(server.address, BIG, 1);
            let parts = site.all_parts(server.address, 2);
            println!("{}: {took:.1?}, at once {parts:.1?}", server.address);
            assert!(took > Duration::from_millis(1200), "{took:?} shows nothing");
            network.full_rate()?;
            server.ends_as_before();
        }
        Ok(())
    });
}

#[test]
fn the_smallest_segments_carry_everything() {
    inside(CPU, |network| {
        network.mtu(296)?;
        let site = Site::new(if thorough() { 16 * MIB } else { 3 * MIB });
        for server in [site.http_server(0, 5), site.files_server()] {
            let before = network.segments();
            site.everything(&format!("{}", server.address), server.address, 5);
            let sent = network.segments() - before;
            assert!(
                sent as usize > site.content(BIG).len() / 296,
                "{sent} segments are large ones"
            );
            server.ends_as_before();
        }
        Ok(())
    });
}
