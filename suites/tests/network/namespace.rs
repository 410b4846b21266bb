//! A network namespace for a test: the test's program runs itself again in one, and only there anything is changed.

use std::{
    env, fs,
    io::{self, Write},
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use suites::program;

/// Set for the run inside: the namespace outside, which it must not be in.
const OUTSIDE: &str = "ASYNCHAT_NETWORK_OUTSIDE";
/// The last line of a run inside that came to its end.
const DONE: &str = "inside: done";
/// A run inside that takes longer hangs: everything in it has shorter deadlines.
const HANGS: Duration = Duration::from_secs(300);

/// Why a test cannot be had here.
pub struct Skipped(String);

/// The errors are what is missing; a fault of the programs is a panic.
pub type Step<T = ()> = Result<T, Skipped>;

pub fn thorough() -> bool {
    env::var("ASYNCHAT_NETWORK").is_ok_and(|what| what == "all")
}

fn namespace() -> String {
    let link = fs::read_link("/proc/self/ns/net").unwrap();
    link.to_string_lossy().into_owned()
}

/// Nothing has been sent here yet.
fn unused() -> bool {
    let links = fs::read_to_string("/proc/self/net/dev").unwrap();
    let counters = links
        .lines()
        .skip(2)
        .filter_map(|line| line.split_once(':'));
    let mut counters = counters.flat_map(|(_, counters)| counters.split_whitespace());
    counters.all(|counter| counter == "0")
}

/// How to get a namespace: as root, or as root of a user namespace.
fn unshare() -> Option<&'static str> {
    static HOW: OnceLock<Option<&str>> = OnceLock::new();
    *HOW.get_or_init(|| {
        ["-n", "-rn"].into_iter().find(|how| {
            let mut probe = Command::new("unshare");
            probe.args([how, "ip", "link", "set", "lo", "up"]);
            let silent = probe.stdout(Stdio::null()).stderr(Stdio::null()).status();
            silent.is_ok_and(|status| status.success())
        })
    })
}

/// Runs `body` in a new namespace in which there is only loopback. All its programs together, helpers included, may
/// use `cpu` of processor time. To be called from a test with a closure of that test: its name is found by that.
pub fn inside<F: FnOnce(&Network) -> Step>(cpu: Duration, body: F) {
    if let Ok(outside) = env::var(OUTSIDE) {
        assert_ne!(namespace(), outside, "this is not a namespace of its own");
        assert!(unused(), "this is not a new namespace");
        let network = Network(());
        if let Err(Skipped(why)) = network
            .run("ip", "link set lo up")
            .and_then(|()| body(&network))
        {
            println!("-- skipped: {why}");
        }
        let used = children_cpu();
        println!("{used:?} of processor time");
        assert!(used <= cpu, "{used:?} of processor time: something spins");
        println!("{DONE}");
        return;
    }
    let test = std::any::type_name::<F>();
    let test = test
        .trim_start_matches("network::")
        .trim_end_matches("::{{closure}}");
    let Some(how) = unshare() else {
        return say(
            test,
            "-- skipped: no network namespace (unshare of util-linux, ip of iproute2)",
        );
    };
    let output = tempfile::NamedTempFile::new().unwrap();
    let stdio = || Stdio::from(output.as_file().try_clone().unwrap());
    let mut child = Command::new("unshare")
        .arg(how)
        .arg(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(OUTSIDE, namespace())
        .envs([program::built()])
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(stdio())
        .stderr(stdio())
        .spawn()
        .unwrap();
    let end = Instant::now() + HANGS;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if Instant::now() > end {
            // With the programs it started.
            let group = format!("-{}", child.id());
            let _ = Command::new("kill")
                .args(["-s", "KILL", "--", &group])
                .status();
            let _ = child.wait();
            break None;
        }
        thread::park_timeout(Duration::from_millis(10));
    };
    let said = fs::read_to_string(output.path()).unwrap();
    let good = status.is_some_and(|status| status.success());
    // Without that line it may be that no test of that name has run.
    assert!(
        good && said.lines().any(|line| line == DONE),
        "{status:?}: {said}"
    );
    for line in said.lines() {
        // The harness begins the line.
        if let Some(skipped) = line.find("-- skipped: ") {
            say(test, &line[skipped..]);
        }
    }
    println!("{said}");
}

/// Past the harness, which keeps what a successful test prints.
fn say(test: &str, line: &str) {
    // In one piece: other tests have their say too.
    let _ = io::stderr().write_all(format!("{test}: {line}\n").as_bytes());
}

/// Processor time of all programs that have ended and been waited for.
pub fn children_cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace();
    let ticks: u64 = fields
        .skip(13)
        .take(2)
        .map(|n| n.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(ticks * 10)
}

/// Proof of being inside.
pub struct Network(());

