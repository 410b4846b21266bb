//! Connections that stay open from the beginning to the end and say nothing in between.

use socket2::Socket;

use crate::{
    chat::Resident,
    fleet::{self, Fleet},
    web,
    wire::{Step, at, connect, expect, reader, send},
};

const EACH: usize = 8;
const RESIDENTS: usize = 4;

type Words = fn(&Socket, &[u8]) -> Step;

/// What is said on them, at both ends of the run.
const HELD: [(&str, Words); 6] = [
    (fleet::ECHO, |socket, _| {
        send(socket, b"still there?")?;
        expect(socket, b"still there?")
    }),
    (fleet::BENCH_ECHO, |socket, _| {
        send(socket, b"still there?")?;
        expect(socket, b"still there?")
    }),
    (fleet::BENCH_LINES, |socket, _| {
        send(socket, b"still there?\r\n")?;
        expect(socket, b"still there?\r\n")
    }),
    (fleet::BENCH_SOURCE, |socket, _| {
        send(socket, b"GIVE 3\r\n")?;
        expect(socket, &[0, 1, 2])
    }),
    (fleet::BENCH_HTTP, |socket, _| {
        send(socket, &web::request(""))?;
        web::expect_file(&mut reader(socket), b"Hello, world!")
    }),
    (fleet::BENCH_FILES, |socket, small| {
        send(socket, &web::request("small"))?;
        web::expect_file(&mut reader(socket), small)
    }),
];

pub struct Held(Vec<(&'static str, Words, Socket)>);

impl Held {
    /// Opens them, and says something on each.
    pub fn open(fleet: &Fleet) -> Step<Self> {
        let mut open = Vec::new();
        for (server, words) in HELD {
            for _ in 0..EACH {
                open.push((server, words, connect(&fleet.address(server))?));
            }
        }
        let held = Self(open);
        held.speak(fleet)?;
        Ok(held)
    }

    pub fn speak(&self, fleet: &Fleet) -> Step {
        for (server, words, socket) in &self.0 {
            words(socket, &fleet.files.small).map_err(at(&format!("{server}, held open")))?;
        }
        Ok(())
    }
}

pub fn residents(fleet: &Fleet) -> Step<Vec<Resident>> {
    let room = fleet.address(fleet::CHAT);
    (0..RESIDENTS)
        .map(|number| Resident::enter(&room, number))
        .collect()
}
