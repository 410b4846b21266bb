//! By visits: the listener's object has the board, and is lent to every caller that knows its id.

use asynchat::{Address, Channel, ChannelId, ChatChannel, Dispatcher, Registry, Result, Stream};

use crate::{
    board::{Board, Name},
    player::{Player, Scores, tell_all},
};

#[derive(Default)]
pub(crate) struct Front {
    board: Board,
    players: Vec<(ChannelId, Name)>,
}

impl Front {
    /// A player who is gone, for any reason, cannot say so: its object has no registry when it is dropped.
    fn forget_the_gone(&mut self, registry: &mut Registry) {
        let board = &mut self.board;
        self.players.retain(|(id, name)| {
            let is_here = registry.channel(*id).is_some();
            if !is_here {
                board.remove(name);
            }
            is_here
        });
    }
}

impl Dispatcher for Front {
    fn handle_accepted(
        &mut self,
        channel: &mut Channel<'_>,
        stream: Stream,
        peer: Address,
    ) -> Result {
        let name = self.board.name(&peer);
        let scores = Visits {
            front: channel.id(),
            name: name.clone(),
        };
        let registry = channel.registry();
        self.forget_the_gone(registry);
        let id = registry.register(stream, Player::new(scores))?;
        self.players.push((id, name));
        if let Some(mut player) = registry.channel(id) {
            player.push(self.board.standings());
        }
        Ok(())
    }
}

struct Visits {
    front: ChannelId,
    name: Name,
}

impl Scores for Visits {
    fn add(&mut self, chat: &mut ChatChannel<'_>, points: i64) -> Result {
        let name = &self.name;
        let visit = |front: &mut Front, _: &mut Channel<'_>| front.board.add(name, points);
        let line = chat.registry().with(self.front, visit)?;
        tell_all(chat.registry(), &line)
    }
}
