//! `cargo test --features testing --example chat_server`.

use asynchat::testing::{Harness, Listener};

use super::*;
use crate::{
    monitor::{ANSWER_WITHIN, MAX_SESSIONS, Monitor},
    room::{MAX_LINE, NICK_WITHIN, Room},
    user::{IDLE, LINES, PARTING, WINDOW},
};

fn with_builder(builder: asynchat::Builder, max_users: usize) -> Listener {
    let now = std::time::Instant::now();
    Listener::with_builder(builder, Room::new(now, max_users))
}

fn room(max_users: usize) -> Listener {
    with_builder(Reactor::builder(), max_users)
}

fn enter(room: &mut Listener, nick: &str) -> Harness {
    let mut user = room.connect();
    user.play(&format!(
        "S: *** Your nick?\nC: {nick}\nS: *** Hello, {nick}. …"
    ));
    user
}

#[test]
fn everybody_else_reads_a_line_and_everybody_an_action() {
    let mut room = room(10);
    let mut ann = enter(&mut room, "ann");
    let mut bob = enter(&mut room, "bob");
    ann.play("S: *** bob joined\nC: hello");
    bob.play("S: ann: hello\nC: /me waves\nS: * bob waves");
    ann.play("S: * bob waves");
    bob.play("C: /quit tired\nS: *** Goodbye.\nS ends");
    ann.play("S: *** bob left: tired");
}

#[test]
fn commands_are_found_by_name_in_either_case() {
    let mut room = room(10);
    let mut ann = enter(&mut room, "ann");
    ann.play(
        "C: /help
         S: *** /help: this
         S: *** /me …
         S: *** /msg …
         S: *** /nick …
         S: *** /quit …
         S: *** /who: …
         C: /WHO
         S: *** Here: ann
         C: /dance
         S: *** There is no /dance; try /help
         C: /
         S: *** There is no /; try /help
         C: /msg ann
         S: *** /msg NICK TEXT
         C: /msg ann hi
         S: [ann] hi
         C: /msg eve hi
         S: *** Nobody here is called eve.
         C: /q
         S: *** Goodbye.
         S ends",
    );
}

#[test]
fn a_nick_is_free_again_once_its_user_has_another_or_is_gone() {
    let mut room = room(10);
    let mut ann = enter(&mut room, "ann");
    let mut bob = enter(&mut room, "bob");
    ann.play("S: *** bob joined");
    bob.play(
        "C: /nick ANN
         S: *** ANN is taken.
         C: /nick a b
         S: *** A nick has 1 to 20 of a-z 0-9 - _.
         C: /nick bob
         S: *** You are now bob.
         C: /nick Bob
         S: *** You are now Bob.",
    );
    ann.play("S: *** bob is now Bob\nC: /nick eve\nS: *** You are now eve.");
    bob.play("S: *** ann is now eve\nC: /nick ann\nS: *** You are now ann.");
    bob.reset();
    ann.play("S: *** Bob is now ann\nS: *** ann left\nC: /nick ann\nS: *** You are now ann.");
}

#[test]
fn a_full_room_refuses_but_for_those_without_a_nick() {
    let mut room = room(2);
    let mut ann = enter(&mut room, "ann");
    let mut first = room.connect();
    let mut second = room.connect();
    first.play("S: *** Your nick?\nS closes");
    second.play("S: *** Your nick?\nC: bob\nS: *** Hello, bob. …");
    let mut third = room.connect();
    third.play("S: *** The room is full.\nS closes");
    // A guest who is taken leave of gives up its seat too, however long its own side stays open.
    second.play("C: /quit\nS: *** Goodbye.\nS ends");
    assert!(!second.is_closed());
    let mut fourth = room.connect();
    assert!(second.is_closed());
    fourth.play("S: *** Your nick?");
    ann.play("S: *** bob joined\nS: *** bob left");
}

#[test]
fn a_nick_is_due_however_many_bytes_come() {
    let mut room = with_builder(Reactor::builder(), 10);
    let id = room.id();
    room::sweep_regularly(&mut room.registry(), id);
    let mut ann = enter(&mut room, "ann");
    let mut dripping = room.connect();
    dripping.play("S: *** Your nick?");
    let step = Duration::from_secs(6);
    for _ in 0..NICK_WITHIN.as_secs() / step.as_secs() - 1 {
        room.advance(step);
        dripping.feed("x");
        assert!(!dripping.is_closed());
    }
    room.advance(step);
    assert!(dripping.is_closed() && !ann.is_closed());
}

