//! The scores of all players: plain data, which knows nothing of connections.

use std::{collections::BTreeMap, fmt::Write};

#[derive(Default)]
pub(crate) struct Board {
    scores: BTreeMap<String, i64>,
}

impl Board {
    /// Gives the line to be told.
    pub(crate) fn add(&mut self, player: &str, points: i64) -> String {
        let score = self.scores.entry(player.to_owned()).or_default();
        *score = score.saturating_add(points);
        line(player, *score)
    }

    pub(crate) fn remove(&mut self, player: &str) {
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

pub(crate) fn line(player: &str, score: i64) -> String {
    format!("{player} has {score}\n")
}
