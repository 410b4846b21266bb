//! A telnet client: `cargo run --example telnet_client -- localhost 23`.
//!
//! `shared::telnet` speaks the protocol. `scripted.rs` is a user that does as the arguments say, `terminal/` one that sits
//! at a terminal.

use std::{
    env,
    io::{self, IsTerminal},
    process::ExitCode,
};

use asynchat::Result;
use clap::Parser;
use shared::{
    cli,
    client::{Connection, Contact, ContactOptions, Login, Outcome},
    telnet::{PORT, PORT_TLS, Session, Step, Terminal},
};

use script::Steps;
use scripted::{Progress, Scripted};

mod input;
mod script;
mod scripted;
#[cfg(unix)]
mod terminal;

/// Talk with a server by telnet, at a terminal or by a script
#[derive(Debug, Parser)]
#[command(
    name = "telnet_client",
    after_help = "At a terminal, the escape character Ctrl-] ends the session, and the server's escape sequences act on the \
                  terminal, unless --plain is given. Otherwise standard input is sent, or with --expect, --send or --user \
                  nothing but the script. Exit code 0: the server ended the session, or Ctrl-] did; 1: it failed; 2: called \
                  the wrong way."
)]
struct Args {
    /// Name or address of the server
    host: String,
    /// Port [default: 23, with --tls 992]
    port: Option<u16>,
    /// Speak TLS from the start
    #[arg(long)]
    tls: bool,
    #[command(flatten)]
    login: Login,
    /// Send the password in clear to another machine
    #[arg(long)]
    allow_cleartext: bool,
    #[command(flatten)]
    steps: Steps,
    /// Go on at the terminal when the script is over
    #[arg(short, long)]
    interactive: bool,
    /// Show what is typed also where each key is sent at once
    #[arg(long)]
    local_echo: bool,
    /// Show the server's control characters at the terminal as U+FFFD
    #[arg(long)]
    plain: bool,
    /// Ask for eight bits and no changes to line ends (RFC 856)
    #[arg(long)]
    binary: bool,
    /// Type of the terminal that the server is told [default: TERM in the environment]
    #[arg(long, value_name = "NAME")]
    terminal: Option<String>,
    #[command(flatten)]
    contact: ContactOptions,
}

impl Args {
    /// The script, with the log-in before it.
    fn script(&self) -> Result<Progress> {
        let mut steps = Vec::new();
        let secret = self.login.user.is_some() && !self.allow_cleartext;
        if let Some((user, password)) = self.login.credentials()? {
            for (prompt, line) in [("ogin: ", user), ("assword: ", password)] {
                steps.push(Step::Expect(prompt.into()));
                steps.push(Step::Send(format!("{line}\n").into()));
            }
        }
        steps.extend(self.steps.0.iter().cloned());
        Ok(Progress::new(steps, secret))
    }

    fn terminal_name(&self) -> String {
        let name = self.terminal.clone().or_else(|| env::var("TERM").ok());
        // RFC 1091: letters, digits and a few others.
        name.filter(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()))
            .unwrap_or_else(|| "unknown".into())
    }
}

#[allow(clippy::needless_pass_by_value, reason = "what cli::main calls")]
fn run(args: Args) -> Result {
    let script = args.script()?;
    let mut reactor = args.contact.reactor("telnet_client")?;
    let contact = Contact::new(&args.contact);
    let port = args.port.unwrap_or(if args.tls { PORT_TLS } else { PORT });
    let at = (args.host.as_str(), port);
    let outcome = Outcome::default();
    let scripted = !script.is_over();
    let terminal = Terminal {
        name: args.terminal_name(),
        size: (80, 24),
    };
    #[cfg(unix)]
    if args.interactive || !scripted && io::stdin().is_terminal() {
        let options = terminal::Options {
            local_echo: args.local_echo,
            plain: args.plain,
        };
        let (user, size) = terminal::open(&mut reactor, options, script, outcome.clone())?;
        let terminal = Terminal { size, ..terminal };
        let session = Session::new(terminal, args.binary, user);
        Connection::start(&mut reactor, &contact, at, args.tls, session)?;
        reactor.run()?;
        drop(reactor);
        return outcome.take();
    }
    let user = Scripted::new(script, outcome.clone());
    let session = Session::new(terminal, args.binary, user);
    let id = Connection::start(&mut reactor, &contact, at, args.tls, session)?;
    if !scripted {
        input::pass_on(&mut reactor, id);
    }
    reactor.run()?;
    drop(reactor);
    outcome.take()
}

fn check(args: &Args) -> Result<(), String> {
    if args.interactive && !(io::stdin().is_terminal() && cfg!(unix)) {
        return Err("--interactive: standard input is no terminal".into());
    }
    Ok(())
}

fn main() -> ExitCode {
    cli::main_checked(check, run)
}
