//! Echo and lines by hand on mio, with each connection a `Box<dyn Handler>` the loop calls.
//!
//! `dyn_mio MODE PORT`. What it does beyond `raw_mio` is the call through the trait object and the
//! box it stands in, and nothing else: the price of user code the loop does not know.

mod echo;
mod lines;
mod net;
mod serve;

use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (mode, port) = match args.as_slice() {
        [mode, port] | [mode, port, _] => (mode, port),
        _ => return usage(),
    };
    let Ok(port) = port.parse() else {
        return usage();
    };
    match run(mode, port) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            eprintln!("dyn_mio: mode not supported: {mode}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("dyn_mio: {mode} on port {port}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: dyn_mio echo|lines PORT");
    ExitCode::from(2)
}

fn run(mode: &str, port: u16) -> io::Result<()> {
    match mode {
        "echo" => serve::serve(port, || Box::new(echo::Echo::default())),
        "lines" => serve::serve(port, || Box::new(lines::Lines::default())),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}
