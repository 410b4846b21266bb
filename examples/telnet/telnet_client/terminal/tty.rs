//! The terminal of this process and its mode, which is the old one again at every end of the program.

use std::{cell::Cell, fs::File, os::fd::OwnedFd};

use asynchat::Result;
use rustix::termios::{
    OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};
use shared::signals;

/// Ctrl-].
pub(super) const ESCAPE: u8 = 0x1d;

/// Who handles what is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The terminal: it echoes, and gives whole lines.
    Lines,
    /// The server: it gets each key.
    Keys,
}

pub(super) struct Tty {
    terminal: OwnedFd,
    original: Termios,
    mode: Cell<Mode>,
}

impl Tty {
    /// The terminal, and a descriptor of it for the reactor. It is opened anew, because a channel does not block, and other
    /// processes share standard input and output with this one.
    pub(super) fn open() -> Result<(Self, OwnedFd)> {
        let open = || File::options().read(true).write(true).open("/dev/tty");
        let failed = |error| format!("no terminal: /dev/tty: {error}");
        let terminal = OwnedFd::from(open().map_err(failed)?);
        let channel = OwnedFd::from(open().map_err(failed)?);
        let original = tcgetattr(&terminal)?;
        // Where no destructor runs.
        let (again, at_exit) = (terminal.try_clone()?, original.clone());
        signals::before_exit(move || {
            let _ = tcsetattr(&again, OptionalActions::Now, &at_exit);
        });
        let tty = Self {
            terminal,
            original,
            mode: Cell::new(Mode::Lines),
        };
        tty.set_again();
        Ok((tty, channel))
    }

    pub(super) fn mode(&self) -> Mode {
        self.mode.get()
    }

    pub(super) fn set(&self, mode: Mode) {
        if self.mode.replace(mode) != mode {
            self.set_again();
        }
    }

    pub(super) fn set_again(&self) {
        let mut changed = self.original.clone();
        match self.mode.get() {
            Mode::Keys => changed.make_raw(),
            // So that it is read at once, and not with the next line.
            Mode::Lines => changed.special_codes[SpecialCodeIndex::VEOL] = ESCAPE,
        }
        self.apply(&changed);
    }

    fn apply(&self, termios: &Termios) {
        if let Err(error) = tcsetattr(&self.terminal, OptionalActions::Now, termios) {
            log::debug!("the mode of the terminal: {error}");
        }
    }

    /// Columns and rows.
    pub(super) fn size(&self) -> (u16, u16) {
        tcgetwinsize(&self.terminal).map_or((80, 24), |size| (size.ws_col, size.ws_row))
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        self.apply(&self.original);
    }
}
