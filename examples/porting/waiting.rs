//! Idioms of "One channel and another" and "Loop, threads, time": clients that wait.

use std::{collections::VecDeque, time::Duration};

use asynchat::{
    AsyncChat, Channel, ChannelId, ChatChannel, Dispatcher, Registry, Result, TimerId, VisitError,
};

#[derive(Default)]
struct Server {
    waiting: VecDeque<ChannelId>,
    jobs: VecDeque<String>,
}

impl Dispatcher for Server {}

struct Session {
    server: ChannelId,
    wait: Option<TimerId>,
    line: Vec<u8>,
}

impl Session {
    // region 57
    fn cmd_reserve(&mut self, chat: &mut ChatChannel<'_>, seconds: u64) -> Result {
        let limit = Duration::from_secs(seconds);
        self.wait = Some(chat.call_later(limit, |session: &mut Session, chat| {
            session.end_wait(chat, "TIMED_OUT\r\n");
            Ok(())
        }));
        chat.pause_reading(Duration::MAX); // its next command may be a `reserve`
        let id = chat.id();
        chat.registry()
            .with(self.server, |server: &mut Server, _| {
                server.waiting.push_back(id);
            })?;
        Ok(())
    }

    /// False if the wait is over: of a job and the timer, due in one turn, the first takes it.
    fn end_wait(&mut self, chat: &mut ChatChannel<'_>, answer: &str) -> bool {
        let Some(timer) = self.wait.take() else {
            return false;
        };
        chat.registry().cancel(timer);
        chat.push(answer.to_owned());
        chat.resume_reading();
        true
    }
    // end

    // region 40
    fn cmd_put(&mut self, chat: &mut ChatChannel<'_>, job: &str) {
        let (server, job) = (self.server, job.to_owned());
        chat.registry()
            .call_soon(move |registry| put(registry, server, job));
    }
    // end
}

// region 40
fn put(registry: &mut Registry, server: ChannelId, job: String) -> Result {
    let next = |server: &mut Server, _: &mut Channel<'_>| server.waiting.pop_front();
    while let Some(id) = registry.with(server, next)? {
        // The server is back in its channel: what the session does may ask it again.
        if give(registry, id, &job) == Ok(true) {
            return Ok(());
        }
    }
    registry.with(server, |server: &mut Server, _| server.jobs.push_back(job))?;
    Ok(())
}

fn give(registry: &mut Registry, id: ChannelId, job: &str) -> Result<bool, VisitError> {
    registry.with_chat(id, |session: &mut Session, chat| {
        session.end_wait(chat, job)
    })
}
// end

impl AsyncChat for Session {
    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        self.line.extend_from_slice(data);
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let line = String::from_utf8(std::mem::take(&mut self.line))?;
        match line.split_once(' ') {
            Some(("reserve", seconds)) => self.cmd_reserve(chat, seconds.parse()?)?,
            Some(("put", job)) => self.cmd_put(chat, &format!("{job}\r\n")),
            _ => return Err("what?".into()),
        }
        Ok(())
    }
}

/// `cargo test --features testing --example porting`.
#[cfg(all(test, feature = "testing"))]
mod tests {
    use asynchat::{
        Address, ChatDispatcher, Stream,
        testing::{Harness, Listener},
    };

    use super::*;

    struct Acceptor(Option<ChannelId>);

    impl Dispatcher for Acceptor {
        fn handle_accepted(
            &mut self,
            channel: &mut Channel<'_>,
            stream: Stream,
            _: Address,
        ) -> Result {
            let session = Session {
                server: self.0.ok_or("no server yet")?,
                wait: None,
                line: Vec::new(),
            };
            let chat = ChatDispatcher::new(session, "\r\n");
            channel.registry().register(stream, chat)?;
            Ok(())
        }
    }

    /// A listener, whose own channel the sessions do not need, and the server with the jobs.
    fn serve() -> (Listener, ChannelId) {
        let mut listener = Listener::new(Acceptor(None));
        let id = listener.id();
        let mut registry = listener.registry();
        let server = registry.listen(([127, 0, 0, 1], 1), Server::default());
        let server = server.expect("in memory");
        let told = registry.with(id, |acceptor: &mut Acceptor, _| acceptor.0 = Some(server));
        assert_eq!(told, Ok(()));
        drop(registry);
        (listener, server)
    }

    fn waits(peer: &mut Harness, seconds: u32) {
        peer.feed(format!("reserve {seconds}\r\n"));
        assert_eq!(peer.output(), b"");
    }

    #[test]
    fn a_waiter_is_served_or_timed_out_and_never_both() {
        for job_first in [false, true] {
            let (mut listener, _) = serve();
            let mut peer = listener.connect();
            let id = peer.id();
            let job = move |registry: &mut Registry| {
                let _ = give(registry, id, "RESERVED\r\n");
                Ok(())
            };
            let ten = Duration::from_secs(10);
            if job_first {
                peer.registry().call_later(ten, job);
                waits(&mut peer, 10);
            } else {
                waits(&mut peer, 10);
                peer.registry().call_later(ten, job);
            }
            peer.advance(ten);
            let answer: &[u8] = if job_first {
                b"RESERVED\r\n"
            } else {
                b"TIMED_OUT\r\n"
            };
            assert_eq!(peer.output(), answer);
            assert_eq!(peer.registry().stats().timers, 0);
        }
    }

    #[test]
    fn a_put_serves_the_one_that_waits_and_what_follows_a_reserve_comes_later() {
        let (mut listener, server) = serve();
        let (mut one, mut two) = (listener.connect(), listener.connect());
        waits(&mut one, 5);
        waits(&mut two, 60);
        one.advance(Duration::from_secs(5));
        assert_eq!(one.output(), b"TIMED_OUT\r\n");
        one.feed("put first\r\n");
        assert_eq!(
            (one.output(), two.output()),
            (vec![], b"first\r\n".to_vec())
        );
        one.feed("reserve 60\r\nreserve 60\r\nput own\r\n");
        two.feed("put second\r\n");
        assert_eq!(one.output(), b"second\r\n");
        two.feed("put third\r\n");
        assert_eq!(one.output(), b"third\r\n");
        let left = one
            .registry()
            .with(server, |server: &mut Server, _| server.jobs.clone());
        assert_eq!(left.expect("open"), ["own\r\n"]);
    }

    #[test]
    fn a_session_may_serve_itself() {
        let (mut listener, _) = serve();
        let mut one = listener.connect();
        one.feed("put own\r\nreserve 60\r\n");
        assert_eq!(one.output(), b"own\r\n");
    }
}
