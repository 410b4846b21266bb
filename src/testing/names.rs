//! Host names of a test.

use std::{collections::HashMap, io, net::IpAddr};

use crate::{
    names::{answer::Answer, question::Question},
    resolver::Resolver,
};

/// The host names of a test, for [`Builder::resolver`](crate::Builder::resolver): a table, and no thread. Without one the
/// kit knows no name.
///
/// ```
/// use asynchat::{testing::{Harness, Names}, *};
///
/// struct Proxy;
/// impl Dispatcher for Proxy {
///     fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
///         channel.registry().connect_host("www.example", 80, Upstream)?;
///         Ok(())
///     }
/// }
/// struct Upstream;
/// impl Dispatcher for Upstream {}
///
/// let names = Names::new().found("www.example", [[192, 0, 2, 80]]);
/// let mut client = Harness::with_builder(Reactor::builder().resolver(names), Proxy);
/// let mut server = client.dialled().expect("a connection to the server");
/// assert_eq!(server.address(), ([192, 0, 2, 80], 80).into());
/// server.connected();
/// ```
#[derive(Debug, Default)]
#[must_use = "a table does nothing until it is passed on"]
pub struct Names {
    table: HashMap<String, Entry>,
    /// Ungiven, so that those who ask wait until their deadline.
    kept: Vec<Answer>,
}

#[derive(Debug)]
enum Entry {
    Found(Vec<IpAddr>),
    Fails(io::ErrorKind),
    Silent,
}

impl Names {
    /// No names: each look-up fails with `NotFound`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives a name its addresses. None is `NotFound`.
    pub fn found(self, host: &str, ips: impl IntoIterator<Item = impl Into<IpAddr>>) -> Self {
        let ips = ips.into_iter().map(Into::into).collect();
        self.with(host, Entry::Found(ips))
    }

    /// Has the look-up of a name fail.
    pub fn fails(self, host: &str, kind: io::ErrorKind) -> Self {
        self.with(host, Entry::Fails(kind))
    }

    /// Has the look-up of a name hang, so that it ends at its [deadline](crate::Builder::resolve_timeout), when the test
    /// [lets time pass](crate::testing::Harness::advance).
    pub fn silent(self, host: &str) -> Self {
        self.with(host, Entry::Silent)
    }

    fn with(mut self, host: &str, entry: Entry) -> Self {
        self.table.insert(host.to_ascii_lowercase(), entry);
        self
    }
}

impl Resolver for Names {
    fn resolve(&mut self, question: Question, answer: Answer) {
        match self.table.get(question.host()) {
            Some(Entry::Found(ips)) => {
                let address = |ip: &IpAddr| (*ip, question.port()).into();
                answer.give(Ok(ips.iter().map(address).collect()));
            }
            Some(Entry::Fails(kind)) => answer.give(Err((*kind).into())),
            Some(Entry::Silent) => self.kept.push(answer),
            None => answer.give(Err(io::Error::new(
                io::ErrorKind::NotFound,
                "no such name in testing::Names",
            ))),
        }
    }
}
