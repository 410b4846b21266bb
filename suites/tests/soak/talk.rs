//! Traffic of `chat_server`: users that come, talk and go, and its operator.

use std::{collections::HashMap, io::BufReader};

use socket2::{SockAddr, Socket};

use crate::wire::{
    Step, at, connect, connect_narrow, ensure, expect, expect_any_end, expect_end, half_close,
    line, reset, send,
};

/// The first line of the operator's file.
pub const PASSWORD: &str = "correct horse battery staple";

const USERS: usize = 3;
const LINES: usize = 5;
/// More than are taken of one user in a window of two seconds, which is 20.
const BURST: usize = 25;

struct User {
    nick: String,
    heard: BufReader<Socket>,
}

impl User {
    fn come(socket: Socket, nick: String) -> Step<Self> {
        let heard = BufReader::new(socket);
        let mut user = Self { nick, heard };
        user.hears("*** Your nick?")?;
        user.says(&user.nick)?;
        let hello = user.line()?;
        let wanted = format!("*** Hello, {}. ", user.nick);
        ensure(hello.starts_with(&wanted), || format!("{hello:?}"))?;
        Ok(user)
    }

    fn socket(&self) -> &Socket {
        self.heard.get_ref()
    }

    fn says(&self, what: &str) -> Step {
        send(self.socket(), format!("{what}\r\n").as_bytes())
    }

    fn line(&mut self) -> Step<String> {
        line(&mut self.heard)
    }

    /// The next line is this one.
    fn hears(&mut self, wanted: &str) -> Step {
        let line = self.line()?;
        ensure(line == wanted, || format!("{line:?}, not {wanted:?}"))
    }

    /// One of the next lines begins so; gives the rest of it.
    fn waits_for(&mut self, beginning: &str) -> Step<String> {
        loop {
            let line = self.line().map_err(at(beginning))?;
            if let Some(rest) = line.strip_prefix(beginning) {
                return Ok(rest.to_owned());
            }
        }
    }

    /// Every line of these others, in their order, whatever else is said.
    fn hears_all(&mut self, others: &[String], count: usize, round: u64) -> Step {
        let others = others.iter().filter(|other| **other != self.nick);
        let mut to_come: HashMap<_, _> = others.map(|other| (other.as_str(), 0)).collect();
        while to_come.values().any(|&said| said < count) {
            let line = line(&mut self.heard)?;
            let Some((nick, said)) = line.split_once(": ") else {
                continue;
            };
            if let Some(number) = to_come.get_mut(nick) {
                ensure(said == text(*number, round), || {
                    format!("{nick} said {said:?}")
                })?;
                *number += 1;
            }
        }
        Ok(())
    }

    fn quits(mut self) -> Step {
        self.says("/quit enough")?;
        self.waits_for("*** Goodbye.")?;
        expect_end(self.heard)
    }
}

fn text(number: usize, round: u64) -> String {
    format!("{number} of {round} {}", "x".repeat(1 + number * 30))
}

/// Three come, talk to all and to one, ask who is there, one takes another nick; each leaves in its own way.
pub fn session(to: &SockAddr, table: &str, round: u64) -> Step {
    let mut users = Vec::new();
    for number in 0..USERS {
        let nick = format!("{table}-{round}-{number}");
        users.push(User::come(connect(to)?, nick)?);
    }
    let nicks: Vec<_> = users.iter().map(|user| user.nick.clone()).collect();
    for number in 0..LINES {
        for user in &users {
            user.says(&text(number, round))?;
        }
    }
    for user in &mut users {
        user.hears_all(&nicks, LINES, round)
            .map_err(at(&user.nick))?;
    }
    users[0].says("/who")?;
    let here = users[0].waits_for("*** Here: ")?;
    let is_here = |nick: &String| here.split(' ').any(|other| other == nick);
    ensure(nicks.iter().all(is_here), || format!("here: {here:?}"))?;
    users[1].says(&format!("/msg {} psst", nicks[2]))?;
    users[2].waits_for(&format!("[{}] psst", nicks[1]))?;
    users[1].says(&format!("/nick {}x", nicks[1]))?;
    users[1].waits_for(&format!("*** You are now {}x.", nicks[1]))?;
    users[0].waits_for(&format!("*** {} is now {0}x", nicks[1]))?;
    for (number, mut user) in users.into_iter().enumerate() {
        match number {
            0 => user.quits()?,
            1 => reset(user.heard.into_inner())?,
            _ => {
                user.waits_for(&format!("*** {} left: enough", nicks[0]))?;
                send(user.socket(), b"half a line is none")?;
                half_close(user.socket())?;
                expect_any_end(user.socket())?;
            }
        }
    }
    Ok(())
}

