//! At a terminal, which is that of `script`.

use std::{env, net::SocketAddr, process::Command, sync::LazyLock};

use suites::{
    lacks,
    others::{Talk, free_address, run, tool},
    program::{eventually, path},
};

use crate::server::{Guest, serve};

/// Whether an emulator keeps the terminal's modes from the client: qemu 7.2 does not know TCGETS2, and answers ENOSYS.
/// Linux itself answers that to no request of ioctl, so that it can be no defect of the client. Nothing listens at the
/// address: a client that gets the modes is refused there.
static LACKS_MODES: LazyLock<bool> = LazyLock::new(|| {
    if env::var_os("ASYNCHAT_TEST_RUNNER").is_none_or(|runner| runner.is_empty()) {
        return false;
    }
    let Some(mut script) = tool("script") else {
        return false;
    };
    let port = free_address().port();
    let line = format!("{} 127.0.0.1 {port}", path("telnet_client").display());
    let said = run(script.args(["-qefc", &line, "/dev/null"]), b"");
    said.all.contains("(os error 38)")
});

/// The modes of the terminal before and behind the client, and its exit code between them.
fn started(address: SocketAddr, options: &str) -> Option<Talk> {
    let mut script = tool("script")?;
    if *LACKS_MODES {
        lacks("the emulator does not know the modes of a terminal (TCGETS2)");
        return None;
    }
    // Ctrl-C reaches the shell as well as the client, and dash would end of it.
    let line = format!(
        "trap : INT; tty; stty -g; {} {options} 127.0.0.1 {}; echo code $?; stty -g; echo end",
        path("telnet_client").display(),
        address.port()
    );
    script
        .args(["-qefc", &line, "/dev/null"])
        .env("TERM", "xterm")
        .env("SHELL", "/bin/sh");
    Some(Talk::start(&mut script))
}

/// Each client ends with this code, and the terminal is as it was.
#[track_caller]
fn ends(talk: Talk, code: u32) -> String {
    talk.hears("end\r\n");
    let all = talk.end().all;
    let lines: Vec<_> = all.lines().collect();
    let mode = lines
        .iter()
        .position(|line| line.matches(':').count() > 20)
        .unwrap();
    assert_eq!(lines[lines.len() - 2], lines[mode], "{all}");
    assert!(all.contains(&format!("code {code}\r\n")), "{all}");
    all
}

/// What a server asks that echoes itself: WILL ECHO, WILL SUPPRESS-GO-AHEAD.
const BY_KEYS: &[u8] = b"\xff\xfb\x01\xff\xfb\x03";

#[test]
fn keys_and_lines_reach_the_server_as_it_echoes() {
    let address = serve(move |mut guest: Guest| {
        guest.say("name? ");
        guest.hears("mulder\r\n");
        guest.say([BY_KEYS, b"\x1b[1mkeys? "].concat());
        guest.hears(b"\xff\xfd\x01\xff\xfd\x03");
        guest.hears("ab\x03");
        guest.hears("\r\0");
        guest.say("\r\nheard\r\n");
    });
    let Some(mut talk) = started(address, "") else {
        return;
    };
    talk.hears("name? ");
    talk.say(b"mulder\n");
    // The terminal's own echo.
    talk.hears("mulder\r\n");
    talk.hears("\x1b[1mkeys? ");
    talk.say(b"ab\x03");
    talk.say(b"\r");
    talk.hears("heard");
    talk.say(b"\x1d");
    let all = ends(talk, 0);
    // Nothing here echoed what the server did not.
    assert!(!all.contains("^C"), "{all}");
}

