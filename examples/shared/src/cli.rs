//! What every program does around its work: log as `RUST_LOG` says, read the command line, show the help, turn an error
//! into one line and an exit code. `NAME --completions SHELL` prints a script of completions.

use std::{
    env,
    ffi::OsString,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Command, Parser, error::ErrorKind};
use clap_complete::Shell;

use crate::text::is_unprintable;

/// Lines of the help are no longer, however wide the terminal is.
const HELP_WIDTH: usize = 100;
/// The longest time span of an option: 30 years, as for the library. Spans are added to others and to an `Instant`,
/// which panics past the end of its range.
const LONGEST: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// Runs a program. Exit codes: 0 done, or help shown; 1 failed; 2 called the wrong way.
pub fn main<A: Parser>(run: impl FnOnce(A) -> asynchat::Result) -> ExitCode {
    main_checked(|_| Ok(()), run)
}

/// Like [`main`], for arguments of which each may be right and all together wrong: `check` says why.
pub fn main_checked<A: Parser>(
    check: impl FnOnce(&A) -> Result<(), String>,
    run: impl FnOnce(A) -> asynchat::Result,
) -> ExitCode {
    // A failed connection is a warning.
    env_logger::init_from_env(env_logger::Env::default().default_filter_or("warn"));
    let mut command = A::command();
    let name = command.get_name().to_owned();
    command = command
        .bin_name(&name)
        .version(env!("CARGO_PKG_VERSION"))
        .max_term_width(HELP_WIDTH);
    let call = parse(&mut command, env::args_os().collect()).and_then(|call| match call {
        Call::Run(args) => check(&args).map(|()| Call::Run(args)),
        Call::Show(text) => Ok(Call::Show(text)),
    });
    let outcome = match call {
        Ok(Call::Run(args)) => run(args),
        Ok(Call::Show(text)) => say(text.trim_end()).map_err(Into::into),
        Err(why) => {
            complain(&name, &format!("{why}; see {name} --help"));
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&name, &error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// What a command line asks for.
enum Call<A> {
    Run(A),
    Show(String),
}

fn parse<A: Parser>(command: &mut Command, words: Vec<OsString>) -> Result<Call<A>, String> {
    if let [_, option, shell] = words.as_slice()
        && option == "--completions"
    {
        return completions(command, shell.to_str().unwrap_or_default()).map(Call::Show);
    }
    let parsed = command
        .try_get_matches_from_mut(words)
        .and_then(|matches| A::from_arg_matches(&matches));
    match parsed {
        Ok(args) => Ok(Call::Run(args)),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Ok(Call::Show(error.render().to_string()))
            }
            _ => Err(in_one_line(&error)),
        },
    }
}

fn completions(command: &mut Command, shell: &str) -> Result<String, String> {
    let known = shell.parse::<Shell>();
    let shell = known.map_err(|_| format!("no completions for {shell:?}"))?;
    let mut script = Vec::new();
    clap_complete::generate(shell, command, command.get_name().to_owned(), &mut script);
    Ok(String::from_utf8_lossy(&script).into_owned())
}

/// The reason, without the usage and the tips behind it.
fn in_one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let reason = text.split("\n\n").next().unwrap_or_default();
    let lines: Vec<_> = reason.lines().map(str::trim).collect();
    let line = lines.join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

/// `--bind` and `--port` of a server.
#[derive(Args, Clone, Copy, Debug)]
pub struct Listen<const PORT: u16> {
    /// IP address to listen on
    #[arg(long, value_name = "ADDR", default_value_t = Ipv4Addr::LOCALHOST.into())]
    bind: IpAddr,
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = PORT)]
    port: u16,
}

impl<const PORT: u16> Listen<PORT> {
    pub fn address(self) -> SocketAddr {
        SocketAddr::new(self.bind, self.port)
    }
}

/// Reads a time span given in seconds, as `--timeout 1.5`. More than 30 years count as 30 years.
pub fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|span| !span.is_zero())
        .map(|span| span.min(LONGEST))
        .ok_or_else(|| "not a positive number of seconds".into())
}

/// Reads a number that is at least `least`.
pub fn at_least(least: usize, text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number >= least => Ok(number),
        Ok(_) => Err(format!("must be at least {least}")),
        Err(error) => Err(format!("{error}")),
    }
}

/// Reads a number of things without which nothing would be served, as `--threads 4`.
pub fn at_least_one(text: &str) -> Result<usize, String> {
    at_least(1, text)
}

/// `println!` that answers with an error, not with a panic, when nobody reads (`time_server | head -1`).
pub fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

fn complain(name: &str, what: &str) {
    // Where standard error is closed the exit code is all there is left to say it with.
    let _ = writeln!(io::stderr(), "{name}: {}", fit(what));
}

/// An error may quote a peer, or an argument that a script took from a stranger. One of several failures has a line for
/// each.
fn fit(what: &str) -> String {
    what.replace(|c| c != '\n' && is_unprintable(c), "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Does something
    #[derive(Debug, Parser)]
    #[command(name = "program")]
    struct Options {
        #[command(flatten)]
        listen: Listen<8000>,
        /// Gives up after that
        #[arg(long, value_name = "SECS", value_parser = seconds)]
        timeout: Option<Duration>,
        /// What to do it with
        thing: String,
    }

    fn parsed(words: &[&str]) -> Result<Call<Options>, String> {
        let words = ["program"].iter().chain(words).map(OsString::from);
        parse(&mut Options::command(), words.collect())
    }

    #[test]
    fn a_server_listens_on_the_loopback_unless_it_is_told_another_place() {
        let address = |words: &[&str]| match parsed(words) {
            Ok(Call::Run(options)) => options.listen.address().to_string(),
            Ok(Call::Show(text)) | Err(text) => text,
        };
        assert_eq!(address(&["x"]), "127.0.0.1:8000");
        assert_eq!(address(&["x", "--bind", "::1", "--port=0"]), "[::1]:0");
    }

    #[test]
    fn what_is_wrong_is_told_in_one_line() {
        for (words, why) in [
            (
                &[][..],
                "the following required arguments were not provided: <THING>",
            ),
            (&["x", "--no"], "unexpected argument '--no' found"),
            (
                &["x", "--timeout", "0"],
                "invalid value '0' for '--timeout <SECS>': not a positive number of seconds",
            ),
        ] {
            assert_eq!(parsed(words).err().as_deref(), Some(why));
        }
    }

    #[test]
    fn a_time_span_is_one_that_can_be_waited_for() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        for long in ["946080000.1", "1e19"] {
            assert_eq!(seconds(long), Ok(LONGEST));
        }
    }

    #[test]
    fn a_complaint_has_nothing_that_a_terminal_obeys() {
        let what = "a\x1b[2J\r\u{202e}\nprogram: b";
        assert_eq!(fit(what), "a\u{fffd}[2J\u{fffd}\u{fffd}\nprogram: b");
    }

    #[test]
    fn completions_are_for_a_shell_that_is_known() {
        let Ok(Call::Show(script)) = parsed(&["--completions", "bash"]) else {
            panic!("no script");
        };
        assert!(script.contains("--timeout"), "{script}");
        assert!(parsed(&["--completions", "x"]).is_err());
    }
}
