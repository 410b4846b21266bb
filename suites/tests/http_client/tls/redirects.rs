//! Redirects between the schemes.

use suites::program::Ended;

use super::Trusted;
use crate::{
    assert_fails,
    scripted::{Answer, serve},
};

#[test]
fn redirects_to_https_are_followed_and_those_back_are_not() {
    let trusted = Trusted::serve(|target| match target {
        "/end" => Answer::new("HTTP/1.1 200 OK\nContent-Length: 3\n\nend"),
        _ => {
            let location = target[1..].replace("%2F", "/");
            Answer::new(&format!("HTTP/1.1 302 Found\nLocation: {location}\n\n"))
        }
    });
    let end = trusted.server.url("/end");
    let location = end.clone();
    let plain = serve(move |target| match target {
        "/up" => Answer::new(&format!("HTTP/1.1 301 Moved\nLocation: {location}\n\n")),
        _ => Answer::new("HTTP/1.1 200 OK\nContent-Length: 3\n\nend"),
    });
    let done = |ended: &Ended| {
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        assert!(
            ended.out().ends_with("\n3 bytes in body\n"),
            "{}",
            ended.out()
        );
    };
    done(&trusted.fetch(&[&plain.url("/up")]));
    assert!(trusted.is_ended_properly());
    // From https to https too. Both connections are ended as TLS has it, whichever ends first.
    done(&trusted.fetch(&[&trusted.server.url("/%2Fend")]));
    for _ in 0..2 {
        assert!(trusted.is_ended_properly());
    }

    let below = plain.url("/end");
    let down = trusted
        .server
        .url(&format!("/{}", below.replace('/', "%2F")));
    plain.targets();
    let why = format!("redirected to {below}: from https to http");
    assert_fails(&trusted.fetch(&[&down]), &down, &why);
    assert_eq!(plain.targets(), [""; 0]);
    done(&trusted.fetch(&["--allow-downgrade", &down]));
}
