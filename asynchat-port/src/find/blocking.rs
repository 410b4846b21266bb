//! Calls that keep the loop from turning.

use crate::{
    find::{
        call::{self, Call},
        findings::Findings,
        here::Here,
        types::Type,
    },
    model::FunctionId,
};

/// Functions and classes of other modules whose call may take long.
const FUNCTIONS: &[&str] = &[
    "commands.getoutput",
    "commands.getstatusoutput",
    "dns.resolver.query",
    "dns.resolver.resolve",
    "fcntl.flock",
    "fcntl.lockf",
    "ftplib.FTP",
    "getpass.getpass",
    "http.client.HTTPConnection",
    "httplib.HTTPConnection",
    "imaplib.IMAP4",
    "MySQLdb.connect",
    "nntplib.NNTP",
    "os.popen",
    "os.spawnlp",
    "os.spawnv",
    "os.spawnvp",
    "os.system",
    "os.wait",
    "os.waitpid",
    "poplib.POP3",
    "psycopg2.connect",
    "pymysql.connect",
    "requests.get",
    "requests.post",
    "requests.put",
    "requests.request",
    "smtplib.SMTP",
    "smtplib.SMTP_SSL",
    "socket.create_connection",
    "socket.getaddrinfo",
    "socket.getfqdn",
    "socket.gethostbyaddr",
    "socket.gethostbyname",
    "socket.gethostbyname_ex",
    "socket.getnameinfo",
    "sqlite3.connect",
    "subprocess.Popen.communicate",
    "subprocess.Popen.wait",
    "subprocess.call",
    "subprocess.check_call",
    "subprocess.check_output",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
    "subprocess.run",
    "sys.stdin.buffer.read",
    "sys.stdin.buffer.readline",
    "sys.stdin.buffer.readlines",
    "sys.stdin.read",
    "sys.stdin.readline",
    "sys.stdin.readlines",
    "telnetlib.Telnet",
    "time.sleep",
    "urllib.request.urlopen",
    "urllib.request.urlretrieve",
    "urllib.urlopen",
    "urllib.urlretrieve",
    "urllib2.urlopen",
    "xmlrpc.client.ServerProxy",
    "xmlrpclib.ServerProxy",
];

/// Methods of objects of other modules that wait for another thread, process or host.
const METHODS: &[(&str, &[&str])] = &[
    ("MySQLdb.connect", &["commit"]),
    ("MySQLdb.connect.cursor", STATEMENTS),
    ("Queue.Queue", &["get", "join", "put"]),
    ("multiprocessing.Process", &["join"]),
    ("multiprocessing.Queue", &["get"]),
    ("os.popen", &["read", "readline", "readlines", "close"]),
    ("psycopg2.connect", &["commit"]),
    ("psycopg2.connect.cursor", STATEMENTS),
    ("pymysql.connect", &["commit"]),
    ("pymysql.connect.cursor", STATEMENTS),
    ("queue.Queue", &["get", "join", "put"]),
    (
        "requests.Session",
        &["delete", "get", "head", "patch", "post", "put", "request"],
    ),
    (
        "socket.socket",
        &["accept", "connect", "makefile", "recv", "sendall"],
    ),
    ("sqlite3.connect", STATEMENTS),
    ("sqlite3.connect.cursor", STATEMENTS),
    ("subprocess.Popen", &["communicate", "wait"]),
    ("threading.Condition", &["acquire", "wait"]),
    ("threading.Event", &["wait"]),
    ("threading.Lock", &["acquire"]),
    ("threading.RLock", &["acquire"]),
    ("threading.Semaphore", &["acquire"]),
    ("threading.Thread", &["join"]),
];

/// Methods that wait for a database.
const STATEMENTS: &[&str] = &["commit", "execute", "executemany", "executescript"];

/// Builtin functions.
const BUILTINS: [&str; 2] = ["input", "raw_input"];

