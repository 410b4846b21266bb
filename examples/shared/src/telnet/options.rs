//! All options of one connection.

use super::{
    command::{DO, DONT, IAC, WILL, WONT},
    q_method::Side,
};

/// Numbers of options.
pub mod option {
    /// RFC 856.
    pub const BINARY: u8 = 0;
    /// RFC 857.
    pub const ECHO: u8 = 1;
    /// RFC 858.
    pub const SUPPRESS_GO_AHEAD: u8 = 3;
    /// RFC 1091.
    pub const TERMINAL_TYPE: u8 = 24;
    /// RFC 1073: negotiate about window size.
    pub const WINDOW_SIZE: u8 = 31;
}

/// What this end agrees to do (DO is answered by WILL).
const HERE: [u8; 4] = [
    option::BINARY,
    option::SUPPRESS_GO_AHEAD,
    option::TERMINAL_TYPE,
    option::WINDOW_SIZE,
];
/// What this end agrees that the server does (WILL is answered by DO).
const THERE: [u8; 3] = [option::BINARY, option::ECHO, option::SUPPRESS_GO_AHEAD];

/// Both sides of each option that this end agrees to. Every other one is off, and stays so.
#[derive(Clone, Debug, Default)]
pub struct Options {
    here: [Side; HERE.len()],
    there: [Side; THERE.len()],
}

impl Options {
    /// What is to be answered to WILL, WONT, DO or DONT, if anything.
    pub fn received(&mut self, verb: u8, option: u8) -> Option<[u8; 3]> {
        let (side, on_off) = match verb {
            DO | DONT => (self.here_mut(option), [WILL, WONT]),
            _ => (self.there_mut(option), [DO, DONT]),
        };
        let wants = matches!(verb, DO | WILL);
        let send = match (side, wants) {
            (Some(side), true) => side.peer_on(true),
            (Some(side), false) => side.peer_off(),
            (None, true) => Some(false),
            (None, false) => None,
        };
        send.map(|on| [IAC, on_off[usize::from(!on)], option])
    }

    /// Asks for an option at both sides.
    pub fn ask_for(&mut self, option: u8) -> Vec<u8> {
        let here = self.here_mut(option).and_then(Side::ask_on);
        let there = self.there_mut(option).and_then(Side::ask_on);
        let will = here.map(|_| [IAC, WILL, option]);
        let r#do = there.map(|_| [IAC, DO, option]);
        [will, r#do].into_iter().flatten().flatten().collect()
    }

    pub fn is_on_here(&self, option: u8) -> bool {
        HERE.iter()
            .zip(self.here)
            .any(|(&it, side)| it == option && side.is_on())
    }

    pub fn is_on_there(&self, option: u8) -> bool {
        THERE
            .iter()
            .zip(self.there)
            .any(|(&it, side)| it == option && side.is_on())
    }

    fn here_mut(&mut self, option: u8) -> Option<&mut Side> {
        let at = HERE.iter().position(|&it| it == option)?;
        self.here.get_mut(at)
    }

    fn there_mut(&mut self, option: u8) -> Option<&mut Side> {
        let at = THERE.iter().position(|&it| it == option)?;
        self.there.get_mut(at)
    }
}
