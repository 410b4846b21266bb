//! A server's place in the file system, and what can be done there.
#![allow(
    unreachable_pub,
    missing_debug_implementations,
    reason = "part of a test"
)]

use std::{
    fs,
    io::{Read, Write},
    os::unix::{
        fs::FileTypeExt,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use suites::program::{DEADLINE, Ended, Program, example};

pub const END: &[u8] = b"\0\0<F2B_END_COMMAND>\0\0";

/// A directory with room for a socket.
pub struct Place {
    pub directory: TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    pub fn command(&self, what: &str, args: &[&str]) -> Command {
        let mut command = example("unix_rpc");
        command.arg(what).arg("--socket").arg(self.socket());
        command.args(args);
        command
    }

    #[track_caller]
    pub fn serve(&self, args: &[&str]) -> Program {
        let server = Program::start(&mut self.command("serve", args));
        let line = server.line();
        assert_eq!(line, format!("serving on {}", self.socket().display()));
        server
    }

    /// A server that does not start.
    #[track_caller]
    pub fn cannot_serve(&self, args: &[&str], why: &str) {
        let ended = Program::start(&mut self.command("serve", args)).ended();
        let err = format!(
            "unix_rpc: cannot listen on {}: {why}\n",
            self.socket().display()
        );
        assert_eq!((ended.code, ended.err), (Some(1), err));
    }

    pub fn call(&self, strings: &[&str]) -> Ended {
        Program::start(&mut self.command("call", strings)).ended()
    }

    #[track_caller]
    pub fn answers(&self, strings: &[&str], values: &[&str]) {
        let ended = self.call(strings);
        let lines: String = values.iter().map(|value| format!("{value}\n")).collect();
        assert_eq!(
            (ended.code, ended.out().as_str(), ended.err.as_str()),
            (Some(0), lines.as_str(), "")
        );
    }

    pub fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    pub fn leave_a_stale_socket(&self) {
        drop(UnixListener::bind(self.socket()).unwrap());
        assert!(is_socket(&self.socket()));
    }
}

pub fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket())
}

/// Reads one list, without its end.
#[track_caller]
pub fn list(stream: &mut UnixStream) -> String {
    let mut list = Vec::new();
    while !list.ends_with(END) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        list.push(byte[0]);
    }
    list.truncate(list.len() - END.len());
    String::from_utf8(list).unwrap()
}

#[track_caller]
pub fn asks(stream: &mut UnixStream, request: &[u8]) -> String {
    stream.write_all(&[request, END].concat()).unwrap();
    list(stream)
}
