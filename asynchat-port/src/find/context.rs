//! What the detectors look at.

use std::collections::{HashMap, HashSet};

use crate::{
    find::{
        call::{Call, Calls},
        finding::{Entry, Finding, Kind},
        reach::Reach,
        threads,
        types::{Type, Types},
    },
    knowledge,
    library::Root,
    load::Loaded,
    model::{Class, ClassId, FunctionId, Module, Program, Scope, Target},
    resolve::Names,
    syntax::{Node, Tree},
};

/// Methods that the loop calls.
const CALLBACKS: [&str; 19] = [
    "handle_read",
    "handle_write",
    "handle_connect",
    "handle_close",
    "handle_error",
    "handle_expt",
    "handle_accept",
    "handle_accepted",
    "handle_read_event",
    "handle_write_event",
    "handle_connect_event",
    "handle_expt_event",
    "readable",
    "writable",
    "collect_incoming_data",
    "found_terminator",
    "initiate_send",
    "refill_buffer",
    "handle_timeout",
];

/// True for a method that the loop calls.
pub(crate) fn is_callback(name: &str) -> bool {
    CALLBACKS.contains(&name)
}

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
            .any(|call| threads::is_timer(call) || threads::starts_thread(call));
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
        }
    }

    /// True if the program has timers or threads of its own.
    pub(crate) fn has_timers_or_threads(&self) -> bool {
        self.timers_or_threads
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

    pub(crate) fn here<'a>(&'a self, module: &'p Module) -> Here<'a, 'p> {
        Here {
            context: self,
            module,
            tree: &module.tree,
            calls: &self.calls[module.id.0],
        }
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

/// A module, with all that is known of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Here<'a, 'p> {
    pub(crate) context: &'a Context<'p>,
    pub(crate) module: &'p Module,
    pub(crate) tree: &'p Tree,
    pub(crate) calls: &'a Calls<'p>,
}

impl<'a, 'p> Here<'a, 'p> {
    pub(crate) fn type_of(&self, node: Node) -> Option<Type> {
        self.context
            .types
            .of(self.context.names, self.module, self.calls, node)
    }

    /// The root of an object.
    pub(crate) fn root_of(&self, node: Node) -> Option<Root> {
        match self.type_of(node)? {
            Type::Object(class) => self.context.root(class),
            Type::Root(root) => Some(root),
            _ => None,
        }
    }

    /// The class of an object of the program.
    pub(crate) fn class_of(&self, node: Node) -> Option<ClassId> {
        match self.type_of(node)? {
            Type::Object(class) => Some(class),
            _ => None,
        }
    }

    /// The root of the object whose method is called.
    pub(crate) fn callee_root(&self, call: &Call<'_>) -> Option<Root> {
        self.root_of(call.object?)
    }

    /// True if a channel's method is called.
    pub(crate) fn is_on_channel(&self, call: &Call<'_>) -> bool {
        self.callee_root(call).is_some_and(Root::is_channel)
    }

    /// True for `self`, where `self` is a channel.
    pub(crate) fn is_own_channel(&self, node: Node) -> bool {
        let (Scope::Function(function), "identifier") =
            (self.module.scope(node), self.tree.kind(node))
        else {
            return false;
        };
        let class = self
            .context
            .program
            .receiver(function, self.tree.text(node));
        class
            .and_then(|class| self.context.root(class))
            .is_some_and(Root::is_channel)
    }

    /// The class whose method a node stands in, also in a function inside it.
    pub(crate) fn class_around(&self, scope: Scope) -> Option<&'p Class> {
        let function = self.function_around(scope)?;
        Some(&self.context.program[self.context.program[function].class?])
    }

    /// The outermost function around a node.
    pub(crate) fn function_around(&self, scope: Scope) -> Option<FunctionId> {
        let Scope::Function(mut function) = scope else {
            return None;
        };
        while let Some(outer) = self.context.program[function].outer {
            function = outer;
        }
        Some(function)
    }

    /// The name of the method or function around a node.
    pub(crate) fn method_around(&self, scope: Scope) -> Option<&'p str> {
        self.function_around(scope)
            .map(|function| self.context.program[function].name.as_str())
    }

    /// True if a statement is repeated in its function.
    pub(crate) fn is_in_loop(&self, statement: Node) -> bool {
        self.enclosing_loop(statement).is_some()
    }

    /// The nearest loop around a statement, in the same function.
    pub(crate) fn enclosing_loop(&self, statement: Node) -> Option<Node> {
        let mut around = std::iter::once(statement).chain(self.tree.ancestors(statement));
        around
            .by_ref()
            .take_while(|&node| self.tree.kind(node) != "function_definition")
            .find(|&node| matches!(self.tree.kind(node), "while_statement" | "for_statement"))
    }

    /// True if the loop waits while this scope's code runs.
    pub(crate) fn is_in_callback(&self, scope: Scope) -> bool {
        match scope {
            Scope::Function(function) => self.context.reach.in_callback(function),
            Scope::Module | Scope::Class(_) => false,
        }
    }

    /// The meaning of a dotted name of another module.
    pub(crate) fn foreign(&self, node: Node) -> Option<String> {
        match self
            .context
            .names
            .lookup(self.context.program, self.module.id, node)
            .target
        {
            Target::Foreign(name) => Some(name),
            _ => None,
        }
    }
}

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
