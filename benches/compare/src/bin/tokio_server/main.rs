//! The peer on tokio's current-thread runtime: one task per connection, tokio-util codecs for what
//! has frames, tokio-rustls for an echo over TLS. HTTP is hyper's, in `hyper_server`.

mod common;
mod crlf;
mod tls;

use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::codec::{Framed, FramedRead};

use crate::common::{Arguments, listen, not_supported, say_ready};
use crate::crlf::Crlf;

const BLOCK_SIZE: usize = 512 * 1024;
/// A fifth faster than the codec's own 8 KiB where lines are pipelined; larger gains no more.
const LINES_BUFFER: usize = 32 * 1024;
const EPOCH_1900: u64 = 2_208_988_800;

static BLOCK: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..BLOCK_SIZE).map(|j| (j % 251) as u8).collect());

fn main() -> ExitCode {
    let Arguments {
        mode, port, tls, ..
    } = match Arguments::parse() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let result = match (mode.as_str(), tls) {
        ("echo", None) => run(port, echo),
        ("echo", Some((certificate, key))) => echo_over_tls(port, &certificate, &key),
        ("lines", None) => run(port, lines),
        ("sink", None) => run(port, sink),
        ("source", None) => run(port, source),
        ("time", None) => run(port, time),
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
fn run<F, S>(port: u16, serve: F) -> io::Result<()>
where
    F: Fn(TcpStream) -> S + Send + 'static,
    S: Future<Output = io::Result<()>> + Send + 'static,
{
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let listener = TcpListener::from_std(listen(port)?)?;
        tokio::spawn(accept(listener, serve));
        say_ready()?;
        terminate.recv().await;
        Ok(())
    })
}

async fn accept<F, S>(listener: TcpListener, serve: F)
where
    F: Fn(TcpStream) -> S,
    S: Future<Output = io::Result<()>> + Send + 'static,
{
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(serve(stream))),
            Err(error) => {
                eprintln!("accept: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn echo_over_tls(port: u16, certificate: &Path, key: &Path) -> io::Result<()> {
    let acceptor = tls::acceptor(certificate, key)?;
    run(port, move |stream| {
        let handshake = acceptor.accept(stream);
        async { echo(handshake.await?).await }
    })
}

/// Flushes, because a TLS stream may hold a record back. Its end is told by `shutdown`.
async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut buffer = vec![0; 8 * 1024];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return stream.shutdown().await,
            got => {
                stream.write_all(&buffer[..got]).await?;
                stream.flush().await?;
            }
        }
    }
}

/// Answers are written together once no further line is there to be read.
async fn lines(stream: TcpStream) -> io::Result<()> {
    let mut framed = Framed::with_capacity(stream, Crlf::default(), LINES_BUFFER);
    framed.set_backpressure_boundary(LINES_BUFFER);
    while let Some(line) = framed.next().await {
        framed.feed(line?).await?;
        while let Some(Some(line)) = framed.next().now_or_never() {
            framed.feed(line?).await?;
        }
        framed.flush().await?;
    }
    Ok(())
}

async fn sink(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

async fn source(mut stream: TcpStream) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut requests = FramedRead::new(reader, Crlf::default());
    while let Some(request) = requests.next().await {
        let mut left = wanted(&request?).ok_or(ErrorKind::InvalidData)?;
        while left > 0 {
            let size = left.min(BLOCK_SIZE);
            writer.write_all(&BLOCK[..size]).await?;
            left -= size;
        }
    }
    Ok(())
}

/// The `n` of `GIVE n`.
fn wanted(request: &[u8]) -> Option<usize> {
    let count = request.strip_prefix(b"GIVE ")?;
    std::str::from_utf8(count).ok()?.parse().ok()
}

async fn time(mut stream: TcpStream) -> io::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let since_1900 = now.map_or(0, |now| now.as_secs()) + EPOCH_1900;
    stream.write_all(&(since_1900 as u32).to_be_bytes()).await
}
