//! Which functions run inside callbacks, and which in threads of their own.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::{
    find::{
        call::{Call, Calls},
        types::{Type, Types},
        vocabulary::is_callback,
    },
    model::{Class, ClassId, FunctionId, Module, Program, Scope, Target},
    resolve::Names,
    syntax::Node,
};

/// Functions of a way from a callback.
const LONGEST_WAY: usize = 100;

/// Calls that are followed. A program needs a few for each of its functions; one that overrides a method 10,000 times and
/// calls it as often would need 100 million.
const EDGES: usize = 1 << 20;

/// Values of a variable that are looked at.
const VALUES: usize = 100;

/// Functions with the reason why they run there.
#[derive(Default, Debug)]
pub(crate) struct Reach {
    /// Function, and the function that calls it; none for the callback itself.
    callbacks: HashMap<FunctionId, Option<FunctionId>>,
    /// Likewise for threads.
    threads: HashMap<FunctionId, Option<FunctionId>>,
}

impl Reach {
    /// Follows calls, and methods that are handed on to be called later.
    pub(crate) fn of(
        program: &Program,
        names: &Names,
        calls: &[Calls<'_>],
        types: &Types<'_>,
        is_channel: impl Fn(ClassId) -> bool,
    ) -> Self {
        let graph = Graph::of(program, names, calls, types);
        let callbacks = program.functions.iter().filter(|function| {
            let is_called = function.class.is_some_and(|class| {
                is_channel(class)
                    && (is_callback(&function.name) || is_called(program, class, &function.name))
            });
            is_called
                || function.class.is_some()
                    && function.name == "more"
                    && function.parameters.len() == 1
        });
        let mut starts: Vec<_> = callbacks.map(|function| function.id).collect();
        for class in program.classes.iter().filter(|class| is_channel(class.id)) {
            let assigned = class.assigned.iter();
            let called = assigned
                .filter(|(name, _)| is_callback(name) || is_called(program, class.id, name));
            starts.extend(called.map(|(_, &function)| function));
        }
        starts.sort_unstable();
        starts.dedup();
        let callbacks = graph.reached(starts);
        let threads = graph.reached(graph.threads.clone());
        Self { callbacks, threads }
    }

    /// True if the loop waits while the function runs.
    pub(crate) fn in_callback(&self, function: FunctionId) -> bool {
        self.callbacks.contains_key(&function)
    }

    /// True if the function runs in a thread that the program starts.
    pub(crate) fn in_thread(&self, function: FunctionId) -> bool {
        self.threads.contains_key(&function)
    }

    /// The way from a callback to a function, the callback first.
    pub(crate) fn way(&self, function: FunctionId) -> Vec<FunctionId> {
        let mut way = vec![function];
        while way.len() < LONGEST_WAY
            && let Some(Some(caller)) = way.last().and_then(|last| self.callbacks.get(last))
        {
            way.push(*caller);
        }
        way.reverse();
        way
    }
}

struct Graph {
    count: usize,
    edges: HashMap<FunctionId, Vec<FunctionId>>,
    threads: Vec<FunctionId>,
}

impl Graph {
    fn of(program: &Program, names: &Names, calls: &[Calls<'_>], types: &Types<'_>) -> Self {
        let overrides = overrides(program);
        let mut graph = Self {
            count: 0,
            edges: HashMap::new(),
            threads: Vec::new(),
        };
        for (module, calls) in program.modules.iter().zip(calls) {
            let mut targets = HashSet::new();
            for call in &calls.all {
                if let Some(target) = thread_target(module, call) {
                    targets.insert(target);
                    graph
                        .threads
                        .extend(method_at(program, types, names, module, calls, target));
                }
                let Some(function) = call.function() else {
                    continue;
                };
                if let Some((callee, _)) = types.callee(names, module, calls, call) {
                    graph.add(function, callee);
                    if is_virtual(program, call, callee) {
                        for &other in overrides.get(&callee).into_iter().flatten() {
                            graph.add(function, other);
                        }
                    }
                }
                for method in by_prefix(program, types, names, module, calls, call) {
                    graph.add(function, method);
                }
            }
            graph.add_mentioned(program, names, calls, types, module, &targets);
        }
        for function in &program.functions {
            if let Some(outer) = function.outer {
                graph.add(outer, function.id);
            }
        }
        let is_thread =
            |class: &Class| class.bases.iter().any(|base| base.text.ends_with("Thread"));
        let classes = program.classes.iter().filter(|class| is_thread(class));
        graph
            .threads
            .extend(classes.filter_map(|class| class.method("run")));
        graph
    }

    fn add(&mut self, from: FunctionId, to: FunctionId) {
        if self.count < EDGES {
            self.count += 1;
            self.edges.entry(from).or_default().push(to);
        }
    }

    /// `self.method` without a call: it is kept, and called later. Functions inside functions count as called.
    fn add_mentioned(
        &mut self,
        program: &Program,
        names: &Names,
        calls: &Calls<'_>,
        types: &Types<'_>,
        module: &Module,
        threads: &HashSet<Node>,
    ) {
        let tree = &module.tree;
        for node in tree.nodes().filter(|&node| tree.kind(node) == "attribute") {
            let is_callee = tree.field(node) == Some("function");
            if is_callee || threads.contains(&node) {
                continue;
            }
            if let Scope::Function(function) = module.scope(node)
                && let Some(method) = method_at(program, types, names, module, calls, node)
            {
                self.add(function, method);
            }
        }
    }

    fn reached(&self, starts: Vec<FunctionId>) -> HashMap<FunctionId, Option<FunctionId>> {
        let mut found: HashMap<_, _> = starts.iter().map(|&start| (start, None)).collect();
        let mut next: VecDeque<_> = starts.into();
        while let Some(function) = next.pop_front() {
            for &callee in self.edges.get(&function).into_iter().flatten() {
                found.entry(callee).or_insert_with(|| {
                    next.push_back(callee);
                    Some(function)
                });
            }
        }
        found
    }
}

/// True for a method that a class of a package calls, which the class descends from.
fn is_called(program: &Program, class: ClassId, method: &str) -> bool {
    let mut line = program.lineage(class).into_iter();
    line.any(|class| {
        let mut bases = program[class].bases.iter();
        bases.any(|base| matches!(base.target, Target::Descendant(base) if base.calls(method)))
    })
}

/// A class below may have a method of its own for it: not for `Base.method(self)`, `super().method()` and constructors.
fn is_virtual(program: &Program, call: &Call<'_>, callee: FunctionId) -> bool {
    call.object.is_some()
        && call.name == program[callee].name
        && !matches!(call.found.target, Target::Class(_))
}

/// For each method those that override it.
fn overrides(program: &Program) -> HashMap<FunctionId, Vec<FunctionId>> {
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    for class in program
        .classes
        .iter()
        .filter(|class| !class.bases.is_empty())
    {
        for base in program.lineage(class.id).into_iter().skip(1) {
            for &own in &class.methods {
                if let Some(method) = program[base].method(&program[own].name) {
                    found.entry(method).or_default().push(own);
                }
            }
        }
    }
    found
}

/// The function that a call hands to a thread or process of its own. A `target` is one also for a program's own helper.
fn thread_target(module: &Module, call: &Call<'_>) -> Option<Node> {
    let tree = &module.tree;
    let target = match call.foreign() {
        Some("threading.Timer") => call.argument(1, "function"),
        Some("thread.start_new_thread" | "_thread.start_new_thread" | "thread.start_new") => {
            call.argument(0, "function")
        }
        Some("threading.Thread" | "multiprocessing.Process") => call.argument(1, "target"),
        _ => call
            .keywords
            .iter()
            .find(|(name, _)| *name == "target")
            .map(|&(_, value)| value),
    };
    target.filter(|&target| matches!(tree.kind(target), "attribute" | "identifier"))
}

/// The method or function that an expression names.
fn method_at(
    program: &Program,
    types: &Types<'_>,
    names: &Names,
    module: &Module,
    calls: &Calls<'_>,
    node: Node,
) -> Option<FunctionId> {
    let tree = &module.tree;
    if let Target::Function(function) = names.lookup(program, module.id, node).target {
        return Some(function);
    }
    let object = tree.child(node, "object")?;
    let name = tree.text(tree.child(node, "attribute")?);
    match types.of(names, module, calls, object)? {
        Type::Object(class) => program.callable(class, name),
        _ => None,
    }
}

/// `getattr(self, 'cmd_' + name)` may be any method of such a name.
fn by_prefix(
    program: &Program,
    types: &Types<'_>,
    names: &Names,
    module: &Module,
    calls: &Calls<'_>,
    call: &Call<'_>,
) -> Vec<FunctionId> {
    let none = Vec::new();
    if call.name != "getattr" || call.object.is_some() {
        return none;
    }
    let [object, name, ..] = call.arguments[..] else {
        return none;
    };
    let Some(Type::Object(class)) = types.of(names, module, calls, object) else {
        return none;
    };
    let Some(prefix) = prefix(program, module, call, name) else {
        return none;
    };
    let line = program.lineage(class).into_iter();
    let methods = line.flat_map(|class| program[class].methods.iter().copied());
    methods
        .filter(|&method| program[method].name.starts_with(prefix))
        .collect()
}

/// The literal with which an expression begins, also by way of one variable.
pub(crate) fn prefix<'p>(
    program: &'p Program,
    module: &'p Module,
    call: &Call<'_>,
    node: Node,
) -> Option<&'p str> {
    let tree = &module.tree;
    let mut node = node;
    if tree.kind(node) == "identifier"
        && let Some(function) = call.function()
    {
        let mut values = program[function]
            .variables
            .iter()
            .take(VALUES)
            .filter(|variable| variable.name == tree.text(node));
        node = values.find_map(|variable| variable.value)?;
    }
    let text = match tree.kind(node) {
        "binary_operator" => tree.string(tree.child(node, "left")?)?,
        // f"cmd_{name}"
        "string" => {
            let mut parts = tree.children(node).skip(1);
            let first = parts
                .next()
                .filter(|&part| tree.kind(part) == "string_content")?;
            parts.find(|&part| tree.kind(part) == "interpolation")?;
            tree.text(first)
        }
        _ => return None,
    };
    let prefix = text.split(['%', '{']).next().unwrap_or(text);
    (!prefix.is_empty()).then_some(prefix)
}
