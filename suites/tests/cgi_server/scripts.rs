//! The scripts that the server is tested with, and the files beside them. Written once, before any process is started: a
//! file that a child has open for writing cannot be run.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::LazyLock,
};

/// The names of scripts and their lines behind `#!/bin/sh`.
const SCRIPTS: &[(&str, &str)] = &[
    (
        "env.sh",
        "printf 'Content-Type: text/plain\\n\\n'; exec env",
    ),
    (
        "crlf.sh",
        "printf 'Content-Type: text/plain\\r\\nX-Own: 1\\r\\n\\r\\ncrlf'",
    ),
    (
        "id.sh",
        "printf 'Content-Type: text/plain\\n\\n'; id -u; id -g; id -G",
    ),
    (
        "args.sh",
        "printf 'Content-Type: text/plain\\n\\n'; echo $#; pwd",
    ),
    (
        "fds.sh",
        "printf 'Content-Type: text/plain\\n\\n'; for fd in /proc/$$/fd/*; do readlink $fd; done",
    ),
    (
        "echo.sh",
        "printf 'Content-Type: text/plain\\n\\n'; exec cat",
    ),
    (
        "mirror.sh",
        "printf \"Content-Type: text/plain\\nContent-Length: $CONTENT_LENGTH\\n\\n\"; exec cat",
    ),
    (
        "status.sh",
        "printf 'Status: 404 Nope\\nContent-Type: text/plain\\n\\nnope'",
    ),
    (
        "interim.sh",
        "printf 'Status: 100 Continue\\nContent-Type: text/plain\\n\\n'",
    ),
    (
        "switch.sh",
        "printf 'Status: 101 Switching Protocols\\nUpgrade: x\\n\\n'",
    ),
    (
        "junk-status.sh",
        "printf 'Status: OK\\nContent-Type: text/plain\\n\\n'",
    ),
    (
        "whole-input.sh",
        "cat > /dev/null; printf 'Content-Type: text/plain\\n\\n'",
    ),
    ("no-header.sh", "echo hello"),
    ("no-fields.sh", "printf '\\nhello'"),
    ("empty.sh", "exit 0"),
    ("cut-header.sh", "printf 'Content-Type: text/plain\\n'"),
    (
        "control.sh",
        "printf 'Content-Type: text/plain\\nX: a\\rSet-Cookie: b\\n\\n'",
    ),
    (
        "chunked.sh",
        "printf 'Content-Type: text/plain\\nTransfer-Encoding: chunked\\n\\n0\\r\\n\\r\\n'",
    ),
    (
        "long-header.sh",
        "printf 'Content-Type: text/plain\\nX: '; head -c 70000 /dev/zero | tr '\\0' x; printf '\\n\\n'",
    ),
    (
        "length.sh",
        "printf 'Content-Type: text/plain\\nContent-Length: 5\\n\\nhello'",
    ),
    (
        "short.sh",
        "printf 'Content-Type: text/plain\\nContent-Length: 10\\n\\nhello'",
    ),
    (
        "long.sh",
        "printf 'Content-Type: text/plain\\nContent-Length: 5\\n\\nhello, world'",
    ),
    ("nothing.sh", "printf 'Status: 204\\n\\n'"),
    ("redirect.sh", "printf 'Location: http://b.example/x\\n\\n'"),
    (
        "relative.sh",
        "printf 'Status: 303\\nLocation: /hello.txt\\n\\n'",
    ),
    ("local.sh", "printf 'Location: /hello.txt\\n\\n'"),
    (
        "local-script.sh",
        "printf 'Location: /cgi-bin/env.sh/x%%20y?a=b\\n\\n'",
    ),
    ("local-out.sh", "printf 'Location: /../secret\\n\\n'"),
    ("local-missing.sh", "printf 'Location: /missing\\n\\n'"),
    ("loop.sh", "printf 'Location: /cgi-bin/loop.sh\\n\\n'"),
    (
        "nph-raw.sh",
        "printf 'HTTP/1.1 299 Raw\\r\\nX-Raw: 1\\r\\n\\r\\nraw'",
    ),
    ("nph-bad.sh", "printf 'Content-Type: text/plain\\n\\nhello'"),
    (
        "errors.sh",
        "echo 'first words' >&2; printf '\\033[31mred\\n' >&2; printf 'Content-Type: text/plain\\n\\n'; printf last >&2",
    ),
    (
        "chatter.sh",
        "printf 'Content-Type: text/plain\\n\\n'; yes chatter | head -n 100000 >&2; echo done",
    ),
    (
        "fails.sh",
        "printf 'Content-Type: text/plain\\n\\nhello'; exit 3",
    ),
    ("sleep.sh", "echo $$ >&2; sleep 100 & echo $! >&2; wait"),
    (
        "half.sh",
        "printf 'Content-Type: text/plain\\n\\nhalf'; echo $$ >&2; sleep 100",
    ),
    (
        "stubborn.sh",
        "trap '' TERM; echo $$ >&2; while :; do sleep 100; done",
    ),
    (
        "lingers.sh",
        "printf 'Content-Type: text/plain\\nContent-Length: 2\\n\\nok'; exec >&-; echo $$ >&2; sleep 100",
    ),
    (
        "background.sh",
        "printf 'Content-Type: text/plain\\n\\n'; (sleep 100 >/dev/null 2>&1 & echo $!)",
    ),
    (
        "brief.sh",
        "sleep 0.2; printf 'Content-Type: text/plain\\n\\nbrief'",
    ),
    (
        "flood.sh",
        "printf 'Content-Type: text/plain\\n\\n'; exec cat /dev/zero",
    ),
    (
        "large.sh",
        "printf 'Content-Type: application/octet-stream\\n\\n'; exec head -c \"$QUERY_STRING\" /dev/zero",
    ),
    (
        "count.sh",
        "printf 'Content-Type: text/plain\\n\\n'; exec wc -c",
    ),
    (
        "deaf.sh",
        "exec <&-; printf 'Content-Type: text/plain\\n\\ndeaf'",
    ),
    ("unread.sh", "printf 'Content-Type: text/plain\\n\\nunread'"),
];

