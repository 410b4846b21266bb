//! What the caller and the load tell each other around the measured part.

use std::io::{self, Read, Write};

use crate::{args::Options, failure::Failure};

/// Says that everything stands ready, and waits for the word to go where one was asked for.
pub(crate) fn warm(options: &Options) -> Result<(), Failure> {
    eprintln!("warm");
    if !options.wait_go {
        return Ok(());
    }
    let mut line = String::new();
    match io::stdin().read_line(&mut line) {
        Ok(0) => Err(Failure::NoGo),
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::io("reading standard input")(error)),
    }
}

/// Prints the report, and keeps all connections until the caller has seen what it wants to see.
pub(crate) fn report(options: &Options, line: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(Failure::io("writing the report"))?;
    if options.wait_go {
        end_of_input()?;
    }
    Ok(())
}

pub(crate) fn end_of_input() -> Result<(), Failure> {
    let mut rest = [0; 256];
    loop {
        match io::stdin().lock().read(&mut rest) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Failure::io("reading standard input")(error)),
        }
    }
}
