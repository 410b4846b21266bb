//! The requests of `suites/data/http_corpus` (its README names source and licence): what their collectors call dangerous
//! is refused and ends the connection, and no request ever gets more answers than a strict reader sees requests.

use std::{collections::HashMap, io::Write, net::Shutdown};

use crate::http::{Answer, HELLO, Site, answers, rest};
use suites::victim::Mark;

const DESYNC_GUARDIAN: &str = include_str!("../../data/http_corpus/desync_guardian.txt");
const GUNICORN: &str = include_str!("../../data/http_corpus/gunicorn.txt");

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// So many answers, then the connection goes on, or ends as the client wishes.
    Served(usize),
    /// 4xx or 5xx, and the end of the connection. Nothing was served before.
    Refused,
    /// More is to come: no answer before.
    Waits,
}

use Fate::{Refused, Served, Waits};

/// Where this server is laxer than the collection: served as it is, and why.
const LAXER: &[(&str, Fate, &str)] = {
    const CONTENT: &str = "a GET or HEAD may have content (RFC 9110, 9.3.1 and 9.3.2). It is read to its end and thrown \
         away; its length is as unambiguous as that of a POST";
    const LINES: &str =
        "line ends before a request line are to be overlooked (RFC 9112, 2.2): up to 4 are";
    const METHOD: &str = "the method is a token, so 501 it is";
    const UTF8: &str =
        "UTF-8 in a target is that of a file's name; http_desync_guardian calls it compliant";
    &[
        (
            "ambiguous: Get with a body and Content-Length",
            Served(1),
            CONTENT,
        ),
        (
            "ambiguous: Get with a body and Transfer-Encoding",
            Served(1),
            CONTENT,
        ),
        (
            "ambiguous: Head with a body and Content-Length",
            Served(1),
            CONTENT,
        ),
        (
            "ambiguous: Head with a body and Transfer-Encoding",
            Served(1),
            CONTENT,
        ),
        ("real-life-test-cases: Has a CL in GET", Served(1), CONTENT),
        ("real-life-test-cases: Has a TE in GET", Served(1), CONTENT),
        ("003c.http", Served(1), METHOD),
        ("rfc9112_leading_crlf_02.http", Served(1), LINES),
        ("rfc9112_target_non_ascii_02.http", Served(1), UTF8),
    ]
};

/// Where it is stricter, or has another limit. What the collections call acceptable it may refuse without being here.
const STRICTER: &[(&str, Fate, &str)] = {
    const CODING: &str =
        "no coding but chunked is known, and identity is none any more (RFC 9112, 7)";
    const PARAMETER: &str = "chunked has no parameters";
    const LONG: &str = "its body is not here";
    const NEARLY: &str = "others may take Content_Length for Content-Length";
    const EMPTY: &str = "there is no target";
    &[
        ("more-compliant-tests: Has a CL in PUT OK", Waits, LONG),
        ("more-compliant-tests: Very many headers", Waits, LONG),
        ("more-compliant-tests: Correct TE OK", Refused, CODING),
        (
            "more-compliant-tests: Transfer-Encoding: identity and chunked OK",
            Refused,
            CODING,
        ),
        (
            "more-compliant-tests: Multiple transfer encoding headers in a single request OK",
            Refused,
            CODING,
        ),
        (
            "more-compliant-tests: TE with custom parameters OK",
            Refused,
            PARAMETER,
        ),
        (
            "rfc-compliant: Different Transfer-Encoding headers",
            Refused,
            CODING,
        ),
        (
            "rfc-compliant: Different Transfer-Encoding headers combined",
            Refused,
            CODING,
        ),
        (
            "rfc-compliant: Transfer-Encoding with a param: chunked;custom_param",
            Refused,
            PARAMETER,
        ),
        ("rfc-compliant: Empty URI", Refused, EMPTY),
        ("025.http", Refused, CODING),
        ("025_line.http", Refused, CODING),
        ("040.http", Refused, NEARLY),
        ("rfc9112_smuggle_gzip_chunked_01.http", Refused, CODING),
        (
            "rfc9112_smuggle_te_identity_chunked_01.http",
            Refused,
            CODING,
        ),
    ]
};

struct Case {
    name: &'static str,
    verdict: &'static str,
    request: Vec<u8>,
}

