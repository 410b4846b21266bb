//! By pointers: listener and players own the board together, as objects of one thread may.

use std::{cell::RefCell, rc::Rc};

use asynchat::{Address, Channel, ChatChannel, Dispatcher, Result, Stream};

use crate::{
    board::{Board, Name},
    player::{Player, Scores, tell_all},
};

#[derive(Default)]
pub(crate) struct Front {
    board: Rc<RefCell<Board>>,
}

impl Dispatcher for Front {
    fn handle_accepted(
        &mut self,
        channel: &mut Channel<'_>,
        stream: Stream,
        peer: Address,
    ) -> Result {
        let scores = Shared {
            board: Rc::clone(&self.board),
            name: self.board.borrow_mut().name(&peer),
        };
        let id = channel.registry().register(stream, Player::new(scores))?;
        if let Some(mut player) = channel.registry().channel(id) {
            player.push(self.board.borrow().standings());
        }
        Ok(())
    }
}

struct Shared {
    board: Rc<RefCell<Board>>,
    name: Name,
}

impl Scores for Shared {
    fn add(&mut self, chat: &mut ChatChannel<'_>, points: i64) -> Result {
        // The borrow ends with the statement: nothing that could borrow again runs under it.
        let line = self.board.borrow_mut().add(&self.name, points);
        tell_all(chat.registry(), &line)
    }
}

/// However the connection ended, this runs.
impl Drop for Shared {
    fn drop(&mut self) {
        self.board.borrow_mut().remove(&self.name);
    }
}
