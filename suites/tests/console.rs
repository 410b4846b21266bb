//! Events of a Windows console end a program as signals do on Unix. What the first, the second and the third Ctrl-C do is
//! tested beside the programs.
#![cfg(windows)]

use suites::{
    lacks,
    program::{Program, serve},
    windows::{Event, interrupt},
};

/// Sends it, or says that this system has no such event, as Wine has no Ctrl-Break.
fn send(program: &Program, event: Event) -> bool {
    let sent = interrupt(program.pid(), event);
    if let Err(error) = &sent {
        lacks(format_args!("{event:?} cannot be sent: {error}"));
    }
    sent.is_ok()
}

#[test]
fn each_event_ends_a_server_gracefully() {
    for event in [Event::CtrlC, Event::CtrlBreak] {
        let (program, _) = serve("time_server", &["--port", "0"]);
        if send(&program, event) {
            let ended = program.ended();
            assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{event:?}");
        }
    }
}

#[test]
fn a_program_without_a_console_runs_to_its_end() {
    // `run` gives it none, and no handler stands in its way.
    let (_server, address) = serve("time_server", &["--port", "0"]);
    let port = address.port().to_string();
    let ended = suites::program::run("time_client", &["127.0.0.1", &port]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
}
