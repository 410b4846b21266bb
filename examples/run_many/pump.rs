//! Threads between the standard streams and pipes: a stream may be a file, which cannot be watched, or a terminal, which
//! should not become non-blocking for the programs that share it.

use std::{
    io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write},
    os::fd::OwnedFd,
    sync::mpsc,
    thread::{self, JoinHandle},
};

/// A pipe that has what the stream has, and a line end behind the last line. If the stream fails, its error is sent before
/// the pipe ends.
pub(crate) fn into_pipe<R: Read + 'static>(
    stream: fn() -> R,
) -> io::Result<(OwnedFd, mpsc::Receiver<io::Error>)> {
    let (reader, mut writer): (PipeReader, PipeWriter) = io::pipe()?;
    let (failure, failed) = mpsc::channel();
    thread::spawn(move || {
        match io::copy(&mut stream(), &mut writer).and_then(|_| writer.write_all(b"\n")) {
            // The commands are not wanted any more.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                let _ = failure.send(error);
            }
            _ => {}
        }
        drop(writer);
    });
    Ok((reader.into(), failed))
}

/// A pipe whose bytes go to the stream, and the thread that ends with them.
pub(crate) fn from_pipe<W: Write + 'static>(
    stream: fn() -> W,
) -> io::Result<(OwnedFd, JoinHandle<io::Result<()>>)> {
    let (mut reader, writer) = io::pipe()?;
    let thread = thread::spawn(move || {
        let mut stream = stream();
        // If the stream fails the pipe has no reader, and the loop learns it.
        io::copy(&mut reader, &mut stream)?;
        stream.flush()
    });
    Ok((writer.into(), thread))
}
