//! Traffic of chat rooms: guests that come, talk and go, and residents that hear all of them for the whole run.

use std::{
    collections::HashMap,
    io::BufReader,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use socket2::{SockAddr, Socket};

use crate::wire::{
    Step, at, connect, connect_narrow, ensure, expect_any_end, expect_end, half_close, line, reset,
    send,
};

const GUESTS: usize = 4;
const LINES: usize = 5;
/// What a member has to say its name within is 120 seconds.
pub const NAMELESS: Duration = Duration::from_secs(150);

/// A member of a room.
struct Member {
    name: String,
    heard: BufReader<Socket>,
}

impl Member {
    fn enter(socket: Socket, name: String) -> Step<Self> {
        let mut heard = BufReader::new(socket);
        let prompt = line(&mut heard)?;
        ensure(prompt == "* Your name?", || format!("prompt {prompt:?}"))?;
        send(heard.get_ref(), format!("{name}\n").as_bytes())?;
        let room = line(&mut heard)?;
        ensure(room.starts_with("* In the room:"), || {
            format!("{room:?} to {name}")
        })?;
        Ok(Self { name, heard })
    }

    fn socket(&self) -> &Socket {
        self.heard.get_ref()
    }

    fn says(&self, what: &str) -> Step {
        send(self.socket(), format!("{what}\n").as_bytes())
    }

    /// Hears every line of these others, in their order, and whatever else is said.
    fn hears(&mut self, others: &[String], round: u64) -> Step {
        let mut to_come: HashMap<&str, usize> = (others.iter())
            .filter(|other| **other != self.name)
            .map(|other| (other.as_str(), 0))
            .collect();
        while to_come.values().any(|&said| said < LINES) {
            let line = line(&mut self.heard)?;
            let Some((name, said)) = line.split_once(": ") else {
                continue;
            };
            if let Some(number) = to_come.get_mut(name) {
                ensure(said == text(*number, round), || {
                    format!("{name} said {said:?}")
                })?;
                *number += 1;
            }
        }
        Ok(())
    }
}

fn text(number: usize, round: u64) -> String {
    format!("{number} of {round} {}", "x".repeat(1 + number * 70))
}

/// Four come, each says five lines and hears those of the others; each leaves in its own way.
pub fn session(to: &SockAddr, table: &str, round: u64) -> Step {
    let mut guests = Vec::new();
    for number in 0..GUESTS {
        let name = format!("{table}-{round}-{number}");
        guests.push(Member::enter(connect(to)?, name)?);
    }
    let names: Vec<_> = guests.iter().map(|guest| guest.name.clone()).collect();
    for number in 0..LINES {
        for guest in &guests {
            guest.says(&text(number, round))?;
        }
    }
    for guest in &mut guests {
        let name = guest.name.clone();
        guest.hears(&names, round).map_err(at(&name))?;
    }
    for (number, guest) in guests.into_iter().enumerate() {
        match number {
            0 => {
                half_close(guest.socket())?;
                expect_any_end(guest.socket())?;
            }
            1 => reset(guest.heard.into_inner())?,
            2 => send(guest.socket(), b"half a line is none")?,
            _ => drop(guest),
        }
    }
    Ok(())
}

/// Too long a line, a wrong name, and the end of file before any name.
pub fn clumsy(to: &SockAddr, round: u64) -> Step {
    let mut member = Member::enter(connect(to)?, format!("clumsy-{round}"))?;
    member.says(&"x".repeat(5000))?;
    while line(&mut member.heard)? != "* A line has at most 1024 bytes." {}
    let socket = connect(to)?;
    let mut heard = BufReader::new(&socket);
    line(&mut heard)?;
    wrong_name(&socket)?;
    half_close(&socket)?;
    expect_end(heard)
}

/// The shortest visit there is.
pub fn look_in(to: &SockAddr) -> Step {
    let socket = connect(to)?;
    let mut heard = BufReader::new(&socket);
    line(&mut heard)?;
    half_close(&socket)?;
    expect_end(heard)
}

/// What is no name has an answer.
fn wrong_name(socket: &Socket) -> Step {
    send(socket, b"?\n")?;
    let answer = line(&mut BufReader::new(socket))?;
    ensure(answer.starts_with("* A name has 1 to 20"), || {
        format!("{answer:?} to a wrong name")
    })
}

/// Never says a name, and is shown out.
pub fn nameless(to: &SockAddr) -> Step {
    let socket = connect(to)?;
    socket
        .set_read_timeout(Some(NAMELESS))
        .map_err(at("a timeout"))?;
    let mut heard = BufReader::new(&socket);
    line(&mut heard)?;
    expect_end(heard)
}

/// One member does not read until the room drops it, which the one that talks is told. For a room of their own.
pub fn stalled(to: &SockAddr) -> Step {
    const BLOCKS: usize = 400;
    let talker = Member::enter(connect(to)?, "talker".into())?;
    let slow = Member::enter(connect_narrow(to)?, "slow".into())?;
    let told = AtomicBool::new(false);
    let socket = talker.socket().try_clone().map_err(at("a clone"))?;
    thread::scope(|scope| {
        let listening = scope.spawn(|| {
            let mut heard = talker.heard;
            while line(&mut heard)? != "* slow leaves: it reads too slowly" {}
            told.store(true, Ordering::Relaxed);
            Step::Ok(())
        });
        let block = format!("{}\n", "x".repeat(1000)).repeat(50);
        for _ in 0..BLOCKS {
            if told.load(Ordering::Relaxed) {
                break;
            }
            send(&socket, block.as_bytes())?;
        }
        listening
            .join()
            .unwrap_or_else(|_| Err("the listener panicked".into()))
    })?;
    expect_any_end(slow.socket())
}

/// Somebody who stays for the whole run.
pub struct Resident(Member);

impl Resident {
    pub fn enter(to: &SockAddr, number: usize) -> Step<Self> {
        let member = Member::enter(connect(to)?, format!("resident-{number}"))?;
        // At rest nothing is said.
        let set = member.socket().set_read_timeout(None);
        set.map_err(at("a timeout"))?;
        Ok(Self(member))
    }

    pub fn socket(&self) -> Step<Socket> {
        self.0.socket().try_clone().map_err(at("a clone"))
    }

    /// Listens to the end: nobody says anything without having come, and no line of a guest is missing. Gives how many
    /// lines there were.
    pub fn listen(mut self) -> Step<u64> {
        let mut present: HashMap<String, usize> = HashMap::new();
        let mut lines = 0;
        loop {
            use std::io::BufRead;
            if self.0.heard.fill_buf().map_err(at("listening"))?.is_empty() {
                return Ok(lines);
            }
            let line = line(&mut self.0.heard)?;
            lines += 1;
            if let Some((name, said)) = line.split_once(": ").filter(|_| !line.starts_with("* ")) {
                let next = present
                    .get_mut(name)
                    .ok_or_else(|| format!("{name} is not here"))?;
                ensure(said.starts_with(&format!("{next} of ")), || {
                    format!("{next}: {line:?}")
                })?;
                *next += 1;
            } else if let Some(name) = line
                .strip_prefix("* ")
                .and_then(|l| l.strip_suffix(" joins"))
            {
                present.insert(name.to_owned(), 0);
            } else if let Some((name, _)) = line
                .strip_prefix("* ")
                .and_then(|l| l.split_once(" leaves"))
            {
                let was = present.remove(name).is_some() || name.starts_with("resident-");
                ensure(was, || format!("{name} leaves twice"))?;
            } else {
                return Err(format!("heard {line:?}"));
            }
        }
    }
}
