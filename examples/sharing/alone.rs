//! Nothing is shared: the score is the player's own.

use std::io::Write;

use asynchat::{Address, Channel, ChatChannel, Dispatcher, Result, Stream};

use crate::player::{Player, Scores};

pub(crate) struct Front;

impl Dispatcher for Front {
    fn handle_accepted(&mut self, channel: &mut Channel<'_>, stream: Stream, _: Address) -> Result {
        channel
            .registry()
            .register(stream, Player::new(Alone { score: 0 }))?;
        Ok(())
    }
}

struct Alone {
    score: i64,
}

impl Scores for Alone {
    fn add(&mut self, chat: &mut ChatChannel<'_>, points: i64) -> Result {
        self.score = self.score.saturating_add(points);
        writeln!(chat, "{}", self.score)?;
        Ok(())
    }
}
