//! Transfers that end well.

use crate::play::{LOGIN, Wish, play, wish};

fn text(verb: &'static str) -> Wish {
    Wish {
        text: true,
        ..wish(verb)
    }
}

fn from(verb: &'static str, offset: u64) -> Wish {
    Wish {
        offset,
        ..wish(verb)
    }
}

#[test]
fn a_transfer_is_complete_by_the_reply_and_the_end_of_the_data_in_any_order() {
    let begin = "C TYPE I\nS 200 \nC EPSV\nS 229 ok (|||1025|)\nD connects to 1025\nC RETR f\n";
    for end in [
        "S 150 \nD abc\nD ends\nS 226 ok\n",
        "S 125 \nS 226 ok\nD abc\nD ends\n",
        "D abc\nD ends\nS 150 \nS 226 ok\n",
        "D abc\nD ends\nS 226 ok\n",
        "S 226 ok\nD abc\nD ends\n",
        "S 150-a\nS 150 b\nD a\nD bc\nS 250-a\nS 226 b\nS 250 c\nD ends\n",
    ] {
        for bytewise in [false, true] {
            let script = format!("{LOGIN}{begin}{end}C QUIT\nS 221 \n");
            let told = play(&script, &[wish("RETR")], bytewise);
            assert_eq!(told, ["\"abc\" whole", "finished: done"], "{end}");
        }
    }
}

#[test]
fn every_kind_of_transfer_asks_in_its_own_words() {
    let cases = [
        (
            "a text",
            text("RETR"),
            "C TYPE A\nS 200 \nC EPSV\nS 229 (|||9|)\nD connects to 9\nC RETR f\nS 150 \nD a\\r\\nb\\r\\nc\\r\nD ends\nS 226 \n",
            "\"a\\nb\\nc\\r\" whole",
        ),
        (
            "a listing",
            text("LIST"),
            "C TYPE A\nS 200 \nC EPSV\nS 229 (|||9|)\nD connects to 9\nC LIST\nS 150 \nD x\\r\\n\nD ends\nS 226 \n",
            "\"x\\n\" whole",
        ),
        (
            "an empty listing",
            text("NLST"),
            "C TYPE A\nS 200 \nC EPSV\nS 229 (|||9|)\nD connects to 9\nC NLST\nD ends\nS 226 \n",
            "\"\" whole",
        ),
        (
            "facts",
            text("MLSD"),
            "C TYPE A\nS 200 \nC EPSV\nS 229 (|||9|)\nD connects to 9\nC MLSD d\nS 150 \nD ends\nS 226 \n",
            "\"\" whole",
        ),
        (
            "from the middle",
            from("RETR", 7),
            "C TYPE I\nS 200 \nC EPSV\nS 229 (|||9|)\nD connects to 9\nC REST 7\nS 350 \nC RETR f\nS 150 \nD rest\nD ends\nS 226 \n",
            "\"rest\" whole",
        ),
        (
            "a file to the server",
            wish("STOR"),
            "C TYPE I\nS 200 \nC EPSV\nS 229 (|||9|)\nD connects to 9\nC STOR f\nD sees \nS 150 \nD sees one\\ntwo\\n\nD has ended\nD ends\nS 226 \n",
            "sent",
        ),
        (
            "a text to the server",
            text("STOR"),
            "C TYPE A\nS 200 \nC EPSV\nS 229 (|||9|)\nD connects to 9\nC STOR f\nS 125 \nD sees one\\r\\ntwo\\r\\n\nD has ended\nS 226 \nD ends\n",
            "sent",
        ),
        (
            "the rest of a file to the server",
            from("STOR", 5),
            "C TYPE I\nS 200 \nC EPSV\nS 229 (|||9|)\nD connects to 9\nC REST 5\nS 350 \nC STOR f\nS 150 \nD sees wo\\n\nD ends\nS 226 \n",
            "sent",
        ),
        (
            "nothing is left to be sent",
            from("STOR", 8),
            "C TYPE I\nS 200 \nC EPSV\nS 229 (|||9|)\nD connects to 9\nC REST 8\nS 350 \nC STOR f\nS 150 \nD sees \nD has ended\nD ends\nS 226 \n",
            "sent",
        ),
    ];
    for (name, wish, script, told) in cases {
        for bytewise in [false, true] {
            let script = format!("{LOGIN}{script}C QUIT\nS 221 \n");
            let found = play(&script, std::slice::from_ref(&wish), bytewise);
            assert_eq!(found, [told, "finished: done"], "{name}");
        }
    }
}

