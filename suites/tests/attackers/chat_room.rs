//! Attacks on `chat_room`: members that do not read, floods of every kind, names that imitate, storms of joins, and
//! more connections than there are places.

use std::{
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use socket2::SockRef;

use crate::{
    honest::{alone, serves_on},
    members::{FAST, Honest, Member, SPEAKERS},
    resets::{Bounds, connect, longer, narrow, reset, withstands},
};
use suites::victim::{DEADLINE, Repeated, Victim, within};

fn room(args: &[&str]) -> Victim {
    Victim::start("chat_room", &[&["--port", "0"], args].concat())
}

/// Members `x0`, `x1` and so on that send `payload` over and over as fast as they are let, and read nothing.
fn flood(address: SocketAddr, count: usize, payload: &[u8], narrowly: bool) -> Repeated {
    let mut attackers: Vec<_> = (0..count)
        .map(|n| {
            let stream = if narrowly {
                narrow(address)
            } else {
                connect(address)
            };
            let member = Member::join(stream, &format!("x{n}"));
            member.stream().set_nonblocking(true).unwrap();
            // With an end of file it would stay until all it said is heard, or too much.
            let socket = SockRef::from(member.stream());
            socket.set_linger(Some(Duration::ZERO)).unwrap();
            (member, 0)
        })
        .collect();
    let payload = payload.to_vec();
    Repeated::start(Duration::from_millis(1), move || {
        attackers.retain_mut(|(member, at)| {
            match member.stream().write(&payload[*at..]) {
                Ok(n) => *at = (*at + n) % payload.len(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // Thrown out, which is as it should be.
                Err(_) => return false,
            }
            true
        });
    })
}

#[test]
fn floods_cost_the_others_neither_their_turn_nor_their_place() {
    let _alone = alone();
    let victim = room(&["--rate", FAST]);
    let mut honest = Honest::new(victim.address, 0);
    let line = |length: usize| [vec![b'a'; length], b"\n".to_vec()].concat();
    let mut odd = b"\0\x1b[2J\x07\xc0\xaf\xe0\x80\xaf\xf0\x82\x82\xac\xff\xed\xa0\x80".to_vec();
    odd.extend("\u{202e}evil\u{2066}\u{200b}\u{9b}31m * h1 leaves\r\nh1: hi\n".bytes());
    // At the rate of this room one of them counts for five in an ordinary one.
    let floods: [(&str, usize, Vec<u8>, f64); 8] = [
        ("short lines, one member", 1, b"a\n".repeat(32 * 1024), 0.35),
        ("short lines, 6 members", 6, b"a\n".repeat(32 * 1024), 0.80),
        ("empty lines", 6, b"\n".repeat(64 * 1024), 0.35),
        ("lines of 1,000 bytes", 2, line(1000).repeat(64), 0.60),
        ("lines of 1 MB", 5, line(1_000_000), 1.0),
        ("no line end at all", 5, vec![b'a'; 64 * 1024], 1.0),
        ("odd bytes", 5, odd, 0.50),
        ("10,000 lines at once", 1, b"hello\n".repeat(10_000), 0.35),
    ];
    for (what, count, payload, share) in floods {
        let bounds = Bounds {
            // What waits for each, honest ones included: they look only now and then.
            memory: 4096 + (SPEAKERS + count) as u64 * 256,
            // That it talks too much or too long, or was reset; in each of the rounds.
            lines: 6 * count,
            share,
        };
        let address = victim.address;
        withstands(
            what,
            &victim,
            bounds,
            || honest.exchange(),
            || flood(address, count, &payload, false),
        );
    }
    assert!(honest.heard > 0, "the floods were not heard of");
    assert_eq!(victim.log_lines_with("panicked"), 0);
    victim.ends_well();
}

#[test]
fn one_byte_at_a_time_from_hundreds_slows_nobody_down() {
    let _alone = alone();
    let victim = room(&["--rate", FAST]);
    let mut honest = Honest::new(victim.address, 0);
    let count = if longer() { 600 } else { 200 };
    let address = victim.address;
    let bounds = Bounds {
        memory: 4096,
        lines: 0,
        share: 0.6,
    };
    withstands(
        "one byte at a time",
        &victim,
        bounds,
        || honest.exchange(),
        || {
            let drips: Vec<_> = (0..count)
                .map(|_| Member::connect(connect(address)))
                .collect();
            Repeated::start(Duration::from_millis(20), move || {
                for drip in &drips {
                    // Whoever is too slow with its name is closed one day.
                    let _ = (&mut drip.stream()).write(b" ");
                }
            })
        },
    );
    victim.ends_well();
}

#[test]
fn members_that_do_not_read_hold_nobody_up_and_are_dropped_with_a_bounded_queue() {
    const LIMIT: usize = 32 * 1024;
    let _alone = alone();
    let limit = LIMIT.to_string();
    let victim = room(&["--rate", FAST, "--max-outgoing", &limit]);
    let mut honest = Honest::new(victim.address, 900);
    let count = if longer() { 500 } else { 100 };
    let mut crowd: Vec<_> = (0..count)
        .map(|n| Member::join(narrow(victim.address), &format!("x{n}")))
        .collect();
    // The same members, reading in one half of a round and not in the other: a line to many costs more than one to few.
    let reading = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&reading);
    let _reader = Repeated::start(Duration::from_millis(20), move || {
        if switch.load(Ordering::Relaxed) {
            crowd.retain_mut(Member::drain);
        }
    });
    let mark = victim.mark();
    serves_on(
        "members that do not read",
        || honest.exchange(),
        || {
            reading.store(false, Ordering::Relaxed);
            ReadAgain(Arc::clone(&reading))
        },
    );
    reading.store(false, Ordering::Relaxed);
    let dropped = within(DEADLINE, || {
        honest.exchange();
        victim.log_lines_with("max_outgoing") >= count
    });
    let cost = victim.since(&mark);
    eprintln!("members that do not read: {cost:?}");
    assert!(dropped, "not all were dropped: {}", victim.log_tail());
    assert_eq!(victim.log_lines_with("max_outgoing"), count);
    let most = (count * LIMIT / 1024) as u64 * 5 / 4 + 4096;
    assert!(cost.memory < most, "{} KiB", cost.memory);
    let closed = || victim.descriptors() <= mark.descriptors - count;
    assert!(within(DEADLINE, closed), "{}", victim.descriptors());
    victim.ends_well();
}

struct ReadAgain(Arc<AtomicBool>);

impl Drop for ReadAgain {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn one_burst_does_not_throw_out_those_who_read() {
    // Short lines under a long name: eleven times as much for each reader as was sent.
    let victim = room(&["--rate", "100000"]);
    let mut ann = Member::join(connect(victim.address), "Ann");
    let attackers: Vec<_> = (0..20)
        .map(|n| {
            Member::join(
                connect(victim.address),
                &format!("x.twenty-letters..{n:02}"),
            )
        })
        .collect();
    let burst = b"a\n".repeat(20_000);
    std::thread::scope(|scope| {
        for attacker in &attackers {
            scope.spawn(|| {
                attacker.stream().set_write_timeout(Some(DEADLINE)).unwrap();
                let _ = attacker.stream().write_all(&burst);
            });
        }
        let mut heard = 0;
        while heard < 20_000 {
            heard += usize::from(ann.line().ends_with(": a"));
        }
    });
    drop(attackers);
    assert_eq!(
        victim.log_lines_with(&port_of(&ann)),
        1,
        "only that it came"
    );
    victim.ends_well();
}

fn port_of(member: &Member) -> String {
    member.stream().local_addr().unwrap().to_string()
}

#[test]
fn a_storm_of_joins_is_heard_of_and_slows_nobody_down() {
    let _alone = alone();
    let victim = room(&["--rate", FAST]);
    let mut honest = Honest::new(victim.address, 0);
    let address = victim.address;
    let mut number = 0;
    let bounds = Bounds {
        memory: 4096,
        lines: 0,
        share: 1.0,
    };
    withstands(
        "joins and leaves",
        &victim,
        bounds,
        || honest.exchange(),
        || {
            number += 1;
            let (mut n, round) = (0, number);
            Repeated::start(Duration::from_millis(1), move || {
                for way in 0..4 {
                    n += 1;
                    let member = Member::join(connect(address), &format!("x{round}.{n}"));
                    match way {
                        0 => reset(member.lines.into_inner()),
                        1 => member.says("half a li"),
                        _ => {}
                    }
                }
            })
        },
    );
    victim.ends_well();
}

#[test]
fn all_may_leave_at_once() {
    let _alone = alone();
    let victim = room(&[]);
    let mark = victim.mark();
    let count = if longer() { 900 } else { 300 };
    let mut ann = Member::join(connect(victim.address), "Ann");
    let crowd: Vec<_> = (0..count)
        .map(|n| Member::join(connect(victim.address), &format!("x{n}")))
        .collect();
    for member in crowd {
        reset(member.lines.into_inner());
    }
    let mut left = 0;
    while left < count {
        left += usize::from(ann.line().ends_with(" leaves"));
    }
    let cost = victim.since(&mark);
    eprintln!("{count} join and leave: {cost:?}");
    // Each is news for all the others: the square of them, and no more than that.
    let most = Duration::from_micros(60) * u32::try_from(count * count).unwrap();
    assert!(cost.cpu < most, "{cost:?}");
    assert!(cost.memory < 32 * 1024, "{cost:?}");
    drop(ann);
    victim.is_as_at(&mark);
    victim.ends_well();
}

#[test]
fn connections_past_the_limit_wait_and_are_served_in_the_end() {
    let _alone = alone();
    let limit = SPEAKERS + 1 + 40;
    let victim = room(&["--rate", FAST, "--max-members", &limit.to_string()]);
    let mut honest = Honest::new(victim.address, 0);
    let address = victim.address;
    let bounds = Bounds {
        memory: 2048,
        // Each time that it is full and that it is not.
        lines: 2 * 6 * 400,
        share: 0.1,
    };
    withstands(
        "more than the room holds",
        &victim,
        bounds,
        || honest.exchange(),
        || (0..400).map(|_| connect(address)).collect::<Vec<_>>(),
    );
    let mut late = Member::join(connect(address), "late");
    late.says("here");
    late.drain();
    victim.ends_well();
}

#[test]
fn nobody_passes_for_somebody_else() {
    let victim = room(&[]);
    let mut ann = Member::join(connect(victim.address), "Ann");
    for name in [
        "ann",
        "A\0nn",
        "Ann\u{ad}",
        "Ann\u{e0041}",
        "Ann\u{206a}",
        "Аnn",
        "Ａｎｎ",
        "𝐀𝐧𝐧",
        "Annᵃ",
        "Ann²",
        "Ann\u{5b0}",
        "Ann\u{345}",
        "* Ann",
        "Ann:",
        "Ann joins",
        "\u{202e}nnA:",
    ] {
        let mut eve = Member::connect(connect(victim.address));
        eve.says(name);
        let answer = eve.line();
        assert!(answer.ends_with("Your name?"), "{name:?}: {answer}");
    }
    let mut eve = Member::connect(connect(victim.address));
    // Overlong forms of a line end and of a slash are no line ends, nor slashes.
    let mut wrong = eve.stream();
    wrong.write_all(b"\xc0\x8aAnn\n").unwrap();
    assert!(eve.line().starts_with("* A name has"));
    eve.says("eve");
    assert_eq!(eve.line(), "* In the room: Ann");
    assert_eq!(ann.line(), "* eve joins");
    eve.says("hi\r* Ann leaves\u{85}Ann: bye\u{2028}Ann: x\u{0b}y");
    assert_eq!(ann.line(), "eve: hi* Ann leavesAnn: byeAnn: xy");
    // Nobody has heard of those who have no name.
    let mut rest = String::new();
    ann.stream()
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let nothing = ann.lines.read_to_string(&mut rest).unwrap_err();
    assert_eq!((nothing.kind(), rest.as_str()), (ErrorKind::WouldBlock, ""));
    victim.ends_well();
}
