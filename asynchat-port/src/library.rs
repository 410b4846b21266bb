//! The two modules, the copies of them that programs carry, and the classes of other packages that descend from them.

use std::collections::HashSet;

use serde::Serialize;

/// One of the two modules.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Library {
    /// `asyncore`.
    Asyncore,
    /// `asynchat`.
    Asynchat,
}

impl Library {
    /// The name of the module.
    pub fn name(self) -> &'static str {
        match self {
            Self::Asyncore => "asyncore",
            Self::Asynchat => "asynchat",
        }
    }
}

/// A class of the two modules, from which others descend.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Root {
    /// `asyncore.dispatcher`.
    Dispatcher,
    /// `asyncore.dispatcher_with_send`.
    DispatcherWithSend,
    /// `asyncore.file_dispatcher`.
    FileDispatcher,
    /// `asyncore.file_wrapper`.
    FileWrapper,
    /// `asynchat.async_chat`.
    AsyncChat,
    /// `asynchat.simple_producer`.
    SimpleProducer,
    /// `asynchat.fifo`.
    Fifo,
    /// `asyncore.ExitNow`.
    ExitNow,
}

/// Root, module, name of the class.
const ROOTS: [(Root, Library, &str); 8] = [
    (Root::Dispatcher, Library::Asyncore, "dispatcher"),
    (
        Root::DispatcherWithSend,
        Library::Asyncore,
        "dispatcher_with_send",
    ),
    (Root::FileDispatcher, Library::Asyncore, "file_dispatcher"),
    (Root::FileWrapper, Library::Asyncore, "file_wrapper"),
    (Root::AsyncChat, Library::Asynchat, "async_chat"),
    (Root::SimpleProducer, Library::Asynchat, "simple_producer"),
    (Root::Fifo, Library::Asynchat, "fifo"),
    (Root::ExitNow, Library::Asyncore, "ExitNow"),
];

impl Root {
    /// The class of this name. asynchat has the names of asyncore too: it imports them, or reaches the module.
    pub fn named(name: &str) -> Option<Self> {
        ROOTS.iter().find(|row| row.2 == name).map(|row| row.0)
    }

    /// The name of the class.
    pub fn name(self) -> &'static str {
        ROOTS
            .iter()
            .find(|row| row.0 == self)
            .map_or("", |row| row.2)
    }

    /// The module of the class.
    pub fn library(self) -> Library {
        ROOTS
            .iter()
            .find(|row| row.0 == self)
            .map_or(Library::Asyncore, |row| row.1)
    }

    /// True if its objects are in `socket_map`.
    pub fn is_channel(self) -> bool {
        matches!(
            self,
            Self::Dispatcher | Self::DispatcherWithSend | Self::FileDispatcher | Self::AsyncChat
        )
    }
}

/// Modules that are copies, by the last part of their names.
const COPIES: [(&str, Library); 14] = [
    ("asyncore", Library::Asyncore),
    ("asyncore_25", Library::Asyncore), // supervisor.medusa
    ("asyncore_27", Library::Asyncore),
    ("_asyncore", Library::Asyncore),
    ("my_asyncore", Library::Asyncore),
    ("pyasyncore", Library::Asyncore),
    ("wasyncore", Library::Asyncore), // waitress
    ("aasyncore", Library::Asyncore),
    ("asynchat", Library::Asynchat),
    ("asynchat_25", Library::Asynchat), // supervisor.medusa
    ("asynchat_27", Library::Asynchat),
    ("_asynchat", Library::Asynchat),
    ("my_asynchat", Library::Asynchat),
    ("pyasynchat", Library::Asynchat),
];

/// The copies of a program: those that are known, and those that the user names.
#[derive(Clone, Default, Debug)]
pub struct Copies {
    own: Vec<(String, Library)>,
}

impl Copies {
    /// Takes a module for a copy too. Only the last part of a dotted name counts.
    pub fn add(&mut self, module: &str, library: Library) {
        let name = module.rsplit('.').next().unwrap_or(module);
        self.own.push((name.to_owned(), library));
    }

    /// The library whose copy a module is, by the last part of its name.
    pub fn library(&self, module: &str) -> Option<Library> {
        let name = module.rsplit('.').next().unwrap_or(module);
        let own = self
            .own
            .iter()
            .find(|copy| copy.0 == name)
            .map(|copy| copy.1);
        own.or_else(|| COPIES.iter().find(|copy| copy.0 == name).map(|copy| copy.1))
    }
}

/// The library whose copy a module is, under any name: the module defines a class of the library, and functions that a
/// program does not have for its own use.
pub fn of_names<'a>(
    classes: impl Iterator<Item = &'a str>,
    functions: impl Iterator<Item = &'a str>,
) -> Option<Library> {
    let functions: HashSet<_> = functions.collect();
    let has = |names: &[&str]| names.iter().all(|&name| functions.contains(name));
    let mut classes = classes;
    classes.find_map(|class| match class {
        "dispatcher" if has(&["loop", "readwrite", "compact_traceback"]) => Some(Library::Asyncore),
        "async_chat" if has(&["find_prefix_at_end"]) => Some(Library::Asynchat),
        _ => None,
    })
}

/// A class of a package that descends from the two modules.
#[derive(PartialEq, Eq, Debug)]
pub struct Descendant {
    /// Its module.
    pub module: &'static str,
    /// Its name.
    pub class: &'static str,
    /// The class of the two modules.
    pub root: Root,
}

