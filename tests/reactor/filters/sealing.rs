//! When plaintext is sealed, how much of it at a time, and in how many records and writes it leaves.

use std::{
    cell::{Cell, RefCell},
    net::TcpListener,
    rc::Rc,
};

use asynchat::{Channel, ChannelId, Dispatcher, Produced, Reactor, Result, from_fn};
use util::{
    files::{content, file, whole},
    reactor, run,
    toy::{Call, HEAD, MOST, Toy, Watch},
};

use super::{Kind, Line, builder};

#[test]
fn what_one_callback_pushes_leaves_in_one_record_and_one_write() {
    let sealed_inside = Rc::new(Cell::new(usize::MAX));
    let inside = sealed_inside.clone();
    let toy = Toy::server();
    let watch = toy.watch();
    let mut line = Line::with(builder(), toy, Toy::client(), |it| {
        let received = it.received.clone();
        it.on_read = Some(Box::new(move |channel| {
            // A read may find nothing.
            if std::mem::take(&mut *received.borrow_mut()).is_empty() {
                return Ok(());
            }
            for n in 0..100 {
                channel.push(format!("line {n:03}\n"));
            }
            inside.set(watch.calls(Call::Seal));
            Ok(())
        }));
    });
    line.exchange();
    let writes = line.peer.writes();
    line.say("go");
    assert_eq!(
        sealed_inside.get(),
        0,
        "sealed before the callback has returned"
    );
    assert_eq!(line.watch.seen().sealed, [900]);
    assert_eq!(line.peer.writes() - writes, 1);
    assert_eq!(line.hear().len(), 900);
}

#[test]
fn large_pushes_leave_in_full_records() {
    let mut line = Line::open(|_| ());
    let sent = content(1, 10 * MOST);
    let pushed = sent.clone();
    line.on(move |channel| {
        let (first, rest) = pushed.split_at(100);
        channel.push(first.to_vec());
        channel.push(rest.to_vec());
    });
    assert!(line.hear() == sent);
    let sealed = line.watch.seen().sealed.clone();
    // Whoever joins less than a few records a call has more of them that are not full.
    assert!(sealed.len() <= 14, "{sealed:?}");
}

#[test]
fn the_end_leaves_with_the_last_record_in_one_write() {
    type Way = fn(&mut Channel<'_>);
    let ways: [(&str, Way); 4] = [
        ("close_when_done", |channel| {
            channel.push("farewell");
            channel.close_when_done();
        }),
        ("shutdown_write", |channel| {
            channel.push("farewell");
            channel.shutdown_write();
        }),
        ("producer", |channel| {
            let mut gives = Some("farewell");
            channel.push_with_producer(from_fn(move || {
                Ok(gives
                    .take()
                    .map_or(Produced::Done, |text| Produced::Data(text.into())))
            }));
            channel.close_when_done();
        }),
        ("nothing", |channel| channel.close_when_done()),
    ];
    for (name, way) in ways {
        let mut line = Line::open(|_| ());
        let writes = line.peer.writes();
        line.on(way);
        assert!(line.peer.has_ended(), "{name}");
        assert_eq!(line.peer.writes() - writes, 1, "{name}");
        let plain = line.hear();
        assert_eq!(
            plain,
            if name == "nothing" { "" } else { "farewell" }.as_bytes()
        );
        assert!(line.far.has_end(), "{name}");
        assert_eq!(line.watch.calls(Call::End), 1, "{name}");
        line.watch.check();
    }
}

#[test]
fn a_long_queue_stays_plaintext_while_the_peer_takes_nothing() {
    let mut line = Line::open(|it| it.on_error = Some(Box::new(|_| panic!("an error"))));
    line.peer.set_window(0);
    line.on(|channel| {
        for _ in 0..60 {
            channel.push(vec![b'x'; 1 << 20]);
        }
    });
    let _ = line.peer.output();
    // What one call of `seal` took, and not more.
    assert!(
        line.watch.sealed() <= 64 * 1024,
        "{} bytes are sealed",
        line.watch.sealed()
    );
    line.on(|channel| assert!(channel.outgoing_len() >= 60 << 20));
    line.peer.set_window(usize::MAX);
    assert_eq!(line.hear().len(), 60 << 20);
    line.on(|channel| assert_eq!(channel.outgoing_len(), 0));
}

#[test]
fn a_filter_that_takes_a_byte_at_a_time_is_called_again() {
    for kind in Kind::BOTH {
        let mut line = Line::of(kind, Toy::server().bite(1), Toy::client(), |_| ());
        line.exchange();
        line.on(|channel| {
            channel.push("hello ");
            channel.push("there");
            channel.close_when_done();
        });
        assert_eq!(line.hear(), b"hello there");
        assert!(line.far.has_end());
        assert_eq!(line.watch.seen().sealed, [1; 11]);
        line.watch.check();
    }
}

#[test]
fn everything_that_can_be_pushed_is_sealed_in_order() {
    for (window, bite) in [
        (usize::MAX, usize::MAX),
        (1000, usize::MAX),
        (7, 5),
        (20_000, 3000),
    ] {
        let mut line = Line::with(
            builder(),
            Toy::server().bite(bite.min(4 * MOST)),
            Toy::client(),
            |_| (),
        );
        line.exchange();
        line.peer.set_window(window);
        let long = if window < 100 { 500 } else { 70_000 };
        let sent = content(3, long);
        let told = Rc::new(RefCell::new(Vec::new()));
        let (part, note) = (whole(file(&sent)), told.clone());
        let bytes = sent.clone();
        line.on(move |channel| {
            channel.push("small ");
            let again = note.clone();
            channel.push_then("told ", move |_, _| {
                again.borrow_mut().push("told");
                Ok(())
            });
            channel.push_file(part);
            let mut pieces = vec!["three ", "two ", "one "];
            channel.push_with_producer(from_fn(move || {
                Ok(pieces
                    .pop()
                    .map_or(Produced::Done, |piece| Produced::Data(piece.into())))
            }));
            channel.push(bytes);
            channel.push_then("end", move |_, _| {
                note.borrow_mut().push("end");
                Ok(())
            });
        });
        let whole = [b"small told ", &*sent, b"one two three ", &*sent, b"end"].concat();
        assert!(line.hear() == whole, "window {window}");
        assert_eq!(*told.borrow(), ["told", "end"], "window {window}");
        line.on(|channel| assert_eq!(channel.outgoing_len(), 0));
        line.watch.check();
    }
}

/// Pushes so much at the start, and reads as much, in pieces of `read` bytes (0: as they come).
struct Both {
    name: &'static str,
    push: usize,
    want: usize,
    got: usize,
    read: usize,
    wrong: Rc<RefCell<Vec<String>>>,
}

impl Both {
    fn check(&mut self, data: &[u8]) {
        let at = self.got;
        if !data
            .iter()
            .enumerate()
            .step_by(4093)
            .all(|(n, &byte)| byte == ((at + n) >> 12) as u8)
        {
            self.wrong
                .borrow_mut()
                .push(format!("{}: other bytes at {at}", self.name));
        }
        self.got += data.len();
    }
}

impl Dispatcher for Both {
    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        let mut all = Vec::with_capacity(self.push);
        // Byte by byte an unoptimised build takes longer for it than for all the rest.
        for n in 0..self.push >> 12 {
            all.extend_from_slice(&[n as u8; 4096]);
        }
        channel.push(all);
        Ok(())
    }
    fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
        if self.read == 0 {
            channel.recv_with(|_, data| self.check(data))?;
        } else {
            let mut buf = vec![0; self.read];
            let n = channel.recv(&mut buf)?;
            self.check(&buf[..n]);
        }
        if self.got == self.want {
            channel.close_when_done();
        }
        Ok(())
    }
    fn handle_close(&mut self, channel: &mut Channel<'_>) -> Result {
        let (name, got) = (self.name, self.got);
        if got < self.want {
            self.wrong
                .borrow_mut()
                .push(format!("{name}: the end after {got} bytes"));
        }
        channel.close_when_done();
        Ok(())
    }
    fn handle_error(&mut self, channel: &mut Channel<'_>, error: asynchat::BoxError) {
        self.wrong
            .borrow_mut()
            .push(format!("{}: {error}", self.name));
        channel.close();
    }
}

