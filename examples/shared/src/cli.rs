//! What every program does around its work: log as `RUST_LOG` says, show the help, turn an error into one line and
//! an exit code.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

/// Runs a program. Exit codes: 0 done, or help shown; 1 failed; 2 called the wrong way.
///
/// `parse` answers `None` when the help is asked for.
pub fn main<A>(
    name: &str,
    help: &str,
    parse: impl FnOnce(lexopt::Parser) -> Result<Option<A>, lexopt::Error>,
    run: impl FnOnce(A) -> asynchat::Result,
) -> ExitCode {
    // A failed connection is a warning.
    env_logger::init_from_env(env_logger::Env::default().default_filter_or("warn"));
    let outcome = match parse(lexopt::Parser::from_env()) {
        Ok(Some(args)) => run(args),
        Ok(None) => say(help.trim_end()).map_err(Into::into),
        Err(error) => {
            complain(name, &format!("{error}; see {name} --help"));
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(name, &error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Reads a time span given in seconds, as `--timeout 1.5`.
pub fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|span| !span.is_zero())
        .ok_or_else(|| "not a positive number of seconds".into())
}

/// `println!` that answers with an error, not with a panic, when nobody reads (`time_server | head -1`).
pub fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

fn complain(name: &str, what: &str) {
    // Where standard error is closed the exit code is all there is left to say it with.
    let _ = writeln!(io::stderr(), "{name}: {what}");
}
