//! `shared::mail`: a reader sees the text of a message, and a line for each part that is none; no message hurts.

use std::{fmt::Write, time::Instant};

use shared::mail::{Excerpt, MAX_DEPTH, MAX_PARTS, show, summary};

fn shown(message: &[u8]) -> String {
    let mut out = Vec::new();
    show(message, &mut out).expect("memory");
    String::from_utf8(out).expect("text")
}

#[test]
fn messages_are_shown_in_the_same_way_with_either_line_end() {
    for (name, message, expected) in [
        (
            "plain",
            "Received: x\nFrom: A <a@x.example>\nTo: b@x.example, \"C, D\" <c@x.example>\nSubject: hi\n there\nDate: Thu, 1 Jan \
             2026 00:00:00 +0000\n\nhello\n\nworld",
            "From: A <a@x.example>\nTo: b@x.example, C, D <c@x.example>\nSubject: hi there\nDate: Thu, 1 Jan 2026 00:00:00 \
             +0000\n\nhello\n\nworld\n",
        ),
        (
            "encoded words",
            "Subject: =?utf-8?b?w6k=?= =?iso-8859-1?q?=E4_b?=\nFrom: =?utf-8?q?J=C3=B6rg?= <j@x.example>\n\nx\n",
            "Subject: éä b\nFrom: Jörg <j@x.example>\n\nx\n",
        ),
        (
            "an encoded word cannot begin a line or a header field",
            "Subject: =?utf-8?q?a=0AFrom:_b=1B[2J=E2=80=AE?=\n\nx\n",
            "Subject: a\u{fffd}From: b\u{fffd}[2J\u{fffd}\n\nx\n",
        ),
        (
            "two senders are both shown",
            "From: a@x.example\nFrom: b@x.example\n\n",
            "From: a@x.example\nFrom: b@x.example\n\n",
        ),
        (
            "quoted-printable and a charset",
            "Content-Type: text/plain; charset=koi8-r\nContent-Transfer-Encoding: quoted-printable\n\n=F0=D2=C9=\n=D7\n",
            "\nПрив\n",
        ),
        (
            "base64 in Shift_JIS",
            "Content-Type: text/plain; charset=Shift_JIS\nContent-Transfer-Encoding: BASE64\n\ng26DjYFb\n",
            "\nハロー\n",
        ),
        (
            "an encoding that is not kept, a charset that nobody knows",
            "Content-Type: text/plain; charset=x-none\nContent-Transfer-Encoding: base64\n\nno! base64?\n",
            "\nno! base64?\n",
        ),
        (
            "control characters in a text",
            "\na\x1b[2J\x07b\u{202e}c\td\n",
            "\na\u{fffd}[2J\u{fffd}b\u{fffd}c\td\n",
        ),
        (
            "parts",
            "Content-Type: multipart/mixed; boundary=\"a b\"\n\npreamble\n--a b\n\none\n--a b\nContent-Type: \
             application/pdf; name=x.pdf\nContent-Transfer-Encoding: base64\n\nAAEC\nAw==\n--a b\nContent-Type: text/plain\n\
             Content-Disposition: attachment; filename*=utf-8''%C3%A9%0A.txt\n\nattached\n--a b--\nepilogue\n",
            "\none\n[application/pdf, \"x.pdf\", 4 bytes]\n[text/plain, \"é\u{fffd}.txt\", 8 bytes]\n",
        ),
        (
            "alternatives",
            "Content-Type: multipart/alternative; boundary=b\n\n--b\n\nplain\n--b\nContent-Type: \
             text/html\n\n<p>html</p>\n--b--\n",
            "\nplain\n[text/html, 11 bytes]\n",
        ),
        (
            "HTML alone",
            "Content-Type: text/html\n\n<head><title>t</title></head><p>one &amp; two</p><!-- c --><b>three</b>\n",
            "\none & two\nthree\n",
        ),
        (
            "a message in a message",
            "Subject: outer\nContent-Type: message/rfc822\n\nSubject: inner\n\ntext\n",
            "Subject: outer\n\n[message/rfc822, 21 bytes]\nSubject: inner\n\ntext\n",
        ),
        (
            "a digest",
            "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: one\n\n1\n--b\n\nSubject: two\n\n2\n--b--\n",
            "\nSubject: one\n\n1\nSubject: two\n\n2\n",
        ),
        (
            "a boundary that never comes",
            "Content-Type: multipart/mixed; boundary=b\n\ntext\n",
            "\n[multipart/mixed, 5 bytes]\n",
        ),
        (
            "a multipart without a boundary",
            "Content-Type: multipart/mixed\n\ntext\n",
            "\n[multipart/mixed, 5 bytes]\n",
        ),
        (
            "a type that is none",
            "Content-Type: \x07\n\ntext\n",
            "\ntext\n",
        ),
        ("no header", "\ntext", "\ntext\n"),
        ("no header and no empty line", "text", "\n"),
        ("nothing", "", "\n"),
    ] {
        assert_eq!(shown(message.as_bytes()), expected, "{name}");
        let crlf = message.replace('\n', "\r\n");
        let sizes = |text: String| {
            let digits = |c: char| c.is_ascii_digit();
            text.lines()
                .map(|line| match line.starts_with('[') {
                    true => line.replace(digits, ""),
                    false => line.to_owned() + "\n",
                })
                .collect::<String>()
        };
        assert_eq!(
            sizes(shown(crlf.as_bytes())),
            sizes(expected.into()),
            "{name}, CRLF"
        );
    }
}

