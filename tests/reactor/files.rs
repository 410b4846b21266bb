//! Files in the outgoing queue: order, memory, descriptors, the budget, and files that are cut meanwhile (R12–R14).

#[cfg(target_os = "linux")]
use std::os::unix::net::UnixStream;
use std::{
    cell::Cell,
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    net::TcpStream,
    rc::Rc,
    time::Duration,
};

use asynchat::{Channel, ChannelId, Dispatcher, FilePart, Reactor, Result, Unsent};
use util::{
    Recorder, Trace,
    files::{content, file, hole, whole},
    peer::{narrow_pair, narrow_tcp_pair, pair, read_to_end, read_while, reset, tcp_pair},
    reactor, settle, turn_until,
};

#[cfg(target_os = "linux")]
use asynchat::{AsyncChat, ChatChannel, ChatDispatcher};

const SMALL: usize = 1_000;
const LARGE: usize = 300_000;
/// The most of a file that is in memory where the system does not send it.
const BLOCK: usize = if cfg!(any(target_os = "linux", target_os = "android")) {
    0
} else {
    64 * 1024
};

/// Pushes files of both kinds, bytes of both kinds and a producer; gives what the peer has to get.
fn push_of_everything(channel: &mut Channel<'_>) -> Vec<u8> {
    let mut sent = Vec::new();
    for (salt, len) in [
        SMALL,
        LARGE,
        16 * 1024,
        16 * 1024 + 1,
        1,
        LARGE,
        SMALL,
        SMALL,
    ]
    .into_iter()
    .enumerate()
    {
        let bytes = content(salt as u32, len);
        write!(channel, "file {salt}: ").unwrap();
        channel.push_file(whole(file(&bytes)));
        sent.extend(format!("file {salt}: ").into_bytes());
        sent.extend(bytes);
        match salt {
            1 | 5 => {
                let pushed = content(100, 5_000);
                channel.push(pushed.clone());
                sent.extend(pushed);
            }
            3 | 6 => {
                channel.push_with_producer("produced");
                sent.extend(b"produced");
            }
            _ => {}
        }
    }
    sent
}

fn all_arrives_in_order(
    ours: impl Into<asynchat::Socket>,
    theirs: &mut (impl Read + util::peer::NonBlocking),
) {
    let mut reactor = reactor();
    let trace = Trace::new();
    let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
    let mut channel = reactor.channel(id).unwrap();
    let sent = push_of_everything(&mut channel);
    channel.close_when_done();
    let received = read_to_end(&mut reactor, theirs);
    assert!(
        received == sent,
        "{} of {} bytes",
        received.len(),
        sent.len()
    );
    assert_eq!(reactor.stats().bytes_out, sent.len() as u64);
    assert!(!trace.joined().contains("error"), "{:?}", trace.lines());
}

#[test]
fn files_keep_their_place_among_bytes_and_producers_on_tcp() {
    let (ours, mut theirs) = tcp_pair();
    all_arrives_in_order(ours, &mut theirs);
}

#[test]
fn files_keep_their_place_among_bytes_and_producers_on_a_narrow_tcp_stream() {
    let (ours, mut theirs) = narrow_tcp_pair();
    all_arrives_in_order(ours, &mut theirs);
}

#[test]
fn files_keep_their_place_among_bytes_and_producers_on_a_unix_stream() {
    let (ours, mut theirs) = pair();
    all_arrives_in_order(ours, &mut theirs);
}

#[test]
fn files_keep_their_place_among_bytes_and_producers_on_a_narrow_unix_stream() {
    let (ours, mut theirs) = narrow_pair();
    all_arrives_in_order(ours, &mut theirs);
}

/// A pipe of the standard library, read without waiting.
struct PipeEnd(io::PipeReader);

