//! What goes over the socket, in both directions: lists of strings, each ended by [`END`].
//!
//! fail2ban pickles its lists, and unpickling runs whatever the sender likes. Here a string is itself with `%xx` for
//! all but letters, digits and `-_.:/`, and spaces stand between the strings, so that no string can hold an [`END`]. An
//! answer begins with the string `ok` or `error`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

pub(crate) const END: &[u8] = b"\0\0<F2B_END_COMMAND>\0\0";
/// In place of a request: there are no more.
pub(crate) const CLOSE: &[u8] = b"<F2B_CLOSE_COMMAND>";
/// The longest request, in bytes without its [`END`].
pub(crate) const MAX_REQUEST: usize = 64 * 1024;
/// The most strings in a list.
pub(crate) const MAX_STRINGS: usize = 2048;

const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b':')
    .remove(b'/');

/// What a request leads to.
pub(crate) type Answer = Result<Vec<String>, String>;

/// A list of at least one string.
pub(crate) fn encode<S: AsRef<str>>(strings: &[S]) -> String {
    let encoded: Vec<String> = strings
        .iter()
        .map(|string| utf8_percent_encode(string.as_ref(), ESCAPED).to_string())
        .collect();
    encoded.join(" ")
}

/// Takes what [`encode`] makes and nothing else.
pub(crate) fn decode(list: &[u8]) -> Result<Vec<String>, String> {
    let list = std::str::from_utf8(list).map_err(|_| "not a list of strings")?;
    if list.split(' ').count() > MAX_STRINGS {
        return Err(format!("a list has at most {MAX_STRINGS} strings"));
    }
    let decode = |string| percent_decode_str(string).decode_utf8().map(Into::into);
    let strings: Result<Vec<String>, _> = list.split(' ').map(decode).collect();
    match strings {
        Ok(strings) if encode(&strings) == list => Ok(strings),
        _ => Err("not a list of strings".into()),
    }
}

pub(crate) fn encode_answer(answer: Answer) -> String {
    let mut strings = vec!["ok".to_owned()];
    match answer {
        Ok(values) => strings.extend(values),
        Err(what) => strings = vec!["error".into(), what],
    }
    encode(&strings)
}

/// The outer error is for what is no answer.
pub(crate) fn decode_answer(list: &[u8]) -> Result<Answer, String> {
    let mut strings = decode(list)?;
    let values = strings.split_off(1);
    match (strings[0].as_str(), values.as_slice()) {
        ("ok", _) => Ok(Ok(values)),
        ("error", [what]) => Ok(Err(what.clone())),
        _ => Err("not an answer".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_comes_back_and_holds_neither_end_nor_close() {
        let end = std::str::from_utf8(END).unwrap();
        let close = std::str::from_utf8(CLOSE).unwrap();
        for strings in [
            &["ping"][..],
            &[""],
            &["", ""],
            &["a b", "", "%20", "ü", "\0\n\x7f"],
            &[end, close],
            &["ok", end],
        ] {
            let list = encode(strings);
            assert_eq!(decode(list.as_bytes()).unwrap(), strings, "{list}");
            assert!(!list.contains(['\0', '<']), "{list}");
        }
    }

    #[test]
    fn nothing_else_is_a_list() {
        for list in [
            &b"a\0b"[..],
            b"a\tb",
            b"a+b",
            b"%",
            b"%4",
            b"%zz",
            b"%41",
            b"%3c",
            b"\xff",
            b"%FF",
            b"<",
            CLOSE,
            b"\x80\x04\x95.",
        ] {
            assert!(decode(list).is_err(), "{}", list.escape_ascii());
        }
        assert!(decode(" ".repeat(MAX_STRINGS - 1).as_bytes()).is_ok());
        assert!(decode(" ".repeat(MAX_STRINGS).as_bytes()).is_err());
    }

    #[test]
    fn an_answer_is_one_of_two() {
        for answer in [
            Ok(vec![]),
            Ok(vec![String::new()]),
            Ok(vec!["error".into()]),
            Err("no".into()),
        ] {
            let list = encode_answer(answer.clone());
            assert_eq!(decode_answer(list.as_bytes()), Ok(answer));
        }
        for list in ["", "OK", "error", "error a b", "%"] {
            assert!(decode_answer(list.as_bytes()).is_err(), "{list}");
        }
    }
}
