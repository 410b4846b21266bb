//! STARTTLS on either side, in the first steps of SMTP (RFC 3207): `cargo run --example starttls -- serve --tls-cert CERT
//! --tls-key KEY`, then `cargo run --example starttls -- probe localhost 2525 --cacert CERT`.
//!
//! Both sides replace their object as the stream turns to TLS: a fresh one remembers nothing of what was said in clear,
//! where anybody on the way could say it too (section 4.2). What stands behind `STARTTLS` in clear is never answered, nor
//! is what stands behind the server's answer: the reactor passes it to TLS, which refuses it.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use shared::{cli, tls::client::Trust};

mod client;
mod server;

/// Bytes of a command or of a line of a reply (RFC 5321, 4.5.3.1).
const MAX_LINE: usize = 512;

/// STARTTLS in the first steps of SMTP: a server, and a client that looks how far another one comes
#[derive(Debug, Parser)]
#[command(name = "starttls", disable_help_subcommand = true)]
enum Part {
    /// Answer EHLO, STARTTLS, NOOP and QUIT
    Serve {
        #[command(flatten)]
        listen: cli::Listen<2525>,
        /// The server's certificate, and those between it and a root (PEM)
        #[arg(long, value_name = "FILE")]
        tls_cert: PathBuf,
        /// Its key (PEM)
        #[arg(long, value_name = "FILE")]
        tls_key: PathBuf,
    },
    /// Connect to an SMTP server, turn to TLS, and show what it says
    Probe {
        /// Name or address of the server
        host: String,
        /// Its port
        #[arg(default_value_t = 25)]
        port: u16,
        #[command(flatten)]
        trust: Trust,
        /// Give up when looking the name up takes longer, or connecting, or the handshake, or nothing comes for this time
        #[arg(long, value_name = "SECS", default_value = "30", value_parser = cli::seconds)]
        timeout: Duration,
    },
}

fn main() -> ExitCode {
    cli::main(|part: Part| match part {
        Part::Serve {
            listen,
            tls_cert,
            tls_key,
        } => server::serve(listen, &tls_cert, &tls_key),
        Part::Probe {
            host,
            port,
            trust,
            timeout,
        } => client::probe(&host, port, &trust, timeout),
    })
}