impl Read for PipeEnd {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

#[cfg(unix)]
impl util::peer::NonBlocking for PipeEnd {
    fn set_nonblocking(&self) {
        socket2::SockRef::from(&self.0)
            .set_nonblocking(true)
            .unwrap();
    }
}

#[cfg(unix)]
#[test]
fn files_keep_their_place_among_bytes_and_producers_on_a_pipe() {
    let (theirs, ours) = io::pipe().unwrap();
    all_arrives_in_order(ours, &mut PipeEnd(theirs));
}

#[test]
fn a_range_is_sent_whatever_the_position_of_the_file_and_that_stays() {
    for len in [SMALL, LARGE] {
        let mut reactor = reactor();
        let (ours, mut theirs) = tcp_pair();
        let id = reactor
            .register(ours, Recorder::new(&Trace::new()))
            .unwrap();
        let bytes = content(1, len);
        let mut file = file(&bytes);
        file.seek(SeekFrom::Start(17)).unwrap();
        let mut twin = file.try_clone().unwrap();
        let mut channel = reactor.channel(id).unwrap();
        channel.push_file(FilePart::new(file, 100..=len as u64 - 101).unwrap());
        channel.close_when_done();
        let received = read_to_end(&mut reactor, &mut theirs);
        assert!(
            received == bytes[100..len - 100],
            "{} bytes",
            received.len()
        );
        assert_eq!(twin.stream_position().unwrap(), 17);
    }
}

/// A stream of which each system call that sends is a packet, and the other end of it.
#[cfg(target_os = "linux")]
fn packets() -> (UnixStream, UnixStream) {
    use std::os::fd::OwnedFd;
    let (ours, theirs) =
        socket2::Socket::pair(socket2::Domain::UNIX, socket2::Type::SEQPACKET, None).unwrap();
    (OwnedFd::from(ours).into(), OwnedFd::from(theirs).into())
}

#[test]
#[cfg(target_os = "linux")]
fn small_files_leave_in_one_system_call_with_what_stands_around_them() {
    let mut reactor = reactor();
    let (ours, mut theirs) = packets();
    let id = reactor
        .register(ours, Recorder::new(&Trace::new()))
        .unwrap();
    settle(&mut reactor);
    let mut channel = reactor.channel(id).unwrap();
    let mut sent = Vec::new();
    for (salt, len) in [SMALL, 16 * 1024, 1, SMALL].into_iter().enumerate() {
        let bytes = content(salt as u32, len);
        write!(channel, "head {salt}\r\n").unwrap();
        channel.push_file(whole(file(&bytes)));
        sent.extend(format!("head {salt}\r\n").into_bytes());
        sent.extend(bytes);
    }
    channel.push("the end");
    sent.extend(b"the end");
    settle(&mut reactor);
    let mut received = vec![0; 64 * 1024];
    let n = theirs.read(&mut received).unwrap();
    assert!(received[..n] == sent, "{n} of {} bytes", sent.len());
}

#[test]
#[cfg(target_os = "linux")]
fn a_small_file_behind_a_producer_leaves_with_what_follows() {
    let mut reactor = reactor();
    let (ours, mut theirs) = packets();
    let id = reactor
        .register(ours, Recorder::new(&Trace::new()))
        .unwrap();
    settle(&mut reactor);
    let mut channel = reactor.channel(id).unwrap();
    // Too long to be gathered.
    let produced = vec![b'p'; 10_000];
    channel.push_with_producer(produced.clone());
    channel.push_file(whole(file(b"file")));
    channel.push(" pushed");
    settle(&mut reactor);
    let mut received = [0; 20_000];
    let n = theirs.read(&mut received).unwrap();
    assert!(received[..n] == produced);
    let n = theirs.read(&mut received).unwrap();
    assert_eq!(received[..n], b"file pushed"[..]);

    let mut channel = reactor.channel(id).unwrap();
    channel.push_with_producer("produced ");
    channel.push_file(whole(file(b"file")));
    channel.push(" pushed");
    settle(&mut reactor);
    let n = theirs.read(&mut received).unwrap();
    assert_eq!(received[..n], b"produced file pushed"[..]);
}

#[test]
fn a_small_file_behind_a_large_one_is_not_read_before_its_turn() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = narrow_tcp_pair();
    let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
    let (large, small) = (content(1, 10 * LARGE), content(2, SMALL));
    let later = file(&content(3, SMALL));
    let mut writer = later.try_clone().unwrap();
    let mut channel = reactor.channel(id).unwrap();
    channel.push_file(whole(file(&large)));
    channel.push_file(whole(later));
    channel.close_when_done();
    assert_eq!(channel.outgoing_len(), 0);
    settle(&mut reactor);
    let held = reactor.channel(id).unwrap().outgoing_len();
    assert!((0..=BLOCK).contains(&held), "{held} bytes");
    writer.rewind().unwrap();
    writer.write_all(&small).unwrap();
    let received = read_to_end(&mut reactor, &mut theirs);
    assert!(received == [large, small].concat());
}

