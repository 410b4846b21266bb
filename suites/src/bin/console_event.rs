//! `console_event PID CtrlC|CtrlBreak` sends an event of the console to the processes of that one's console. On Unix there is
//! `kill`.

use std::{error::Error, process::ExitCode};

#[cfg(windows)]
fn run() -> Result<(), Box<dyn Error>> {
    use suites::windows::{Event, send_event};

    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [pid, event] = arguments.as_slice() else {
        return Err("two arguments, please".into());
    };
    let event = match event.as_str() {
        "CtrlBreak" => Event::CtrlBreak,
        _ => Event::CtrlC,
    };
    Ok(send_event(pid.parse()?, event)?)
}

#[cfg(not(windows))]
fn run() -> Result<(), Box<dyn Error>> {
    Err("consoles have events on Windows only".into())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("console_event: {error}");
            ExitCode::FAILURE
        }
    }
}
