//! Threads between the standard streams and pipes: a stream may be a file, which cannot be watched, or a terminal, which
//! should not become non-blocking for the programs that share it.

use std::{
    io::{self, PipeReader, PipeWriter, Read, Write},
    os::fd::OwnedFd,
    thread::{self, JoinHandle},
};

/// A pipe that has what the stream has, and a line end behind the last line.
pub(crate) fn into_pipe<R: Read + 'static>(stream: fn() -> R) -> io::Result<OwnedFd> {
    let (reader, mut writer): (PipeReader, PipeWriter) = io::pipe()?;
    thread::spawn(move || {
        // Once the commands are not wanted any more, writing fails.
        let _ = io::copy(&mut stream(), &mut writer).and_then(|_| writer.write_all(b"\n"));
    });
    Ok(reader.into())
}

/// A pipe whose bytes go to the stream, and the thread that ends with them.
pub(crate) fn from_pipe<W: Write + 'static>(
    stream: fn() -> W,
) -> io::Result<(OwnedFd, JoinHandle<()>)> {
    let (mut reader, writer) = io::pipe()?;
    let thread = thread::spawn(move || {
        let mut stream = stream();
        // If the stream fails the pipe has no reader, and the loop learns it.
        let _ = io::copy(&mut reader, &mut stream).and_then(|_| stream.flush());
    });
    Ok((writer.into(), thread))
}
