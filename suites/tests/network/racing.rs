//! Several addresses of one connection (R4): a dead one costs the stagger, and a late one is still taken.

use std::{
    cell::RefCell,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    rc::Rc,
    time::{Duration, Instant},
};

use asynchat::{Channel, ConnectOptions, Dispatcher, Exceptional, Reactor, Result};

use crate::namespace::{Network, Step, inside};

const CPU: Duration = Duration::from_millis(700);
const STAGGER: Duration = Duration::from_millis(250);

struct Client(Rc<RefCell<Option<std::result::Result<SocketAddr, String>>>>);

impl Dispatcher for Client {
    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        *self.0.borrow_mut() = Some(Ok(channel.peer_addr()?.inet().unwrap()));
        channel.close();
        Ok(())
    }

    fn handle_expt(&mut self, _: &mut Channel<'_>, what: Exceptional) -> Result {
        *self.0.borrow_mut() = Some(Err(format!("{what:?}")));
        Ok(())
    }
}

/// Connects to the first that answers: which it is, and how long it took. `meanwhile` runs once in the loop.
fn race(
    addresses: &[SocketAddr],
    meanwhile: Option<(Duration, Box<dyn FnOnce()>)>,
) -> (SocketAddr, Duration) {
    let outcome = Rc::new(RefCell::new(None));
    let mut reactor = Reactor::new().unwrap();
    if let Some((delay, f)) = meanwhile {
        reactor.call_later(delay, move |_| {
            f();
            Ok(())
        });
    }
    let begun = Instant::now();
    let options = ConnectOptions::new().stagger(STAGGER);
    reactor
        .connect_with(addresses, &options, Client(Rc::clone(&outcome)))
        .unwrap();
    while outcome.borrow().is_none() {
        reactor.turn(None).unwrap();
    }
    let took = begun.elapsed();
    let connected = outcome.take().unwrap().unwrap();
    println!("{connected} after {took:?}");
    (connected, took)
}

fn rule6(network: &Network, port: u16, target: &str) -> Step {
    let rule = format!("-w -A INPUT -i lo -p tcp --dport {port} --syn -j {target}");
    network.run("ip6tables", &rule)
}

#[test]
fn a_dead_address_of_the_other_version_costs_no_more_than_the_stagger() {
    inside(CPU, |network| {
        let six = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
        let four = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addresses = [six.local_addr().unwrap(), four.local_addr().unwrap()];
        assert_eq!(race(&addresses, None).0, addresses[0], "both are good");
        let faults = [
            ("DROP", STAGGER),
            ("REJECT --reject-with tcp-reset", Duration::ZERO),
        ];
        for (target, costs) in faults {
            rule6(network, addresses[0].port(), target)?;
            let (connected, took) = race(&addresses, None);
            assert_eq!(connected, addresses[1], "{target}");
            let more = took.saturating_sub(costs);
            assert!(took >= costs, "{target}: {took:?}");
            assert!(more <= Duration::from_millis(50), "{target}: {took:?}");
            network.run("ip6tables", "-w -F INPUT")?;
        }
        Ok(())
    });
}

#[test]
fn an_address_that_answers_after_seconds_is_still_taken() {
    inside(CPU, |network| {
        let late = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
        let dead = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addresses = [late.local_addr().unwrap(), dead.local_addr().unwrap()];
        rule6(network, addresses[0].port(), "DROP")?;
        network.rule(&format!("--dport {} --syn -j DROP", addresses[1].port()))?;
        // The kernel goes on asking, after 1 s for the first time.
        let answers = Box::new(|| {
            let mut flush = std::process::Command::new("ip6tables");
            assert!(
                flush
                    .args(["-w", "-F", "INPUT"])
                    .status()
                    .unwrap()
                    .success()
            );
        });
        let (connected, took) = race(&addresses, Some((Duration::from_secs(2), answers)));
        assert_eq!(connected, addresses[0]);
        assert!(
            took > Duration::from_secs(2) && took < Duration::from_secs(6),
            "{took:?}"
        );
        Ok(())
    });
}
