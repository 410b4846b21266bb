//! Early ends: either connection ends the other.

use crate::play::{LOGIN, play, wish};

/// The steps of a transfer, one a line.
const FETCH: &str = "S 220 
C USER anonymous
S 331 
C PASS anonymous@
S 230 
C TYPE I
S 200 
C EPSV
S 229 (|||9|)
D connects to 9
C RETR f
S 150 
D abc
D ends
S 226 
";
const STORE: &str = "S 220 
C USER anonymous
S 230 
C TYPE I
S 200 
C EPSV
S 229 (|||9|)
D connects to 9
C STOR f
S 150 
D sees one\\ntwo\\n
D ends
S 226 
";

#[test]
fn the_end_of_the_control_connection_at_each_step_is_one_error() {
    for (verb, script) in [("RETR", FETCH), ("STOR", STORE)] {
        for (end, why) in [
            ("S ends", "the server closed the control connection"),
            ("S resets", "the server broke the connection"),
            ("S garbage", "the server sent no reply but \"garbage\""),
            ("S 421 bye", "the server says 421 bye"),
        ] {
            let steps: Vec<_> = script.lines().collect();
            for n in 0..steps.len() {
                // A step of the client's may come after that of the server before it.
                let said = steps[n..]
                    .iter()
                    .take_while(|step| step.starts_with("C "))
                    .count();
                let mut script = steps[..n + said].join("\n");
                let data = steps[..n].iter().any(|step| step.starts_with("D connects"));
                let connecting = steps
                    .get(n)
                    .is_some_and(|step| step.starts_with("D connects"));
                script += &format!("\n{end}\n");
                if data && !steps[..n].contains(&"D ends") {
                    script += "D is closed\n";
                }
                if connecting {
                    continue;
                }
                let told = play(&script, &[wish(verb)], false);
                let in_transfer =
                    steps[..n].contains(&"C TYPE I") || steps.get(n) == Some(&"C TYPE I");
                let last = told.last().expect("an outcome");
                assert!(last.starts_with("finished: "), "{script}{told:?}");
                assert!(last.ends_with(why), "{script}{told:?}");
                assert_eq!(told.len(), 1 + usize::from(in_transfer), "{script}{told:?}");
                if in_transfer {
                    assert!(told[0].ends_with(why), "{script}{told:?}");
                }
            }
        }
    }
}

#[test]
fn silence_at_each_step_of_the_server_is_an_error() {
    for (verb, script) in [("RETR", FETCH), ("STOR", STORE)] {
        let steps: Vec<_> = script.lines().collect();
        for n in 0..steps.len() {
            if !steps[n].starts_with("S ") {
                continue;
            }
            // A transfer that has begun: first the data gives up, then the session.
            let script = format!("{}\nwait\nwait\n", steps[..n].join("\n"));
            let told = play(&script, &[wish(verb)], false);
            let last = told.last().expect("an outcome");
            assert_eq!(last, "finished: nothing moved for 30s", "{script}");
        }
    }
}

#[test]
fn a_connection_that_is_not_made_in_time_is_an_error_of_the_transfer() {
    let script = format!(
        "{LOGIN}C TYPE I\nS 200 \nC EPSV\nS 229 (|||9|)\nD is under way\nwait\nC QUIT\nS 221 \n"
    );
    let told = play(&script, &[wish("RETR")], false);
    assert_eq!(
        told,
        [
            "\"\" the data connection failed: no answer within 30s",
            "finished: done"
        ]
    );
}

#[test]
fn data_that_ends_early_is_the_end_of_an_upload() {
    let begin = "C TYPE I\nS 200 \nC EPSV\nS 229 (|||9|)\nD connects to 9\nC STOR f\n";
    for (end, why) in [
        ("D ends\nS 552 full\n", "STOR f: the server says 552 full"),
        (
            "D resets\nS 226 fine\n",
            "the server broke the data connection",
        ),
        (
            "D ends\nS 226 fine\n",
            "the server closed the data connection before all was sent",
        ),
        (
            "S 226 fine\nD is closed\n",
            "complete before anything was sent: the server says 226 fine",
        ),
        ("S 553 no\nD is closed\n", "STOR f: the server says 553 no"),
        (
            "S 150 \nD sees one\\ntwo\\n\nS 452 full\nD is closed\n",
            "STOR f: the server says 452 full",
        ),
    ] {
        let script = format!("{LOGIN}{begin}{end}C QUIT\nS 221 \n");
        let told = play(&script, &[wish("STOR")], false);
        assert_eq!(told, [why, "finished: done"], "{end}");
    }
}
