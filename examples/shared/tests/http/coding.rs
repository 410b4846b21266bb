//! Compressed bodies: unpacked however they are cut, refused where they are cut short or become too large.

use std::io::Write;

use asynchat::{Result, testing::Harness};
use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use shared::http::{
    coding::Decoding,
    consumer::{Consumer, Order, Request},
};

use crate::{Client, Notes, order};

const TEXT: &[u8] = b"hello, hello, hello, hello";
/// "hello\n".
const BROTLI: &[u8] = b"\x8f\x02\x80\x68\x65\x6c\x6c\x6f\x0a\x03";
/// 64 MiB of zeros.
const BROTLI_BOMB: &[u8] = b"\xcb\xff\xff\x3f\x00\x24\x00\xe2\xb1\x40\x72\xef\xff\xf8\xff\xff\x07\x80\
    \x04\x40\x1c\x16\x80\xee\xfd\x1f\xff\xff\xff\x00\x90\x00\x88\xc3\x02\xd0\xbd\xff\xe3\xff\xff\x1f\
    \x00\x12\x00\x71\x58\x00\xba\xf7\x7f\xfc\xff\xff\x03\x40\x02\x20\x0e\x0b\x40\xf7\xfe\x8f\xff\xff\
    \x7f\x00\x48\x00\xc4\x61\x01\xe8\xde\xff\xf1\xff\xff\x0f\x00\x09\x80\x38\x2c\x00\xdd\xfb\x3f\xfe\
    \xff\xff\x01\x20\x01\x10\x87\x05\xa0\x7b\xff\x37";

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).expect("memory");
    encoder.finish().expect("memory")
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).expect("memory");
    encoder.finish().expect("memory")
}

fn raw(data: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).expect("memory");
    encoder.finish().expect("memory")
}

