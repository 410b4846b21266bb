//! The load for the servers of the comparison: drives one scenario over non-blocking connections from one thread, compares
//! every byte that comes back with what must come back, and prints one line of JSON.

mod args;
mod content;
mod date;
mod echo;
mod engine;
mod failure;
mod files;
mod gate;
mod handshake;
mod http;
mod idle;
mod latency;
mod lines;
mod net;
mod report;
mod sink;
mod source;
mod stream;
mod tape;
mod time;
mod tls;

use std::process::ExitCode;

use args::{Command, Options, Scenario};
use failure::Failure;

fn main() -> ExitCode {
    let command = match args::parse() {
        Ok(command) => command,
        Err(error) => {
            eprintln!("load: {error}\n\n{}", args::HELP);
            return ExitCode::from(2);
        }
    };
    let outcome = match command {
        Command::Help => {
            println!("{}", args::HELP);
            Ok(())
        }
        Command::MakeFile { path, size } => content::make_file(&path, size),
        Command::Run(options) => drive(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("load: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn drive(options: &Options) -> Result<(), Failure> {
    net::raise_descriptor_limit();
    match options.scenario {
        Scenario::Echo => engine::run(options, echo::exchange(options)),
        Scenario::Lines => engine::run(options, lines::exchange(options)),
        Scenario::Http => engine::run(options, http::exchange(options)),
        Scenario::Files => engine::run(options, files::exchange(options)),
        Scenario::Source => engine::run(options, source::Source::new(options)),
        Scenario::Sink => engine::run(options, sink::Sink::new(options)),
        Scenario::Time => time::run(options),
        Scenario::Handshake => handshake::run(options),
        Scenario::Idle => idle::run(options),
    }
}
