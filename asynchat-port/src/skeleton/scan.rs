//! One look at all calls of a program: what concerns the two modules, which classes are constructed where, and how
//! channels come by their sockets.

use std::collections::{HashMap, HashSet};

use crate::{
    model::{ClassId, FunctionId, ModuleId, Program, Scope, Target},
    resolve::Names,
    syntax::Node,
};

/// A call that constructs an object of the program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Construction {
    pub(super) module: ModuleId,
    pub(super) call: Node,
    pub(super) class: ClassId,
}

/// What the calls show.
#[derive(Default, Debug)]
pub(super) struct Calls {
    /// Modules that use the two modules.
    pub(super) users: HashSet<ModuleId>,
    pub(super) constructions: Vec<Construction>,
    /// Constructed class, by the call.
    pub(super) constructed: HashMap<(ModuleId, Node), ClassId>,
    /// Calls of methods of the object itself, by class and name, in the order of the text.
    pub(super) own: HashMap<(ClassId, String), Vec<Node>>,
    /// Functions at the top level of a module that turn the loop or make channels.
    pub(super) loopers: HashSet<FunctionId>,
    /// Statements at the top level that do.
    pub(super) looping: HashSet<(ModuleId, Node)>,
}

/// Functions of asyncore that turn the loop.
pub(super) const LOOPS: [&str; 5] = ["loop", "poll", "poll2", "poll3", "close_all"];

pub(super) fn scan(program: &Program, names: &Names) -> Calls {
    let mut calls = Calls::default();
    for class in &program.classes {
        if class.root.is_some() {
            calls.users.insert(class.module);
        }
    }
    for module in &program.modules {
        if module.copy_of.is_some() {
            calls.users.remove(&module.id);
            continue;
        }
        for node in module.tree.nodes() {
            if module.tree.kind(node) == "call" {
                calls.look_at(program, names, module.id, node);
            }
        }
    }
    calls.spread(program, names);
    calls
}

impl Calls {
    fn look_at(&mut self, program: &Program, names: &Names, module: ModuleId, call: Node) {
        let tree = &program[module].tree;
        let Some(function) = tree.child(call, "function") else {
            return;
        };
        let found = names.lookup(program, module, function);
        match (&found.target, found.rest) {
            (Target::Library(_) | Target::Item(..), _) => {
                self.users.insert(module);
                if let (Target::Item(_, name), 0) = (&found.target, found.rest)
                    && LOOPS.contains(&name.as_str())
                {
                    self.note_looping(program, module, call);
                }
            }
            (Target::Class(class), 0) => self.note_construction(program, module, call, *class),
            _ => self.look_at_own(program, names, module, call, function),
        }
    }

    fn look_at_own(
        &mut self,
        program: &Program,
        names: &Names,
        module: ModuleId,
        call: Node,
        function: Node,
    ) {
        let tree = &program[module].tree;
        let Some(&[object, name]) = tree.dotted(function).as_deref() else {
            return;
        };
        let Scope::Function(scope) = program[module].scope(call) else {
            return;
        };
        let Some(class) = program.receiver(scope, object) else {
            return;
        };
        self.own
            .entry((class, name.to_owned()))
            .or_default()
            .push(call);
        // `self.channel_class(sock)`.
        let value = program.lineage(class).into_iter().find_map(|class| {
            let attribute = program[class].attribute(name)?;
            Some((program[class].module, attribute.value?))
        });
        if let Some((module_of_value, value)) = value {
            let found = names.lookup(program, module_of_value, value);
            if let (Target::Class(class), 0) = (found.target, found.rest) {
                self.note_construction(program, module, call, class);
            }
        }
    }

    fn note_construction(
        &mut self,
        program: &Program,
        module: ModuleId,
        call: Node,
        class: ClassId,
    ) {
        self.constructions.push(Construction {
            module,
            call,
            class,
        });
        self.constructed.insert((module, call), class);
        if program[class].is_channel() {
            self.note_looping(program, module, call);
        }
    }

    fn note_looping(&mut self, program: &Program, module: ModuleId, call: Node) {
        match program[module].scope(call) {
            Scope::Function(function) => self.loopers.extend(outermost(program, function)),
            Scope::Module => self.looping.extend(statement(program, module, call)),
            Scope::Class(_) => {}
        }
    }

    /// A function that calls one of `loopers` is one too.
    fn spread(&mut self, program: &Program, names: &Names) {
        let mut callers: HashMap<FunctionId, Vec<(ModuleId, Node)>> = HashMap::new();
        for module in program
            .modules
            .iter()
            .filter(|module| self.users.contains(&module.id))
        {
            for call in module
                .tree
                .nodes()
                .filter(|&node| module.tree.kind(node) == "call")
            {
                let Some(function) = module.tree.child(call, "function") else {
                    continue;
                };
                let found = names.lookup(program, module.id, function);
                if let (Target::Function(called), 0) = (found.target, found.rest) {
                    callers.entry(called).or_default().push((module.id, call));
                }
            }
        }
        let mut todo: Vec<_> = self.loopers.iter().copied().collect();
        while let Some(function) = todo.pop() {
            for (module, call) in callers.remove(&function).unwrap_or_default() {
                match program[module].scope(call) {
                    Scope::Function(caller) => {
                        let caller = outermost(program, caller);
                        todo.extend(caller.filter(|&caller| self.loopers.insert(caller)));
                    }
                    Scope::Module => self.looping.extend(statement(program, module, call)),
                    Scope::Class(_) => {}
                }
            }
        }
    }
}

/// The function at the top level around a function, or none if it is or stands in a method.
fn outermost(program: &Program, function: FunctionId) -> Option<FunctionId> {
    let mut function = function;
    loop {
        if program[function].class.is_some() {
            return None;
        }
        match program[function].outer {
            Some(outer) => function = outer,
            None => return Some(function),
        }
    }
}

/// The statement at the top level in which a node stands.
fn statement(program: &Program, module: ModuleId, node: Node) -> Option<(ModuleId, Node)> {
    let tree = &program[module].tree;
    let path = std::iter::once(node).chain(tree.ancestors(node));
    path.take_while(|&node| node != tree.root())
        .last()
        .map(|node| (module, node))
}
