//! The findings of a module, as they are made.

use crate::{
    find::{
        finding::{Entry, Finding, Kind},
        here::Here,
    },
    knowledge,
    syntax::Node,
};

/// Findings of one module.
#[derive(Debug)]
pub(crate) struct Findings<'a, 'p> {
    here: Here<'a, 'p>,
    pub(crate) list: Vec<Finding>,
}

impl<'a, 'p> Findings<'a, 'p> {
    pub(crate) fn new(here: Here<'a, 'p>) -> Self {
        Self {
            here,
            list: Vec::new(),
        }
    }

    fn add(&mut self, node: Node, kind: Kind, name: &str, because: Option<String>, entry: Entry) {
        let module = self.here.module.id;
        let position = self.here.tree.position(node);
        let name = name.to_owned();
        self.list.push(Finding {
            module,
            position,
            kind,
            name,
            because,
            entry,
        });
    }

    /// A row of a table; nothing if the name is in none of the sections.
    pub(crate) fn row(
        &mut self,
        node: Node,
        kind: Kind,
        name: &str,
        rows: &[(&str, &str)],
    ) -> bool {
        let found = rows
            .iter()
            .find_map(|(section, row)| knowledge::row(section, row));
        if let Some((section, row)) = found {
            self.add(node, kind, name, None, Entry::Row(section, row));
        }
        found.is_some()
    }

    /// An idiom by its number.
    pub(crate) fn idiom(&mut self, node: Node, number: u16) {
        if let Some(idiom) = knowledge::idiom(number) {
            self.add(
                node,
                Kind::Idiom,
                &number.to_string(),
                None,
                Entry::Idiom(idiom),
            );
        }
    }

    /// An idiom, where more than the place shows it.
    pub(crate) fn idiom_because(&mut self, node: Node, number: u16, because: &str) {
        if let Some(idiom) = knowledge::idiom(number) {
            self.add(
                node,
                Kind::Idiom,
                &number.to_string(),
                Some(because.to_owned()),
                Entry::Idiom(idiom),
            );
        }
    }

    /// A difference by the beginning of its row.
    pub(crate) fn difference(&mut self, node: Node, start: &str, name: &str) {
        if let Some(difference) = knowledge::difference(start) {
            self.add(
                node,
                Kind::Difference,
                name,
                None,
                Entry::Difference(difference),
            );
        }
    }

    /// A pitfall by its title.
    pub(crate) fn pitfall(&mut self, node: Node, title: &str, name: &str, because: Option<String>) {
        if let Some(pitfall) = knowledge::pitfall(title) {
            self.add(node, Kind::Pitfall, name, because, Entry::Pitfall(pitfall));
        }
    }
}