#[test]
fn a_summary_is_one_line() {
    for (header, expected) in [
        (
            "Subject: =?utf-8?q?a=0Ab?=\r\nFrom: A <a@x.example>\r\nDate: today\r\n\r\n",
            "today  A <a@x.example>  a\u{fffd}b",
        ),
        ("", "-  -  -"),
        (
            "From: x: a@x.example, b@x.example;\r\n",
            "-  x: a@x.example, b@x.example;  -",
        ),
    ] {
        assert_eq!(summary(header.as_bytes()), expected);
    }
}

/// Messages that would cost a reader without limits its stack, its memory or its time.
#[test]
fn bombs_are_cut() {
    let mut nested = String::new();
    for level in 0..20_000 {
        write!(
            nested,
            "Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n"
        )
        .expect("memory");
    }
    let same = "Content-Type: multipart/mixed; boundary=b\n\n--b\n";
    let bombs = [
        (
            "nested messages",
            "Content-Type: message/rfc822\n\n".repeat(100_000),
        ),
        ("nested multiparts", nested),
        ("nested multiparts with one boundary", same.repeat(50_000)),
        (
            "many parts",
            same.to_owned() + &"\nx\n--b\n".repeat(300_000),
        ),
        ("parts whose boundary never comes", {
            same.to_owned() + &"Content-Type: multipart/x; boundary=q\n\nx\n--b\n".repeat(50_000)
        }),
        (
            "delimiters that are none",
            same.to_owned() + &"\n--bx".repeat(500_000),
        ),
        ("alternatives of alternatives", {
            "Content-Type: multipart/alternative; boundary=b\n\n--b\n".repeat(50_000)
        }),
        ("a digest of digests", {
            "\nContent-Type: multipart/digest; boundary=b\n\n--b\n".repeat(50_000)
        }),
        ("a header without an end", "X: y\n".repeat(500_000)),
        (
            "one field",
            format!("Subject: {}\n\n", "=?utf-8?q?a?= ".repeat(200_000)),
        ),
        (
            "encoded words that do not end",
            format!("Subject: {}\n\n", "=?utf-8?b?".repeat(200_000)),
        ),
        (
            "recipients",
            format!("To: {}\n\n", "a <a@x.example>, ".repeat(100_000)),
        ),
        (
            "groups",
            format!("To: {}\n\n", "g: a@x.example; ".repeat(100_000)),
        ),
        (
            "comments in comments",
            format!("To: {}\n\n", "(".repeat(1_000_000)),
        ),
        (
            "parameters",
            format!("Content-Type: a/b{}\n\n", "; n*0=x".repeat(200_000)),
        ),
        (
            "tags",
            format!("Content-Type: text/html\n\n{}", "<a".repeat(1_000_000)),
        ),
        (
            "entities",
            format!("Content-Type: text/html\n\n{}", "&".repeat(1_000_000)),
        ),
    ];
    for (name, bomb) in &bombs {
        let begin = Instant::now();
        let out = shown(bomb.as_bytes());
        assert!(out.len() < 3 * bomb.len(), "{name}: {}", out.len());
        println!(
            "{name}: {} bytes in {:?}, {} out",
            bomb.len(),
            begin.elapsed(),
            out.len()
        );
    }
    let parts = shown(bombs[3].1.as_bytes());
    assert!(parts.ends_with(&format!(
        "[more than {MAX_PARTS} parts: the rest is not shown]\n"
    )));
    assert_eq!(parts.matches("x\n").count(), MAX_PARTS - 2);
    let messages = shown(bombs[0].1.as_bytes());
    assert_eq!(messages.matches("message/rfc822").count(), MAX_DEPTH + 1);
}

#[test]
fn the_excerpt_of_a_message_says_how_much_is_missing() {
    let mut excerpt = Excerpt::new(20);
    for piece in [&b"Subject: x\n\n"[..], b"0123456789", b"", b"abc"] {
        excerpt.push(piece);
    }
    let mut out = Vec::new();
    excerpt.show(&mut out).expect("memory");
    assert_eq!(
        String::from_utf8_lossy(&out),
        "Subject: x\n\n01234567\n[the message is larger than 20 bytes: 5 further bytes are not shown]\n"
    );
}
