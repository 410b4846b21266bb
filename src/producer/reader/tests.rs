use std::io::{Cursor, Seek, SeekFrom, Write};

use super::{
    super::tests::{answers, collect},
    *,
};

/// A reader that answers with these in turn, then with end of file.
struct Answers(Vec<io::Result<&'static [u8]>>);

impl Read for Answers {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Ok(0);
        }
        self.0.remove(0)?.read(buf)
    }
}

fn next(producer: &mut impl Producer) -> Bytes {
    match producer.more().unwrap() {
        Produced::Data(data) => data,
        other => panic!("no data but {other:?}"),
    }
}

#[test]
fn a_reader_comes_in_blocks_up_to_its_end() {
    let producer = ReaderProducer::new(Cursor::new("abcdefg")).with_block_size(3);
    assert_eq!(answers(producer), ["abc", "def", "g", "."]);
    assert_eq!(answers(ReaderProducer::new(io::empty())), ["."]);
    assert_eq!(
        answers(ReaderProducer::new(Cursor::new("ab")).with_block_size(0)),
        ["a", "b", "."]
    );
    assert_eq!(
        next(&mut ReaderProducer::new(io::repeat(b'x'))).len(),
        64 * 1024
    );
}

#[test]
fn interrupted_is_tried_again_would_block_is_pending_and_other_errors_end_it() {
    let of = |kind: ErrorKind| Err(io::Error::new(kind, "broken"));
    let reader = Answers(vec![
        of(ErrorKind::Interrupted),
        Ok(b"a"),
        of(ErrorKind::WouldBlock),
        Ok(b"b"),
        of(ErrorKind::Other),
        Ok(b"never read"),
    ]);
    assert_eq!(
        answers(ReaderProducer::new(reader)),
        ["a", "~", "b", "|broken"]
    );
}

#[test]
fn up_to_stops_at_the_limit_or_the_end_whichever_is_first() {
    let limited = |bytes| {
        ReaderProducer::new(Cursor::new("abcdef"))
            .up_to(bytes)
            .with_block_size(4)
    };
    assert_eq!(answers(limited(0)), ["."]);
    assert_eq!(answers(limited(5)), ["abcd", "e", "."]);
    assert_eq!(answers(limited(9)), ["abcd", "ef", "."]);
}

#[test]
fn exactly_stops_at_the_limit_and_tells_what_is_missing() {
    let exact = |bytes| {
        ReaderProducer::new(Cursor::new("abcdef"))
            .exactly(bytes)
            .with_block_size(4)
    };
    assert_eq!(answers(exact(0)), ["."]);
    assert_eq!(answers(exact(5)), ["abcd", "e", "."]);
    assert_eq!(answers(exact(6)), ["abcd", "ef", "."]);
    let short = "|the reader ended 2 bytes short of the 8 it was to give";
    assert_eq!(answers(exact(8)), ["abcd", "ef", short]);
    assert_eq!(
        collect(exact(8)).unwrap_err().kind(),
        ErrorKind::UnexpectedEof
    );
}

#[test]
fn nothing_past_the_limit_is_read() {
    let mut reader = Cursor::new("abcdef");
    collect(ReaderProducer::new(&mut reader).exactly(4)).unwrap();
    assert_eq!(reader.position(), 4);
}

#[test]
fn the_reader_is_dropped_at_its_end() {
    struct Tracked(#[expect(dead_code, reason = "is there to be dropped")] std::rc::Rc<()>);
    impl Read for Tracked {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Ok(0)
        }
    }
    let alive = std::rc::Rc::new(());
    let mut producer = ReaderProducer::new(Tracked(alive.clone()));
    assert_eq!(producer.more().unwrap(), Produced::Done);
    assert_eq!(std::rc::Rc::strong_count(&alive), 1);
}

#[test]
fn a_block_the_queue_has_dropped_is_read_into_again() {
    let mut producer = ReaderProducer::new(io::repeat(b'x'));
    let address = next(&mut producer).as_ptr();
    for _ in 0..10 {
        assert_eq!(next(&mut producer).as_ptr(), address);
    }
}

#[test]
fn two_blocks_take_turns_while_the_queue_holds_one() {
    let mut producer = ReaderProducer::new(io::repeat(b'x'));
    let mut queued = next(&mut producer);
    let first = queued.as_ptr();
    queued = next(&mut producer);
    let second = queued.as_ptr();
    assert_ne!(first, second);
    for expected in [first, second, first, second] {
        queued = next(&mut producer);
        assert_eq!(queued.as_ptr(), expected);
    }
}

#[test]
fn bytes_still_queued_are_never_written_over() {
    let text: Vec<u8> = (0..=255).collect();
    let mut producer = ReaderProducer::new(Cursor::new(text.clone())).with_block_size(16);
    let queued: Vec<Bytes> = (0..16).map(|_| next(&mut producer)).collect();
    assert_eq!(queued.concat(), text);
}

#[test]
fn limits_changed_on_the_way_are_followed() {
    let mut producer = ReaderProducer::new(Cursor::new("abcdefgh")).up_to(2);
    assert_eq!(next(&mut producer), "ab");
    assert_eq!(answers(producer.up_to(5)), ["cdefg", "."]);
}

#[test]
fn a_file_is_sent_from_where_it_stands_with_blocks_of_its_size() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"abcdef").unwrap();
    file.seek(SeekFrom::Start(2)).unwrap();
    let producer = ReaderProducer::file(file);
    assert_eq!(producer.block_size, 4096);
    assert_eq!(answers(producer), ["cdef", "."]);

    let file = tempfile::tempfile().unwrap();
    file.set_len(1 << 20).unwrap();
    let producer = ReaderProducer::file(file);
    assert_eq!(producer.block_size, BLOCK);
    assert_eq!(collect(producer).unwrap().len(), 1 << 20);
}

#[test]
fn a_block_beyond_any_memory_counts_as_the_largest_one() {
    let producer = ReaderProducer::new(&b"abc"[..]).with_block_size(usize::MAX);
    assert_eq!(answers(producer), ["abc", "."]);
}
