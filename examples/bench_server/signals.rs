//! Signals as input of the reactor: a byte in a socket pair.
//!
//! The other programs leave signals to a thread (`shared::signals`). Here that would show: with a second thread in
//! the process, each system call of the C library looks whether the thread is being cancelled.

#[cfg(unix)]
mod unix {
    use std::{
        io::{self, ErrorKind},
        os::unix::net::UnixStream,
    };

    use asynchat::{Channel, Dispatcher, Registry, Result};
    use signal_hook::{consts, low_level::pipe};

    struct Signal {
        what: fn(&mut Registry),
    }

    impl Dispatcher for Signal {
        fn writable(&self) -> bool {
            false
        }

        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            match channel.recv_with(|_, bytes| !bytes.is_empty()) {
                Ok(true) => (self.what)(channel.registry()),
                Ok(false) => {}
                // Passed on with `?` it would be boxed, and that counted as an allocation.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            Ok(())
        }
    }

    fn on(registry: &mut Registry, signals: &[i32], what: fn(&mut Registry)) -> io::Result<()> {
        let (reader, writer) = UnixStream::pair()?;
        for &signal in signals {
            pipe::register(signal, writer.try_clone()?)?;
        }
        registry.register(reader, Signal { what })?;
        Ok(())
    }

    /// Has the reactor stopped by SIGTERM and Ctrl-C.
    pub(crate) fn stop_on_signal(registry: &mut Registry) -> io::Result<()> {
        on(registry, &[consts::SIGTERM, consts::SIGINT], Registry::stop)
    }

    /// Has the allocations told whenever SIGUSR1 comes, so that a measurement can take differences.
    pub(crate) fn report_on_signal(registry: &mut Registry) -> io::Result<()> {
        on(registry, &[consts::SIGUSR1], |_| {
            crate::allocations::report();
        })
    }
}

#[cfg(unix)]
pub(crate) use unix::{report_on_signal, stop_on_signal};

/// Elsewhere Ctrl-C ends the process at once.
#[cfg(not(unix))]
mod elsewhere {
    use std::io;

    use asynchat::Registry;

    pub(crate) fn stop_on_signal(_: &mut Registry) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn report_on_signal(_: &mut Registry) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(not(unix))]
pub(crate) use elsewhere::{report_on_signal, stop_on_signal};
