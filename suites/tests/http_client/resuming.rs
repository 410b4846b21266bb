//! `-C -` with a server that lies, refuses, or breaks off.

use std::fs;

use crate::{
    fetch,
    scripted::{Answer, serve},
};

#[test]
fn a_part_is_kept_whatever_the_server_says() {
    for (answer, why, after) in [
        (
            "206 P\nContent-Range: bytes 0-3/4\n\nevil",
            "another range",
            "old!",
        ),
        (
            "206 P\nContent-Range: bytes 4-7/8\nContent-Length: 3\n\nnew",
            "another range",
            "old!",
        ),
        ("206 P\n\nevil", "another range", "old!"),
        (
            "206 P\nContent-Type: multipart/byteranges; boundary=x\n\n--x",
            "another range",
            "old!",
        ),
        (
            "416 R\nContent-Range: bytes */3\n\n",
            "remove it to begin anew",
            "old!",
        ),
        ("416 R\n\n", "remove it to begin anew", "old!"),
        ("404 N\n\nnot found", "status 404", "old!"),
        ("204 N\n\n", "status 204", "old!"),
        (
            "200 OK\nContent-Length: 9\n\ncut",
            "after 3 of 9 bytes",
            "old!",
        ),
        (
            "206 P\nContent-Range: bytes 4-9/10\nContent-Length: 6\n\nnew",
            "after 3 of 6 bytes",
            "old!new",
        ),
        (
            "206 P\nContent-Range: bytes 4-6/7\nContent-Length: 3\n\nnew",
            "",
            "old!new",
        ),
        ("206 P\nContent-Range: bytes 4-6/*\n\nnew", "", "old!new"),
        (
            "206 P\nContent-Range: bytes 4-9/10\n\nnew",
            "3 bytes before the end of the range",
            "old!new",
        ),
        (
            "206 P\nContent-Range: bytes 4-5/6\n\nnew",
            "more than its range",
            "old!",
        ),
        (
            "206 P\nContent-Range: bytes 4-6/99\n\nnew",
            "not all of the rest",
            "old!new",
        ),
        ("200 OK\nContent-Length: 3\n\nall", "", "all"),
        (
            "416 R\nContent-Range: bytes */4\nContent-Length: 4\n\npage",
            "",
            "old!",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part");
        fs::write(&path, "old!").unwrap();
        let server = serve(move |_| Answer::new(&format!("HTTP/1.1 {answer}")));
        let url = server.url("/");
        // With -f no answer is more or less of an error.
        let ended = fetch(&["-f", "-C", "-", "-o", path.to_str().unwrap(), &url]);
        let code = if why.is_empty() { 0 } else { 1 };
        assert_eq!(ended.code, Some(code), "{answer}: {}", ended.err);
        assert!(ended.err.contains(why), "{answer}: {}", ended.err);
        assert_eq!(fs::read_to_string(&path).unwrap(), after, "{answer}");
        let request = server.requests.recv().unwrap();
        assert!(request.contains("\r\nRange: bytes=4-\r\n"), "{request}");
        assert!(!request.contains("If-Range"), "{request}");
    }
}

#[test]
fn the_version_of_a_part_is_kept_beside_it_until_it_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part");
    let validator = folder.path().join("part.validator");
    let server = serve(|target| {
        Answer::new(match target {
            "/begin" => "HTTP/1.1 200 OK\nETag: \"v1\"\nContent-Length: 7\n\nold!",
            "/again" => "HTTP/1.1 206 P\nETag: \"v1\"\nContent-Range: bytes 4-6/7\n\nn",
            _ => "HTTP/1.1 206 P\nContent-Range: bytes 5-6/7\nContent-Length: 2\n\new",
        })
    });
    for (target, if_range, content, code) in [
        ("/begin", None, "old!", 1),
        ("/again", Some("If-Range: \"v1\"\r\n"), "old!n", 1),
        ("/rest", Some("If-Range: \"v1\"\r\n"), "old!new", 0),
    ] {
        let ended = fetch(&["-C", "-", "-o", path.to_str().unwrap(), &server.url(target)]);
        assert_eq!(ended.code, Some(code), "{target}: {}", ended.err);
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
        assert_eq!(validator.exists(), code == 1, "{target}");
        let request = server.requests.recv().unwrap();
        assert_eq!(
            request.contains("If-Range"),
            if_range.is_some(),
            "{request}"
        );
        assert!(request.contains(if_range.unwrap_or_default()), "{request}");
    }
}
