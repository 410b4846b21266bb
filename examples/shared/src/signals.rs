//! Ctrl-C and SIGTERM end a program gracefully.

use std::{io, time::Duration};

use asynchat::Registry;

#[cfg(unix)]
type AtExit = std::sync::Mutex<Option<Box<dyn FnOnce() + Send>>>;

/// What the third signal leaves to be done.
#[cfg(unix)]
static AT_EXIT: AtExit = AtExit::new(None);

/// Runs `f` before the third signal ends the process, where no destructor runs: for what outlives the process, as the mode of
/// a terminal.
#[cfg(unix)]
pub fn before_exit(f: impl FnOnce() + Send + 'static) {
    *AT_EXIT
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Box::new(f));
}

/// Shuts the reactor down at the first signal, giving open connections `grace` to end; stops it at the second, and
/// ends the process at the third.
pub fn shut_down_on_signal(registry: &mut Registry, grace: Duration) -> io::Result<()> {
    end_on_signal(registry, move |registry| registry.shutdown(grace))
}

/// Runs `end` at the first signal; stops the reactor at the second. The third ends the process, should a callback never
/// return.
#[cfg(unix)]
pub fn end_on_signal(
    registry: &mut Registry,
    end: impl FnOnce(&mut Registry) + 'static,
) -> io::Result<()> {
    use std::{cell::Cell, rc::Rc};

    use asynchat::signal::{SIGINT, SIGTERM};

    let first = Rc::new(Cell::new(Some(end)));
    for signal in [SIGINT, SIGTERM] {
        let first = first.clone();
        registry.on_signal(signal, move |registry| {
            match first.take() {
                Some(end) => end(registry),
                None => registry.stop(),
            }
            Ok(())
        })?;
    }
    // A thread, because the loop may hang.
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    std::thread::spawn(move || {
        if signals.forever().nth(2).is_some() {
            let last = AT_EXIT.lock().ok().and_then(|mut last| last.take());
            if let Some(last) = last {
                last();
            }
            // Without destructors, which could wait for what the loop waits for.
            signal_hook::low_level::exit(130);
        }
    });
    Ok(())
}

/// Elsewhere Ctrl-C ends the process at once.
#[cfg(not(unix))]
pub fn end_on_signal(_: &mut Registry, _: impl FnOnce(&mut Registry) + 'static) -> io::Result<()> {
    Ok(())
}
