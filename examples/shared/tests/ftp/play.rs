//! A session, and its server as a script.

use std::{cell::RefCell, collections::VecDeque, fs::File, io::Write, rc::Rc, time::Duration};

use asynchat::{BoxError, ChannelId, Dispatcher, Registry, Result, testing::Harness};
use shared::{
    client::{Connection, Contact, ContactOptions},
    ftp::{Ask, Client, Command, Consumer, Fetch, Options, Session, Store, What},
};

/// What the client was told, in order.
pub(crate) type Told = Rc<RefCell<Vec<String>>>;

/// Asks for commands in order.
struct List {
    commands: VecDeque<Command>,
    told: Told,
}

impl Client for List {
    fn next(&mut self) -> Result<Option<Command>> {
        Ok(self.commands.pop_front())
    }

    fn finished(&mut self, _: &mut Registry, outcome: Result<(), BoxError>) {
        let text = outcome.map_or_else(|error| error.to_string(), |()| "done".into());
        self.told.borrow_mut().push(format!("finished: {text}"));
    }
}

/// Takes data until there is a `!` in it.
pub(crate) struct Gather {
    data: Vec<u8>,
    told: Told,
}

impl Gather {
    pub(crate) fn new(told: &Told) -> Self {
        Self {
            data: Vec::new(),
            told: Rc::clone(told),
        }
    }
}

impl Consumer for Gather {
    fn length(&mut self, length: u64) {
        self.told.borrow_mut().push(format!("{length} bytes"));
    }

    fn feed(&mut self, data: &[u8]) -> Result {
        assert!(!data.is_empty());
        self.data.extend_from_slice(data);
        match data.contains(&b'!') {
            true => Err("the disk is full".into()),
            false => Ok(()),
        }
    }

    fn close(&mut self, outcome: Result<(), BoxError>) {
        let data = String::from_utf8_lossy(&self.data);
        let text = outcome.map_or_else(|error| error.to_string(), |()| "whole".into());
        self.told.borrow_mut().push(format!("{data:?} {text}"));
    }
}

/// What a test asks for.
#[derive(Clone, Default)]
pub(crate) struct Wish {
    pub(crate) verb: &'static str,
    pub(crate) text: bool,
    pub(crate) offset: u64,
    pub(crate) length: Option<u64>,
}

pub(crate) fn wish(verb: &'static str) -> Wish {
    Wish {
        verb,
        ..Wish::default()
    }
}

impl Wish {
    fn command(self, told: &Told) -> Command {
        let Self {
            verb,
            text,
            offset,
            length,
        } = self;
        let told = Rc::clone(told);
        let what = match verb {
            "STOR" => {
                let mut file = tempfile();
                file.write_all(b"one\ntwo\n").expect("a file");
                let mut file = file;
                std::io::Seek::rewind(&mut file).expect("a file");
                return Command::Store(Store {
                    name: b"f".into(),
                    text,
                    offset,
                    file,
                    progress: Box::new(|_| ()),
                    then: Box::new(move |outcome| {
                        let text =
                            outcome.map_or_else(|error| error.to_string(), |()| "sent".into());
                        told.borrow_mut().push(text);
                    }),
                });
            }
            "RETR" => What::File(b"f".into()),
            "RETR evil" => What::File(b"f\r\nDELE g".into()),
            "LIST" => What::List(Vec::new()),
            "MLSD" => What::Facts(b"d".into()),
            "NLST" => What::Names(Vec::new()),
            verb => {
                return Command::Ask(Ask {
                    verb,
                    argument: Vec::new(),
                    then: Box::new(move |reply| {
                        let text =
                            reply.map_or_else(|error| error.to_string(), |reply| reply.to_string());
                        told.borrow_mut().push(text);
                        Ok(())
                    }),
                });
            }
        };
        Command::Fetch(Fetch {
            what,
            text,
            offset,
            length,
            consumer: Box::new(Gather::new(&told)),
        })
    }
}

fn tempfile() -> File {
    tempfile::tempfile().expect("a file")
}

struct Idle;
impl Dispatcher for Idle {}

pub(crate) const HOST: &str = "192.0.2.2";
/// The log-in that most scripts begin with.
pub(crate) const LOGIN: &str = "S 220 ready
C USER anonymous
S 331 password
C PASS anonymous@
S 230 in
";

pub(crate) fn play(script: &str, wishes: &[Wish], bytewise: bool) -> Vec<String> {
    play_with(&Options::default(), HOST, script, wishes, bytewise)
}

/// The same with other options, and a server at another address.
#[track_caller]
pub(crate) fn play_with(
    options: &Options,
    host: &str,
    script: &str,
    wishes: &[Wish],
    bytewise: bool,
) -> Vec<String> {
    play_started(host, script, bytewise, |registry, contact, told| {
        let commands = wishes.iter().map(|wish| wish.clone().command(told));
        let client = List {
            commands: commands.collect(),
            told: Rc::clone(told),
        };
        let session = Session::new(options.clone(), client);
        Connection::start(registry, contact, (host, 21), false, session)
    })
}