#[test]
fn who_is_silent_has_to_go() {
    let mut room = room(10);
    let mut ann = enter(&mut room, "ann");
    let mut bob = enter(&mut room, "bob");
    ann.play("S: *** bob joined");
    room.advance(IDLE / 2);
    ann.play("C: still here");
    bob.play("S: ann: still here");
    room.advance(IDLE / 2);
    ann.play("C: hello?");
    // What is written to it counts as well.
    bob.play("S: ann: hello?");
    room.advance(IDLE);
    for user in [&mut ann, &mut bob] {
        let said = String::from_utf8(user.output()).unwrap();
        assert!(
            said.contains("*** You have been silent for too long.\r\n"),
            "{said}"
        );
        assert!(user.has_ended());
    }
}

#[test]
fn a_flood_waits_for_the_next_window() {
    let mut room = room(10);
    let mut ann = enter(&mut room, "ann");
    let mut bob = enter(&mut room, "bob");
    ann.play("S: *** bob joined");
    bob.feed("x\n".repeat(100));
    let heard = |user: &mut Harness| user.output().iter().filter(|&&byte| byte == b'\n').count();
    // The first line of the window was the nick.
    assert_eq!(heard(&mut ann), LINES as usize - 1);
    for _ in 0..4 {
        room.advance(WINDOW / 2);
        assert_eq!(heard(&mut ann), 0);
        // Others are not held up meanwhile.
        ann.play("C: /who\nS: *** Here: ann bob");
        room.advance(WINDOW / 2);
        assert_eq!(heard(&mut ann), LINES as usize);
    }
    room.advance(WINDOW);
    assert_eq!(heard(&mut ann), 1);
}

#[test]
fn a_user_that_reads_too_slowly_is_dropped() {
    let mut room = with_builder(Reactor::builder().max_outgoing(2_000), 10);
    let mut ann = enter(&mut room, "ann");
    let mut slow = enter(&mut room, "slow");
    ann.play("S: *** slow joined");
    slow.set_window(0);
    for _ in 0..3 {
        ann.feed([b"x".repeat(1_000), b"\n".to_vec()].concat());
    }
    assert!(slow.is_closed());
    ann.play("S: *** slow left (reads too slowly)");
}

#[test]
fn who_does_not_read_its_last_words_is_closed_without() {
    type End = fn(&mut Listener, &mut Harness);
    let ends: [End; 4] = [
        |_, user| user.feed("/quit\n"),
        |_, user| user.eof(),
        |room, _| room.advance(IDLE),
        |room, _| {
            let id = room.id();
            let kicked = room.registry().with(id, |room: &mut Room, channel| {
                room.kick(channel.registry(), "stuck", "")
            });
            assert_eq!(kicked, Ok(true));
        },
    ];
    for end in ends {
        let mut room = room(10);
        let mut stuck = enter(&mut room, "stuck");
        stuck.set_window(0);
        stuck.feed("/who\n");
        end(&mut room, &mut stuck);
        assert!(!stuck.is_closed());
        let mut ann = enter(&mut room, "ann");
        ann.play("C: /who\nS: *** Here: ann");
        room.advance(PARTING);
        assert!(stuck.is_closed());
    }
}

#[test]
fn too_long_a_line_is_skipped() {
    let mut room = room(10);
    let mut ann = enter(&mut room, "ann");
    let mut bob = enter(&mut room, "bob");
    ann.play("S: *** bob joined");
    ann.feed_bytewise([b'x'; MAX_LINE + 1]);
    ann.play("C: and so on\nS: *** A line has at most 1024 bytes.\nC: hi");
    bob.play("S: ann: hi");
}

#[test]
fn what_would_rewrite_a_terminal_is_left_out() {
    let mut room = room(10);
    let mut ann = enter(&mut room, "ann");
    let mut bob = enter(&mut room, "bob");
    ann.feed("a\x1b[2J\0\u{202e}\u{200b}b\u{9b}c\t\r\n");
    bob.play("S: ann: a[2Jbc");
}

const PASSWORD: &str = "open sesame";

fn with_monitor(room: &mut Listener) -> SocketAddr {
    let address = SocketAddr::from(([192, 0, 2, 1], 8519));
    let monitor = Monitor::new(room.id(), PASSWORD);
    room.registry().listen(address, monitor).unwrap();
    address
}

/// A connection to the monitor, and its challenge.
fn operator(user: &mut Harness, monitor: SocketAddr) -> (Harness, String) {
    let mut operator = user.connect_to(monitor).unwrap();
    let challenge = String::from_utf8(operator.output()).unwrap();
    (operator, challenge.trim().to_owned())
}

fn log_in(operator: &mut Harness, challenge: &str) {
    let answer = shared::digest::hmac(PASSWORD.as_bytes(), challenge.as_bytes());
    operator.play(&format!("C: {answer}\nS: Welcome.\nS: > \\"));
}

