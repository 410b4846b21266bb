//! The scores of all players: plain data, which knows nothing of connections.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Write},
};

#[derive(Default)]
pub(crate) struct Board {
    scores: BTreeMap<Name, i64>,
    named: u64,
}

/// Who it is. The address alone would not do: a player who leaves by a reset may be back with the same one before it is
/// known here that it left.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    address: String,
    number: u64,
}

impl Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

impl Board {
    /// For somebody who comes.
    pub(crate) fn name(&mut self, address: &impl Display) -> Name {
        self.named += 1;
        Name {
            address: address.to_string(),
            number: self.named,
        }
    }

    /// Gives the line to be told.
    pub(crate) fn add(&mut self, player: &Name, points: i64) -> String {
        let score = self.scores.entry(player.clone()).or_default();
        *score = score.saturating_add(points);
        line(player, *score)
    }

    pub(crate) fn remove(&mut self, player: &Name) {
        self.scores.remove(player);
    }

    /// A line for each player who has points.
    pub(crate) fn standings(&self) -> String {
        let mut text = String::new();
        for (player, score) in &self.scores {
            // Cannot fail: it is memory.
            let _ = text.write_str(&line(player, *score));
        }
        text
    }
}

pub(crate) fn line(player: &impl Display, score: i64) -> String {
    format!("{player} has {score}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_gone_takes_nothing_from_the_next_one_at_the_same_address() {
        let mut board = Board::default();
        let gone = board.name(&"here");
        board.add(&gone, 1);
        let next = board.name(&"here");
        assert_eq!(board.add(&next, 2), "here has 2\n");
        board.remove(&gone);
        assert_eq!(board.add(&next, 3), "here has 5\n");
        assert_eq!(board.standings(), "here has 5\n");
    }
}
