//! What a session is asked to do.

use std::{cell::Cell, fs::File, rc::Rc};

use asynchat::{BoxError, Registry, Result};

use super::transfer::What;
use crate::{reply::Reply, text::printable};

/// The user of a session: asked for one command after another.
pub trait Client {
    /// The session is logged in, and has nothing to do: the next command. `None` ends the session.
    ///
    /// # Errors
    /// The error ends the session.
    fn next(&mut self) -> Result<Option<Command>>;

    /// The last call: there is no control connection any more. The command that was running has its error already.
    fn finished(&mut self, registry: &mut Registry, outcome: Result<(), BoxError>);
}

/// A command, and who gets its result. A command that is refused does not end the session.
pub enum Command {
    /// TYPE I, unless that is the type already: the sizes of files are those of their bytes then.
    Binary,
    Ask(Ask),
    Fetch(Fetch),
    Store(Store),
}

/// A command without data, as SIZE or CWD.
pub struct Ask {
    pub verb: &'static str,
    pub argument: Vec<u8>,
    /// Gets the last reply, a refusal too; an error if none came.
    pub then: Box<dyn FnOnce(Result<Reply>) -> Result>,
}

impl Ask {
    /// CWD. A refusal ends the session.
    pub fn enter(folder: Vec<u8>) -> Self {
        let name = String::from_utf8_lossy(&folder).into_owned();
        Self {
            verb: "CWD",
            argument: folder,
            then: Box::new(move |reply| match reply? {
                reply if reply.class() == 2 => Ok(()),
                reply => Err(reply.refusal(&printable(&format!("CWD {name}"))).into()),
            }),
        }
    }

    /// SIZE (RFC 3659, 4): sets `size` if the server tells it. Many refuse, for a text always.
    pub fn size(name: Vec<u8>, size: Rc<Cell<Option<u64>>>) -> Self {
        Self {
            verb: "SIZE",
            argument: name,
            then: Box::new(move |reply| {
                let Ok(reply) = reply else {
                    // The session has ended, or the transfer says why the name cannot be sent.
                    return Ok(());
                };
                let told = Some(reply.text().trim()).filter(|_| reply.code == 213);
                size.set(told.and_then(|told| told.parse().ok()));
                Ok(())
            }),
        }
    }
}

/// A file or a listing that comes from the server.
pub struct Fetch {
    pub what: What,
    /// TYPE A: lines end in LF. Otherwise every byte is as in the file.
    pub text: bool,
    /// Begin behind this number of bytes (REST). A server that cannot is an error.
    pub offset: u64,
    /// Bytes that are to come. Another number is an error.
    pub length: Option<u64>,
    pub consumer: Box<dyn Consumer>,
}

/// A file that goes to the server.
pub struct Store {
    pub name: Vec<u8>,
    /// TYPE A: lines end in CR LF on their way.
    pub text: bool,
    /// Begin behind this number of bytes, here and there (REST). A server that cannot is an error. Not for text.
    pub offset: u64,
    /// A regular one.
    pub file: File,
    /// Told the number of further bytes that have been sent.
    pub progress: Box<dyn FnMut(u64)>,
    pub then: Box<dyn FnOnce(Result)>,
}

/// Takes what is fetched.
pub trait Consumer {
    /// The number of bytes that are to come, if it is known, before the first of them.
    fn length(&mut self, _length: u64) {}

    /// A piece, never empty.
    ///
    /// # Errors
    /// The error ends the transfer and comes back to `close`.
    fn feed(&mut self, data: &[u8]) -> Result;

    /// The last call: everything was fed, or why not.
    fn close(&mut self, outcome: Result<(), BoxError>);
}

/// The line of a command.
///
/// # Errors
/// The argument has a CR, LF or NUL in it, with which it would be more than one command or end early.
pub(super) fn line(verb: &str, argument: &[u8]) -> Result<Vec<u8>> {
    if let Some(byte) = argument.iter().find(|byte| b"\r\n\0".contains(byte)) {
        let name = ["CR", "LF", "NUL"][usize::from(*byte == b'\n') + 2 * usize::from(*byte == 0)];
        return Err(format!("{verb}: {name} cannot be sent in a name").into());
    }
    let mut line = verb.as_bytes().to_vec();
    if !argument.is_empty() {
        line.push(b' ');
        line.extend_from_slice(argument);
    }
    line.extend_from_slice(b"\r\n");
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_never_a_second_command() {
        assert_eq!(
            line("RETR", b" a b\xff").expect("a name"),
            b"RETR  a b\xff\r\n"
        );
        assert_eq!(line("PASV", b"").expect("no name"), b"PASV\r\n");
        for (name, why) in [
            (&b"a\r\nDELE b"[..], "RETR: CR cannot be sent in a name"),
            (b"a\nDELE b", "RETR: LF cannot be sent in a name"),
            (b"a\0", "RETR: NUL cannot be sent in a name"),
        ] {
            let error = line("RETR", name).expect_err("two commands");
            assert_eq!(error.to_string(), why);
        }
    }
}