#[test]
fn the_server_is_told_of_the_window() {
    let address = serve(|mut guest| {
        guest.say(b"\xff\xfd\x1fready");
        guest.hears(b"\xff\xfb\x1f\xff\xfa\x1f");
        guest.hears(b"\xff\xfa\x1f\0\x64\0\x1e\xff\xf0");
        guest.end();
    });
    let Some(talk) = started(address, "") else {
        return;
    };
    talk.hears("ready");
    let tty = talk.all().lines().next().unwrap().to_owned();
    let mut stty = Command::new("stty");
    let set = run(stty.args(["-F", &tty, "cols", "100", "rows", "30"]), b"");
    assert_eq!(set.code, Some(0), "{}", set.all);
    ends(talk, 0);
}

#[test]
fn the_terminal_is_as_it_was_at_every_end() {
    for (signal, code) in [("TERM", 1), ("INT", 1), ("HUP", 1), ("QUIT", 1)] {
        let address = serve(|mut guest| {
            guest.say([BY_KEYS, b"keys? "].concat());
        });
        let Some(talk) = started(address, "") else {
            return;
        };
        talk.hears("keys? ");
        let name = path("telnet_client");
        let command = format!("{} 127.0.0.1 {}", name.display(), address.port());
        let pid = eventually(|| process(command.trim()));
        run(Command::new("kill").args(["-s", signal, &pid]), b"");
        let all = ends(talk, code);
        assert!(
            all.contains("telnet_client: interrupted"),
            "{signal}: {all}"
        );
    }
}

/// The process with these words.
fn process(command: &str) -> Option<String> {
    let words: Vec<_> = command.split_whitespace().collect();
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .find_map(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            let found: Vec<_> = line.split_whitespace().collect();
            (found == words).then(|| entry.file_name().to_string_lossy().into_owned())
        })
}

#[test]
fn control_characters_reach_the_terminal_only_where_it_is_the_servers() {
    let say = |mut guest: Guest| {
        guest.say([BY_KEYS, b"\x1b[31mred\x07\r\nline\r\n"].concat());
        guest.end();
    };
    for (options, shown) in [
        ("", "\x1b[31mred\x07\r\nline\r\n"),
        ("--plain", "\u{fffd}[31mred\u{fffd}\r\nline\r\n"),
        ("--expect red", "\u{fffd}[31mred\u{fffd}\r\nline\r\n"),
    ] {
        let Some(talk) = started(serve(say), options) else {
            return;
        };
        let all = ends(talk, 0);
        assert!(all.contains(shown), "{options}: {all:?}");
    }
}

#[test]
fn a_script_can_be_gone_on_with_by_hand() {
    let address = serve(|mut guest| {
        guest.say("login: ");
        guest.hears("me\r\n");
        guest.say("hello\r\n");
        guest.hears("typed\r\n");
        guest.say("bye\r\n");
        guest.end();
    });
    let Some(mut talk) = started(address, "-i --expect login: --send me") else {
        return;
    };
    talk.hears("hello");
    talk.say(b"typed\n");
    let all = ends(talk, 0);
    assert!(all.contains("bye"), "{all}");
}

#[test]
fn ctrl_c_ends_a_script_that_waits_for_a_server_that_echoes() {
    let address = serve(|mut guest| {
        guest.say([BY_KEYS, b"keys? "].concat());
        guest.hears(b"\xff\xfd\x01\xff\xfd\x03");
        guest.say("ready");
    });
    let Some(mut talk) = started(address, "-i --expect login:") else {
        return;
    };
    talk.hears("ready");
    talk.say(b"\x03");
    let all = ends(talk, 1);
    assert!(all.contains("interrupted"), "{all}");
}

#[test]
fn keys_reach_a_server_that_echoes_once_the_script_is_over() {
    let address = serve(|mut guest| {
        guest.say([BY_KEYS, b"login: "].concat());
        guest.hears("me\r\n");
        guest.say("hello");
        guest.hears("a\x03");
        guest.end();
    });
    let Some(mut talk) = started(address, "-i --expect login: --send me") else {
        return;
    };
    talk.hears("hello");
    talk.say(b"a\x03");
    ends(talk, 0);
}
