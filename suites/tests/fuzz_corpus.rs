//! The fuzz targets of fuzz/ without a fuzzer: each runs the inputs checked in there, and mutations of them (R15 to R18,
//! the parsers of the HTTP examples, and TLS).
// Once is enough: how the poller does is the subject of others.
#![cfg(all(
    any(target_os = "linux", windows),
    not(mio_unsupported_force_poll_poll)
))]

use std::fs;

use asynchat_fuzz::targets;

/// So many mutations a target. Fewer where paths are looked up slowly.
const MUTATIONS: usize = if cfg!(windows) { 500 } else { 3_000 };

/// Runs what is in fuzz/seeds/NAME and what comes of changing it. The same every time.
fn run(name: &str, fuzz: fn(&[u8])) {
    let folder = suites::root().join("fuzz/seeds").join(name);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let seeds: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    assert!(
        seeds.len() >= 10,
        "{} has lost its inputs",
        folder.display()
    );
    for (file, seed) in files.iter().zip(&seeds) {
        let _name = OnPanic(|| eprintln!("the input: {}", file.display()));
        fuzz(seed);
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..MUTATIONS {
        let input = random.mutation(&seeds);
        let _bytes = OnPanic(|| eprintln!("the input: b\"{}\"", input.escape_ascii()));
        fuzz(&input);
    }
}

/// Says which input it was.
struct OnPanic<F: Fn()>(F);

impl<F: Fn()> Drop for OnPanic<F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.0)();
        }
    }
}

/// Xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % n.max(1)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }

    fn mutation(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut input = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(4) {
            let at = self.below(input.len() + 1);
            let to = at + self.below(input.len() + 1 - at).min(16);
            match self.below(6) {
                0 => input.insert(at, self.byte()),
                1 if at < input.len() => input[at] = self.byte(),
                2 if at < input.len() => input[at] ^= 1 << self.below(8),
                3 => drop(input.drain(at..to)),
                4 => input.extend_from_within(at..to),
                _ => {
                    let other = &seeds[self.below(seeds.len())];
                    let from = self.below(other.len() + 1);
                    let to = from + self.below(other.len() + 1 - from).min(40);
                    input.splice(at..at, other[from..to].iter().copied());
                }
            }
        }
        input.truncate(2048);
        input
    }
}

// This one and the heads of requests go through a pair of Unix sockets.
#[cfg(unix)]
#[test]
fn a_chat_makes_the_calls_that_the_stream_as_a_whole_asks_for() {
    run("framer", targets::framer::fuzz);
}

#[test]
fn a_channel_with_a_filter_keeps_its_rules_whatever_is_called() {
    run("filter", targets::filter::fuzz);
}

#[cfg(unix)]
#[test]
fn requests_are_read_as_a_strict_reader_reads_them_however_they_are_cut() {
    run("request_head", targets::request_head::fuzz);
}

#[test]
fn answers_have_the_same_body_and_outcome_however_they_are_cut() {
    run("response", targets::response::fuzz);
}

#[test]
fn no_path_leads_out_of_the_root_and_each_finds_what_the_tree_holds() {
    run("paths", targets::paths::fuzz);
}

#[test]
fn over_tls_arrives_what_was_sent_as_far_as_it_goes() {
    run("tls", targets::tls::fuzz);
}

/// What fuzzing found.
#[cfg(unix)]
mod found {
    use std::{cell::RefCell, io::Write, net::Shutdown, os::unix::net::UnixStream, rc::Rc};

    use asynchat::{AsyncChat, ChatChannel, ChatDispatcher, Reactor, Result};

    /// Gives the first piece that comes at the end of file back, once.
    struct GivesBack {
        calls: Rc<RefCell<String>>,
        given: bool,
    }

    impl AsyncChat for GivesBack {
        fn collect_incoming_data(&mut self, chat: &mut ChatChannel<'_>, data: &[u8]) -> Result {
            let mut calls = self.calls.borrow_mut();
            calls.push_str(&format!("c({}) ", data.escape_ascii()));
            if !std::mem::replace(&mut self.given, true) {
                chat.unread(data.to_vec());
            }
            Ok(())
        }

        fn found_terminator(&mut self, _: &mut ChatChannel<'_>) -> Result {
            self.calls.borrow_mut().push_str("F ");
            Ok(())
        }

        fn handle_close(&mut self, chat: &mut ChatChannel<'_>) -> Result {
            self.calls.borrow_mut().push_str("close");
            chat.close();
            Ok(())
        }
    }

    /// They were held as the start of the terminator, and `handle_close` came first.
    #[test]
    fn what_is_given_back_at_the_end_of_file_comes_again_before_handle_close() {
        let mut reactor = Reactor::builder().propagate_panics(true).build().unwrap();
        let (here, mut there) = UnixStream::pair().unwrap();
        let calls = Rc::new(RefCell::new(String::new()));
        let chat = GivesBack {
            calls: Rc::clone(&calls),
            given: false,
        };
        reactor
            .register(here, ChatDispatcher::new(chat, "ab"))
            .unwrap();
        there.write_all(b"a").unwrap();
        there.shutdown(Shutdown::Write).unwrap();
        reactor.run().unwrap();
        assert_eq!(calls.borrow().as_str(), "c(a) c(a) close");
    }
}