/// Takes a file apart; its README describes the form.
fn cases(file: &'static str) -> impl Iterator<Item = Case> {
    file.split("\n@@ ").skip(1).map(|case| {
        let (title, text) = case.split_once('\n').unwrap();
        let (verdict, name) = title.split_once(" | ").unwrap();
        let request = unescape(text);
        Case {
            name,
            verdict,
            request,
        }
    })
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes().filter(|&byte| byte != b'\n');
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next().unwrap() {
                b'r' => b'\r',
                b'n' => b'\n',
                b't' => b'\t',
                b'x' => {
                    let mut digit = || char::from(rest.next().unwrap()).to_digit(16).unwrap();
                    (digit() * 16 + digit()) as u8
                }
                byte => byte,
            },
            byte => byte,
        });
    }
    bytes
}

impl Case {
    /// What may become of it.
    fn fates(&self) -> Vec<Fate> {
        let listed = |table: &[(&str, Fate, _)]| {
            let found = table.iter().find(|(name, ..)| *name == self.name);
            found.map(|&(_, fate, _)| vec![fate])
        };
        let mut words = self.verdict.split(' ');
        match words.next().unwrap() {
            "severe" | "ambiguous" | "invalid" => listed(LAXER).unwrap_or(vec![Refused]),
            "compliant" => listed(STRICTER).unwrap_or(vec![Served(1)]),
            "acceptable" => vec![Served(1), Refused],
            "valid" => {
                let requests = words.next().unwrap().parse().unwrap();
                listed(STRICTER).unwrap_or(vec![Served(requests)])
            }
            other => panic!("{other}"),
        }
    }
}

/// Asked behind each request: whoever takes too little or too much for the request gets this one wrong.
const NEXT: &[u8] = b"GET /hello.txt HTTP/1.1\r\nHost: a\r\nX: next\r\nConnection: close\r\n\r\n";

/// Sends a request, and the next, in pieces of this size.
fn fate(site: &Site, case: &Case, pieces: usize) -> (Fate, Vec<u16>) {
    let mut stream = site.connect();
    for piece in [&case.request, NEXT].concat().chunks(pieces) {
        // A refusal may come, and the connection end, before all is written.
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
    let all = answers(&rest(&mut stream), case.request.starts_with(b"HEAD "));
    let statuses = all.iter().map(|answer| answer.status).collect();
    let is_next = |answer: &&Answer| answer.status == 200 && answer.closes && answer.body == HELLO;
    // 404, 405 and 501 without an end of the connection are answers to a request that was understood.
    let is_refusal = |answer: &Answer| matches!(answer.status, 400 | 408 | 413..);
    let fate = match all.as_slice() {
        [] => Waits,
        [refusal] if is_refusal(refusal) && refusal.closes => Refused,
        [before @ .., last] if is_next(&last) => Served(before.len()),
        all if all.last().is_some_and(|last| last.closes) => Served(all.len()),
        _ => Waits,
    };
    (fate, statuses)
}

fn judge(file: &'static str, at_least: usize) {
    let site = Site::start(&[]);
    let mark: Mark = site.victim.mark();
    let mut verdicts = HashMap::<_, usize>::new();
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in cases(file) {
        let fates = case.fates();
        for pieces in [usize::MAX, 1] {
            let (fate, statuses) = fate(&site, &case, pieces);
            if !fates.contains(&fate) {
                let in_pieces = if pieces == 1 { " byte by byte" } else { "" };
                wrong.push(format!(
                    "{} ({}){in_pieces}: {fate:?} {statuses:?}, not {fates:?}",
                    case.name, case.verdict
                ));
            }
        }
        *verdicts
            .entry(case.verdict.split(' ').next().unwrap())
            .or_default() += 1;
        count += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= at_least, "{count} requests: {verdicts:?}");
    let cost = site.ends_well(&mark);
    eprintln!("{count} requests {verdicts:?}: {cost:?}");
    assert!(cost.memory < 4 * 1024, "{cost:?}");
    assert_eq!(cost.lines, 0, "{cost:?}");
}

#[test]
fn what_http_desync_guardian_calls_dangerous_is_refused() {
    judge(DESYNC_GUARDIAN, 150);
}

#[test]
fn what_gunicorn_calls_invalid_is_refused_and_the_rest_served() {
    judge(GUNICORN, 90);
}

#[test]
fn every_exception_is_of_a_request_that_is_there() {
    for (name, ..) in LAXER.iter().chain(STRICTER) {
        let mut all = cases(DESYNC_GUARDIAN).chain(cases(GUNICORN));
        assert!(all.any(|case| case.name == *name), "{name}");
    }
}
