//! How a server is reached: limits of time, and whom to trust.

use std::{
    io::{self, Write},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use asynchat::{ConnectOptions, Reactor};
use clap::Args;
use rustls::ClientConfig;

use crate::{
    cli, signals,
    tls::client::{Lazy, Trust},
};

/// The options of a client that has one server.
#[derive(Args, Clone, Debug)]
pub struct ContactOptions {
    /// Give up when looking the name up takes longer, or connecting, or the handshake of TLS, or nothing moves for this
    /// time
    #[arg(long, value_name = "SECS", default_value = "30", value_parser = cli::seconds)]
    pub timeout: Duration,
    /// Give up when everything together takes longer
    #[arg(long, value_name = "SECS", value_parser = cli::seconds)]
    pub max_time: Option<Duration>,
    #[command(flatten)]
    pub trust: Trust,
}

impl Default for ContactOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            max_time: None,
            trust: Trust::default(),
        }
    }
}

/// `--tls` and `--starttls`.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Encryption {
    /// Speak TLS from the start
    #[arg(long, conflicts_with = "starttls")]
    pub tls: bool,
    /// Turn to TLS before anything else; a server that cannot is an error
    #[arg(long)]
    pub starttls: bool,
}

/// The options at work: cloned for each connection of a run.
#[derive(Clone, Debug)]
pub struct Contact {
    pub timeout: Duration,
    pub max_time: Option<Duration>,
    tls: Rc<Lazy>,
}

impl Contact {
    pub fn new(options: &ContactOptions) -> Self {
        Self {
            timeout: options.timeout,
            max_time: options.max_time,
            tls: Rc::new(Lazy::new(options.trust.clone(), &[])),
        }
    }

    /// The one configuration of all connections.
    pub fn tls(&self) -> Result<Arc<ClientConfig>, String> {
        self.tls.config()
    }

    pub fn connect_options(&self) -> ConnectOptions {
        ConnectOptions::new()
            .resolve_timeout(self.timeout)
            .timeout(self.timeout)
            .deadline(self.timeout)
    }
}

impl ContactOptions {
    /// A reactor for a program called `name`: its handshakes have a limit, signals end it, and certificates that are not
    /// verified have been warned of.
    ///
    /// # Errors
    /// Those of [`Reactor::new`].
    pub fn reactor(&self, name: &str) -> io::Result<Reactor> {
        if let Some(warning) = self.trust.warning() {
            // Where standard error is closed there is no place for it.
            let _ = writeln!(io::stderr(), "{name}: {warning}");
        }
        let mut reactor = Reactor::builder().handshake_timeout(self.timeout).build()?;
        signals::shut_down_on_signal(&mut reactor, Duration::ZERO)?;
        Ok(reactor)
    }
}
