//! One file or listing by its URL (RFC 1738, 3.2): a whole session.

use std::{cell::Cell, collections::VecDeque, rc::Rc};

use asynchat::{BoxError, ChannelId, Registry, Result};
use percent_encoding::percent_decode_str;

use super::{
    Account, Ask, Client, Command, Consumer, Fetch, Mode, Options, PORT, PORT_TLS, Protection,
    Session, What,
};
use crate::client::{Connection, Contact};

/// What an `ftp` URL names.
#[derive(Clone)]
pub struct Place {
    pub host: String,
    pub port: u16,
    pub account: Account,
    /// `ftps`: TLS from the start.
    pub tls: bool,
    /// Send a password in clear to another machine: the URL cannot say so.
    pub allow_cleartext: bool,
    /// Each is entered with CWD.
    pub folders: Vec<Vec<u8>>,
    pub what: What,
    /// `;type=a`, and listings.
    pub text: bool,
}

impl Place {
    /// `ftp://USER:PASSWORD@HOST:PORT/FOLDER/NAME;type=a`, each part but the host may be left out. A path that ends in a slash
    /// is a folder, and gives its listing; `;type=d` gives its names alone. Names begin in the folder of the login: `%2F` in
    /// front of them, or a second slash, leads to the root.
    ///
    /// # Errors
    /// The scheme is another; there is no host; a name has a CR, LF or NUL in it.
    pub fn of_url(url: &url::Url) -> Result<Self, String> {
        let tls = match url.scheme() {
            "ftp" => false,
            "ftps" => true,
            other => return Err(format!("{other}: not an ftp URL")),
        };
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or("an ftp URL without a host")?;
        let (path, kind) = match url.path().rsplit_once(";type=") {
            Some((path, kind)) => (path, kind.to_ascii_lowercase()),
            None => (url.path(), String::new()),
        };
        let path = path.strip_prefix('/').unwrap_or(path);
        let mut folders = path
            .split('/')
            .map(decoded)
            .collect::<Result<Vec<_>, _>>()?;
        let name = folders.pop().unwrap_or_default();
        if let Some(first) = folders.first_mut().filter(|first| first.is_empty()) {
            first.push(b'/');
        }
        folders.retain(|folder| !folder.is_empty());
        let what = match (kind.as_str(), name.is_empty()) {
            ("" | "a" | "i", false) => What::File(name),
            ("" | "a" | "i", true) => What::List(name),
            ("d", _) => What::Names(name),
            _ => return Err(format!(";type={kind}: it is a, i or d")),
        };
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(if tls { PORT_TLS } else { PORT }),
            account: account(url)?,
            tls,
            allow_cleartext: false,
            folders,
            text: kind == "a" || !matches!(what, What::File(_)),
            what,
        })
    }
}

fn account(url: &url::Url) -> Result<Account, String> {
    if url.username().is_empty() {
        return Ok(Account::default());
    }
    let text = |part: &str| {
        let part = decoded(part)?;
        String::from_utf8(part).map_err(|_| "the name or password is not UTF-8".to_owned())
    };
    Ok(Account {
        user: text(url.username())?,
        password: text(url.password().unwrap_or_default())?,
        account: None,
    })
}

fn decoded(part: &str) -> Result<Vec<u8>, String> {
    let bytes: Vec<u8> = percent_decode_str(part).collect();
    match bytes.iter().any(|byte| b"\r\n\0".contains(byte)) {
        true => Err("an ftp URL with a CR, LF or NUL in a name".into()),
        false => Ok(bytes),
    }
}

/// Fetches what the URL names. The consumer is closed once, also if no connection is made.
///
/// # Errors
/// Those of [`Connection::start`]. The consumer is dropped then.
pub fn fetch(
    registry: &mut Registry,
    contact: &Contact,
    place: Place,
    mode: Mode,
    consumer: Box<dyn Consumer>,
) -> Result<ChannelId> {
    let options = Options {
        account: place.account,
        mode,
        protection: if place.tls {
            Protection::Implicit
        } else {
            Protection::None
        },
        allow_cleartext: place.allow_cleartext,
        ..Options::default()
    };
    let client = One {
        folders: place.folders.into(),
        what: Some(place.what),
        text: place.text,
        length: Rc::default(),
        before: vec![Before::Size, Before::Type],
        consumer: Some(consumer),
    };
    let session = Session::new(options, client);
    let at = (place.host.as_str(), place.port);
    Connection::start(registry, contact, at, place.tls, session)
}

