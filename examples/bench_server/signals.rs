//! Signals without the thread of `shared::signals`: with a second thread in the process, each system call of the C
//! library looks whether the thread is being cancelled, and that would show.

use std::io;

use asynchat::Registry;

/// Has the reactor stopped by SIGTERM and Ctrl-C.
#[cfg(unix)]
pub(crate) fn stop_on_signal(registry: &mut Registry) -> io::Result<()> {
    use asynchat::signal::{SIGINT, SIGTERM};

    for signal in [SIGTERM, SIGINT] {
        registry.on_signal(signal, |registry| {
            registry.stop();
            Ok(())
        })?;
    }
    Ok(())
}

/// Has the allocations told whenever SIGUSR1 comes, so that a measurement can take differences.
#[cfg(unix)]
pub(crate) fn report_on_signal(registry: &mut Registry) -> io::Result<()> {
    registry.on_signal(asynchat::signal::SIGUSR1, |_| {
        crate::allocations::report();
        Ok(())
    })?;
    Ok(())
}

/// Windows calls back on a thread of its own anyway.
#[cfg(not(unix))]
pub(crate) fn stop_on_signal(registry: &mut Registry) -> io::Result<()> {
    shared::signals::end_on_signal(registry, Registry::stop)
}

#[cfg(not(unix))]
pub(crate) fn report_on_signal(_: &mut Registry) -> io::Result<()> {
    Ok(())
}
