use proptest::prelude::*;

use super::{
    super::tests::{answers, collect, data, failure, pending, script},
    *,
};
use util::properties::config;

fn pieces(pieces: &[&[u8]]) -> impl Producer + use<> {
    script(
        pieces
            .iter()
            .map(|piece| Ok(Produced::Data(Bytes::copy_from_slice(piece))))
            .collect::<Vec<_>>(),
    )
}

fn replace(text: &str, needle: &'static str, replacement: &'static str) -> String {
    let escaping = EscapingProducer::replacing(text.to_owned(), needle, replacement);
    String::from_utf8(collect(escaping).unwrap()).unwrap()
}

fn stuffed(text: &[u8]) -> Vec<u8> {
    let text = [b"\r\n", text].concat();
    let stuffed = String::from_utf8(text).unwrap().replace("\r\n.", "\r\n..");
    stuffed.into_bytes()[2..].to_vec()
}

const MAIL: &[u8] = b".\r\n..\r\nmiddle. dot\r\r\n.\n.\r\n\r\n.end\r\n.\r\n";

#[test]
fn dots_are_doubled_at_the_start_of_each_line_only() {
    assert_eq!(
        collect(EscapingProducer::new(".a\r\n.b\r\nc.\n.d")).unwrap(),
        b"..a\r\n..b\r\nc.\n.d"
    );
    assert_eq!(collect(EscapingProducer::new("a")).unwrap(), b"a");
    assert_eq!(
        collect(EscapingProducer::new("\n.")).unwrap(),
        b"\n.",
        "not the rest of a CRLF"
    );
    assert_eq!(collect(EscapingProducer::new("")).unwrap(), b"");
}

#[test]
fn text_may_go_on_in_the_middle_of_a_line() {
    assert_eq!(replace(".a\r\n.b", "\r\n.", "\r\n.."), ".a\r\n..b");
}

#[test]
fn mail_cut_anywhere_is_stuffed_the_same() {
    let expected = stuffed(MAIL);
    for first in (0..=MAIL.len()).step_by(if cfg!(miri) { 9 } else { 1 }) {
        for second in first..=MAIL.len() {
            let cut = [&MAIL[..first], &MAIL[first..second], &MAIL[second..]];
            let escaped = collect(EscapingProducer::new(pieces(&cut))).unwrap();
            assert_eq!(escaped, expected, "cut at {first} and {second}");
        }
    }
    let bytes: Vec<&[u8]> = MAIL.chunks(1).collect();
    assert_eq!(
        collect(EscapingProducer::new(pieces(&bytes))).unwrap(),
        expected
    );
}

#[test]
fn dot_stuffing_holds_nothing_back() {
    let steps = [
        data("a\r"),
        pending(),
        data("\n"),
        pending(),
        data("."),
        pending(),
        data("b"),
    ];
    let answers = answers(EscapingProducer::new(script(steps)));
    assert_eq!(answers, ["a\r", "~", "\n", "~", "..", "~", "b", "."]);
}

#[test]
fn only_a_partial_match_is_held_back_until_it_is_decided() {
    let steps = [data("xab"), pending(), data("abd"), data("abc"), data("ab")];
    let escaping = EscapingProducer::replacing(script(steps), "abc", "-");
    assert_eq!(answers(escaping), ["x", "~", "ababd", "-", "", "ab", "."]);
}

#[test]
fn an_error_ends_the_text_where_it_is_certain() {
    let escaping = EscapingProducer::replacing(script([data("xab"), failure()]), "abc", "-");
    assert_eq!(answers(escaping), ["x", "|broken"]);
}

#[test]
fn occurrences_do_not_overlap_and_replacements_are_not_searched() {
    assert_eq!(replace("aaaaa", "aa", "b"), "bba");
    assert_eq!(replace("aab", "a", "aa"), "aaaab");
    assert_eq!(replace("ababc", "abc", "ab"), "abab");
    assert_eq!(replace("a--b--", "--", ""), "ab");
    assert_eq!(replace("abc", "", "x"), "abc");
}

#[test]
fn a_stretch_with_nothing_to_replace_is_not_copied() {
    let text = Bytes::from("text without any dot\r\n".repeat(10));
    let Ok(Produced::Data(escaped)) = EscapingProducer::new(text.clone()).more() else {
        panic!("no data")
    };
    assert_eq!(
        (escaped.as_ptr(), escaped.len()),
        (text.as_ptr(), text.len())
    );
}

#[test]
#[cfg_attr(miri, ignore = "a megabyte, byte by byte")]
fn a_huge_piece_is_escaped_block_by_block() {
    let mut clean = EscapingProducer::new("x".repeat(3 * BLOCK));
    let Produced::Data(block) = clean.more().unwrap() else {
        panic!("no data")
    };
    assert_eq!(block.len(), BLOCK);

    let text = ".\r\n".repeat(BLOCK);
    let mut escaping = EscapingProducer::replacing(text.clone(), ".", "0123456789".repeat(10));
    let mut escaped = Vec::new();
    while let Produced::Data(block) = escaping.more().unwrap() {
        assert!(block.len() < BLOCK + 110, "{} bytes at once", block.len());
        escaped.extend_from_slice(&block);
    }
    assert_eq!(
        escaped,
        text.replace('.', &"0123456789".repeat(10)).into_bytes()
    );
}

proptest! {
    #![proptest_config(config(2_000, 1))]

    #[test]
    fn any_text_in_any_pieces_is_replaced_as_if_it_were_whole(
        pieces_of_text in proptest::collection::vec("[ab]{0,7}", 0..8),
        needle in "[ab]{1,5}",
        replacement in "[abc]{0,6}",
    ) {
        let text: Vec<&[u8]> = pieces_of_text.iter().map(String::as_bytes).collect();
        let expected = pieces_of_text.concat().replace(&needle, &replacement);
        let escaping = EscapingProducer::replacing(pieces(&text), needle, replacement);
        prop_assert_eq!(String::from_utf8(collect(escaping).unwrap()).unwrap(), expected);
    }

    #[test]
    fn any_mail_in_any_pieces_is_stuffed(
        pieces_of_mail in proptest::collection::vec("[.\r\na]{0,6}", 0..8),
    ) {
        let text: Vec<&[u8]> = pieces_of_mail.iter().map(String::as_bytes).collect();
        let escaped = collect(EscapingProducer::new(pieces(&text))).unwrap();
        prop_assert_eq!(escaped, stuffed(&text.concat()));
    }
}
