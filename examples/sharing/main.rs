//! The line server of `docs/guide.md`: `cargo run --example sharing -- ids`, then `nc 127.0.0.1 8026` from several
//! terminals.
//!
//! Each line is a number of points for the player who sends it, and everybody reads the new score. The programs differ
//! only in where the scores are and in how players get at them: a file for each way.

use std::{
    net::{AddrParseError, SocketAddr, TcpListener},
    process::ExitCode,
    str::FromStr,
    time::Duration,
};

use ::shared::{cli, signals};
use asynchat::{Reactor, Result};
use clap::{Parser, ValueEnum};

mod alone;
mod board;
mod ids;
mod messages;
mod player;
mod shared;
mod with;

/// A scoreboard for everybody who is connected. Each line is a number of points for its sender; quit ends
#[derive(Debug, Parser)]
#[command(name = "sharing")]
struct Args {
    /// How connections share the board
    way: Way,
    /// IP:PORT to listen on, port 0 takes a free one; - is a listening socket on standard input, as systemd and inetd pass
    /// it (Unix)
    #[arg(value_name = "ADDR", default_value = "127.0.0.1:8026")]
    place: Place,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Way {
    /// Nothing is shared: each player reads the own score, and nobody else's
    Alone,
    /// Each player tells the others (Registry::channels, Registry::channel)
    Ids,
    /// The listener has the board, players visit it (Registry::with)
    With,
    /// Every player has a pointer to the board (Rc<RefCell<_>>)
    Shared,
    /// Two threads serve players, a third one has the board (Handle)
    Messages,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Address(SocketAddr),
    Stdin,
}

impl FromStr for Place {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        match text {
            "-" => Ok(Self::Stdin),
            address => address.parse().map(Self::Address),
        }
    }
}

/// Players at a time.
const PLAYERS: usize = 1000;
/// Bytes that may wait for one player; who is that far behind is dropped. It has room for the standings and a line from
/// everybody, up to 73 bytes each: that much may come in one turn.
const BEHIND: usize = 256 * 1024;
/// Bytes read of one player at a time, and kept of what it sends too fast.
const READ: usize = 8 * 1024;
/// How long what is queued may take to leave at the end.
const GRACE: Duration = Duration::from_secs(1);

/// A reactor for players nobody knows.
fn reactor() -> Result<Reactor> {
    let builder = Reactor::builder()
        .max_channels(PLAYERS)
        .read_buffer(READ)
        .watermarks(BEHIND / 4, BEHIND / 2)
        .max_outgoing(BEHIND);
    Ok(builder.build()?)
}

fn listener(place: &Place) -> Result<TcpListener> {
    match place {
        Place::Address(address) => {
            let bound = TcpListener::bind(address);
            let listener = bound.map_err(|error| format!("cannot listen on {address}: {error}"))?;
            cli::say(&format!("listening on {}", listener.local_addr()?))?;
            Ok(listener)
        }
        Place::Stdin => inherited(),
    }
}

/// Not a word on standard output, which may be the same socket.
#[cfg(unix)]
fn inherited() -> Result<TcpListener> {
    use std::os::fd::AsFd;

    let listener = TcpListener::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let address = listener
        .local_addr()
        .map_err(|error| format!("standard input is no TCP socket: {error}"))?;
    log::info!("listening on {address}");
    Ok(listener)
}

#[cfg(not(unix))]
fn inherited() -> Result<TcpListener> {
    Err("sockets are passed on Unix only".into())
}

#[allow(clippy::needless_pass_by_value, reason = "what cli::main calls")]
fn run(args: Args) -> Result {
    let mut reactor = reactor()?;
    let listener = listener(&args.place)?;
    match args.way {
        Way::Alone => reactor.register(listener, alone::Front)?,
        Way::Ids => reactor.register(listener, ids::Front)?,
        Way::With => reactor.register(listener, with::Front::default())?,
        Way::Shared => reactor.register(listener, shared::Front::default())?,
        Way::Messages => return messages::run(reactor, listener),
    };
    signals::shut_down_on_signal(&mut reactor, GRACE)?;
    Ok(reactor.run()?)
}

fn main() -> ExitCode {
    cli::main(run)
}

/// `cargo test --features testing --example sharing`.
#[cfg(all(test, feature = "testing"))]
mod tests {
    use asynchat::{
        Dispatcher, Reactor,
        testing::{Harness, Listener},
    };

    use super::{alone, ids, messages, shared, with};

    fn come(front: &mut Listener) -> Harness {
        let mut player = front.connect();
        player.set_line_end("\n");
        player
    }

    /// Everybody reads the score, and nobody the other's nonsense.
    fn play(mut front: Listener) -> Listener {
        let mut ann = come(&mut front);
        let mut bob = come(&mut front);
        ann.play("C: 5\nC: 7\nC: x\nS: … has 5\nS: … has 12\nS: x is not a number");
        bob.play("S: … has 5\nS: … has 12\nC: -1\nS: … has -1\nC: quit\nS ends\nC ends\nS closes");
        ann.play("S: … has -1\nC: 9223372036854775807\nS: … has 9223372036854775807");
        ann.reset();
        front
    }

    /// Who comes reads how things stand with those who are there.
    fn play_with_a_board(front: Listener) {
        let mut front = play(front);
        let mut ann = come(&mut front);
        ann.play("C: 3\nS: … has 3");
        let mut bob = come(&mut front);
        bob.play("S: … has 3\nC: 4\nS: … has 4");
        ann.play("S: … has 4\nC: quit\nS ends\nC ends\nS closes");
        come(&mut front).play("S: … has 4");
    }

    fn on_its_own(front: impl Dispatcher) -> Listener {
        Listener::new(front)
    }

    #[test]
    fn alone_nobody_reads_the_score_of_another() {
        let mut front = on_its_own(alone::Front);
        let mut ann = come(&mut front);
        let mut bob = come(&mut front);
        ann.play("C: 5\nC: 7\nS: 5\nS: 12\nC: x\nS: x is not a number");
        bob.play("C: 1\nS: 1\nC: quit\nS ends\nC ends\nS closes");
    }

    #[test]
    fn by_ids_everybody_is_told() {
        play(on_its_own(ids::Front));
    }

    #[test]
    fn a_board_that_is_visited_is_the_same_for_all() {
        play_with_a_board(on_its_own(with::Front::default()));
    }

    #[test]
    fn a_board_behind_a_pointer_is_the_same_for_all() {
        play_with_a_board(on_its_own(shared::Front::default()));
    }

    #[test]
    fn a_board_reached_by_messages_is_the_same_for_all() {
        play_with_a_board(Listener::with_handle(Reactor::builder(), |handle| {
            messages::Front::new(handle.clone(), vec![handle])
        }));
    }

    #[test]
    fn a_line_that_does_not_end_costs_the_player_the_connection() {
        let mut front = on_its_own(ids::Front);
        let mut ann = come(&mut front);
        ann.feed([b'1'; 2000]);
        assert!(ann.is_closed());
    }
}
