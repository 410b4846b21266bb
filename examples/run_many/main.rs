//! Runs each line of standard input as a shell command, several at once, and shows their output line by line:
//! `printf 'sleep 1; date\nuname\n' | cargo run --example run_many -- --jobs 2`.
//!
//! A command's pipes are channels, and so is a descriptor that becomes readable at its exit ([`shared::exit`]). Nothing here
//! keeps more than a bounded part of a command's output: a reader that is too slow stops the commands.
#[cfg(unix)]
mod commands;
#[cfg(unix)]
mod crew;
#[cfg(unix)]
mod job;
#[cfg(unix)]
mod pump;

use std::{process::ExitCode, time::Duration};

use asynchat::Result;
use clap::Parser;
use shared::cli;

/// Runs each line of standard input as a shell command, several at once
///
/// Lines of output are preceded by the number of the command. The exit code is 1 if a command fails. The first SIGINT or
/// SIGTERM is passed on to the commands as SIGTERM, the second kills them.
#[derive(Debug, Parser)]
#[command(name = "run_many")]
struct Args {
    /// Commands that run at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
    jobs: u16,
    /// From SIGTERM to SIGKILL
    #[arg(long, value_name = "SECS", default_value = "5", value_parser = cli::seconds)]
    grace: Duration,
}

#[cfg(unix)]
#[allow(clippy::needless_pass_by_value, reason = "what cli::main calls")]
fn run(args: Args) -> Result {
    use std::{
        io::{self, IsTerminal},
        rc::Rc,
    };

    use asynchat::{ChatDispatcher, Reactor};
    use shared::signals;

    let mut reactor = Reactor::new()?;
    let crew = Rc::new(crew::Crew::new(usize::from(args.jobs), args.grace));
    let ends = crew.clone();
    signals::end_on_signal(&mut reactor, move |registry| ends.end(registry))?;
    let terminals = [io::stdout().is_terminal(), io::stderr().is_terminal()];
    let (out, out_pump) = pump::from_pipe(io::stdout)?;
    let (err, err_pump) = pump::from_pipe(io::stderr)?;
    for (sink, is_terminal) in [out, err].into_iter().zip(terminals) {
        crew::Sink::open(&mut reactor, &crew, sink, is_terminal)?;
    }
    let commands = ChatDispatcher::new(commands::Commands::new(crew.clone()), "\n")
        .max_frame(commands::LONGEST);
    let (input, input_failed) = pump::into_pipe(io::stdin)?;
    crew.reads_from(reactor.register(input, commands)?);
    reactor.run()?;
    // If a second signal has stopped the loop, perhaps nobody reads what the pumps still have.
    let pumps = if reactor.is_idle() {
        vec![out_pump, err_pump]
    } else {
        Vec::new()
    };
    drop(reactor);
    crew.kill();
    for pump in pumps {
        match pump.join().map_err(|_| "a thread has panicked")? {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => crew.note_unread(),
            written => written.map_err(|error| format!("cannot write the output: {error}"))?,
        }
    }
    if let Ok(error) = input_failed.try_recv() {
        return Err(format!("cannot read the commands: {error}").into());
    }
    crew.outcome()
}

#[cfg(not(unix))]
fn run(_: Args) -> Result {
    Err("needs Unix".into())
}

fn main() -> ExitCode {
    cli::main(run)
}
