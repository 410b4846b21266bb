//! RFC 1143.

use std::collections::VecDeque;

use proptest::prelude::*;
use shared::telnet::{
    Decoder, Event, Options, Side,
    Side::{No, WantNo, WantNoThenYes, WantYes, WantYesThenNo, Yes},
    command::{DO, DONT, IAC, WILL, WONT},
    option,
};

/// A state, then what follows and is sent when the peer says "on" and may, "on" and may not, "off"; when this end asks for
/// "on", for "off".
type Row = (Side, [(Side, Option<bool>); 5]);

#[test]
fn each_state_answers_as_the_table_says() {
    let (on, off) = (Some(true), Some(false));
    let table: [Row; 6] = [
        (
            No,
            [(Yes, on), (No, off), (No, None), (WantYes, on), (No, None)],
        ),
        (
            Yes,
            [
                (Yes, None),
                (Yes, None),
                (No, off),
                (Yes, None),
                (WantNo, off),
            ],
        ),
        (
            WantNo,
            [
                (No, None),
                (No, None),
                (No, None),
                (WantNoThenYes, None),
                (WantNo, None),
            ],
        ),
        (
            WantNoThenYes,
            [
                (Yes, None),
                (Yes, None),
                (WantYes, on),
                (WantNoThenYes, None),
                (WantNo, None),
            ],
        ),
        (
            WantYes,
            [
                (Yes, None),
                (Yes, None),
                (No, None),
                (WantYes, None),
                (WantYesThenNo, None),
            ],
        ),
        (
            WantYesThenNo,
            [
                (WantNo, off),
                (WantNo, off),
                (No, None),
                (WantYes, None),
                (WantYesThenNo, None),
            ],
        ),
    ];
    for (state, rows) in table {
        let calls: [fn(&mut Side) -> Option<bool>; 5] = [
            |side| side.peer_on(true),
            |side| side.peer_on(false),
            Side::peer_off,
            Side::ask_on,
            Side::ask_off,
        ];
        for (n, (call, expected)) in calls.into_iter().zip(rows).enumerate() {
            let mut side = state;
            let sent = call(&mut side);
            assert_eq!((side, sent), expected, "{state:?}, column {n}");
        }
    }
}

/// What may happen between two ends of one option.
#[derive(Clone, Copy, Debug)]
enum Act {
    Ask { end: usize, on: bool },
    Deliver { end: usize },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0..2_usize, any::<bool>()).prop_map(|(end, on)| Act::Ask { end, on }),
        (0..2_usize).prop_map(|end| Act::Deliver { end }),
    ]
}

proptest! {
    #[test]
    fn no_exchange_of_two_machines_is_endless(
        acts in prop::collection::vec(act(), 0..60),
        allowed in any::<[bool; 2]>(),
    ) {
        let mut ends = [Side::No; 2];
        // To each of them.
        let mut wires = [VecDeque::new(), VecDeque::new()];
        let (mut asked, mut sent) = (0, 0);
        let mut go = |act, ends: &mut [Side; 2], wires: &mut [VecDeque<bool>; 2]| {
            let (end, send) = match act {
                Act::Ask { end, on: true } => (end, ends[end].ask_on()),
                Act::Ask { end, on: false } => (end, ends[end].ask_off()),
                Act::Deliver { end } => match wires[end].pop_front() {
                    None => return,
                    Some(true) => (end, ends[end].peer_on(allowed[end])),
                    Some(false) => (end, ends[end].peer_off()),
                },
            };
            asked += usize::from(matches!(act, Act::Ask { .. }));
            if let Some(on) = send {
                sent += 1;
                wires[1 - end].push_back(on);
            }
        };
        for act in acts {
            go(act, &mut ends, &mut wires);
        }
        for _ in 0..1000 {
            for end in 0..2 {
                go(Act::Deliver { end }, &mut ends, &mut wires);
            }
        }
        prop_assert!(wires.iter().all(VecDeque::is_empty), "{ends:?}");
        prop_assert!(ends.iter().all(|end| end.is_settled()), "{ends:?}");
        prop_assert_eq!(ends[0], ends[1]);
        prop_assert!(sent <= 2 * asked, "{} for {}", sent, asked);
    }

    #[test]
    fn a_liar_gets_no_more_answers_than_it_asks(said in prop::collection::vec((251..=254_u8, 0..40_u8), 0..200)) {
        let mut options = Options::default();
        let mut last = None;
        for (verb, option) in said {
            let answer = options.received(verb, option);
            if let Some([iac, answered, of]) = answer {
                prop_assert_eq!((iac, of), (IAC, option));
                // Each side is answered in its own words.
                let here = [WILL, WONT].contains(&answered);
                prop_assert_eq!(here, [DO, DONT].contains(&verb));
            }
            if last == Some((verb, option)) && [WONT, DONT].contains(&verb) {
                prop_assert_eq!(answer, None);
            }
            last = Some((verb, option));
        }
    }

    #[test]
    fn bytes_of_any_kind_are_the_same_in_any_pieces(
        data in prop::collection::vec(prop_oneof![Just(IAC), Just(b'\r'), Just(0), 240..=255_u8, any::<u8>()], 0..200),
        size in 1..20_usize,
    ) {
        prop_assert_eq!(decoded(&data, data.len().max(1)), decoded(&data, size));
    }
}

fn decoded(data: &[u8], size: usize) -> Vec<String> {
    let mut decoder = Decoder::default();
    let mut found: Vec<String> = Vec::new();
    let mut text = Vec::new();
    for mut piece in data.chunks(size) {
        while let Some(event) = decoder.next(&mut piece, false).expect("no limit") {
            match event {
                Event::Text(part) => text.extend_from_slice(part),
                event => found.push(format!("{} {event:?}", text.len())),
            }
        }
    }
    found.push(format!("{text:?}"));
    found
}

#[test]
fn options_are_agreed_to_where_this_end_knows_them() {
    let mut options = Options::default();
    for (verb, option, answer) in [
        (WILL, option::ECHO, Some(DO)),
        (WILL, option::ECHO, None),
        (DO, option::ECHO, Some(WONT)),
        (WONT, option::ECHO, Some(DONT)),
        (WONT, option::ECHO, None),
        (DO, option::WINDOW_SIZE, Some(WILL)),
        (WILL, option::WINDOW_SIZE, Some(DONT)),
        (DONT, option::WINDOW_SIZE, Some(WONT)),
        (WILL, 37, Some(DONT)),
        (WILL, 37, Some(DONT)),
        (WONT, 37, None),
        (DO, 255, Some(WONT)),
        (DONT, 255, None),
    ] {
        let expected = answer.map(|answer| [IAC, answer, option]);
        assert_eq!(options.received(verb, option), expected, "{verb} {option}");
    }
}
