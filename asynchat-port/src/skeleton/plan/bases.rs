//! Objects that hold the objects of their bases.

use std::collections::{HashMap, HashSet};

use super::Plan;
use crate::model::{ClassId, Target};

/// Objects inside each other, each the base of the one around it.
const DEPTH: usize = 16;

impl Plan<'_> {
    /// Bases before those that descend from them. A circle is cut, and a long chain too: the compiler is not made for it.
    pub(super) fn embed_bases(&mut self) {
        let program = self.program;
        let mut depths: HashMap<ClassId, usize> = HashMap::new();
        let mut on_path = HashSet::new();
        for class in &program.classes {
            let mut path = vec![class.id];
            while let Some(&id) = path.last() {
                if !self.classes.contains_key(&id) || depths.contains_key(&id) {
                    path.pop();
                    continue;
                }
                on_path.insert(id);
                let bases = program[id]
                    .bases
                    .iter()
                    .filter_map(|base| match base.target {
                        Target::Class(base) if self.classes.contains_key(&base) => Some(base),
                        _ => None,
                    });
                let bases: Vec<_> = bases.filter(|base| *base != id).collect();
                let missing = bases
                    .iter()
                    .find(|base| !depths.contains_key(base) && !on_path.contains(base));
                if let Some(&missing) = missing {
                    path.push(missing);
                    continue;
                }
                path.pop();
                on_path.remove(&id);
                let mut seen = HashSet::new();
                let kept: Vec<_> = bases
                    .into_iter()
                    .filter(|base| depths.get(base).is_some_and(|&depth| depth < DEPTH))
                    .filter(|&base| seen.insert(base))
                    .take(DEPTH)
                    .collect();
                let deepest = kept.iter().map(|base| depths[base] + 1).max();
                depths.insert(id, deepest.unwrap_or(0));
                self.ranks.insert(id, depths.len());
                let fields = kept.into_iter().enumerate().map(|(at, base)| match at {
                    0 => ("base".to_owned(), base),
                    at => (format!("base_{}", at + 1), base),
                });
                let bases = fields.collect();
                if let Some(class) = self.classes.get_mut(&id) {
                    class.bases = bases;
                }
            }
        }
    }
}
