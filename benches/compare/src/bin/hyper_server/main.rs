//! The peer on hyper 1 and tokio's current-thread runtime, for `http` and `files`, over TLS by tokio-rustls too.

#[path = "../tokio_server/common.rs"]
mod common;
mod files;
#[path = "../tokio_server/tls.rs"]
mod tls;

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::common::{Arguments, listen, not_supported, say_ready};
use crate::files::FileBody;

fn main() -> ExitCode {
    let Arguments {
        mode,
        port,
        root,
        tls,
        ..
    } = match Arguments::parse() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let root: Arc<Path> = root.into();
    let result = match (mode.as_str(), tls) {
        ("http", None) => run(port, serve_hello),
        ("files", None) => run(port, move |stream| serve_files(stream, Arc::clone(&root))),
        ("files", Some((certificate, key))) => files_over_tls(port, root, &certificate, &key),
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
    S: Future<Output = hyper::Result<()>> + Send + 'static,
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
    S: Future<Output = hyper::Result<()>> + Send + 'static,
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

/// Answers to pipelined requests leave together.
fn protocol() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.pipeline_flush(true);
    builder
}

async fn serve_hello(stream: TcpStream) -> hyper::Result<()> {
    let service = service_fn(|_: Request<Incoming>| async {
        let mut response = Response::new(Full::new(Bytes::from_static(b"Hello, world!")));
        let plain = HeaderValue::from_static("text/plain");
        response.headers_mut().insert(CONTENT_TYPE, plain);
        Ok::<_, Infallible>(response)
    });
    protocol()
        .serve_connection(TokioIo::new(stream), service)
        .await
}

fn files_over_tls(port: u16, root: Arc<Path>, certificate: &Path, key: &Path) -> io::Result<()> {
    let acceptor = tls::acceptor(certificate, key)?;
    run(port, move |stream| {
        let handshake = acceptor.accept(stream);
        let root = Arc::clone(&root);
        async move {
            match handshake.await {
                Ok(stream) => serve_files(stream, root).await,
                Err(_) => Ok(()),
            }
        }
    })
}

async fn serve_files(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    root: Arc<Path>,
) -> hyper::Result<()> {
    let service = service_fn(|request: Request<Incoming>| {
        let answer = answer(&root, request.uri().path());
        async { Ok::<_, Infallible>(answer) }
    });
    protocol()
        .serve_connection(TokioIo::new(stream), service)
        .await
}

fn answer(root: &Path, path: &str) -> Response<Either<FileBody, Full<Bytes>>> {
    if let Some(body) = FileBody::open(root, path) {
        return Response::new(Either::Left(body));
    }
    let mut response = Response::new(Either::Right(Full::default()));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}
