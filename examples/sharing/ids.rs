//! By ids: each player has the own score only, and tells it to all others. A board exists on their screens alone, so
//! a player who comes later knows nothing of what was before.

use asynchat::{Address, Channel, ChatChannel, Dispatcher, Result, Stream};

use crate::{
    board,
    player::{Player, Scores, tell_all},
};

pub(crate) struct Front;

impl Dispatcher for Front {
    fn handle_accepted(
        &mut self,
        channel: &mut Channel<'_>,
        stream: Stream,
        peer: Address,
    ) -> Result {
        let scores = ByIds {
            name: peer.to_string(),
            score: 0,
        };
        channel.registry().register(stream, Player::new(scores))?;
        Ok(())
    }
}

struct ByIds {
    name: String,
    score: i64,
}

impl Scores for ByIds {
    fn add(&mut self, chat: &mut ChatChannel<'_>, points: i64) -> Result {
        self.score = self.score.saturating_add(points);
        tell_all(chat.registry(), &board::line(&self.name, self.score))
    }
}
