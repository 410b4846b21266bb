//! The program `asynchat-port`.

use std::{
    io::{self, BufWriter, ErrorKind, Write},
    path::PathBuf,
    process::ExitCode,
};

use asynchat_port::{
    find, json,
    library::{Copies, Library},
    limits::Limits,
    load, report, skeleton,
};
use clap::Parser;

/// Reads a Python program that uses asyncore or asynchat, and reports what its port to the Rust crate asynchat will meet.
///
/// Status: 0 if all was read, 1 if a file could not be read or has places that are no Python, 2 for wrong usage.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Files of Python, versions 1.5 to 3; of a folder, all that are inside it
    #[arg(required = true, value_name = "FILE.py|DIR")]
    paths: Vec<PathBuf>,
    /// Write JSON
    #[arg(long)]
    json: bool,
    /// Write the beginning of the port instead: a Rust file that compiles
    #[arg(long, conflicts_with = "json")]
    skeleton: bool,
    /// A module of the program that is a copy of asyncore, besides those of known names
    #[arg(long, value_name = "MODULE")]
    asyncore: Vec<String>,
    /// A module of the program that is a copy of asynchat
    #[arg(long, value_name = "MODULE")]
    asynchat: Vec<String>,
    /// Bytes of one file
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().file_size)]
    max_file_size: u64,
    /// Bytes of all files
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().total_size)]
    max_total_size: u64,
    /// Nodes of the syntax of all files
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().nodes)]
    max_nodes: usize,
    /// Files of all folders
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().files)]
    max_files: usize,
    /// Folders inside each other
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().depth)]
    max_depth: usize,
    /// Steps of the parser for each byte of a file
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().steps_per_byte)]
    max_steps: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let limits = Limits {
        file_size: arguments.max_file_size,
        total_size: arguments.max_total_size,
        nodes: arguments.max_nodes,
        files: arguments.max_files,
        depth: arguments.max_depth,
        steps_per_byte: arguments.max_steps,
    };
    let mut copies = Copies::default();
    for (names, library) in [
        (&arguments.asyncore, Library::Asyncore),
        (&arguments.asynchat, Library::Asynchat),
    ] {
        for name in names {
            copies.add(name, library);
        }
    }
    let loaded = load::load(&arguments.paths, &limits, copies);
    let mut out = BufWriter::new(io::stdout().lock());
    let written = if arguments.json {
        json::write(&mut out, &loaded, &find::find(&loaded))
    } else {
        report::write_errors(&mut io::stderr().lock(), &loaded).and_then(|()| {
            if arguments.skeleton {
                let text = skeleton::skeleton(&loaded.program, &loaded.names);
                out.write_all(text.as_bytes())
            } else {
                report::write(&mut out, &loaded, &find::find(&loaded))
            }
        })
    };
    match written.and_then(|()| out.flush()) {
        Ok(()) => {}
        // The reader has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        Err(error) => {
            let _ = writeln!(io::stderr(), "asynchat-port: standard output: {error}");
            return ExitCode::FAILURE;
        }
    }
    if loaded.is_whole() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
