//! `--tls-cert` and `--tls-key`: what is wrong with a pair of files, and SIGHUP.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, pem::PemObject},
};
use suites::{
    certificates::{Authority, Certificate, text},
    lacks,
    program::{self, Program, eventually},
    tls::{self, VERSIONS},
    web_server::{Client, connect},
};
use tempfile::TempDir;

const GET: &str = "GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n";

/// Files that a server reads its pair from, and pairs to put there.
struct Files {
    authority: Authority,
    folder: TempDir,
    pair: Certificate,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("hello.txt"), "hello, world").unwrap();
        let pair = Certificate {
            cert: folder.path().join("cert.pem"),
            key: folder.path().join("key.pem"),
        };
        let mut files = Self {
            authority: Authority::new(),
            folder,
            pair,
        };
        let first = files.authority.issue(&["localhost"]);
        files.put(&first);
        files
    }

    /// Puts a pair where the server looks.
    fn put(&self, pair: &Certificate) {
        fs::copy(&pair.cert, &self.pair.cert).unwrap();
        fs::copy(&pair.key, &self.pair.key).unwrap();
    }

    fn options(&self) -> Vec<&str> {
        let root = text(self.folder.path());
        let (cert, key) = (text(&self.pair.cert), text(&self.pair.key));
        vec![
            "--port",
            "0",
            "--quiet",
            "--root",
            root,
            "--tls-cert",
            cert,
            "--tls-key",
            key,
        ]
    }

    fn serve(&self, options: &[&str]) -> (Program, SocketAddr) {
        program::serve("http_server", &[&self.options(), options].concat())
    }

    fn trusting(&self) -> Arc<ClientConfig> {
        tls::trusting(&self.authority.file(), &VERSIONS)
    }
}

fn der(pair: &Certificate) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(&pair.cert).unwrap()
}

/// A client that has been answered.
fn served(address: SocketAddr, config: &Arc<ClientConfig>) -> Client<tls::Client> {
    let mut client = Client::new(tls::client(connect(address), config));
    client.ask(GET).expect(200);
    client
}

fn shown(client: &Client<tls::Client>) -> CertificateDer<'static> {
    client.stream.conn.peer_certificates().unwrap()[0].clone()
}

