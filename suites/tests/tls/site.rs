//! The server that is attacked, and how it has to be afterwards.

use std::{
    net::{SocketAddr, TcpStream},
    process::Command,
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConfig, version};
use suites::{
    certificates::{Certificate, text},
    others::{free_address, tool},
    victim::{DEADLINE, Mark, Victim, within},
};
use tempfile::TempDir;

use crate::{
    certificate::CERTIFICATES,
    client::{HELLO, Honest, config},
};

/// Bytes of `/big`.
pub const BIG: u64 = 1 << 30;

/// KiB that a server may keep after an attack: what its allocator does not give back.
const KEPT: u64 = 4 * 1024;

/// Connections that a server has had at the same time before it is attacked.
const WARM: usize = 100;

/// For how long an idle server is watched, and the processor time that it may take then.
const WATCHED: Duration = Duration::from_millis(150);
const IDLE: Duration = Duration::from_millis(10);

/// `http_server` with TLS, or nginx with `ASYNCHAT_TLS_TARGET=nginx`: the attackers have to do no harm there either.
pub struct Site {
    pub victim: Victim,
    pub root: TempDir,
    pub config: Arc<ClientConfig>,
}

pub fn is_nginx() -> bool {
    std::env::var_os("ASYNCHAT_TLS_TARGET").is_some_and(|value| value == "nginx")
}

impl Site {
    /// For what is no attack, and true of `http_server` only.
    #[track_caller]
    pub fn start_ours() -> Option<Self> {
        if is_nginx() {
            return None;
        }
        Self::start(&[])
    }

    /// `None`, with a line, if this is about nginx and there is none.
    #[track_caller]
    pub fn start(options: &[&str]) -> Option<Self> {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("hello.txt"), HELLO).unwrap();
        let big = std::fs::File::create(root.path().join("big")).unwrap();
        big.set_len(BIG).unwrap();
        let victim = if is_nginx() {
            nginx(&root)?
        } else {
            let Certificate { cert, key } = &CERTIFICATES.first;
            let tls = ["--tls-cert", text(cert), "--tls-key", text(key)];
            let root = ["--root", root.path().to_str().unwrap(), "--port", "0"];
            Victim::start("http_server", &[&root[..], &tls, options].concat())
        };
        let config = config(&[&version::TLS12, &version::TLS13]);
        let site = Self {
            victim,
            root,
            config,
        };
        // What is taken once and for all is taken now, not during the attack.
        let before = site.victim.descriptors();
        let mut many: Vec<Honest> = (0..WARM).map(|_| site.honest()).collect();
        for honest in &mut many {
            honest.ask();
        }
        drop(many);
        within(DEADLINE, || site.victim.descriptors() <= before);
        Some(site)
    }

    pub fn address(&self) -> SocketAddr {
        self.victim.address
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address().port())
    }

    pub fn honest(&self) -> Honest {
        Honest::new(self.address(), &self.config)
    }

    /// Attacks twice, so that what an allocator keeps of the first time is no matter, and looks at what is left.
    #[track_caller]
    pub fn survives_twice(&self, attack: &str, mut attack_once: impl FnMut(&Mark)) {
        for is_second in [false, true] {
            let mark = self.victim.mark();
            attack_once(&mark);
            self.victim.is_as_at(&mark);
            if is_second {
                self.survives(attack, &mark);
            }
        }
    }

    /// A connection of its own is answered.
    #[track_caller]
    pub fn serves(&self) {
        self.honest().ask();
    }

    /// Takes no processor time for a while; gives what it takes.
    #[track_caller]
    pub fn is_idle(&self, what: &str) -> Duration {
        // What is still being closed may be that for a moment.
        let mut least = WATCHED;
        let calm = within(DEADLINE, || {
            let before = self.victim.cpu();
            within(WATCHED, || false);
            least = least.min(self.victim.cpu() - before);
            least <= IDLE
        });
        assert!(
            calm,
            "{what}: {least:?} of {WATCHED:?} while nothing happens"
        );
        least
    }

    /// After an attack: descriptors and memory are back, it does not spin, others are served.
    #[track_caller]
    pub fn survives(&self, attack: &str, mark: &Mark) {
        self.serves();
        self.victim.is_as_at(mark);
        let cost = self.victim.since(mark);
        let kept = || self.victim.resident().0.saturating_sub(mark.resident);
        let idle = self.is_idle(attack);
        eprintln!(
            "| {attack} | {} KiB, {} kept | {:?} of {:?} | idle {idle:?} | {} lines",
            cost.memory,
            kept(),
            cost.cpu,
            cost.wall,
            cost.lines
        );
        assert!(kept() <= KEPT, "{attack}: {} KiB more than before", kept());
        assert!(
            idle <= IDLE,
            "{attack}: {idle:?} of {WATCHED:?} while nothing happens"
        );
        let errors = self.victim.log_lines_with(" ERROR ");
        assert_eq!(errors, 0, "{attack}: {}", self.victim.log_tail());
    }
}

/// One process, as ours is.
fn nginx(root: &TempDir) -> Option<Victim> {
    let nginx = tool("nginx")?;
    let address = free_address();
    let place = root.path().display();
    let text = format!(
        "daemon off; master_process off; pid {place}/pid; error_log /dev/null;
         worker_rlimit_nofile 20000; events {{ worker_connections 15000; }}
         http {{ access_log off; client_header_timeout 10s;
            client_body_temp_path {place}/b; proxy_temp_path {place}/p; fastcgi_temp_path {place}/f;
            uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
            server {{ listen {address} ssl backlog=4096; root {place}; keepalive_requests 1000000; ssl_protocols TLSv1.2 TLSv1.3;
                ssl_certificate {}; ssl_certificate_key {}; }} }}",
        CERTIFICATES.first.cert.display(),
        CERTIFICATES.first.key.display(),
    );
    let file = root.path().join("nginx.conf");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "echo $0; exec $1 -c $2 -e /dev/null"]);
    command
        .arg(address.to_string())
        .arg(nginx.get_program())
        .arg(file);
    let victim = Victim::run(&mut command);
    let listens = within(DEADLINE, || TcpStream::connect(address).is_ok());
    assert!(listens, "{}", victim.log_tail());
    Some(victim)
}
