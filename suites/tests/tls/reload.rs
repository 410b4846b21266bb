//! A new certificate while clients talk and come (SIGHUP): no connection is lost, and new ones see the new one.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use rustls::version;
use suites::{
    certificates::text,
    victim::{DEADLINE, Victim, within},
};

use crate::{
    certificate::{CERTIFICATES, der},
    client::{self, HELLO, Honest},
};

#[test]
fn a_certificate_is_exchanged_under_load() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello.txt"), HELLO).unwrap();
    let (cert, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    let put = |which: &suites::certificates::Certificate| {
        fs::copy(&which.cert, &cert).unwrap();
        fs::copy(&which.key, &key).unwrap();
    };
    put(&CERTIFICATES.first);
    let root = text(folder.path());
    let tls = ["--tls-cert", text(&cert), "--tls-key", text(&key)];
    let victim = Victim::start(
        "http_server",
        &[&["--root", root, "--port", "0"], &tls[..]].concat(),
    );
    let config = client::config(&[&version::TLS12, &version::TLS13]);
    let (first, second) = (
        der(&CERTIFICATES.first.cert),
        der(&CERTIFICATES.second.cert),
    );

    let mut old = Honest::new(victim.address, &config);
    old.ask();
    let mark = victim.mark();
    let stop = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicUsize::new(0));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            let (to, config) = (victim.address, Arc::clone(&config));
            thread::spawn(move || {
                while !stop.load(Relaxed) {
                    let mut honest = Honest::new(to, &config);
                    (0..3).for_each(|_| honest.ask());
                    done.fetch_add(1, Relaxed);
                }
            })
        })
        .collect();
    let shows = |expected: &[u8]| {
        within(DEADLINE, || {
            let mut honest = Honest::new(victim.address, &config);
            honest.ask();
            honest.certificate() == expected
        })
    };
    for round in 0..10 {
        let (which, shown) = match round % 2 {
            0 => (&CERTIFICATES.second, &second),
            _ => (&CERTIFICATES.first, &first),
        };
        put(which);
        victim.signal("HUP");
        assert!(shows(shown), "round {round}: {}", victim.log_tail());
        old.ask();
        assert_eq!(old.certificate(), *first);
    }
    // A pair that does not fit stays out.
    fs::copy(&CERTIFICATES.second.cert, &cert).unwrap();
    victim.signal("HUP");
    let refused = || victim.log_lines_with("ERROR") > 0;
    assert!(within(DEADLINE, refused), "{}", victim.log_tail());
    assert!(shows(&first));
    fs::write(&cert, "").unwrap();
    victim.signal("HUP");
    let refused = || victim.log_lines_with("ERROR") > 1;
    assert!(within(DEADLINE, refused), "{}", victim.log_tail());
    assert!(shows(&first));
    stop.store(true, Relaxed);
    for client in load {
        client.join().unwrap();
    }
    old.ask();
    eprintln!("10 reloads, {} connections meanwhile", done.load(Relaxed));
    victim.is_as_at(&mark);
    victim.ends_well();
}
