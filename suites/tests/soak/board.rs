//! Traffic of `sharing`: players whose points everybody is told.

use std::io::BufReader;

use socket2::{SockAddr, Socket};

use crate::wire::{
    Step, at, connect, ensure, expect_any_end, expect_end, half_close, line, reset, send,
};

const POINTS: usize = 18;

struct Player {
    /// Its address, as the board shows it.
    name: String,
    heard: BufReader<Socket>,
    score: i64,
}

impl Player {
    fn come(to: &SockAddr) -> Step<Self> {
        let socket = connect(to)?;
        let own = socket.local_addr().map_err(at("the own address"))?;
        let own = own.as_socket().ok_or("no address")?;
        Ok(Self {
            name: own.to_string(),
            heard: BufReader::new(socket),
            score: 0,
        })
    }

    fn says(&self, what: &str) -> Step {
        send(self.heard.get_ref(), format!("{what}\n").as_bytes())
    }

    fn scores(&mut self, points: i64) -> Step<String> {
        self.says(&points.to_string())?;
        self.score += points;
        Ok(format!("{} has {}", self.name, self.score))
    }

    /// The next line about this one, whoever else is told of.
    fn hears_of(&mut self, name: &str) -> Step<String> {
        loop {
            let line = line(&mut self.heard).map_err(at(name))?;
            if line.split(' ').next() == Some(name) {
                return Ok(line);
            }
        }
    }

    fn expects(&mut self, wanted: &str) -> Step {
        let name = wanted.split(' ').next().unwrap_or_default();
        let heard = self.hears_of(name)?;
        ensure(heard == wanted, || format!("{heard:?}, not {wanted:?}"))
    }

    fn quits(self) -> Step {
        self.says("quit")?;
        expect_rest(self.heard)
    }
}

/// Whatever the others still score, and then the end.
fn expect_rest(mut heard: BufReader<Socket>) -> Step {
    use std::io::BufRead;
    while !heard.fill_buf().map_err(at("the end"))?.is_empty() {
        let line = line(&mut heard)?;
        ensure(line.contains(" has "), || format!("{line:?} at the end"))?;
    }
    expect_end(heard)
}

/// Two play, each reads the sums of both; a third one reads first how things stand.
pub fn game(to: &SockAddr, round: u64) -> Step {
    let (mut ann, mut bob) = (Player::come(to)?, Player::come(to)?);
    // Bob is in before anything is said that he is to hear.
    bob.says("?")?;
    bob.expects("? is not a number")?;
    for number in 0..POINTS {
        let points = (round as i64 + number as i64 * 7) % 100 - 50;
        let of_ann = ann.scores(points)?;
        ann.expects(&of_ann)?;
        bob.expects(&of_ann)?;
        let of_bob = bob.scores(-points)?;
        bob.expects(&of_bob)?;
        ann.expects(&of_bob)?;
    }
    let mut cid = Player::come(to)?;
    for player in [&ann, &bob] {
        let score = cid.hears_of(&player.name)?;
        let wanted = format!("{} has {}", player.name, player.score);
        ensure(score == wanted, || format!("{score:?}, not {wanted:?}"))?;
    }
    bob.quits()?;
    half_close(ann.heard.get_ref())?;
    expect_any_end(ann.heard.get_ref())?;
    reset(cid.heard.into_inner())
}

/// Many lines in one piece; the sum of each is there, in their order.
pub fn burst(to: &SockAddr) -> Step {
    let mut player = Player::come(to)?;
    player.says(&["1"; 300].join("\n"))?;
    for sum in 1..=300 {
        player.expects(&format!("{} has {sum}", player.name))?;
    }
    player.quits()
}

/// Leaves with the answers unread, or in the middle of a line.
pub fn rude(to: &SockAddr, with_half_a_line: bool) -> Step {
    let player = Player::come(to)?;
    player.says(&["1"; 200].join("\n"))?;
    if with_half_a_line {
        send(player.heard.get_ref(), b"12")?;
    }
    reset(player.heard.into_inner())
}

/// The shortest game there is, without a point.
pub fn look_in(to: &SockAddr) -> Step {
    let mut player = Player::come(to)?;
    player.says("?\nquit")?;
    player.expects("? is not a number")?;
    expect_rest(player.heard)
}