/// Both ends of a TCP connection behind filters in one reactor.
fn pair(
    reactor: &mut Reactor,
    near: impl Dispatcher,
    far: impl Dispatcher,
) -> ([ChannelId; 2], [Watch; 2]) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let here = listener.accept().unwrap().0;
    let toys = [Toy::server(), Toy::client()];
    let watches = toys.each_ref().map(Toy::watch);
    let [server, client] = toys;
    let near = reactor.register(here, near).unwrap();
    reactor.channel(near).unwrap().upgrade(server).unwrap();
    let far = reactor.register(there, far).unwrap();
    reactor.channel(far).unwrap().upgrade(client).unwrap();
    ([near, far], watches)
}

#[test]
fn both_sides_push_64_mib_at_once() {
    // 64 MiB take minutes where each instruction is interpreted.
    let mib = if util::SLOW { 1 << 16 } else { 1 << 20 };
    for (push, read) in [(64 * mib, 0), (4 * mib, 1000), (mib, 100)] {
        let mut reactor = reactor();
        let wrong = Rc::new(RefCell::new(Vec::new()));
        let both = ["near", "far"].map(|name| Both {
            name,
            push,
            want: push,
            got: 0,
            read,
            wrong: wrong.clone(),
        });
        let [near, far] = both;
        let (_, watches) = pair(&mut reactor, near, far);
        run(&mut reactor);
        assert!(wrong.borrow().is_empty(), "{:?}", wrong.borrow());
        for watch in watches {
            assert_eq!(watch.sealed(), push, "reads of {read}");
            watch.check_gone();
        }
    }
}

#[test]
fn a_filter_gets_no_more_than_one_read_at_a_time() {
    for size in [100, 4096] {
        let builder = builder().read_buffer(size);
        let mut line = Line::with(builder, Toy::server(), Toy::client(), |_| ());
        line.exchange();
        line.say(vec![b'x'; 100_000]);
        assert_eq!(line.received().len(), 100_000);
        assert!(line.watch.seen().longest <= size);
    }
}

#[test]
fn an_answer_of_the_filter_itself_leaves_whatever_the_object_wants() {
    let mut line = Line::open(|it| it.writable = false);
    line.far.ping();
    line.feed();
    assert_eq!(line.peer.output().len(), HEAD + 1);
    // Behind what is sealed already, never in the middle of it.
    let mut line = Line::open(|_| ());
    line.peer.set_window(10);
    line.on(|channel| channel.push(vec![b'x'; 1000]));
    line.far.ping();
    line.far.say("hello");
    assert_eq!(line.hear().len(), 1000);
    assert_eq!(line.received(), b"hello");
    assert_eq!(line.far.failed(), None);
}
