//! Ctrl-C and SIGTERM end a program gracefully; on Windows Ctrl-C and Ctrl-Break.
//!
//! Windows itself ends a process whose console is closed as soon as the handler of `ctrlc` has returned (MSDN,
//! `HandlerRoutine`), so a closed window, a logoff and a shutdown of the system are no graceful end.

use std::{
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use asynchat::Registry;

type AtExit = Mutex<Option<Box<dyn FnOnce() + Send>>>;

/// What the third signal leaves to be done.
static AT_EXIT: AtExit = AtExit::new(None);

/// Runs `f` before the third signal ends the process, where no destructor runs: for what outlives the process, as the mode of
/// a terminal.
pub fn before_exit(f: impl FnOnce() + Send + 'static) {
    *AT_EXIT.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(f));
}

/// Without destructors, which could wait for what the loop waits for.
fn exit() -> ! {
    let last = AT_EXIT.lock().ok().and_then(|mut last| last.take());
    if let Some(last) = last {
        last();
    }
    signal_hook::low_level::exit(130);
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
            exit();
        }
    });
    Ok(())
}

/// The same for events of the console. `ctrlc` calls a thread of its own, so what it does is posted.
#[cfg(windows)]
pub fn end_on_signal(
    registry: &mut Registry,
    end: impl FnOnce(&mut Registry) + 'static,
) -> io::Result<()> {
    console::install()?;
    console::add(registry.handle(), Box::new(end));
    Ok(())
}

#[cfg(windows)]
mod console {
    use std::{
        cell::RefCell,
        collections::BTreeMap,
        io,
        sync::{Mutex, PoisonError},
    };

    use asynchat::{Handle, Registry};

    type End = Box<dyn FnOnce(&mut Registry)>;

    thread_local! {
        /// The ends of this thread's reactors, by number. They are not `Send`, so the number is posted instead.
        static ENDS: RefCell<BTreeMap<u32, End>> = const { RefCell::new(BTreeMap::new()) };
    }

    struct Reactors {
        installed: bool,
        added: u32,
        all: Vec<(u32, Handle)>,
    }

    static REACTORS: Mutex<Reactors> = Mutex::new(Reactors {
        installed: false,
        added: 0,
        all: Vec::new(),
    });

    /// A process has one handler, for all its reactors.
    pub(super) fn install() -> io::Result<()> {
        let mut reactors = REACTORS.lock().unwrap_or_else(PoisonError::into_inner);
        if !reactors.installed {
            let mut events = 0;
            ctrlc::set_handler(move || {
                events += 1;
                let taken = post();
                // If no reactor is left to end, the process is.
                if events > 2 || !taken && events == 1 {
                    super::exit();
                }
            })
            .map_err(io::Error::other)?;
            reactors.installed = true;
        }
        Ok(())
    }

    pub(super) fn add(handle: Handle, end: End) {
        let mut reactors = REACTORS.lock().unwrap_or_else(PoisonError::into_inner);
        reactors.added += 1;
        let number = reactors.added;
        reactors.all.push((number, handle));
        ENDS.with_borrow_mut(|ends| ends.insert(number, end));
    }

    /// Whether a reactor was there to take it.
    fn post() -> bool {
        let mut reactors = REACTORS.lock().unwrap_or_else(PoisonError::into_inner);
        reactors.all.retain(|&(number, ref handle)| {
            let posted = handle.call_soon(move |registry| {
                match ENDS.with_borrow_mut(|ends| ends.remove(&number)) {
                    Some(end) => end(registry),
                    None => registry.stop(),
                }
                Ok(())
            });
            posted.is_ok()
        });
        !reactors.all.is_empty()
    }
}
