//! What the detectors look at.

use std::collections::{HashMap, HashSet};

use crate::{
    find::{call::Calls, reach::Reach, types::Types, vocabulary},
    library::Root,
    load::Loaded,
    model::{ClassId, Module, Program, Target},
    resolve::Names,
};

/// A program, and what is known of its expressions.
#[derive(Debug)]
pub(crate) struct Context<'p> {
    pub(crate) program: &'p Program,
    pub(crate) names: &'p Names,
    pub(crate) calls: Vec<Calls<'p>>,
    pub(crate) types: Types<'p>,
    pub(crate) reach: Reach,
    roots: HashMap<ClassId, Root>,
    timers_or_threads: bool,
    /// By module, whether it has anything to do with channels.
    concerned: Vec<bool>,
    /// Classes with subclasses.
    bases: HashSet<ClassId>,
    /// Names of the methods of classes that are no channels.
    others: HashSet<&'p str>,
}

impl<'p> Context<'p> {
    pub(crate) fn new(loaded: &'p Loaded) -> Self {
        let (program, names) = (&loaded.program, &loaded.names);
        let calls: Vec<_> = program
            .modules
            .iter()
            .map(|module| Calls::of(program, names, module))
            .collect();
        let types = Types::infer(program, names, &calls);
        let roots = roots(program);
        let is_channel = |class| {
            roots
                .get(&class)
                .is_some_and(|root: &Root| root.is_channel())
        };
        let reach = Reach::of(program, names, &calls, &types, is_channel);
        let bases = program.classes.iter().flat_map(|class| &class.bases);
        let bases = bases.filter_map(|base| match base.target {
            Target::Class(base) => Some(base),
            _ => None,
        });
        let bases = bases.collect();
        let others = program
            .classes
            .iter()
            .filter(|class| !roots.contains_key(&class.id) && !program.is_copy(class));
        let others = others.flat_map(|class| &class.methods);
        let others = others
            .map(|&method| program[method].name.as_str())
            .collect();
        let concerned = program.modules.iter().map(|module| {
            let names_it = module
                .imports
                .iter()
                .any(|import| names.is_library(program, module.id, import));
            names_it || module.classes.iter().any(|class| roots.contains_key(class))
        });
        let concerned = concerned.collect();
        let timers_or_threads = calls
            .iter()
            .flat_map(|calls| &calls.all)
            .any(|call| call.is_timer() || call.starts_thread());
        Self {
            program,
            names,
            calls,
            types,
            reach,
            roots,
            timers_or_threads,
            concerned,
            bases,
            others,
        }
    }

    /// True if the program has timers or threads of its own.
    pub(crate) fn has_timers_or_threads(&self) -> bool {
        self.timers_or_threads
    }

    /// True if a class descends from the two modules.
    pub(crate) fn has_descendants(&self) -> bool {
        !self.roots.is_empty()
    }

    /// True if a name of an object of unknown type shows that it is a channel.
    pub(crate) fn is_unmistakable(&self, name: &str) -> bool {
        vocabulary::is_unmistakable(name) && !self.others.contains(name)
    }

    /// True if another class descends from it.
    pub(crate) fn has_subclasses(&self, class: ClassId) -> bool {
        self.bases.contains(&class)
    }

    /// True if a module has anything to do with channels: it names one of the two modules, or has a class with a root.
    pub(crate) fn is_concerned(&self, module: &Module) -> bool {
        self.concerned[module.id.0]
    }

    /// The root of a class, or of the classes that it is mixed into.
    pub(crate) fn root(&self, class: ClassId) -> Option<Root> {
        self.roots.get(&class).copied()
    }
}

/// Roots of classes, and of the mixins among their bases.
fn roots(program: &Program) -> HashMap<ClassId, Root> {
    let mut roots: HashMap<_, _> = program
        .classes
        .iter()
        .filter_map(|class| Some((class.id, class.root?)))
        .collect();
    for class in &program.classes {
        if let Some(root) = class.root {
            for base in program.lineage(class.id) {
                roots.entry(base).or_insert(root);
            }
        }
    }
    roots
}
