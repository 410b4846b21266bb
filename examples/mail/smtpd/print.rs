//! The store that is standard output, in the form of CPython's `smtpd.DebuggingServer`.

use std::{
    io::{self, Seek, Write},
    sync::{Mutex, PoisonError},
};

use shared::{screen, smtp::server::Envelope};
use tempfile::SpooledTempFile;

use crate::pool::Store;

/// Bytes of a message that are kept in memory until it is complete; more go to a temporary file.
const IN_MEMORY: usize = 64 * 1024;

/// Prints one message after the other, each when it is complete.
#[derive(Default)]
pub(crate) struct Printer(Mutex<()>);

impl Printer {
    /// The number of threads that it takes: a reader of standard output may keep it waiting, but not a file.
    pub(crate) fn threads() -> usize {
        usize::from(!is_file())
    }
}

/// Or `/dev/null`.
#[cfg(unix)]
fn is_file() -> bool {
    use std::{io::IsTerminal, os::unix::fs::FileTypeExt};

    let kind = std::fs::metadata("/dev/stdout").map(|about| about.file_type());
    kind.is_ok_and(|kind| kind.is_file() || kind.is_char_device() && !io::stdout().is_terminal())
}

#[cfg(not(unix))]
fn is_file() -> bool {
    false
}

impl Store for Printer {
    type Draft = Block<SpooledTempFile>;

    fn begin(&self, envelope: &Envelope) -> io::Result<Self::Draft> {
        Block::begin(SpooledTempFile::new(IN_MEMORY), envelope)
    }

    fn write(&self, draft: &mut Self::Draft, data: &[u8]) -> io::Result<()> {
        draft.write(data)
    }

    fn finish(&self, draft: Self::Draft) -> io::Result<()> {
        let mut spool = draft.finish()?;
        spool.rewind()?;
        let _one_at_a_time = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = screen::stdout();
        io::copy(&mut spool, &mut out)?;
        out.flush()
    }
}

/// A message between two lines, with the address of its client behind its header.
pub(crate) struct Block<W> {
    out: W,
    peer: String,
    is_header: bool,
    is_line_start: bool,
}

impl<W: Write> Block<W> {
    fn begin(mut out: W, envelope: &Envelope) -> io::Result<Self> {
        writeln!(out, "---------- MESSAGE FOLLOWS ----------")?;
        if !envelope.options.is_empty() {
            let options: Vec<_> = envelope.options.iter().map(|o| format!("'{o}'")).collect();
            writeln!(out, "mail options: [{}]", options.join(", "))?;
        }
        let peer = match envelope.peer.inet() {
            Some(peer) => peer.ip().to_string(),
            None => envelope.peer.to_string(),
        };
        Ok(Self {
            out,
            peer,
            is_header: true,
            is_line_start: true,
        })
    }

    fn write(&mut self, mut data: &[u8]) -> io::Result<()> {
        while self.is_header && !data.is_empty() {
            if self.is_line_start && data[0] == b'\n' {
                writeln!(self.out, "X-Peer: {}", self.peer)?;
                self.is_header = false;
                break;
            }
            let end = data.iter().position(|&b| b == b'\n');
            let (line, rest) = data.split_at(end.map_or(data.len(), |end| end + 1));
            self.out.write_all(line)?;
            self.is_line_start = end.is_some();
            data = rest;
        }
        self.out.write_all(data)
    }

    fn finish(mut self) -> io::Result<W> {
        writeln!(self.out, "------------ END MESSAGE ------------")?;
        Ok(self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(options: &[&str], text: &str) -> String {
        let envelope = Envelope {
            peer: ([192, 0, 2, 1], 25).into(),
            helo: "example".into(),
            is_extended: true,
            is_secured: false,
            sender: "eggs@example".into(),
            recipients: vec!["spam@example".into()],
            options: options.iter().map(ToString::to_string).collect(),
            is_utf8: false,
        };
        let blocks = (1..=text.len().max(1)).map(|size| {
            let mut block = Block::begin(Vec::new(), &envelope).expect("memory");
            for piece in text.as_bytes().chunks(size) {
                block.write(piece).expect("memory");
            }
            String::from_utf8_lossy(&block.finish().expect("memory")).into_owned()
        });
        let mut blocks: Vec<_> = blocks.collect();
        blocks.dedup();
        assert_eq!(blocks.len(), 1, "{blocks:?}");
        blocks.remove(0)
    }

    /// The four cases of DebuggingServerTest in CPython's test_smtpd. There is no `repr` of bytes: a screen is told from a
    /// file when the block is printed.
    #[test]
    fn a_message_is_a_block_with_the_peer_behind_its_header() {
        let begin = "---------- MESSAGE FOLLOWS ----------\n";
        let end = "------------ END MESSAGE ------------\n";
        for (options, text, shown) in [
            (
                &[][..],
                "From: test\n\nhello\n",
                "From: test\nX-Peer: 192.0.2.1\n\nhello\n",
            ),
            (
                &[],
                "From: test\n\nh\u{e9}llo\u{ff}\n",
                "From: test\nX-Peer: 192.0.2.1\n\nh\u{e9}llo\u{ff}\n",
            ),
            (
                &["BODY=8BITMIME", "SMTPUTF8"],
                "From: test\n\nh\u{e9}llo\n",
                "mail options: ['BODY=8BITMIME', 'SMTPUTF8']\nFrom: test\nX-Peer: 192.0.2.1\n\nh\u{e9}llo\n",
            ),
            (&[], "\nhello\n\n\n", "X-Peer: 192.0.2.1\n\nhello\n\n\n"),
            (&[], "From: test\n", "From: test\n"),
            (&[], "", ""),
        ] {
            assert_eq!(printed(options, text), format!("{begin}{shown}{end}"));
        }
    }
}
