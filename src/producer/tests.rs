//! What the tests of all producers share, and those of the plain ones.

use std::collections::VecDeque;

use super::*;

/// Answers with the given steps, then `Done` once; to ask after the end is a failure.
pub(super) struct Script(Option<VecDeque<io::Result<Produced>>>);

pub(super) fn script(steps: impl IntoIterator<Item = io::Result<Produced>>) -> Script {
    Script(Some(steps.into_iter().collect()))
}

impl Producer for Script {
    fn more(&mut self) -> io::Result<Produced> {
        let steps = self.0.as_mut().expect("asked again after its end");
        let answer = steps.pop_front().unwrap_or(Ok(Produced::Done));
        if matches!(answer, Ok(Produced::Done) | Err(_)) {
            self.0 = None;
        }
        answer
    }
}

pub(super) fn data(text: &'static str) -> io::Result<Produced> {
    Ok(Produced::Data(text.into()))
}

pub(super) fn pending() -> io::Result<Produced> {
    Ok(Produced::Pending)
}

pub(super) fn failure() -> io::Result<Produced> {
    Err(io::Error::other("broken"))
}

/// Every answer up to the end as text: `|` for an error, `~` for pending, `.` for done. Asks on
/// after the end, to see that the producer is fused.
pub(super) fn answers(mut producer: impl Producer) -> Vec<String> {
    let mut answers = Vec::new();
    for _ in 0..100_000 {
        let answer = producer.more();
        let end = matches!(answer, Ok(Produced::Done) | Err(_));
        answers.push(match answer {
            Ok(Produced::Data(data)) => String::from_utf8(data.to_vec()).unwrap(),
            Ok(Produced::Pending) => "~".into(),
            Ok(Produced::Done) => ".".into(),
            Err(error) => format!("|{error}"),
        });
        if end {
            for _ in 0..2 {
                assert_eq!(producer.more().unwrap(), Produced::Done, "is not fused");
            }
            return answers;
        }
    }
    panic!("comes to no end");
}

/// All bytes up to the end, however they are cut.
pub(super) fn collect(mut producer: impl Producer) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for _ in 0..100_000 {
        match producer.more()? {
            Produced::Data(data) => bytes.extend_from_slice(&data),
            Produced::Pending => {}
            Produced::Done => return Ok(bytes),
        }
    }
    panic!("comes to no end");
}

#[test]
fn plain_bytes_are_given_once_and_whole() {
    assert_eq!(answers(Bytes::from_static(b"abc")), ["abc", "."]);
    assert_eq!(answers(b"abc".to_vec()), ["abc", "."]);
    assert_eq!(answers(String::from("abc")), ["abc", "."]);
    assert_eq!(answers("abc"), ["abc", "."]);
    assert_eq!(answers(&b"abc"[..]), ["abc", "."]);
    assert_eq!(answers(""), ["."]);
}

#[test]
fn a_vector_is_given_without_a_copy() {
    let mut vec = b"abc".to_vec();
    let address = vec.as_ptr();
    let Produced::Data(data) = vec.more().unwrap() else {
        panic!("no data")
    };
    assert_eq!(data.as_ptr(), address);
}

#[test]
fn a_box_answers_for_what_is_in_it() {
    let boxed: Box<dyn Producer> = Box::new("abc");
    assert_eq!(answers(boxed), ["abc", "."]);
}

#[test]
fn a_closure_is_dropped_at_its_end_or_error() {
    for (end, last) in [(Ok(Produced::Done), "."), (failure(), "|broken")] {
        let mut steps = script([data("a"), pending(), end]);
        assert_eq!(answers(from_fn(move || steps.more())), ["a", "~", last]);
    }
}