static SITE: LazyLock<tempfile::TempDir> = LazyLock::new(write);

/// The folder of `cgi-bin` and `www`.
pub(crate) fn site() -> &'static Path {
    SITE.path()
}

fn write() -> tempfile::TempDir {
    let site = tempfile::tempdir().unwrap();
    let top = site.path();
    // If the server is started by root, scripts run as another user.
    allow(top, 0o755);
    for folder in ["cgi-bin", "cgi-bin/sub", "www", "www/sub", "www/with-index"] {
        fs::create_dir(top.join(folder)).unwrap();
        allow(&top.join(folder), 0o755);
    }
    let put = |name: &str, text: &str, mode: u32| -> PathBuf {
        let file = top.join(name);
        fs::write(&file, text).unwrap();
        allow(&file, mode);
        file
    };
    for (name, lines) in SCRIPTS {
        put(
            &format!("cgi-bin/{name}"),
            &format!("#!/bin/sh\n{lines}\n"),
            0o755,
        );
    }
    // Its child is the leader of a group that it joins, in which no request to end reaches it.
    let stray = "#!/usr/bin/python3\nimport os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nchild = os.fork()\n\
                 if child == 0:\n    os.setpgid(0, 0)\n    time.sleep(100)\ntime.sleep(0.1)\nos.setpgid(0, child)\ntime.sleep(100)\n";
    put("cgi-bin/stray.py", stray, 0o755);
    put("cgi-bin/plain.sh", "#!/bin/sh\n", 0o644);
    put("cgi-bin/no-interpreter", "#!/no/such/interpreter\n", 0o755);
    put("cgi-bin/no-program", "echo hello\n", 0o755);
    put("www/hello.txt", "hello, world", 0o644);
    put("www/with-index/index.html", "<p>index", 0o644);
    put("secret", "secret", 0o644);
    symlink("../secret", top.join("cgi-bin/link.sh")).unwrap();
    symlink("../cgi-bin/env.sh", top.join("www/script.txt")).unwrap();
    site
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