/// More lines in one piece than the server takes at a time: all of them are told, the last ones later.
pub fn burst(to: &SockAddr, round: u64) -> Step {
    let mut listener = User::come(connect(to)?, format!("ear-{round}"))?;
    let talker = User::come(connect(to)?, format!("mouth-{round}"))?;
    let lines: Vec<_> = (0..BURST).map(|number| text(number, round)).collect();
    talker.says(&lines.join("\r\n"))?;
    listener.hears_all(&[talker.nick], BURST, round)?;
    listener.quits()
}

/// Too long a line, a command there is none of, a nick that is none, and the end of file before any nick.
pub fn clumsy(to: &SockAddr, round: u64) -> Step {
    let mut user = User::come(connect(to)?, format!("clumsy-{round}"))?;
    user.says(&"x".repeat(5000))?;
    user.waits_for("*** A line has at most 1024 bytes.")?;
    user.says("/dance")?;
    user.waits_for("*** There is no /dance")?;
    let mut heard = BufReader::new(connect(to)?);
    line(&mut heard)?;
    send(heard.get_ref(), b"?\r\n")?;
    let answer = line(&mut heard)?;
    ensure(answer.starts_with("*** A nick has 1 to 20"), || {
        format!("{answer:?} to a wrong nick")
    })?;
    half_close(heard.get_ref())?;
    expect_end(heard)
}

/// A session on the operator's port, past the challenge.
struct Operator(BufReader<Socket>);

impl Operator {
    fn come(to: &SockAddr) -> Step<Self> {
        let mut heard = BufReader::new(connect(to)?);
        let challenge = line(&mut heard)?;
        let answer = shared::digest::hmac(PASSWORD.as_bytes(), challenge.as_bytes());
        send(heard.get_ref(), format!("{answer}\r\n").as_bytes())?;
        expect(&mut heard, b"Welcome.\r\n> ")?;
        Ok(Self(heard))
    }

    fn says(&self, what: &str) -> Step {
        send(self.0.get_ref(), format!("{what}\r\n").as_bytes())
    }

    fn quits(self) -> Step {
        self.says("quit")?;
        expect_end(self.0)
    }
}

/// The operator looks round, talks to everybody, and throws somebody out.
pub fn operator(to: &SockAddr, monitor: &SockAddr, round: u64) -> Step {
    let mut operator = Operator::come(monitor)?;
    let mut rude = User::come(connect(to)?, format!("rude-{round}"))?;
    operator.says("who")?;
    while !line(&mut operator.0)?.starts_with(&format!("rude-{round} ")) {}
    operator.says("stats")?;
    while !line(&mut operator.0)?.starts_with("wrong answers to the monitor: ") {}
    expect(&mut operator.0, b"> ")?;
    operator.says(&format!("say round {round}"))?;
    rude.waits_for(&format!("*** operator: round {round}"))?;
    expect(&mut operator.0, b"> ")?;
    operator.says(&format!("kick rude-{round} out with you"))?;
    rude.waits_for("*** operator: you are kicked. out with you")?;
    expect(&mut operator.0, b"kicked\r\n> ")?;
    expect_end(rude.heard)?;
    operator.quits()
}

/// A wrong answer to the challenge, and none.
pub fn stranger(monitor: &SockAddr) -> Step {
    let mut heard = BufReader::new(connect(monitor)?);
    line(&mut heard)?;
    send(heard.get_ref(), b"0123456789abcdef\r\n")?;
    expect(&mut heard, b"Wrong.\r\n")?;
    expect_end(heard)?;
    let mut heard = BufReader::new(connect(monitor)?);
    line(&mut heard)?;
    half_close(heard.get_ref())?;
    expect_end(heard)
}

/// One user does not read until the server drops it, which the other one is told. For a room of their own. The operator
/// talks, whose lines are not counted, and waits for the one that reads.
pub fn stalled(to: &SockAddr, monitor: &SockAddr) -> Step {
    const BLOCKS: usize = 400;
    const EACH: usize = 50;
    let mut operator = Operator::come(monitor)?;
    let mut quick = User::come(connect(to)?, "quick".into())?;
    let slow = User::come(connect_narrow(to)?, "slow".into())?;
    let block = format!("say {}\r\n", "x".repeat(1000)).repeat(EACH);
    let mut told = false;
    for _ in 0..BLOCKS {
        send(operator.0.get_ref(), block.as_bytes())?;
        let mut heard = 0;
        while heard < EACH {
            let line = quick.line()?;
            told |= line == "*** slow left (reads too slowly)";
            heard += usize::from(line.starts_with("*** operator: "));
        }
        expect(&mut operator.0, "> ".repeat(EACH).as_bytes())?;
        if told {
            break;
        }
    }
    ensure(told, || "the one that does not read stays".into())?;
    expect_any_end(slow.socket())?;
    quick.quits()?;
    operator.quits()
}
