//! Bodies of unknown length: a script is told the length before it starts (RFC 3875, 4.1.2).

use std::{
    fs::File,
    io::{Seek, Write},
    process::Stdio,
    rc::Rc,
};

use asynchat::Result;

use crate::{handler::Server, limits::SPOOLED};

/// A body that is kept in a file without a name until a script can be told its length.
pub(crate) struct Spool {
    file: File,
    pub(crate) bytes: u64,
    server: Rc<Server>,
}

impl Spool {
    pub(crate) fn new(server: &Rc<Server>) -> Result<Self> {
        let (file, server) = (tempfile::tempfile()?, Rc::clone(server));
        Ok(Self {
            file,
            bytes: 0,
            server,
        })
    }

    pub(crate) fn take(&mut self, data: &[u8]) -> Result {
        let all = self.server.spooled.get() + data.len() as u64;
        if all > SPOOLED {
            return Err(format!("all together have more than {SPOOLED} bytes").into());
        }
        self.server.spooled.set(all);
        self.bytes += data.len() as u64;
        Ok(self.file.write_all(data)?)
    }

    pub(crate) fn stdin(&self) -> Result<Stdio> {
        (&self.file).rewind()?;
        Ok(self.file.try_clone()?.into())
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        let spooled = &self.server.spooled;
        spooled.set(spooled.get() - self.bytes);
    }
}