/// The client of one fetch.
struct One {
    folders: VecDeque<Vec<u8>>,
    /// Until it is asked for.
    what: Option<What>,
    text: bool,
    length: Rc<Cell<Option<u64>>>,
    before: Vec<Before>,
    consumer: Option<Box<dyn Consumer>>,
}

/// What comes before RETR of bytes, the last first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Size,
    Type,
}

impl Client for One {
    fn next(&mut self) -> Result<Option<Command>> {
        if let Some(folder) = self.folders.pop_front() {
            return Ok(Some(Command::Ask(Ask::enter(folder))));
        }
        if let Some(What::File(name)) = &self.what
            && !self.text
            && let Some(step) = self.before.pop()
        {
            // Servers give the size of a file as the current type would send it (RFC 3659, 4).
            if step == Before::Type {
                return Ok(Some(Command::Binary));
            }
            let length = Rc::clone(&self.length);
            return Ok(Some(Command::Ask(Ask::size(name.clone(), length))));
        }
        let Some((what, mut consumer)) = self.what.take().zip(self.consumer.take()) else {
            return Ok(None);
        };
        if let Some(length) = self.length.get() {
            consumer.length(length);
        }
        Ok(Some(Command::Fetch(Fetch {
            what,
            text: self.text,
            offset: 0,
            length: self.length.get(),
            consumer,
        })))
    }

    fn finished(&mut self, _: &mut Registry, outcome: Result<(), BoxError>) {
        if let Some(mut consumer) = self.consumer.take() {
            consumer.close(outcome.and_then(|()| Err("nothing was fetched".into())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> Result<Place, String> {
        Place::of_url(&url.parse().expect("a URL"))
    }

    #[test]
    fn a_url_is_folders_and_a_name() {
        let file = |name: &str| What::File(name.into());
        let cases: [(&str, &[&str], What, bool); 13] = [
            ("ftp://h", &[], What::List(vec![]), true),
            ("ftp://h/", &[], What::List(vec![]), true),
            ("ftp://h/a", &[], file("a"), false),
            ("ftp://h/a;type=i", &[], file("a"), false),
            ("ftp://h/a;type=A", &[], file("a"), true),
            ("ftp://h/a;type=d", &[], What::Names("a".into()), true),
            ("ftp://h/a/b/c", &["a", "b"], file("c"), false),
            ("ftp://h/a/b/", &["a", "b"], What::List(vec![]), true),
            ("ftp://h//etc/motd", &["/", "etc"], file("motd"), false),
            ("ftp://h/%2Fetc/motd", &["/etc"], file("motd"), false),
            ("ftp://h/a//b", &["a"], file("b"), false),
            (
                "ftp://h/a%20b%2fc%3Btype=a",
                &[],
                file("a b/c;type=a"),
                false,
            ),
            ("ftp://h/../../a", &[], file("a"), false),
        ];
        for (url, folders, what, text) in cases {
            let place = place(url).expect(url);
            let found: Vec<_> = place
                .folders
                .iter()
                .map(|f| String::from_utf8_lossy(f))
                .collect();
            assert_eq!(found, folders, "{url}");
            assert_eq!((place.what, place.text), (what, text), "{url}");
        }
    }

    #[test]
    fn a_url_may_name_user_and_port() {
        for (url, host, port, user, password, tls) in [
            ("ftp://h/", "h", 21, "anonymous", "anonymous@", false),
            ("ftp://a:b%40@h:2121/", "h", 2121, "a", "b@", false),
            ("ftp://a@[::1]/", "::1", 21, "a", "", false),
            ("ftps://h/", "h", 990, "anonymous", "anonymous@", true),
        ] {
            let place = place(url).expect(url);
            let Account {
                user: name,
                password: word,
                ..
            } = place.account;
            assert_eq!(
                (&*place.host, place.port, place.tls),
                (host, port, tls),
                "{url}"
            );
            assert_eq!((&*name, &*word), (user, password), "{url}");
        }
    }

    #[test]
    fn a_url_that_cannot_be_asked_for_is_refused() {
        for (url, why) in [
            ("http://h/", "http: not an ftp URL"),
            (
                "ftp://h/a%0D%0ADELE%20b",
                "an ftp URL with a CR, LF or NUL in a name",
            ),
            (
                "ftp://h/a%00/b",
                "an ftp URL with a CR, LF or NUL in a name",
            ),
            (
                "ftp://a%0Ab@h/b",
                "an ftp URL with a CR, LF or NUL in a name",
            ),
            ("ftp://a:%FF@h/b", "the name or password is not UTF-8"),
            ("ftp://h/a;type=x", ";type=x: it is a, i or d"),
        ] {
            assert_eq!(place(url).err().as_deref(), Some(why), "{url}");
        }
    }
}