impl Descendant {
    /// True for a method that the package calls from its own callbacks.
    pub fn calls(&self, method: &str) -> bool {
        CALLED
            .iter()
            .any(|(module, start)| *module == self.module && method.starts_with(start))
    }
}

const fn below(root: Root, module: &'static str, class: &'static str) -> Descendant {
    Descendant {
        module,
        class,
        root,
    }
}

/// For programs that use such packages.
static DESCENDANTS: [Descendant; 24] = [
    below(Root::Dispatcher, "smtpd", "SMTPServer"),
    below(Root::Dispatcher, "smtpd", "DebuggingServer"),
    below(Root::Dispatcher, "smtpd", "PureProxy"),
    below(Root::Dispatcher, "smtpd", "MailmanProxy"),
    below(Root::AsyncChat, "smtpd", "SMTPChannel"),
    below(Root::Dispatcher, "pyftpdlib.ioloop", "Acceptor"),
    below(Root::Dispatcher, "pyftpdlib.ioloop", "Connector"),
    below(Root::AsyncChat, "pyftpdlib.ioloop", "AsyncChat"),
    below(Root::Dispatcher, "pyftpdlib.handlers", "PassiveDTP"),
    below(Root::Dispatcher, "pyftpdlib.handlers", "ActiveDTP"),
    below(Root::AsyncChat, "pyftpdlib.handlers", "DTPHandler"),
    below(Root::AsyncChat, "pyftpdlib.handlers", "ThrottledDTPHandler"),
    below(Root::AsyncChat, "pyftpdlib.handlers", "FTPHandler"),
    below(Root::AsyncChat, "pyftpdlib.handlers", "TLS_FTPHandler"),
    below(Root::AsyncChat, "pyftpdlib.handlers", "TLS_DTPHandler"),
    below(Root::Dispatcher, "pyftpdlib.handlers", "SSLConnection"),
    below(Root::Dispatcher, "pyftpdlib.servers", "FTPServer"),
    below(Root::FileDispatcher, "pyinotify", "AsyncNotifier"),
    below(Root::Dispatcher, "waitress.channel", "HTTPChannel"),
    below(Root::Dispatcher, "waitress.server", "BaseWSGIServer"),
    below(
        Root::AsyncChat,
        "supervisor.medusa.http_server",
        "http_channel",
    ),
    below(
        Root::Dispatcher,
        "supervisor.medusa.http_server",
        "http_server",
    ),
    below(
        Root::Dispatcher,
        "ZEO.zrpc.smac",
        "SizedMessageAsyncConnection",
    ),
    below(
        Root::Dispatcher,
        "pysnmp.carrier.asyncore.base",
        "AbstractSocketTransport",
    ),
];

/// Module, and the beginning of the names of methods that its callbacks call: `process_message` and `smtp_MAIL`, and
/// `on_login` and `ftp_STOR` of pyftpdlib.
const CALLED: [(&str, &str); 4] = [
    ("smtpd", "process_message"),
    ("smtpd", "smtp_"),
    ("pyftpdlib.handlers", "on_"),
    ("pyftpdlib.handlers", "ftp_"),
];

/// A class that is imported from a package.
pub fn descendant(module: &str, class: &str) -> Option<&'static Descendant> {
    DESCENDANTS
        .iter()
        .find(|known| known.module == module && known.class == class)
}

/// The names that each module defines, private ones included.
const NAMES: [(Library, &[&str]); 2] = [
    (
        Library::Asyncore,
        &[
            "read",
            "write",
            "readwrite",
            "_exception",
            "poll",
            "poll2",
            "poll3",
            "loop",
            "dispatcher",
            "dispatcher_with_send",
            "compact_traceback",
            "close_all",
            "file_wrapper",
            "file_dispatcher",
            "socket_map",
            "ExitNow",
            "_DISCONNECTED",
            "_reraised_exceptions",
            "_strerror",
        ],
    ),
    (
        Library::Asynchat,
        &[
            "async_chat",
            "simple_producer",
            "fifo",
            "find_prefix_at_end",
        ],
    ),
];

/// What `from asyncore import *` brings besides.
const ERRNO: [&str; 13] = [
    "EALREADY",
    "EINPROGRESS",
    "EWOULDBLOCK",
    "ECONNRESET",
    "EINVAL",
    "ENOTCONN",
    "ESHUTDOWN",
    "EISCONN",
    "EBADF",
    "ECONNABORTED",
    "EPIPE",
    "EAGAIN",
    "errorcode",
];

/// Modules that the two import, and so have as names.
const MODULES: [&str; 8] = [
    "asyncore", "errno", "os", "select", "socket", "sys", "time", "warnings",
];

/// What a name of one of the modules is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Name {
    /// It defines the name.
    Own(Library),
    /// A number of errno, or the table of them.
    Errno,
    /// Another module.
    Module,
}

impl Library {
    /// None if the module has no such name.
    pub fn find(self, name: &str) -> Option<Name> {
        // The copies in one file define both.
        if let Some(row) = NAMES.iter().find(|row| row.1.contains(&name)) {
            return (row.0 == self || self == Self::Asynchat || Root::named(name).is_some())
                .then_some(Name::Own(row.0));
        }
        if self == Self::Asyncore && ERRNO.contains(&name) {
            return Some(Name::Errno);
        }
        MODULES.contains(&name).then_some(Name::Module)
    }
}
