//! The peer on calloop: one event source per connection, level-triggered, its state in the
//! callback.

#[path = "../tokio_server/common.rs"]
mod common;
mod modes;
mod wire;

use std::error::Error;
use std::io::{self, ErrorKind, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use calloop::generic::{Generic, NoIoDrop};
use calloop::signals::{Signal, Signals};
use calloop::{EventLoop, Interest, LoopHandle, Mode, PostAction};

use crate::common::{Arguments, listen, not_supported, say_ready};
use crate::modes::{Echo, Lines, Scratch, Serve, Sink, Source};
use crate::wire::{Connection, Wire};

const EPOCH_1900: u64 = 2_208_988_800;

type Handle = LoopHandle<'static, Scratch>;

fn main() -> ExitCode {
    let Arguments {
        mode, port, tls, ..
    } = match Arguments::parse() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    if tls.is_some() {
        return not_supported();
    }
    let result = match mode.as_str() {
        "echo" => run(port, serve::<Echo>),
        "lines" => run(port, serve::<Lines>),
        "sink" => run(port, serve::<Sink>),
        "source" => run(port, serve::<Source>),
        "time" => run(port, time),
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

/// Gives each accepted stream to `accepted` until SIGTERM.
fn run(
    port: u16,
    accepted: fn(&Handle, TcpStream) -> io::Result<()>,
) -> Result<(), Box<dyn Error>> {
    let mut event_loop = EventLoop::<Scratch>::try_new()?;
    let handle = event_loop.handle();

    let stop = event_loop.get_signal();
    handle.insert_source(Signals::new(&[Signal::SIGTERM])?, move |_, (), _| {
        stop.stop();
    })?;

    let acceptor = handle.clone();
    let listener = Generic::new(listen(port)?, Interest::READ, Mode::Level);
    handle.insert_source(listener, move |_, listener, _| {
        loop {
            let accept = listener.accept();
            match accept.and_then(|(stream, _)| accepted(&acceptor, stream)) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(PostAction::Continue);
                }
                Err(error) => {
                    eprintln!("accept: {error}");
                    return Ok(PostAction::Continue);
                }
            }
        }
    })?;

    say_ready()?;
    event_loop.run(None, &mut Scratch::new(), |_| {})?;
    Ok(())
}

fn serve<S: Serve>(handle: &Handle, stream: TcpStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let mut mode = S::default();
    // An error of one connection ends that connection; given to calloop, it would end the loop.
    let ready = move |_, wire: &mut NoIoDrop<Wire>, scratch: &mut Scratch| {
        Ok(mode.ready(wire, scratch).unwrap_or(PostAction::Remove))
    };
    match handle.insert_source(Connection::new(stream), ready) {
        Ok(_) => Ok(()),
        Err(error) => Err(io::Error::other(error.error)),
    }
}

fn time(_: &Handle, mut stream: TcpStream) -> io::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let since_1900 = now.map_or(0, |now| now.as_secs()) + EPOCH_1900;
    // A new socket's send buffer takes four bytes; a vanished peer is no error of the listener's.
    let _ = stream.write_all(&(since_1900 as u32).to_be_bytes());
    Ok(())
}
