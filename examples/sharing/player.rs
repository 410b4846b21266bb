//! A connection: lines in, scores out. What it does with the points is up to its `Scores`.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use asynchat::{AsyncChat, ChannelId, ChatChannel, ChatDispatcher, Frame, Registry, Result, State};

/// Bytes of a line.
const MAX_LINE: usize = 1024;
const IDLE: Duration = Duration::from_secs(300);
/// The number of lines of one player that are taken in a [`WINDOW`]. The next ones wait in the kernel, and slow down
/// only their sender.
const LINES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(2);

/// How a player gets at the scores.
pub(crate) trait Scores: 'static {
    /// `points` more for this player: counts them, and has the new score told.
    fn add(&mut self, chat: &mut ChatChannel<'_>, points: i64) -> Result;

    /// What was added last is still on its way, and nothing more is to be read meanwhile.
    fn is_busy(&self) -> bool {
        false
    }
}

pub(crate) struct Player<S> {
    pub(crate) scores: S,
    /// When the window began, and how many lines came since.
    window: Option<(Instant, u32)>,
}

impl<S: Scores> Player<S> {
    /// Ready to be registered.
    pub(crate) fn new(scores: S) -> ChatDispatcher<Self> {
        let player = Self {
            scores,
            window: None,
        };
        ChatDispatcher::collecting(player, "\n", MAX_LINE)
    }

    /// Reads no more in this turn, or, after the last line of a window, until the next begins.
    ///
    /// What is told to everybody leaves when the turn ends. With one line of each player in a turn that is never too
    /// much for those who read, however many send without a pause.
    fn hold(&mut self, chat: &mut ChatChannel<'_>) {
        let now = chat.registry().now();
        let (begun, lines) = match self.window {
            Some((begun, lines)) if now - begun < WINDOW => (begun, lines + 1),
            _ => (now, 1),
        };
        self.window = Some((begun, lines));
        let pause = if lines < LINES {
            Duration::ZERO
        } else {
            WINDOW.saturating_sub(now - begun)
        };
        chat.pause_reading(pause);
    }
}

impl<S: Scores> AsyncChat for Player<S> {
    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.set_idle_timeout(Some(IDLE));
        Ok(())
    }

    fn readable(&self) -> bool {
        !self.scores.is_busy()
    }

    fn found_frame(&mut self, chat: &mut ChatChannel<'_>, line: Frame<'_>) -> Result {
        self.hold(chat);
        let line = String::from_utf8_lossy(&line);
        match line.trim() {
            "quit" => chat.close_when_done(),
            line => match line.parse() {
                Ok(points) => self.scores.add(chat, points)?,
                Err(_) => writeln!(chat, "{} is not a number", line.escape_debug())?,
            },
        }
        Ok(())
    }
}

/// Queues a line for every player of this reactor. It leaves when the turn ends.
pub(crate) fn tell_all(registry: &mut Registry, line: &str) -> Result {
    let players: Vec<ChannelId> = registry
        .channels()
        .filter(|channel| channel.state == State::Open)
        .map(|channel| channel.id)
        .collect();
    for id in players {
        if let Some(mut player) = registry.channel(id) {
            player.write_all(line.as_bytes())?;
        }
    }
    Ok(())
}