/// Plays a script, and gives what the client was told.
///
/// | a line | means |
/// |---|---|
/// | `S text`, `C text` | the server says this line; the client has said it |
/// | `S ends`, `S resets` | the control connection |
/// | `D connects to 1025`, `D fails` | the client's connection for the data |
/// | `D is under way` | that connection is not made yet |
/// | `D arrives` | the server's, at the address in the last `C` |
/// | `D text`, `D sees text`, `D ends`, `D resets` | the data: `\n` and `\r` stand for themselves |
/// | `D is closed`, `D has ended` | |
/// | `wait` | 31 s |
#[track_caller]
pub(crate) fn play_started(
    host: &str,
    script: &str,
    bytewise: bool,
    start: impl FnOnce(&mut Registry, &Contact, &Told) -> Result<ChannelId>,
) -> Vec<String> {
    let told = Told::default();
    let contact = Contact::new(&ContactOptions::default());
    let mut world = Harness::new(Idle);
    start(&mut world.registry(), &contact, &told).expect("a connection");
    let mut control = world.dialled().expect("a control connection");
    control.connected();
    let mut data = None;
    let mut said = Vec::new();
    let mut said_last = String::new();
    for (number, line) in script.lines().enumerate() {
        let at = format!("line {number}, {line:?}, told {:?}", told.borrow());
        let feed = |peer: &mut Harness, text: &[u8]| match bytewise {
            true => peer.feed_bytewise(text),
            false => peer.feed(text),
        };
        let (who, what) = line.split_once(' ').unwrap_or((line, ""));
        match (who, what) {
            ("S", "ends") => control.eof(),
            ("S", "resets") => control.reset(),
            ("S", _) => feed(&mut control, format!("{what}\r\n").as_bytes()),
            ("C", _) => {
                said.extend(control.output());
                let end = said.iter().position(|&byte| byte == b'\n');
                let end = end.unwrap_or_else(|| panic!("{at}: nothing was said"));
                let line: Vec<u8> = said.drain(..=end).collect();
                said_last = String::from_utf8_lossy(&line).trim_end().to_owned();
                match what.strip_suffix('…') {
                    Some(begin) => assert!(said_last.starts_with(begin), "{at}: {said_last}"),
                    None => assert_eq!(said_last, what, "{at}"),
                }
            }
            ("wait", _) => world.advance(Duration::from_secs(31)),
            ("D", "fails") => {
                let mut dialled = world.dialled().expect(&at);
                dialled.connect_failed(std::io::ErrorKind::ConnectionRefused);
            }
            ("D", "is under way") => data = Some(world.dialled().expect(&at)),
            ("D", "arrives") => data = world.connect_to(place(&said_last).as_str()),
            ("D", "ends") => data.as_mut().expect(&at).eof(),
            ("D", "resets") => data.as_mut().expect(&at).reset(),
            ("D", "is closed") => assert!(data.as_mut().expect(&at).is_closed(), "{at}"),
            ("D", "has ended") => assert!(data.as_mut().expect(&at).has_ended(), "{at}"),
            ("D", _) => {
                if let Some(port) = what.strip_prefix("connects to ") {
                    let mut dialled = world.dialled().expect(&at);
                    assert_eq!(
                        dialled.address().to_string(),
                        format!("{host}:{port}"),
                        "{at}"
                    );
                    dialled.connected();
                    data = Some(dialled);
                } else if let Some(text) = what.strip_prefix("sees ") {
                    let output = data.as_mut().expect(&at).output();
                    assert_eq!(String::from_utf8_lossy(&output), unescaped(text), "{at}");
                } else {
                    feed(data.as_mut().expect(&at), unescaped(what).as_bytes());
                }
            }
            ("", _) => {}
            _ => panic!("{at}: unknown"),
        }
    }
    said.extend(control.output());
    assert_eq!(
        String::from_utf8_lossy(&said),
        "",
        "said after the script, {:?}",
        told.borrow()
    );
    assert!(world.dialled().is_none(), "a further data connection");
    control.eof();
    told.take()
}

fn unescaped(text: &str) -> String {
    text.replace("\\r", "\r").replace("\\n", "\n")
}

/// The address in EPRT or PORT.
fn place(command: &str) -> String {
    if let Some(text) = command.strip_prefix("EPRT |1|") {
        return text.trim_end_matches('|').replace('|', ":");
    }
    let numbers = command.strip_prefix("PORT ").expect("an address");
    let numbers: Vec<u16> = numbers
        .split(',')
        .map(|n| n.parse::<u16>().expect("a number"))
        .collect();
    let port = numbers[4] * 256 + numbers[5];
    format!(
        "{}.{}.{}.{}:{port}",
        numbers[0], numbers[1], numbers[2], numbers[3]
    )
}
