//! What is served and to whom, as far as the command line says.

use std::{
    net::IpAddr,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use asynchat::Network;
use clap::Args;
use shared::{cli, http::access_log::LogFormat};

/// Options of the answers.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// File that is served for a directory that has it
    #[arg(long, value_name = "NAME", default_value = "index.html", value_parser = file_name, help_heading = "Files")]
    pub(crate) index: String,
    /// A directory without an index is 404
    #[arg(long, help_heading = "Files")]
    pub(crate) no_listing: bool,
    /// Serve NAME.br or NAME.gz in place of NAME, if it is not older and the client takes it
    #[arg(long, help_heading = "Files")]
    pub(crate) precompressed: bool,
    /// File below DIR that is served, with 200, for every path that names nothing
    #[arg(long, value_name = "FILE", value_parser = below, conflicts_with = "not_found", help_heading = "Files")]
    pub(crate) spa: Option<PathBuf>,
    /// File below DIR that is the page of 404
    #[arg(long, value_name = "FILE", value_parser = below, help_heading = "Files")]
    pub(crate) not_found: Option<PathBuf>,
    /// Seconds for which a client may keep a file without asking again (Cache-Control)
    #[arg(long, value_name = "SECONDS", help_heading = "Files")]
    pub(crate) cache: Option<u32>,
    /// Seconds for which a file that was served is kept, small ones in memory and others open, before it is looked up
    /// again; 0: not at all
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds_or_none, help_heading = "Files")]
    pub(crate) file_cache: Duration,
    /// Let pages of all origins read answers (Access-Control-Allow-Origin: *)
    #[arg(long, help_heading = "Access")]
    pub(crate) cors: bool,
    /// Ask for a name and a password, one of the lines USER:PASS of this file (Basic: not encrypted without TLS)
    #[arg(long, value_name = "FILE", help_heading = "Access")]
    pub(crate) auth: Option<PathBuf>,
    /// Proxy whose X-Forwarded-For names the client for the access log; may be repeated
    #[arg(long = "trusted-proxy", value_name = "ADDR", help_heading = "Output")]
    pub(crate) proxies: Vec<IpAddr>,
    /// Take connections only from this proxy (or network, IP/BITS), with a header of the PROXY protocol that names the
    /// client; may be repeated
    #[arg(long, value_name = "ADDR", help_heading = "Access")]
    pub(crate) proxy_protocol_from: Vec<Network>,
    /// Format of the access log: common, combined (with Referer and User-Agent) or tls (combined, with protocol and cipher
    /// suite)
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "common",
        value_enum,
        hide_possible_values = true,
        help_heading = "Output"
    )]
    pub(crate) log_format: LogFormat,
}

fn seconds_or_none(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(0.0) => Ok(Duration::ZERO),
        _ => cli::seconds(text),
    }
}

fn file_name(text: &str) -> Result<String, String> {
    let mut parts = Path::new(text).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(_)), None) => Ok(text.into()),
        _ => Err("not the name of a file, without a directory".into()),
    }
}

fn below(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text.trim_start_matches('/'));
    let mut parts = path.components();
    let is_below = parts.all(|part| matches!(part, Component::Normal(_)));
    match is_below && path.file_name().is_some() {
        true => Ok(path.into()),
        false => Err("not a file below the directory that is served".into()),
    }
}