impl Network {
    /// Runs a tool with arguments without spaces in them.
    pub fn output(&self, tool: &str, args: &str) -> Step<String> {
        let told = |why: &dyn std::fmt::Display| Skipped(format!("{tool} {args}: {why}"));
        let output = Command::new(tool).args(args.split(' ')).output();
        let output = output.map_err(|error| told(&error))?;
        if !output.status.success() {
            return Err(told(&String::from_utf8_lossy(&output.stderr).trim()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    pub fn run(&self, tool: &str, args: &str) -> Step {
        self.output(tool, args).map(drop)
    }

    /// A rule for what arrives at loopback, which is all there is.
    pub fn rule(&self, rule: &str) -> Step {
        self.run("iptables", &format!("-w -A INPUT -i lo -p tcp {rule}"))
    }

    pub fn forget_rules(&self) -> Step {
        self.run("iptables", "-w -F INPUT")
    }

    /// Segments that the rules have dropped or rejected.
    pub fn hit(&self) -> Step<u64> {
        let table = self.output("iptables", "-w -nvxL INPUT")?;
        let rows = table.lines().map(|line| line.split_whitespace());
        let counts = rows.filter_map(|mut row| {
            let (packets, target) = (row.next()?.parse::<u64>().ok()?, row.nth(1)?);
            matches!(target, "DROP" | "REJECT").then_some(packets)
        });
        Ok(counts.sum())
    }

    /// Sent so far.
    pub fn segments(&self) -> u64 {
        let counters = fs::read_to_string("/proc/self/net/snmp").unwrap();
        let mut tcp = counters.lines().filter(|line| line.starts_with("Tcp:"));
        let (names, values) = (tcp.next().unwrap(), tcp.next().unwrap());
        let mut fields = names.split(' ').zip(values.split(' '));
        let sent = fields.find(|&(name, _)| name == "OutSegs").unwrap().1;
        sent.parse().unwrap()
    }

    /// A tenth of the segments to and from that port, but for those that make a connection.
    pub fn loss(&self, port: u16) -> Step {
        let tenth = "-m statistic --mode random --probability 0.1 -j DROP";
        for end in ["dport", "sport"] {
            self.rule(&format!("--{end} {port} ! --tcp-flags SYN SYN {tenth}"))?;
        }
        Ok(())
    }

    /// Every fifth connection request, beginning with the first. Each is repeated after a second.
    pub fn lost_requests(&self, port: u16) -> Step {
        self.rule(&format!(
            "--dport {port} --syn -m statistic --mode nth --every 5 --packet 0 -j DROP"
        ))
    }

    /// Repeats lost segments after a round trip of loopback instead of 200 ms.
    pub fn quick_repeats(&self) -> Step {
        self.run(
            "ip",
            "route change table local local 127.0.0.1 dev lo rto_min 5ms",
        )
    }

    pub fn mtu(&self, bytes: u32) -> Step {
        // Otherwise loopback passes on what fills many segments as one.
        self.run("ip", &format!("link set lo mtu {bytes} gso_max_segs 1"))
    }

    /// In bits per second, such as `2mbit`, with room for what everybody may have under way: nothing is lost.
    pub fn rate(&self, rate: &str) -> Step {
        self.mtu(1500)?;
        self.set("tcp_wmem", "4096 16384 65536")?;
        self.run(
            "tc",
            &format!("qdisc replace dev lo root tbf rate {rate} burst 16k limit 4m"),
        )
    }

    /// The same for what goes to or comes from that port alone.
    pub fn rate_of_port(&self, port: u16, rate: &str) -> Step {
        self.mtu(1500)?;
        self.run("tc", "qdisc replace dev lo root handle 1: htb")?;
        self.run(
            "tc",
            &format!("class add dev lo parent 1: classid 1:1 htb rate {rate} burst 16k"),
        )?;
        for end in ["dport", "sport"] {
            let filter = format!("u32 match ip {end} {port} 0xffff flowid 1:1");
            self.run(
                "tc",
                &format!("filter add dev lo parent 1: protocol ip {filter}"),
            )?;
        }
        Ok(())
    }

    pub fn full_rate(&self) -> Step {
        self.run("tc", "qdisc del dev lo root")
    }

    pub fn set(&self, name: &str, value: &str) -> Step {
        let path = format!("/proc/sys/net/ipv4/{name}");
        fs::write(&path, value).map_err(|error| Skipped(format!("{path}: {error}")))
    }

    /// As small as they get: about 3 kB are taken before a sender has to wait.
    pub fn small_buffers(&self) -> Step {
        self.set("tcp_wmem", "4096 4096 4096")?;
        self.set("tcp_rmem", "2048 2048 2048")
    }

    /// The other port of some connection to that port.
    pub fn connected_to(&self, port: u16) -> Step<u16> {
        let listed = self.output("ss", &format!("-H -tn state established dport = :{port}"))?;
        let local = listed.split_whitespace().nth(2);
        let local = local.and_then(|address| address.rsplit(':').next()?.parse().ok());
        Ok(local.expect("a connection"))
    }

    /// Ends the connections whose socket fits, as seen from that socket, with an error; the other end hears a reset.
    pub fn kill(&self, sockets: &str) -> Step {
        let killed = self.output("ss", &format!("-K -H -tn state established {sockets}"))?;
        if killed.trim().is_empty() {
            return Err(Skipped(format!(
                "ss -K {sockets}: this kernel kills no sockets"
            )));
        }
        Ok(())
    }
}
