//! Servers of others.

use suites::{
    others::{self, Server, free_address, python_with, unpacked},
    program::{Program, example},
};

#[track_caller]
fn client(server: &Server, args: &[&str]) -> String {
    let mut client = example("telnet_client");
    let port = server.address.port().to_string();
    client
        .env("TERM", "vt220")
        .args(["--timeout", "20", "127.0.0.1", &port]);
    let ended = Program::start(client.args(args)).ended();
    assert_eq!(
        (ended.code, ended.err.as_str()),
        (Some(0), ""),
        "{}",
        ended.out()
    );
    ended.out()
}

#[test]
fn telnetd_starts_a_shell_for_the_client() {
    let (Some(xinetd), Some(telnetd)) = (unpacked("xinetd"), unpacked("inetutils-telnetd")) else {
        return;
    };
    if !others::is_root() {
        suites::skip("only root can start telnetd");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    let config = folder.path().join("xinetd.conf");
    // A shell in place of login, which would need a user with a password.
    let text = format!(
        "service telnet\n{{\n  type = UNLISTED\n  socket_type = stream\n  protocol = tcp\n  user = root\n  wait = no\n  \
         port = {}\n  bind = 127.0.0.1\n  server = {}\n  server_args = -E /bin/sh\n}}\n",
        address.port(),
        telnetd.path("usr/sbin/telnetd").display()
    );
    std::fs::write(&config, text).unwrap();
    let mut command = xinetd.command("usr/sbin/xinetd");
    command
        .arg("-f")
        .arg(&config)
        .args(["-dontfork", "-stayalive", "-filelog"])
        .arg(folder.path().join("log"))
        .arg("-pidfile")
        .arg(folder.path().join("pid"));
    let server = Server::start_in(folder, &mut command, address);
    let said = client(
        &server,
        &[
            "--expect",
            "# ",
            "--send",
            "echo q$((2*3)) $TERM; stty size",
            "--expect",
            "80\r\n",
            "--send",
            "exit",
        ],
    );
    assert!(said.contains("q6 vt220\r\n24 80\r\n"), "{said:?}");
}

#[test]
fn telnetlib3_is_understood() {
    let Some(mut python) = python_with("telnetlib3") else {
        return;
    };
    let address = free_address();
    python
        .args([
            "-c",
            "from telnetlib3.server import main; main()",
            "127.0.0.1",
        ])
        .arg(address.port().to_string());
    let server = Server::start(&mut python, address);
    let said = client(
        &server,
        &[
            "--expect", "sh> ", "--send", "help", "--expect", "dump", "--expect", "sh> ", "--send",
            "quit",
        ],
    );
    assert!(said.ends_with("Goodbye.\r\n"), "{said:?}");
}