/// Those that wait until another thread, process or moment has come, and not for the system alone.
const WAITS: [&str; 11] = [
    "accept",
    "acquire",
    "communicate",
    "flock",
    "get",
    "join",
    "lockf",
    "sleep",
    "system",
    "wait",
    "waitpid",
];

/// Calls before one that blocks that are looked at.
const LOOK_BACK: usize = 20;

/// Functions of a way that are named.
const NAMED: usize = 6;

/// At a call.
pub(crate) fn visit(here: Here<'_, '_>, out: &mut Findings<'_, '_>, call: &Call<'_>) {
    let Some(function) = call
        .function()
        .filter(|&function| here.context.reach.in_callback(function))
    else {
        return;
    };
    let Some(name) = blocking(here, call) else {
        return;
    };
    let way = way(here, function);
    out.pitfall(call.node, "Blocking calls", &name, Some(way));
    // The `get` of a queue, not that of a host.
    let waits = WAITS.contains(&call.name) && !name.starts_with("requests.");
    if waits && has_pushed(here, call) {
        out.difference(
            call.node,
            "`push`, then waiting in the same callback",
            &format!("push, then {name}"),
        );
        out.pitfall(call.node, "Waiting inside a callback", &name, None);
    }
}

/// The name of a call that blocks.
fn blocking(here: Here<'_, '_>, call: &Call<'_>) -> Option<String> {
    if let Some(name) = call.foreign() {
        return FUNCTIONS
            .contains(&name)
            .then(|| name.to_owned())
            .filter(|_| !is_told_not_to(here, call));
    }
    let Some(object) = call.object else {
        let is_builtin =
            call.found.target == crate::model::Target::Unknown && BUILTINS.contains(&call.name);
        return is_builtin.then(|| call.name.to_owned());
    };
    // The socket of a channel does not block.
    if here.is_socket_of_channel(object) {
        return None;
    }
    let Some(Type::Foreign(class)) = here.type_of(object) else {
        return None;
    };
    let known = METHODS.iter().find(|known| known.0 == class)?;
    let blocks = known.1.contains(&call.name) && !is_told_not_to(here, call);
    blocks.then(|| format!("{class}.{}", call.name))
}

/// `acquire(False)`, `get(block=False)`, `waitpid(pid, WNOHANG)`, `flock(file, LOCK_EX | LOCK_NB)`.
fn is_told_not_to(here: Here<'_, '_>, call: &Call<'_>) -> bool {
    let tree = here.tree;
    let given = call
        .arguments
        .iter()
        .copied()
        .chain(call.keywords.iter().map(|&(_, value)| value));
    given.into_iter().any(|value| {
        let text = tree.text(value);
        let is_no = matches!(text, "False" | "0") && matches!(call.name, "acquire" | "get" | "put");
        is_no
            || text.contains("WNOHANG")
            || text.contains("LOCK_NB")
            || text.contains("AI_NUMERICHOST")
    })
}

/// `in handle_read`, or `in handle_read, by way of process`.
fn way(here: Here<'_, '_>, function: FunctionId) -> String {
    let program = here.context.program;
    let way = here.context.reach.way(function);
    let names = way.iter().map(|&function| match program[function].class {
        Some(class) => format!("{}.{}", program[class].qualified, program[function].name),
        None => program[function].name.clone(),
    });
    let names: Vec<_> = names.collect();
    match &names[..] {
        [first] => format!("in {first}"),
        [first, .., last] if names.len() > NAMED => {
            format!(
                "in {first}, by way of {} functions, the last {last}",
                names.len() - 1
            )
        }
        [first, rest @ ..] => format!("in {first}, by way of {}", rest.join(", ")),
        [] => String::new(),
    }
}

/// A push earlier in the same function.
fn has_pushed(here: Here<'_, '_>, call: &Call<'_>) -> bool {
    let pushes = here
        .calls
        .before(call)
        .take(LOOK_BACK)
        .filter(|other| matches!(other.name, "push" | "push_with_producer" | "send"));
    pushes.into_iter().any(|other| {
        here.is_on_channel(other) && call::may_precede(here.tree, other.statement, call.statement)
    })
}