/// How often this process has a file open, besides `twin` itself.
#[cfg(target_os = "linux")]
fn open_besides(twin: &File) -> usize {
    use std::os::{fd::AsRawFd, unix::fs::MetadataExt};
    let own = twin.metadata().unwrap();
    let same = |entry: &std::fs::DirEntry| {
        entry.file_name().to_str() != Some(&twin.as_raw_fd().to_string())
            && std::fs::metadata(entry.path())
                .is_ok_and(|other| (other.dev(), other.ino()) == (own.dev(), own.ino()))
    };
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    entries.flatten().filter(same).count()
}

#[test]
#[cfg(target_os = "linux")]
fn files_stay_open_while_they_wait_and_are_closed_when_they_are_sent_or_dropped() {
    let mut reactor = reactor();
    let (ours, mut theirs) = narrow_tcp_pair();
    let id = reactor
        .register(ours, Recorder::new(&Trace::new()))
        .unwrap();
    settle(&mut reactor);
    let files: Vec<File> = (0..4).map(|salt| file(&content(salt, LARGE))).collect();
    let open = || files.iter().map(open_besides).collect::<Vec<_>>();
    for one in &files {
        let part = whole(one.try_clone().unwrap());
        reactor.channel(id).unwrap().push_file(part);
    }
    settle(&mut reactor);
    assert_eq!(open(), [1, 1, 1, 1]);
    let enough = LARGE + LARGE / 2;
    read_while(&mut reactor, &mut theirs, |data| data.len() >= enough);
    assert_eq!((open()[0], open()[3]), (0, 1));
    reactor.channel(id).unwrap().close();
    assert_eq!(open(), [0, 0, 0, 0]);
}

#[test]
#[cfg(target_os = "linux")]
fn discarded_output_and_what_a_reset_leaves_close_their_files() {
    struct Talker;
    impl AsyncChat for Talker {
        fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, _: &[u8]) -> Result {
            Ok(())
        }
        fn found_terminator(&mut self, _: &mut ChatChannel<'_>) -> Result {
            Ok(())
        }
    }
    for broken in [false, true] {
        let mut reactor = reactor();
        let (ours, theirs) = narrow_tcp_pair();
        let id = reactor
            .register(ours, ChatDispatcher::new(Talker, "\n"))
            .unwrap();
        let file = file(&content(1, 10 * LARGE));
        let part = whole(file.try_clone().unwrap());
        reactor.channel(id).unwrap().push_file(part);
        settle(&mut reactor);
        assert_eq!(open_besides(&file), 1);
        if broken {
            reset(theirs);
            turn_until(&mut reactor, |reactor| reactor.is_idle());
        } else {
            reactor
                .with_chat(id, |_: &mut Talker, chat| chat.discard_output())
                .unwrap();
        }
        assert_eq!(open_besides(&file), 0);
    }
}

/// A stream with a file of `LARGE * 10` bytes under way to a peer that reads nothing yet.
fn stalled(reactor: &mut Reactor, trace: &Trace) -> (ChannelId, TcpStream, File) {
    let (ours, theirs) = narrow_tcp_pair();
    let id = reactor.register(ours, Recorder::new(trace)).unwrap();
    let file = file(&content(1, 10 * LARGE));
    let twin = file.try_clone().unwrap();
    let mut channel = reactor.channel(id).unwrap();
    channel.push("before");
    channel.push_file(whole(file));
    channel.push("after");
    settle(reactor);
    (id, theirs, twin)
}