fn answer(coding: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn told(order: Order, answer: &[u8], feed: fn(&mut Harness, &[u8])) -> Notes {
    let told = Notes::default();
    let mut client = Client::new();
    client.start(order, Decoding::new(told.clone(), 200));
    let (mut server, request) = client.server();
    assert!(
        request.contains("\r\nAccept-Encoding: gzip, deflate, br\r\n"),
        "{request}"
    );
    feed(&mut server, answer);
    server.eof();
    client.is_done();
    told
}

#[test]
fn each_coding_is_unpacked_whole_and_byte_by_byte() {
    const HELLO: &str = "\"hello, hello, hello, hello\"";
    for (coding, body, text) in [
        ("gzip", gzip(TEXT), HELLO),
        ("X-GZip", gzip(TEXT), HELLO),
        ("gzip", [gzip(&TEXT[..5]), gzip(&TEXT[5..])].concat(), HELLO),
        ("deflate", zlib(TEXT), HELLO),
        ("deflate", raw(TEXT), HELLO),
        ("br", BROTLI.to_vec(), "\"hello\\n\""),
        ("identity", TEXT.to_vec(), HELLO),
        ("", TEXT.to_vec(), HELLO),
    ] {
        let answer = answer(coding, &body);
        let feeds: [fn(&mut Harness, &[u8]); 2] = [
            |server, bytes| server.feed(bytes),
            |server, bytes| server.feed_bytewise(bytes),
        ];
        for feed in feeds {
            told(order("http://192.0.2.1/"), &answer, feed).are(&["200", text, "end"]);
        }
    }
}

#[test]
fn a_compressed_body_has_an_end_and_nothing_behind_it() {
    for (coding, body) in [
        ("gzip", gzip(TEXT)),
        ("deflate", zlib(TEXT)),
        ("deflate", raw(TEXT)),
        ("br", BROTLI.to_vec()),
    ] {
        for cut in 1..body.len() {
            let told = told(
                order("http://192.0.2.1/"),
                &answer(coding, &body[..cut]),
                |server, bytes| server.feed(bytes),
            );
            let notes = told.0.borrow().clone();
            let last = notes.last().map_or("", String::as_str);
            assert!(
                last.starts_with("the compressed body is malformed: "),
                "{coding} {cut}: {last}"
            );
        }
        let longer = [&body, &b"garbage"[..]].concat();
        let told = told(
            order("http://192.0.2.1/"),
            &answer(coding, &longer),
            |server, bytes| server.feed_bytewise(bytes),
        );
        let notes = told.0.borrow().clone();
        let last = notes.last().map_or("", String::as_str);
        assert!(
            last.starts_with("the compressed body is malformed: "),
            "{coding}: {last}"
        );
    }
}

#[test]
fn what_is_not_understood_is_an_error_and_not_a_body() {
    for (coding, body, why) in [
        (
            "zstd",
            TEXT,
            "the body's coding \"zstd\" is none of gzip, deflate, br",
        ),
        (
            "gzip, gzip",
            TEXT,
            "the body's coding \"gzip, gzip\" is none of gzip, deflate, br",
        ),
        (
            "gzip",
            TEXT,
            "the compressed body is malformed: invalid gzip header",
        ),
        (
            "br",
            b"\x11\x99\x99\x99",
            "the compressed body is malformed: a window of more than 16 MiB",
        ),
    ] {
        let told = told(
            order("http://192.0.2.1/"),
            &answer(coding, body),
            |server, bytes| server.feed(bytes),
        );
        let notes = told.0.borrow().clone();
        assert_eq!(notes.last().map(String::as_str), Some(why));
    }
}

#[test]
fn an_answer_to_head_and_an_empty_body_have_a_coding_and_nothing_to_unpack() {
    let mut head = order("http://192.0.2.1/");
    head.method = "HEAD".parse().expect("a method");
    told(head, &answer("gzip", b""), |server, bytes| {
        server.feed(bytes);
    })
    .are(&["200", "end"]);
    let get = order("http://192.0.2.1/");
    told(get, &answer("br", b""), |server, bytes| server.feed(bytes)).are(&["200", "end"]);
}

/// Counts what it is fed.
#[derive(Default)]
struct Count(u64, Notes);

impl Consumer for Count {
    fn http_header(&mut self, _: &mut Request<'_, '_>) -> Result {
        Ok(())
    }

    fn feed(&mut self, data: &[u8]) -> Result {
        self.0 += data.len() as u64;
        Ok(())
    }

    fn close(&mut self, outcome: Result<(), asynchat::BoxError>) {
        let bytes = format!("{} MiB", self.0 / 1024 / 1024);
        self.1.write(bytes);
        self.1.close(outcome);
    }
}

#[test]
fn a_ratio_may_be_allowed() {
    let told = Notes::default();
    let mut client = Client::new();
    let count = Count(0, told.clone());
    client.start(order("http://192.0.2.1/"), Decoding::new(count, 1_100));
    let (mut server, _) = client.server();
    server.feed(answer("gzip", &gzip(&vec![0; 17 << 20])));
    told.are(&["17 MiB", "end"]);
}

#[test]
fn a_bomb_is_given_up_by_ratio_or_by_size() {
    const RATIO: &str = "the body unpacks to more than 200 times its size; --max-ratio allows more";
    let zeros = vec![0; 20 * 1024 * 1024];
    for (coding, body) in [
        ("gzip", gzip(&zeros)),
        ("deflate", zlib(&zeros)),
        ("br", BROTLI_BOMB.to_vec()),
    ] {
        for (max_size, ratio, notes) in [
            (None, 200, ["16 MiB", RATIO]),
            (
                Some(5 << 20),
                200,
                ["5 MiB", "the body is larger than 5242880 bytes"],
            ),
        ] {
            let told = Notes::default();
            let mut client = Client::new();
            let mut order = order("http://192.0.2.1/");
            order.max_size = max_size;
            client.start(order, Decoding::new(Count(0, told.clone()), ratio));
            let (mut server, _) = client.server();
            server.feed(answer(coding, &body));
            server.eof();
            let told = told.0.borrow().clone();
            // The last piece may stand for the bytes beyond the bound.
            assert_eq!(told[1], notes[1], "{coding}");
            assert_eq!(told[0], notes[0], "{coding}");
        }
    }
}
