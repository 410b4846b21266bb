//! Each line ended by CRLF answered by the same line.

use crate::framed::{Found, Protocol};

pub(crate) struct Lines;

impl Protocol for Lines {
    fn answer(input: &[u8], seen: usize, out: &mut Vec<u8>) -> Found {
        let mut taken = 0;
        for at in memchr::memchr_iter(b'\n', &input[seen..]).map(|at| seen + at) {
            if at > taken && input[at - 1] == b'\r' {
                out.extend_from_slice(&input[taken..at - 1]);
                out.extend_from_slice(b"\r\n");
                taken = at + 1;
            }
        }
        Found { taken, last: false }
    }
}
