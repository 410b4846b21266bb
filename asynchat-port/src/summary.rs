//! What all findings say together.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use crate::{
    find::{Entry, Finding, Found, Kind},
    load::Loaded,
    model::{Class, ClassId},
    order,
};

/// Numbers, and what to do first.
#[derive(Debug)]
pub struct Summary<'a> {
    /// Of files.
    pub counts: Counts,
    /// Classes to port, leaves first.
    pub order: Vec<&'a Class>,
    /// Uses that have no counterpart, by what the guide calls them.
    pub without_counterpart: BTreeMap<&'static str, Vec<&'a Finding>>,
    /// Pitfalls, by title.
    pub thought: BTreeMap<&'static str, Vec<&'a Finding>>,
}

/// Numbers.
#[derive(Default, Debug, Serialize)]
pub struct Counts {
    /// Files that were read.
    pub files: usize,
    /// Files that were not, or have places that are no Python.
    pub faulty_files: usize,
    /// Classes that descend from the two modules, and producers.
    pub classes: usize,
    /// Callbacks that they override.
    pub callbacks: usize,
    /// Other methods that they override.
    pub overrides: usize,
    /// Names, methods and attributes that are used.
    pub uses: usize,
    /// Of these, those for which nothing is to be written.
    pub needless: usize,
    /// Of these, those without a counterpart.
    pub without_counterpart: usize,
    /// The numbers of the idioms.
    pub idioms: BTreeSet<u16>,
    /// Differences that show.
    pub differences: usize,
    /// Pitfalls.
    pub pitfalls: usize,
}

impl<'a> Summary<'a> {
    /// Of a program.
    pub fn new(loaded: &'a Loaded, found: &'a Found) -> Self {
        let mut summary = Self {
            counts: Counts::default(),
            order: Vec::new(),
            without_counterpart: BTreeMap::new(),
            thought: BTreeMap::new(),
        };
        summary.counts.files = loaded.program.modules.len();
        let faulty = loaded
            .program
            .modules
            .iter()
            .filter(|module| !module.tree.faults().is_empty());
        summary.counts.faulty_files = loaded.unread.len() + faulty.count();
        for finding in &found.findings {
            summary.add(finding);
        }
        let by_place: HashMap<_, ClassId> = loaded
            .program
            .classes
            .iter()
            .map(|class| ((class.module, class.position), class.id))
            .collect();
        let classes = found
            .findings
            .iter()
            .filter(|finding| finding.kind == Kind::Class);
        let classes: Vec<_> = classes
            .filter_map(|one| by_place.get(&(one.module, one.position)).copied())
            .collect();
        let order = order::order(&loaded.program, &classes, &found.makes);
        summary.order = order
            .into_iter()
            .map(|class| &loaded.program[class])
            .collect();
        summary
    }

    fn add(&mut self, finding: &'a Finding) {
        let counts = &mut self.counts;
        match finding.kind {
            Kind::Class => counts.classes += 1,
            Kind::Callback => counts.callbacks += 1,
            Kind::Override => counts.overrides += 1,
            Kind::Name | Kind::Method | Kind::Attribute => counts.uses += 1,
            Kind::Idiom | Kind::Difference | Kind::Pitfall => {}
        }
        match finding.entry {
            Entry::Row(_, row) => {
                let is_use = matches!(finding.kind, Kind::Name | Kind::Method | Kind::Attribute);
                counts.needless += usize::from(is_use && row.is_deleted());
                if is_use && row.has_no_counterpart() {
                    counts.without_counterpart += 1;
                    self.without_counterpart
                        .entry(row.python)
                        .or_default()
                        .push(finding);
                }
            }
            Entry::Idiom(idiom) => {
                counts.idioms.insert(idiom.number);
            }
            Entry::Difference(_) => counts.differences += 1,
            Entry::Pitfall(pitfall) => {
                counts.pitfalls += 1;
                self.thought.entry(pitfall.title).or_default().push(finding);
            }
        }
    }
}
