//! Ctrl-C and SIGTERM end a program gracefully.
//!
//! A signal handler may hardly do anything, so a thread waits for the signals and posts into the reactor.

use std::{io, time::Duration};

use asynchat::Handle;

/// Shuts the reactor down at the first signal, giving open connections `grace` to end; stops it at the second.
#[cfg(unix)]
pub(crate) fn shut_down_on_signal(handle: Handle, grace: Duration) -> io::Result<()> {
    use signal_hook::{
        consts::{SIGINT, SIGTERM},
        iterator::Signals,
    };

    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::spawn(move || {
        let mut signals = signals.forever();
        if signals.next().is_some() {
            handle.shutdown(grace);
        }
        if signals.next().is_some() {
            handle.stop();
        }
    });
    Ok(())
}

/// Elsewhere Ctrl-C ends the process at once.
#[cfg(not(unix))]
pub(crate) fn shut_down_on_signal(_: Handle, _: Duration) -> io::Result<()> {
    Ok(())
}
