//! What the example programs share with one another, with their suites and with the fuzz targets. Not published.
#![forbid(unsafe_code)]
#![allow(
    missing_docs,
    missing_debug_implementations,
    reason = "nobody else's interface: a sentence stands where it says something"
)]

pub mod cgi;
pub mod cli;
pub mod client;
pub mod digest;
pub mod dots;
#[cfg(unix)]
pub mod exit;
pub mod ftp;
pub mod gettime;
pub mod gopher;
pub mod handlers;
pub mod http;
pub mod imap;
pub mod mail;
pub mod maildir;
pub mod nntp;
pub mod pop3;
pub mod progress;
pub mod reply;
pub mod rfc868;
pub mod saving;
pub mod screen;
pub mod signals;
pub mod smtp;
#[cfg(unix)]
pub mod socket_file;
pub mod source;
pub mod stuffing;
pub mod telnet;
pub mod text;
pub mod tls;
pub mod waiting;
pub mod windows_name;