#[test]
fn a_file_that_is_cut_on_its_way_is_an_error_with_the_place_and_nothing_follows() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (_, mut theirs, twin) = stalled(&mut reactor, &trace);
    let cut = 2_000_003;
    twin.set_len(cut as u64).unwrap();
    let received = read_to_end(&mut reactor, &mut theirs);
    let expected = [b"before", &content(1, 10 * LARGE)[..cut]].concat();
    assert!(received == expected, "{} bytes", received.len());
    let text = trace.joined();
    let missing = format!("{} bytes from offset {cut} are missing", 10 * LARGE - cut);
    assert!(text.contains(&missing), "{text}");
    assert!(reactor.is_idle());
}

#[test]
fn a_file_that_was_cut_before_its_turn_is_an_error_too() {
    for len in [SMALL, LARGE] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (ours, mut theirs) = tcp_pair();
        let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
        let file = file(&content(1, len));
        let twin = file.try_clone().unwrap();
        let part = whole(file);
        twin.set_len(10).unwrap();
        let mut channel = reactor.channel(id).unwrap();
        channel.push("before");
        channel.push_file(part);
        channel.push("after");
        let received = read_to_end(&mut reactor, &mut theirs);
        assert_eq!(received, [b"before", &content(1, 10)[..]].concat());
        let text = trace.joined();
        assert!(
            text.contains(&format!("{} bytes from offset 10 are missing", len - 10)),
            "{text}"
        );
    }
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_of_the_file_not_of_the_peer() {
    for len in [SMALL, LARGE] {
        let mut reactor = reactor();
        let trace = Trace::new();
        let (ours, mut theirs) = tcp_pair();
        let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
        let path = tempfile::NamedTempFile::new().unwrap();
        let unreadable = std::fs::OpenOptions::new()
            .write(true)
            .open(path.path())
            .unwrap();
        unreadable.set_len(len as u64).unwrap();
        let mut channel = reactor.channel(id).unwrap();
        channel.push("before");
        channel.push_file(whole(unreadable));
        channel.push("after");
        assert_eq!(read_to_end(&mut reactor, &mut theirs), b"before");
        let text = trace.joined();
        assert!(
            text.contains("error:a queued file cannot be sent"),
            "{text}"
        );
        assert!(!text.contains("close"), "{text}");
    }
}

#[test]
fn detach_gives_back_what_is_left_of_a_file() {
    let mut reactor = reactor();
    let (id, mut theirs, _) = stalled(&mut reactor, &Trace::new());
    let sent = reactor.stats().bytes_out as usize - "before".len();
    let detached = reactor.channel(id).unwrap().detach().unwrap();
    assert!(reactor.is_idle());
    let mut rest = Vec::new();
    let mut files = 0;
    for piece in detached.unsent {
        match piece {
            Unsent::Bytes(bytes) => rest.extend_from_slice(&bytes),
            Unsent::File(mut part) => {
                files += 1;
                assert!(part.offset() as usize + part.len() as usize == 10 * LARGE);
                assert!(part.offset() as usize >= sent);
                part.read_to_end(&mut rest).unwrap();
            }
            other => panic!("not pushed: {other:?}"),
        }
    }
    assert_eq!(files, 1);
    drop(detached.socket);
    let mut all = read_to_end(&mut reactor, &mut theirs);
    all.extend(rest);
    assert!(all == [b"before", &content(1, 10 * LARGE)[..], b"after"].concat());
}

#[test]
fn what_detach_gave_back_can_be_pushed_elsewhere() {
    let mut reactor = reactor();
    let (id, mut theirs, _) = stalled(&mut reactor, &Trace::new());
    let detached = reactor.channel(id).unwrap().detach().unwrap();
    let id = reactor
        .register(detached.socket, Recorder::new(&Trace::new()))
        .unwrap();
    let mut channel = reactor.channel(id).unwrap();
    for piece in detached.unsent {
        match piece {
            Unsent::Bytes(bytes) => channel.push(bytes),
            Unsent::File(part) => channel.push_file(part),
            other => panic!("not pushed: {other:?}"),
        }
    }
    channel.close_when_done();
    let all = read_to_end(&mut reactor, &mut theirs);
    assert!(all == [b"before", &content(1, 10 * LARGE)[..], b"after"].concat());
}

