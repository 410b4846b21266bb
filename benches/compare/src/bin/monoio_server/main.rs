//! The peer on monoio: one task per connection, each with buffers of its own, as the kernel owns those of an operation under
//! way. On the epoll driver, or with `--io-uring` on the other one.

#[path = "../tokio_server/common.rs"]
mod common;
#[path = "../raw_mio/date.rs"]
mod date;
mod framed;
mod http;
mod lines;
#[path = "../raw_mio/requests.rs"]
#[allow(dead_code, reason = "of `files`, which it does not have")]
mod requests;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use monoio::io::{AsyncReadRent as _, AsyncWriteRentExt as _};
use monoio::net::{TcpListener, TcpStream};
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

use crate::common::{Arguments, listen, not_supported, say_ready};

fn main() -> ExitCode {
    let Arguments {
        mode,
        port,
        tls,
        io_uring,
        ..
    } = match Arguments::parse() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let result = match (mode.as_str(), tls) {
        ("echo", None) => run(port, io_uring, echo),
        ("lines", None) => run(port, io_uring, framed::serve::<lines::Lines>),
        ("http", None) => run(port, io_uring, framed::serve::<http::Http>),
        _ => return not_supported(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves each connection with a task of its own until SIGTERM.
fn run<S>(port: u16, io_uring: bool, serve: fn(TcpStream) -> S) -> io::Result<()>
where
    S: Future<Output = io::Result<()>> + 'static,
{
    let at_once = Arc::new(AtomicBool::new(true));
    signal_hook::flag::register_conditional_shutdown(signal_hook::consts::SIGTERM, 0, at_once)?;
    let listener = listen(port)?;
    if io_uring {
        // On a non-blocking socket an operation fails instead of waiting.
        listener.set_nonblocking(false)?;
        let mut runtime = RuntimeBuilder::<IoUringDriver>::new().build()?;
        runtime.block_on(accept(listener, serve))
    } else {
        let mut runtime = RuntimeBuilder::<LegacyDriver>::new().build()?;
        runtime.block_on(accept(listener, serve))
    }
}

async fn accept<S>(listener: std::net::TcpListener, serve: fn(TcpStream) -> S) -> io::Result<()>
where
    S: Future<Output = io::Result<()>> + 'static,
{
    let listener = TcpListener::from_std(listener)?;
    say_ready()?;
    loop {
        let (stream, _) = listener.accept().await?;
        drop(monoio::spawn(serve(stream)));
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(8 * 1024);
    loop {
        let (got, filled) = stream.read(buffer).await;
        if got? == 0 {
            return Ok(());
        }
        let (sent, emptied) = stream.write_all(filled).await;
        sent?;
        buffer = emptied;
    }
}
