//! Servers that lie.

use shared::ftp::MAX_PRELIMINARY;

use crate::play::{LOGIN, Wish, play, wish};

const CONNECT: &str = "C TYPE I\nS 200 \nC EPSV\nS 229 (|||9|)\nD connects to 9\n";

#[test]
fn another_host_in_a_reply_is_ignored() {
    for reply in [
        "227 Entering Passive Mode (198,51,100,7,4,1)",
        "227 (127,0,0,1,4,1)",
        "227 0,0,0,0,4,1",
    ] {
        let script = format!(
            "{LOGIN}C TYPE I\nS 200 \nC EPSV\nS 500 \nC PASV\nS {reply}\nD connects to 1025\nC RETR f\nS 150 \nD a\nD ends\nS 226 \nC QUIT\nS 221 \n"
        );
        let told = play(&script, &[wish("RETR")], false);
        assert_eq!(told, ["\"a\" whole", "finished: done"], "{reply}");
    }
}

#[test]
fn a_file_of_another_size_is_an_error() {
    for (data, why) in [
        (
            "D ab\nD ends\nS 226 \n",
            "\"ab\" 2 bytes came, and the server told of 3",
        ),
        (
            "D ends\nS 226 \n",
            "\"\" 0 bytes came, and the server told of 3",
        ),
        (
            "D abcd\nD is closed\nS 226 \n",
            "\"\" the server sent more than the 3 bytes it told of",
        ),
    ] {
        let script = format!("{LOGIN}{CONNECT}C RETR f\nS 150 \n{data}C QUIT\nS 221 \n");
        let wish = Wish {
            length: Some(3),
            ..wish("RETR")
        };
        assert_eq!(play(&script, &[wish], false), [why, "finished: done"]);
    }
}

#[test]
fn a_server_that_begins_at_the_start_again_is_not_believed() {
    let wish = Wish {
        offset: 5,
        ..wish("RETR")
    };
    for reply in ["200 fine", "502 no", "226 done"] {
        let script = format!("{LOGIN}{CONNECT}C REST 5\nS {reply}\nD is closed\nC QUIT\nS 221 \n");
        let told = play(&script, std::slice::from_ref(&wish), false);
        let why =
            format!("\"\" REST: the server cannot begin in the middle: the server says {reply}");
        assert_eq!(told, [&*why, "finished: done"]);
    }
}

#[test]
fn replies_that_nobody_asked_for_end_the_session() {
    for (script, why) in [
        (
            format!(
                "{LOGIN}C TYPE I\nS 200 \nC EPSV\nS 229 (|||9|)\nD is under way\nS 226 no\nD is closed\n"
            ),
            "an answer to no question: the server says 226 no",
        ),
        (
            format!("{LOGIN}{CONNECT}C RETR f\nS 150 \nS 226 \nS 226 again\n"),
            "an answer to no question: the server says 226 again",
        ),
        (
            format!(
                "{LOGIN}{CONNECT}C RETR f\nD ab\nD ends\n{}",
                "S 150 \n".repeat(MAX_PRELIMINARY as usize + 1)
            ),
            "the server sent more than 100 preliminary replies to one command",
        ),
        (
            format!("{LOGIN}{CONNECT}C RETR f\nD ends\nS 1000 x\n"),
            "the server sent no reply but \"1000 x\"",
        ),
    ] {
        let told = play(&script, &[wish("RETR")], false);
        assert_eq!(told[1], format!("finished: {why}"));
        assert!(told[0].ends_with(why), "{told:?}");
    }
}

#[test]
fn data_before_its_command_is_an_error() {
    let wish = Wish {
        offset: 5,
        ..wish("RETR")
    };
    let script = format!("{LOGIN}{CONNECT}C REST 5\nD abc\nD ends\n");
    let told = play(&script, &[wish], false);
    assert_eq!(
        told,
        [
            "\"abc\" the data ended before its command",
            "finished: the data ended before its command"
        ]
    );
}

#[test]
fn a_name_that_would_be_two_commands_is_not_sent() {
    let script = format!("{LOGIN}C QUIT\nS 221 \n");
    let told = play(&script, &[wish("RETR evil")], false);
    assert_eq!(
        told,
        ["\"\" RETR: CR cannot be sent in a name", "finished: done"]
    );
}
