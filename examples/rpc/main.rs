//! A server for requests over a Unix socket, after fail2ban's `asyncserver.py`, and its client:
//! `cargo run --example unix_rpc -- serve`, then `cargo run --example unix_rpc -- call ping`.

#[cfg(unix)]
mod client;
#[cfg(unix)]
mod command_line;
#[cfg(unix)]
mod handler;
#[cfg(unix)]
mod server;
#[cfg(unix)]
mod socket_file;
#[cfg(unix)]
mod store;
#[cfg(all(test, unix, feature = "testing"))]
mod tests;
#[cfg(unix)]
mod wire;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    command_line::main()
}

#[cfg(not(unix))]
fn main() -> std::process::ExitCode {
    eprintln!("unix_rpc: needs Unix");
    std::process::ExitCode::FAILURE
}
