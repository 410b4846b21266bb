//! Frames answered by bytes: all the answers to a read in one write.

use std::io::{self, ErrorKind};

use monoio::buf::IoBufMut as _;
use monoio::io::{AsyncReadRent as _, AsyncWriteRentExt as _};
use monoio::net::TcpStream;

const READ: usize = 64 * 1024;
/// The longest frame that is waited for.
const LONGEST: usize = 64 * 1024;

/// What was found in the input.
pub(crate) struct Found {
    /// Bytes of whole frames.
    pub(crate) taken: usize,
    /// The connection ends behind the answer.
    pub(crate) last: bool,
}

pub(crate) trait Protocol: 'static {
    /// Answers the whole frames at the start of `input`, of which the first `seen` bytes end none.
    fn answer(input: &[u8], seen: usize, out: &mut Vec<u8>) -> Found;
}

pub(crate) async fn serve<P: Protocol>(mut stream: TcpStream) -> io::Result<()> {
    let mut input = Vec::with_capacity(LONGEST + READ);
    let mut out = Vec::new();
    loop {
        let seen = input.len();
        // Behind the frame begun.
        let (got, filled) = stream.read(input.slice_mut(seen..)).await;
        input = filled.into_inner();
        if got? == 0 {
            return Ok(());
        }
        let found = P::answer(&input, seen, &mut out);
        input.drain(..found.taken);
        if !out.is_empty() {
            let (sent, emptied) = stream.write_all(out).await;
            sent?;
            out = emptied;
            out.clear();
        }
        if found.last {
            return Ok(());
        }
        if input.len() > LONGEST {
            return Err(ErrorKind::InvalidData.into());
        }
    }
}