#[test]
fn the_operator_sees_kicks_and_speaks() {
    let mut room = room(10);
    let monitor = with_monitor(&mut room);
    let mut ann = enter(&mut room, "ann");
    let mut bob = enter(&mut room, "bob");
    bob.play("C: one");
    ann.play("S: *** bob joined\nS: bob: one");
    let (mut operator, challenge) = operator(&mut ann, monitor);
    log_in(&mut operator, &challenge);
    operator.play(
        "C: who
         S: ann … 0 s, 0 lines, 0 bytes waiting
         S: bob … 0 s, 1 lines, 0 bytes waiting
         S: > \\
         C: kick BOB no spam
         S: kicked
         S: > \\
         C: kick bob
         S: no such user
         S: > \\
         C: say  tea is ready
         S: > \\
         C: what?
         S: who: …
         S: stats: …
         S: kick …
         S: say …
         S: shutdown: …
         S: quit: …
         S: > \\",
    );
    bob.play("S: *** operator: you are kicked. no spam\nS ends");
    ann.play("S: *** bob left (kicked)\nS: *** operator: tea is ready");
    operator.play(
        "C: stats
         S: up: …
         S: users: 1
         S: connections: 2 now, 2 so far, 0 refused
         S: kicked: 1
         S: lines: 1
         S: bytes: …
         S: wrong answers to the monitor: 0
         S: > \\
         C: quit
         S ends",
    );
}

#[test]
fn the_operator_ends_the_server() {
    let mut room = room(10);
    let monitor = with_monitor(&mut room);
    let mut ann = enter(&mut room, "ann");
    let (mut operator, challenge) = operator(&mut ann, monitor);
    log_in(&mut operator, &challenge);
    operator.play("C: shutdown\nS: ending\nS ends");
    ann.play("S: *** The server ends.\nS ends");
    room.advance(GRACE);
    assert!(ann.is_closed() && operator.is_closed());
}

#[test]
fn a_wrong_answer_ends_the_session_and_is_counted() {
    let mut room = room(10);
    let monitor = with_monitor(&mut room);
    let mut ann = enter(&mut room, "ann");
    let (mut first, old) = operator(&mut ann, monitor);
    log_in(&mut first, &old);
    let answered = shared::digest::hmac(PASSWORD.as_bytes(), old.as_bytes());
    let wrong = [PASSWORD, "", "who", &answered, &answered[..8]];
    for answer in wrong {
        let (mut operator, challenge) = operator(&mut ann, monitor);
        assert_ne!(challenge, old);
        operator.play(&format!("C: {answer}\nC: who\nS: Wrong.\nS ends"));
    }
    first.feed("stats\n");
    let stats = String::from_utf8(first.output()).unwrap();
    let count = format!("monitor: {}\r\n", wrong.len());
    assert!(stats.contains(&count), "{stats}");
}

#[test]
fn strangers_cannot_take_all_sessions() {
    let mut room = room(10);
    let monitor = with_monitor(&mut room);
    let mut ann = enter(&mut room, "ann");
    let mut strangers: Vec<_> = (0..MAX_SESSIONS)
        .map(|_| operator(&mut ann, monitor).0)
        .collect();
    let mut sessions = Vec::new();
    for stranger in &mut strangers {
        assert!(!stranger.is_closed());
        let (mut operator, challenge) = operator(&mut ann, monitor);
        assert!(stranger.is_closed());
        log_in(&mut operator, &challenge);
        sessions.push(operator);
    }
    // None of those who are in makes room.
    let mut late = ann.connect_to(monitor).unwrap();
    assert!(late.is_closed());
    assert!(sessions.iter_mut().all(|session| !session.is_closed()));
}

#[test]
fn wrong_answers_keep_the_operator_out_no_longer_than_silence_does() {
    let mut room = room(10);
    let monitor = with_monitor(&mut room);
    let mut ann = enter(&mut room, "ann");
    let mut strangers: Vec<_> = (0..MAX_SESSIONS)
        .map(|_| operator(&mut ann, monitor).0)
        .collect();
    for stranger in &mut strangers {
        stranger.play("C: wrong\nS: Wrong.\nS ends");
        assert!(!stranger.is_closed());
    }
    let (mut operator, challenge) = operator(&mut ann, monitor);
    log_in(&mut operator, &challenge);
    assert!(strangers[0].is_closed() && !strangers[1].is_closed());
    room.advance(monitor::PARTING);
    assert!(strangers.iter_mut().all(Harness::is_closed));
    assert!(!operator.is_closed());
}

#[test]
fn an_answer_is_due() {
    let mut room = room(10);
    let monitor = with_monitor(&mut room);
    let mut ann = enter(&mut room, "ann");
    let (mut operator, _) = operator(&mut ann, monitor);
    room.advance(ANSWER_WITHIN);
    assert!(operator.is_closed());
}
