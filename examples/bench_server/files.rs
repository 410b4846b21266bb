//! The files below a directory over HTTP/1.1, each opened for its request and closed after it.
//!
//! A small file is read at once and leaves in one piece with its head; a larger one is a producer's, and while that is
//! at work no request is read: a connection holds one file open. Symbolic links are followed.

use std::{
    borrow::Cow,
    cell::RefCell,
    env,
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Write},
    path::Path,
    rc::Rc,
    time::{Instant, UNIX_EPOCH},
};

use asynchat::{AsyncChat, BoxError, ChatChannel, ChatDispatcher, FilePart, Frame, Result};
use httpdate::HttpDate;
use percent_encoding::percent_decode;

use crate::{date::Date, head::Then, listener};

const MAX_HEAD: usize = 16 * 1024;

/// What all connections of the server share.
struct Site {
    date: Date,
    now: HttpDate,
    /// The head of every file's answer, up to its length.
    ok: Vec<u8>,
    /// The answer, or the beginning of it.
    answer: Vec<u8>,
}

impl Site {
    /// Makes the root the current directory of the process, so that the system looks up no more of a path than the request
    /// names.
    fn new(root: &Path) -> io::Result<Self> {
        std::fs::read_dir(root)?;
        env::set_current_dir(root)?;
        Ok(Self {
            date: Date::default(),
            now: UNIX_EPOCH.into(),
            ok: Vec::new(),
            answer: Vec::new(),
        })
    }

    /// Opens what a request names, or says with which status it is refused.
    fn open(target: &[u8]) -> Result<FilePart, &'static str> {
        const NOT_FOUND: &str = "404 Not Found";
        let path = target
            .split(|&byte| byte == b'?')
            .next()
            .and_then(|path| path.strip_prefix(b"/"))
            .ok_or("400 Bad Request")?;
        let path = Cow::from(percent_decode(path));
        let path = below(&path).ok_or(NOT_FOUND)?;
        open(path)
            .and_then(|file| FilePart::new(file, ..))
            .map_err(|error| match error.kind() {
                // Windows opens no directory.
                ErrorKind::PermissionDenied if path.is_dir() => NOT_FOUND,
                // A directory, a NUL in a name, and a name that is too long.
                ErrorKind::NotFound
                | ErrorKind::NotADirectory
                | ErrorKind::InvalidInput
                | ErrorKind::InvalidFilename => NOT_FOUND,
                ErrorKind::PermissionDenied => "403 Forbidden",
                _ => {
                    log::warn!("{}: {error}", path.display());
                    "503 Service Unavailable"
                }
            })
    }

    fn renew(&mut self, now: Instant) -> io::Result<()> {
        if let Some(date) = self.date.renewed(now) {
            self.now = date;
            self.ok.clear();
            write!(
                self.ok,
                "HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: "
            )?;
        }
        Ok(())
    }

    /// Makes the head of a file's answer, without the machinery of `write!`.
    fn write_ok(&mut self, len: u64, then: Then) {
        self.answer.clear();
        self.answer.extend_from_slice(&self.ok);
        push_decimal(&mut self.answer, len);
        self.answer.extend_from_slice(end_of_head(then));
    }

    /// Makes the whole of any other answer.
    fn write_refusal(&mut self, status: &str, then: Then) -> io::Result<()> {
        let date = self.now;
        self.answer.clear();
        write!(
            self.answer,
            "HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Length: 0"
        )?;
        self.answer.extend_from_slice(end_of_head(then));
        Ok(())
    }
}

/// What follows the length.
fn end_of_head(then: Then) -> &'static [u8] {
    match then {
        Then::Close => b"\r\nConnection: close\r\n\r\n",
        _ => b"\r\n\r\n",
    }
}

fn push_decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return out.extend_from_slice(&digits[at..]);
        }
    }
}