#[test]
fn a_pair_that_cannot_be_used_is_one_line_that_names_the_file_and_the_cause() {
    let files = Files::new();
    let folder = files.folder.path();
    let put = |name: &str, text: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let cert = fs::read(&files.pair.cert).unwrap();
    let key = fs::read(&files.pair.key).unwrap();
    let of_another = Files::new();
    let old_style = b"-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n\
                      -----END EC PRIVATE KEY-----\n";
    let pkcs8 =
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let odd = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let not_der = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cases: Vec<(PathBuf, PathBuf, &str)> = vec![
        (
            folder.join("none"),
            files.pair.key.clone(),
            "cannot read the certificate from FOLDER/none: ",
        ),
        (
            files.pair.cert.clone(),
            folder.join("none"),
            "cannot read the key from FOLDER/none: ",
        ),
        (
            put("empty", b""),
            files.pair.key.clone(),
            "there is no certificate in FOLDER/empty: ",
        ),
        (
            files.pair.key.clone(),
            files.pair.key.clone(),
            "there is no certificate in FOLDER/key.pem: ",
        ),
        (
            files.pair.cert.clone(),
            files.pair.cert.clone(),
            "there is no private key in FOLDER/cert.pem: ",
        ),
        (
            put("half", &cert[..100]),
            files.pair.key.clone(),
            "FOLDER/half is malformed: ",
        ),
        (
            files.pair.cert.clone(),
            put("half key", &key[..60]),
            "FOLDER/half key is malformed: ",
        ),
        (
            put("not base64", &[&cert[..60], b"\n*\n", &cert[60..]].concat()),
            files.pair.key.clone(),
            "FOLDER/not base64 is malformed: ",
        ),
        (
            put("not DER", not_der),
            files.pair.key.clone(),
            "the first certificate in FOLDER/not DER is malformed",
        ),
        (
            files.pair.cert.clone(),
            put("old", old_style),
            "the key in FOLDER/old is encrypted: openssl pkey ",
        ),
        (
            files.pair.cert.clone(),
            put("pkcs8", pkcs8),
            "the key in FOLDER/pkcs8 is encrypted: openssl pkey ",
        ),
        (
            files.pair.cert.clone(),
            put("odd", odd),
            "the key in FOLDER/odd is of an unknown kind: ",
        ),
        (
            files.pair.cert.clone(),
            of_another.pair.key.clone(),
            "is not that of the first certificate in FOLDER/cert.pem",
        ),
        (
            "/dev/zero".into(),
            files.pair.key.clone(),
            "cannot read the certificate from /dev/zero: more than ",
        ),
    ];
    for (cert, key, cause) in cases {
        if cfg!(windows) && cert.starts_with("/dev") {
            continue;
        }
        let (cert, key) = (text(&cert), text(&key));
        let ended = program::run(
            "http_server",
            &["--port", "0", "--tls-cert", cert, "--tls-key", key],
        );
        let inside = format!("{}{}", text(folder), std::path::MAIN_SEPARATOR);
        let cause = cause.replace("FOLDER/", &inside);
        assert_eq!(
            (ended.code, ended.err.lines().count()),
            (Some(1), 1),
            "{}",
            ended.err
        );
        assert!(ended.err.contains(&cause), "{}\n{cause}", ended.err);
    }
    for arguments in [
        &["--tls-cert", "a"][..],
        &["--tls-key", "a"],
        &["--tls-port", "1"],
        &[
            "--port",
            "7",
            "--tls-port",
            "7",
            "--tls-cert",
            "a",
            "--tls-key",
            "b",
        ],
    ] {
        let ended = program::run("http_server", arguments);
        assert_eq!(
            (ended.code, ended.err.lines().count()),
            (Some(2), 1),
            "{}",
            ended.err
        );
    }
}

#[test]
fn one_file_may_hold_both_and_more() {
    let files = Files::new();
    let both = files.folder.path().join("both.pem");
    let parts = [&files.pair.key, &files.pair.cert].map(|path| fs::read_to_string(path).unwrap());
    fs::write(
        &both,
        format!("A key:\n{}{}{}", parts[0], parts[1], parts[1]),
    )
    .unwrap();
    let pair = Certificate {
        cert: both.clone(),
        key: both,
    };
    let files = Files { pair, ..files };
    let (_program, address) = files.serve(&[]);
    let client = served(address, &files.trusting());
    assert_eq!(client.stream.conn.peer_certificates().unwrap().len(), 2);
}

/// Wherever the signal is taken and the connections are: one thread, or several.
#[test]
fn a_hangup_gives_new_connections_the_new_pair_and_open_ones_keep_theirs() {
    if cfg!(windows) {
        return lacks("Windows has no SIGHUP");
    }
    for options in [
        &[][..],
        &["--threads", "3", "--spread", "kernel"],
        &["--threads", "3", "--spread", "accept"],
    ] {
        let mut files = Files::new();
        let (program, address) = files.serve(options);
        let old = der(&files.pair);
        let config = files.trusting();
        let mut early: Vec<_> = (0..6).map(|_| served(address, &config)).collect();
        let new = files.authority.issue(&["localhost"]);
        files.put(&new);
        program.signal("HUP");
        // Without a session of before: a resumption shows no certificate.
        eventually(|| {
            let seen = shown(&served(address, &files.trusting()));
            assert!(seen == old || seen == der(&new));
            (seen == der(&new)).then_some(())
        });
        for client in &mut early {
            client.ask(GET).expect(200);
            assert!(shown(client) == old);
        }
        // One from before the exchange gets a new session, and with it the new certificate.
        assert!(shown(&served(address, &config)) == der(&new));
        drop(early);
        program::ends_well_when_terminated(program);
    }
}

