//! What a server offers (RFC 2449).

use asynchat::Result;

use super::MAX_CAPABILITIES;

#[derive(Debug, Default)]
pub(super) struct Capabilities {
    lines: usize,
    pub(super) stls: bool,
    pub(super) pipelining: bool,
}

impl Capabilities {
    pub(super) fn line(&mut self, line: &[u8]) -> Result {
        self.lines += 1;
        if self.lines > MAX_CAPABILITIES {
            let error = format!("the server has more than {MAX_CAPABILITIES} capabilities");
            return Err(error.into());
        }
        let name = line.split(|&byte| byte == b' ').next().unwrap_or_default();
        if name.eq_ignore_ascii_case(b"STLS") {
            self.stls = true;
        } else if name.eq_ignore_ascii_case(b"PIPELINING") {
            self.pipelining = true;
        }
        Ok(())
    }
}
