//! A URL as a whole session.

use shared::ftp::{Mode, Place, fetch};

use crate::play::{Gather, HOST, LOGIN, play_started};

const SEND: &str = "C EPSV\nS 229 (|||9|)\nD connects to 9\n";
const QUIT: &str = "C QUIT\nS 221 \n";

#[test]
fn a_url_is_a_session() {
    let file = format!("{SEND}C RETR c\nS 150 \nD abc\nD ends\nS 226 \n");
    let cases: [(&str, String, &[&str]); 9] = [
        (
            "/a/b/c",
            format!(
                "C CWD a\nS 250 \nC CWD b\nS 250 \nC TYPE I\nS 200 \nC SIZE c\nS 550 \n{file}{QUIT}"
            ),
            &["\"abc\" whole"],
        ),
        (
            "/c",
            format!("C TYPE I\nS 200 \nC SIZE c\nS 213 3\n{file}{QUIT}"),
            &["3 bytes", "\"abc\" whole"],
        ),
        (
            "/c",
            format!("C TYPE I\nS 200 \nC SIZE c\nS 213 4\n{file}{QUIT}"),
            &["4 bytes", "\"abc\" 3 bytes came, and the server told of 4"],
        ),
        (
            "/c",
            format!("C TYPE I\nS 200 \nC SIZE c\nS 213 many\n{file}{QUIT}"),
            &["\"abc\" whole"],
        ),
        (
            "/c;type=a",
            format!("C TYPE A\nS 200 \n{file}{QUIT}"),
            &["\"abc\" whole"],
        ),
        (
            "/a/",
            format!(
                "C CWD a\nS 250 \nC TYPE A\nS 200 \n{SEND}C LIST\nS 150 \nD x\\r\\n\nD ends\nS 226 \n{QUIT}"
            ),
            &["\"x\\n\" whole"],
        ),
        (
            "/a;type=d",
            format!("C TYPE A\nS 200 \n{SEND}C NLST a\nS 150 \nD ends\nS 226 \n{QUIT}"),
            &["\"\" whole"],
        ),
        (
            "/a",
            "C TYPE I\nS 200 \nC SIZE a\nS ends\n".into(),
            &["\"\" the server closed the control connection"],
        ),
        (
            "/no/c",
            "C CWD no\nS 550 \u{1b}none\n".into(),
            &["\"\" CWD no: the server says 550 \u{fffd}none"],
        ),
    ];
    for (path, script, expected) in cases {
        for bytewise in [false, true] {
            let script = format!("{LOGIN}{script}");
            let told = play_started(HOST, &script, bytewise, |registry, contact, told| {
                let url = format!("ftp://{HOST}{path}").parse()?;
                let consumer = Box::new(Gather::new(told));
                fetch(
                    registry,
                    contact,
                    Place::of_url(&url)?,
                    Mode::Passive,
                    consumer,
                )
            });
            assert_eq!(told, expected, "{path}");
        }
    }
}

#[test]
fn no_login_is_told_too() {
    let told = play_started(HOST, "S 421 full\n", false, |registry, contact, told| {
        let url = format!("ftp://{HOST}/c").parse()?;
        let consumer = Box::new(Gather::new(told));
        fetch(
            registry,
            contact,
            Place::of_url(&url)?,
            Mode::Passive,
            consumer,
        )
    });
    assert_eq!(told, ["\"\" greeting: the server says 421 full"]);
}