#[test]
fn what_the_server_does_not_know_is_asked_once() {
    let script = format!(
        "{LOGIN}C TYPE I\nS 200 \nC EPSV\nS 502 no\nC PASV\nS 227 (192,0,2,2,4,1)\nD connects to 1025\nC RETR f\nS 150 \nD a\nD ends\nS 226 \n\
         C PASV\nS 227 (192,0,2,2,4,2)\nD connects to 1026\nC RETR f\nS 150 \nD b\nD ends\nS 226 \nC QUIT\nS 221 \n"
    );
    let told = play(&script, &[wish("RETR"), wish("RETR")], false);
    assert_eq!(told, ["\"a\" whole", "\"b\" whole", "finished: done"]);
}

#[test]
fn the_type_is_changed_where_it_has_to_be() {
    let one = "C EPSV\nS 229 (|||9|)\nD connects to 9\nC RETR f\nS 150 \nD ends\nS 226 \n";
    let script =
        format!("{LOGIN}C TYPE A\nS 200 \n{one}{one}C TYPE I\nS 200 \n{one}C QUIT\nS 221 \n");
    let told = play(&script, &[text("RETR"), text("RETR"), wish("RETR")], false);
    assert_eq!(told.len(), 4, "{told:?}");
}

#[test]
fn a_transfer_that_is_refused_is_not_the_end_of_the_session() {
    let connect = "C EPSV\nS 229 (|||9|)\nD connects to 9\n";
    let cases = [
        (
            "TYPE",
            "C TYPE I\nS 504 no\n".to_owned(),
            "TYPE: the server says 504 no",
            "C TYPE I\nS 200 \n",
        ),
        (
            "EPSV and PASV",
            "C TYPE I\nS 200 \nC EPSV\nS 500 \nC PASV\nS 425 no\n".to_owned(),
            "PASV: the server says 425 no",
            "",
        ),
        (
            "EPSV, for now",
            "C TYPE I\nS 200 \nC EPSV\nS 425 no\n".to_owned(),
            "EPSV: the server says 425 no",
            "",
        ),
        (
            "no port",
            "C TYPE I\nS 200 \nC EPSV\nS 229 none\n".to_owned(),
            "no port for the data: the server says 229 none",
            "",
        ),
        (
            "no connection",
            "C TYPE I\nS 200 \nC EPSV\nS 229 (|||9|)\nD fails\n".to_owned(),
            "the data connection failed: connection refused",
            "",
        ),
        (
            "RETR",
            format!("C TYPE I\nS 200 \n{connect}C RETR f\nS 550-no\nS 550 file\nD is closed\n"),
            "RETR f: the server says 550 no / file",
            "",
        ),
        (
            "RETR, behind its data",
            format!("C TYPE I\nS 200 \n{connect}C RETR f\nS 150 \nD abc\nD ends\nS 426 cut\n"),
            "RETR f: the server says 426 cut",
            "",
        ),
        (
            "RETR, in the middle of its data",
            format!(
                "C TYPE I\nS 200 \n{connect}C RETR f\nS 150 \nD abc\nS 451 disk\nD is closed\n"
            ),
            "RETR f: the server says 451 disk",
            "",
        ),
        (
            "data that is not wanted",
            format!("C TYPE I\nS 200 \n{connect}C RETR f\nS 150 \nD ab!\nD is closed\nS 426 cut\n"),
            "the disk is full",
            "",
        ),
        (
            "data that is broken off",
            format!("C TYPE I\nS 200 \n{connect}C RETR f\nS 150 \nD abc\nD resets\nS 226 fine\n"),
            "the server broke the data connection",
            "",
        ),
        (
            "data that is silent",
            format!("C TYPE I\nS 200 \n{connect}C RETR f\nS 150 \nwait\nD is closed\nS 426 cut\n"),
            "nothing moved on the data connection for 30s; the server says 426 cut",
            "",
        ),
        (
            "an intermediate reply",
            format!("C TYPE I\nS 200 \n{connect}C RETR f\nS 350 more?\n"),
            "RETR f: the server says 350 more?",
            "",
        ),
    ];
    for (name, script, why, type_again) in cases {
        for bytewise in [false, true] {
            let script = format!("{LOGIN}{script}{type_again}C PWD\nS 257 /\nC QUIT\nS 221 \n")
                .replace(type_again, "");
            let told = play(&script, &[wish("RETR"), wish("PWD")], bytewise);
            assert!(told[0].ends_with(&format!(" {why}")), "{name}: {told:?}");
            assert_eq!(told[1..], ["257 /", "finished: done"], "{name}");
        }
    }
}
