//! The seven modes written by hand on mio: the limit of the substrate itself.
//!
//! `raw_mio MODE PORT [ROOT]`. Each mode is its own type behind [`serve::Mode`], so the loop is
//! compiled once per mode and calls it directly; `dyn_mio` shows what a trait object adds to that.

mod date;
mod echo;
mod files;
mod http;
mod lines;
mod net;
mod requests;
mod serve;
mod sink;
mod source;
mod time;

use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (mode, port, root) = match args.as_slice() {
        [mode, port] => (mode, port, "."),
        [mode, port, root] => (mode, port, root.as_str()),
        _ => return usage(),
    };
    let Ok(port) = port.parse() else {
        return usage();
    };
    match run(mode, port, root) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => usage(),
        Err(error) => {
            eprintln!("raw_mio: {mode} on port {port}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: raw_mio echo|lines|sink|source|time|http|files PORT [ROOT]");
    ExitCode::from(2)
}

/// Serves until the process is ended; `false` where there is no such mode.
fn run(mode: &str, port: u16, root: &str) -> io::Result<bool> {
    match mode {
        "echo" => serve::serve(port, echo::Echo::new()),
        "lines" => serve::serve(port, lines::Lines::new()),
        "sink" => serve::serve(port, sink::Sink::new()),
        "source" => serve::serve(port, source::Source::new()),
        "time" => time::serve(port),
        "http" => serve::serve(port, http::Http::new()),
        "files" => serve::serve(port, files::Files::new(root)?),
        _ => return Ok(false),
    }
    .map(|()| true)
}
