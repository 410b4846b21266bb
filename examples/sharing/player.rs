//! A connection: lines in, scores out. What it does with the points is up to its `Scores`.

use std::{io::Write, mem, time::Duration};

use asynchat::{AsyncChat, ChannelId, ChatChannel, ChatDispatcher, Registry, Result, State};

/// Bytes of a line.
const MAX_LINE: usize = 1024;
const IDLE: Duration = Duration::from_secs(300);

/// How a player gets at the scores.
pub(crate) trait Scores: 'static {
    /// `points` more for this player: counts them, and has the new score told.
    fn add(&mut self, chat: &mut ChatChannel<'_>, points: i64) -> Result;
}

pub(crate) struct Player<S> {
    scores: S,
    line: Vec<u8>,
}

impl<S: Scores> Player<S> {
    /// Ready to be registered.
    pub(crate) fn new(scores: S) -> ChatDispatcher<Self> {
        let player = Self {
            scores,
            line: Vec::new(),
        };
        ChatDispatcher::new(player, "\n").max_frame(MAX_LINE)
    }
}

impl<S: Scores> AsyncChat for Player<S> {
    fn handle_connect(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        chat.set_idle_timeout(Some(IDLE));
        Ok(())
    }

    fn collect_incoming_data(&mut self, _: &mut ChatChannel<'_>, data: &[u8]) -> Result {
        self.line.extend_from_slice(data);
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut ChatChannel<'_>) -> Result {
        let line = mem::take(&mut self.line);
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
