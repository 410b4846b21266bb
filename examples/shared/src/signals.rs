//! Ctrl-C and SIGTERM end a program gracefully.
//!
//! A signal handler may hardly do anything, so a thread waits for the signals and posts into the reactor.

use std::{io, time::Duration};

use asynchat::{Handle, Registry};

/// Shuts the reactor down at the first signal, giving open connections `grace` to end; stops it at the second, and
/// ends the process at the third.
pub fn shut_down_on_signal(handle: Handle, grace: Duration) -> io::Result<()> {
    end_on_signal(handle, move |registry| registry.shutdown(grace))
}

/// Runs `end` in the reactor at the first signal; stops it at the second. The third ends the process, should a callback
/// never return.
#[cfg(unix)]
pub fn end_on_signal(
    handle: Handle,
    end: impl FnOnce(&mut Registry) + Send + 'static,
) -> io::Result<()> {
    use signal_hook::{
        consts::{SIGINT, SIGTERM},
        iterator::Signals,
    };

    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::spawn(move || {
        let mut signals = signals.forever();
        if signals.next().is_some() {
            // Refused where it has ended already.
            let _ = handle.call_soon(|registry| {
                end(registry);
                Ok(())
            });
        }
        if signals.next().is_some() {
            handle.stop();
        }
        if signals.next().is_some() {
            // Without destructors, which could wait for what the loop waits for.
            signal_hook::low_level::exit(130);
        }
    });
    Ok(())
}

/// Elsewhere Ctrl-C ends the process at once.
#[cfg(not(unix))]
pub fn end_on_signal(_: Handle, _: impl FnOnce(&mut Registry)) -> io::Result<()> {
    Ok(())
}