/// A path that leads neither upwards nor, with another slash in front or a drive letter, to a place of its own, nor to a
/// device.
fn below(path: &[u8]) -> Option<&Path> {
    #[cfg(unix)]
    {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
        let stays = path.first() != Some(&b'/')
            && path.split(|&byte| byte == b'/').all(|part| part != b"..");
        stays.then(|| Path::new(OsStr::from_bytes(path)))
    }
    #[cfg(not(unix))]
    {
        use shared::windows_name;
        use std::path::Component;
        let path = Path::new(std::str::from_utf8(path).ok()?);
        let stays =
            |part| matches!(part, Component::Normal(name) if windows_name::is_usable_here(name));
        path.components().all(stays).then_some(path)
    }
}

/// Opens a file to be read; should it be a pipe, without waiting for who writes to it.
fn open(place: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    options.read(true).open(place)
}

pub(crate) struct Files {
    site: Rc<RefCell<Site>>,
}

pub(crate) fn connections(
    root: &Path,
) -> io::Result<impl FnMut() -> ChatDispatcher<Files> + 'static> {
    let site = Rc::new(RefCell::new(Site::new(root)?));
    Ok(move || {
        let files = Files {
            site: Rc::clone(&site),
        };
        ChatDispatcher::collecting(files, "\r\n\r\n", MAX_HEAD).hold_while_congested()
    })
}

impl AsyncChat for Files {
    fn found_frame(&mut self, chat: &mut ChatChannel<'_>, head: Frame<'_>) -> Result {
        let mut then = Then::of(&head);
        if then == Then::Nothing {
            return Ok(());
        }
        let site = &mut *self.site.borrow_mut();
        site.renew(chat.registry().now())?;
        let found = match target(&head) {
            Some(target) => Site::open(target),
            // No request, or one that may have a body.
            None => {
                then = Then::Close;
                Err("400 Bad Request")
            }
        };
        let body = match found {
            Ok(body) => {
                site.write_ok(body.len(), then);
                Some(body)
            }
            Err(status) => {
                site.write_refusal(status, then)?;
                None
            }
        };
        chat.write_all(&site.answer)?;
        if let Some(body) = body {
            chat.push_file(body);
        }
        if then == Then::Close {
            chat.close_when_done();
        }
        Ok(())
    }

    fn handle_error(&mut self, chat: &mut ChatChannel<'_>, error: BoxError) {
        listener::give_up(chat, &error);
    }
}

/// What a GET asks for.
fn target(request: &[u8]) -> Option<&[u8]> {
    let mut words = request
        .trim_ascii_start()
        .split(|&byte| byte == b'\n')
        .next()?
        .trim_ascii_end()
        .split(|&byte| byte == b' ');
    let target = (words.next()? == b"GET").then(|| words.next())??;
    let version = words.next()?;
    (version.starts_with(b"HTTP/1.") && words.next().is_none()).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_not_found() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("folder")).unwrap();
        std::fs::write(root.path().join("file"), "text").unwrap();
        let before = env::current_dir().unwrap();
        Site::new(root.path()).unwrap();
        for (target, refusal) in [
            ("/file", None),
            ("/folder", Some("404 Not Found")),
            ("/folder/", Some("404 Not Found")),
            ("/", Some("404 Not Found")),
            ("/nothing", Some("404 Not Found")),
        ] {
            assert_eq!(Site::open(target.as_bytes()).err(), refusal, "{target}");
        }
        // Windows deletes no folder that a process is in.
        env::set_current_dir(before).unwrap();
    }

    #[test]
    fn a_length_is_written_in_decimal() {
        for number in [0, 1, 9, 10, 1_048_576, u64::MAX] {
            let mut out = b"x".to_vec();
            push_decimal(&mut out, number);
            assert_eq!(out, format!("x{number}").into_bytes());
        }
    }

    #[test]
    fn only_a_get_of_http_1_names_a_file() {
        assert_eq!(target(b"GET /a HTTP/1.1\r\nHost: x"), Some(&b"/a"[..]));
        assert_eq!(target(b"\r\nGET /a?b HTTP/1.0"), Some(&b"/a?b"[..]));
        for wrong in [
            "",
            "GET",
            "GET /",
            "GET / HTTP/2",
            "GET / a HTTP/1.1",
            "POST / HTTP/1.1",
            "\r\n/ HTTP/1.1",
        ] {
            assert_eq!(target(wrong.as_bytes()), None, "{wrong:?}");
        }
    }
}