#[test]
fn a_peer_that_resets_while_a_file_is_under_way_is_a_close() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (_, theirs, _) = stalled(&mut reactor, &trace);
    reset(theirs);
    turn_until(&mut reactor, |reactor| reactor.is_idle());
    assert_eq!(trace.count("close"), 1, "{:?}", trace.lines());
    assert!(!trace.joined().contains("error"), "{:?}", trace.lines());
}

#[test]
fn another_channel_gets_its_turn_while_a_large_file_is_going_out() {
    /// Reads as fast as it comes, and counts.
    struct Sink(Rc<Cell<u64>>);
    impl Dispatcher for Sink {
        fn handle_read(&mut self, channel: &mut Channel<'_>) -> Result {
            let n = channel.recv_with(|_, data| data.len())?;
            self.0.set(self.0.get() + n as u64);
            Ok(())
        }
    }
    const LEN: u64 = 1 << 30;
    // The default.
    const BUDGET: u64 = 512 * 1024;
    let mut reactor = reactor();
    let received = Rc::new(Cell::new(0));
    let (sender, taker) = tcp_pair();
    let sender = reactor
        .register(sender, Recorder::new(&Trace::new()))
        .unwrap();
    reactor.register(taker, Sink(received.clone())).unwrap();
    let trace = Trace::new();
    let (ours, mut theirs) = pair();
    reactor.register(ours, Recorder::new(&trace)).unwrap();
    settle(&mut reactor);
    reactor.channel(sender).unwrap().push_file(whole(hole(LEN)));
    let mut most = 0;
    let mut echoes = 0;
    while echoes < 100 {
        theirs.write_all(b"ping").unwrap();
        let before = reactor.stats().bytes_out;
        trace.clear();
        reactor.turn(Some(Duration::ZERO)).unwrap();
        most = most.max(reactor.stats().bytes_out - before);
        assert!(trace.has("read:4"), "not served in turn {echoes}");
        echoes += 1;
    }
    assert!(most <= BUDGET + BLOCK as u64, "{most} bytes in one turn");
    assert!(received.get() > 1 << 20, "{} bytes", received.get());
    assert!(received.get() < LEN);
}

#[test]
fn a_file_pushed_after_close_when_done_is_dropped_and_an_empty_one_is_nothing() {
    let mut reactor = reactor();
    let trace = Trace::new();
    let (ours, mut theirs) = tcp_pair();
    let mut recorder = Recorder::new(&trace);
    recorder.on_connect = Some(Box::new(|channel| {
        channel.push_file(FilePart::new(file(b"abc"), 3..)?);
        assert_eq!(channel.outgoing_len(), 0);
        channel.push_file(FilePart::new(file(b"abc"), ..)?);
        channel.close_when_done();
        channel.push_file(FilePart::new(file(b"def"), ..)?);
        channel.push_file(FilePart::new(hole(1 << 20), ..)?);
        Ok(())
    }));
    reactor.register(ours, recorder).unwrap();
    assert_eq!(read_to_end(&mut reactor, &mut theirs), b"abc");
}

/// Whoever queues files at the peer's request can stop while there are enough of them.
#[test]
fn what_is_left_in_files_counts_for_the_watermarks_and_for_the_bound_only_that_they_wait() {
    const WAITING: usize = 512;
    let mut reactor = reactor();
    let (ours, mut theirs) = tcp_pair();
    let trace = Trace::new();
    let id = reactor.register(ours, Recorder::new(&trace)).unwrap();
    settle(&mut reactor);
    let mut channel = reactor.channel(id).unwrap();
    channel.set_watermarks(LARGE, 2 * (LARGE + WAITING));
    channel.set_max_outgoing(2 * WAITING + 1);
    let bytes = content(5, LARGE);
    channel.push_file(whole(file(&bytes)));
    channel.push_file(whole(file(&bytes)));
    assert!(!channel.is_congested(), "up to the high mark");
    channel.push(&b"x"[..]);
    assert!(channel.is_congested());
    assert_eq!(channel.outgoing_len(), 1);
    let received = read_while(&mut reactor, &mut theirs, |received| {
        received.len() > 2 * LARGE
    });
    assert!(received == [&bytes[..], &bytes, b"x"].concat());
    settle(&mut reactor);
    assert_eq!(trace.count("drain"), 1);
    assert!(!reactor.channel(id).unwrap().is_congested());
}