#[test]
fn a_pair_that_is_bad_at_a_hangup_is_an_error_in_the_log_and_the_old_one_stays() {
    if cfg!(windows) {
        return lacks("Windows has no SIGHUP");
    }
    let mut files = Files::new();
    let (program, address) = files.serve(&[]);
    let old = der(&files.pair);
    let kept = served(address, &files.trusting());
    let another = files.authority.issue(&["localhost"]);
    for round in 0..4 {
        match round {
            0 => drop(fs::copy(&another.cert, &files.pair.cert)),
            1 => fs::write(&files.pair.key, "").unwrap(),
            2 => fs::remove_file(&files.pair.key).unwrap(),
            // Nobody will ever write to it.
            _ => {
                let made = Command::new("mkfifo").arg(&files.pair.key).status();
                assert!(made.unwrap().success());
            }
        }
        program.signal("HUP");
        // The signal is taken before what comes after it.
        for _ in 0..3 {
            assert!(shown(&served(address, &files.trusting())) == old);
        }
    }
    // The next good pair counts.
    fs::remove_file(&files.pair.key).unwrap();
    files.put(&another);
    program.signal("HUP");
    eventually(|| (shown(&served(address, &files.trusting())) == der(&another)).then_some(()));
    drop(kept);
    program.signal("TERM");
    let ended = program.ended();
    assert_eq!(ended.code, Some(0));
    let errors: Vec<_> = ended.err.lines().collect();
    assert!((1..=4).contains(&errors.len()), "{errors:?}");
    for error in errors {
        assert!(
            error.contains("ERROR") && error.contains("the old certificate and key stay: "),
            "{error}"
        );
    }
}

#[test]
fn reloads_under_load_cost_no_request() {
    if cfg!(windows) {
        return lacks("Windows has no SIGHUP");
    }
    const RELOADS: usize = 10;
    let mut files = Files::new();
    // In one file, which is exchanged in one step: no signal finds halves of two pairs.
    let both = files.folder.path().join("both.pem");
    let pairs = [(); 2].map(|()| files.authority.issue(&["localhost"]));
    let put = |pair: &Certificate| {
        let parts = [&pair.cert, &pair.key].map(|path| fs::read(path).unwrap());
        let staged = both.with_extension("staged");
        fs::write(&staged, parts.concat()).unwrap();
        fs::rename(&staged, &both).unwrap();
    };
    put(&pairs[0]);
    files.pair = Certificate {
        cert: both.clone(),
        key: both.clone(),
    };
    let (program, address) = files.serve(&["--threads", "2"]);
    let config = files.trusting();
    let over = AtomicBool::new(false);
    let requests = AtomicUsize::new(0);
    thread::scope(|scope| {
        for lasting in [true, true, false, false] {
            let (config, over, requests) = (&config, &over, &requests);
            scope.spawn(move || {
                let mut client = served(address, config);
                while !over.load(Ordering::Relaxed) {
                    if !lasting {
                        client = served(address, config);
                    }
                    client.ask(GET).expect(200);
                    requests.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for round in 0..RELOADS {
            let before = requests.load(Ordering::Relaxed);
            put(&pairs[round % 2]);
            program.signal("HUP");
            eventually(|| (requests.load(Ordering::Relaxed) >= before + 10).then_some(()));
        }
        over.store(true, Ordering::Relaxed);
    });
    program::ends_well_when_terminated(program);
}

/// A plain server leaves the signal its effect.
#[test]
fn without_tls_a_hangup_ends_the_server_as_before() {
    if cfg!(windows) {
        return lacks("Windows has no SIGHUP");
    }
    if ignores_hangups() {
        return lacks("SIGHUP is ignored by what these tests start, as under nohup");
    }
    let (program, _) = program::serve("http_server", &["--port", "0"]);
    program.signal("HUP");
    assert_eq!(program.ended().code, None);
}

/// What a process ignores, those that it starts ignore too, and a shell does not change that.
fn ignores_hangups() -> bool {
    let survives = Command::new("sh").args(["-c", "kill -s HUP $$"]).status();
    survives.unwrap().success()
}
