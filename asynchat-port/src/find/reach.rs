//! Which functions run inside callbacks, and which in threads of their own.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use crate::{
    find::{
        call::{Call, Calls},
        types::{Type, Types},
        vocabulary::is_callback,
    },
    model::{Class, ClassId, Function, FunctionId, Module, Program, Scope, Target},
    resolve::{Found, Names},
    syntax::Node,
};

/// Functions of a way from a callback.
const LONGEST_WAY: usize = 100;

/// Calls that are followed. A program needs a few for each of its functions; one that overrides a method 10,000 times and
/// calls it as often would need 100 million.
const EDGES: usize = 1 << 20;

/// Methods and functions that run their first argument in another thread: of executors, pools, asyncio and Twisted.
const RUNNERS: [&str; 5] = [
    "apply_async",
    "callInThread",
    "deferToThread",
    "submit",
    "to_thread",
];

/// Values of a variable that are looked at.
const VALUES: usize = 100;

/// Functions with the reason why they run there.
#[derive(Default, Debug)]
pub(crate) struct Reach {
    /// Function, and the function that calls it; none for the callback itself.
    callbacks: HashMap<FunctionId, Option<FunctionId>>,
    /// Likewise for threads.
    threads: HashMap<FunctionId, Option<FunctionId>>,
    /// Likewise for threads that do not turn the loop.
    workers: HashMap<FunctionId, Option<FunctionId>>,
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
        let has_descendants = program.descendants().next().is_some();
        let callbacks = program.functions.iter().filter(|function| {
            let is_called = function.class.is_some_and(|class| {
                is_channel(class)
                    && (is_callback(&function.name) || is_called(program, class, &function.name))
            });
            is_called || is_more(program, function, has_descendants)
        });
        let mut starts: Vec<_> = callbacks.map(|function| function.id).collect();
        for class in program.classes.iter().filter(|class| is_channel(class.id)) {
            let assigned = class.assigned.iter().chain(&class.kept);
            let called = assigned
                .filter(|(name, _)| is_callback(name) || is_called(program, class.id, name));
            starts.extend(called.map(|(_, &function)| function));
        }
        starts.sort_unstable();
        starts.dedup();
        let callbacks = graph.reached(starts);
        let threads: Vec<_> = graph.threads.iter().copied().collect();
        let turns = graph.leading_to(graph.turns.iter().copied().collect());
        let workers = threads.iter().filter(|thread| !turns.contains(thread));
        Self {
            callbacks,
            workers: graph.reached(workers.copied().collect()),
            threads: graph.reached(threads),
        }
    }

    /// True if the loop waits while the function runs.
    pub(crate) fn in_callback(&self, function: FunctionId) -> bool {
        self.callbacks.contains_key(&function)
    }

    /// True if the function runs in a thread that the program starts.
    pub(crate) fn in_thread(&self, function: FunctionId) -> bool {
        self.threads.contains_key(&function)
    }

    /// True if the function runs in a thread that the program starts, and that does not turn the loop.
    pub(crate) fn in_worker(&self, function: FunctionId) -> bool {
        self.workers.contains_key(&function)
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

/// Functions inside functions, by those around them and their names.
type Inner<'p> = HashMap<(FunctionId, &'p str), FunctionId>;

/// Methods that `super()` calls and that no base of the class has, with the callers.
type Mixins<'p> = HashMap<ClassId, BTreeSet<(&'p str, FunctionId)>>;

struct Graph {
    count: usize,
    edges: HashMap<FunctionId, Vec<FunctionId>>,
    threads: BTreeSet<FunctionId>,
    /// Functions that turn the loop.
    turns: BTreeSet<FunctionId>,
}

impl Graph {
    fn of(program: &Program, names: &Names, calls: &[Calls<'_>], types: &Types<'_>) -> Self {
        let overrides = overrides(program);
        let inner = program.functions.iter().filter_map(|function| {
            let outer = function.outer?;
            Some(((outer, function.name.as_str()), function.id))
        });
        let inner: Inner<'_> = inner.collect();
        let mut graph = Self {
            count: 0,
            edges: HashMap::new(),
            threads: BTreeSet::new(),
            turns: BTreeSet::new(),
        };
        let mut mixins = Mixins::new();
        for (module, calls) in program.modules.iter().zip(calls) {
            let function_at =
                |node| function_at(program, types, names, module, calls, &inner, node);
            let mut targets = HashSet::new();
            for call in &calls.all {
                let callee = types.callee(names, module, calls, call);
                if let Some(target) = thread_target(module, call, callee.is_some()) {
                    targets.insert(target);
                    graph.threads.extend(function_at(target));
                }
                let Some(function) = call.function() else {
                    continue;
                };
                if matches!(call.item(), Some("loop" | "poll" | "poll2" | "poll3")) {
                    graph.turns.insert(function);
                }
                if let Some((callee, _)) = callee {
                    graph.add(function, callee);
                    if is_virtual(program, calls, call, callee) {
                        for &other in overrides.get(&callee).into_iter().flatten() {
                            graph.add(function, other);
                        }
                    }
                } else if let Some(callee) = local(program, module, &inner, call.name_node)
                    && call.object.is_none()
                {
                    graph.add(function, callee);
                } else if let Some(object) = call.object
                    && let Some(class) = types.super_class(names, module, calls, object)
                {
                    mixins
                        .entry(class)
                        .or_default()
                        .insert((call.name, function));
                }
                for method in by_name(program, types, names, module, calls, call) {
                    graph.add(function, method);
                }
            }
            graph.add_mentioned(module, &targets, function_at);
        }
        graph.add_mixed_in(program, &mixins);
        for function in &program.functions {
            if let Some(outer) = function.outer
                && !graph.threads.contains(&function.id)
            {
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
        module: &Module,
        threads: &HashSet<Node>,
        function_at: impl Fn(Node) -> Option<FunctionId>,
    ) {
        let tree = &module.tree;
        let is_mention =
            |node| tree.kind(node) == "attribute" && tree.field(node) != Some("function");
        for node in tree.nodes().filter(|&node| is_mention(node)) {
            if !threads.contains(&node)
                && let Scope::Function(function) = module.scope(node)
                && let Some(mentioned) = function_at(node)
            {
                self.add(function, mentioned);
            }
        }
    }

    /// `super().method()` in a mixin is that of a class beside it, in a class that has both for bases.
    fn add_mixed_in(&mut self, program: &Program, mixins: &Mixins<'_>) {
        let mut looks = EDGES;
        for class in &program.classes {
            let line = program.lineage(class.id);
            for (at, mixin) in line.iter().enumerate().skip(1) {
                for &(name, function) in mixins.get(mixin).into_iter().flatten() {
                    if looks == 0 {
                        return;
                    }
                    looks -= 1;
                    let mut behind = line[at + 1..].iter();
                    if let Some(method) = behind.find_map(|&class| program[class].callable(name)) {
                        self.add(function, method);
                    }
                }
            }
        }
    }

    /// Those from which one of the ends is reached.
    fn leading_to(&self, ends: Vec<FunctionId>) -> HashSet<FunctionId> {
        let mut callers: HashMap<FunctionId, Vec<FunctionId>> = HashMap::new();
        for (&caller, callees) in &self.edges {
            for &callee in callees {
                callers.entry(callee).or_default().push(caller);
            }
        }
        let mut found: HashSet<_> = ends.iter().copied().collect();
        let mut next = ends;
        while let Some(function) = next.pop() {
            let callers = callers.get(&function).into_iter().flatten();
            next.extend(callers.copied().filter(|&caller| found.insert(caller)));
        }
        found
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

/// True for the `more` of a producer. In a program that descends from nothing of the two modules it returns data, or leaves
/// that to a class below.
pub(crate) fn is_more(program: &Program, function: &Function, has_descendants: bool) -> bool {
    let tree = &program[function.module].tree;
    let gives = |node| match tree.kind(node) {
        "return_statement" => tree.children(node).next().is_some(),
        "raise_statement" | "lambda" => true,
        _ => false,
    };
    function.class.is_some()
        && function.name == "more"
        && function.parameters.len() == 1
        && (has_descendants
            || std::iter::once(function.node)
                .chain(tree.descendants(function.node))
                .any(gives))
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
fn is_virtual(program: &Program, calls: &Calls<'_>, call: &Call<'_>, callee: FunctionId) -> bool {
    let is_super = |object| calls.at(object).is_some_and(Call::is_super);
    call.object.is_some_and(|object| !is_super(object))
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
/// `is_own` says that the program has the function that is called.
fn thread_target(module: &Module, call: &Call<'_>, is_own: bool) -> Option<Node> {
    let tree = &module.tree;
    let target = match call.foreign() {
        Some("threading.Timer") => call.argument(1, "function"),
        Some("thread.start_new_thread" | "_thread.start_new_thread" | "thread.start_new") => {
            call.argument(0, "function")
        }
        Some("threading.Thread" | "multiprocessing.Process") => call.argument(1, "target"),
        _ if !is_own && RUNNERS.contains(&call.name) => call.arguments.first().copied(),
        _ if !is_own && call.name == "run_in_executor" => call.arguments.get(1).copied(),
        _ => call
            .keywords
            .iter()
            .find(|(name, _)| *name == "target")
            .map(|&(_, value)| value),
    };
    target.filter(|&target| matches!(tree.kind(target), "attribute" | "identifier" | "lambda"))
}

/// The function that an expression names or is.
fn function_at(
    program: &Program,
    types: &Types<'_>,
    names: &Names,
    module: &Module,
    calls: &Calls<'_>,
    inner: &Inner<'_>,
    node: Node,
) -> Option<FunctionId> {
    let tree = &module.tree;
    match (tree.kind(node), module.scope(node)) {
        ("lambda", Scope::Function(function)) => return Some(function),
        ("identifier", _) => {
            if let Some(local) = local(program, module, inner, node) {
                return Some(local);
            }
        }
        _ => {}
    }
    if let Found {
        target: Target::Function(function),
        rest: 0,
    } = names.lookup(program, module.id, node)
    {
        return Some(function);
    }
    let object = tree.child(node, "object")?;
    let name = tree.text(tree.child(node, "attribute")?);
    match types.of(names, module, calls, object)? {
        Type::Object(class) => program.callable(class, name),
        _ => None,
    }
}

/// The function inside a function that a name stands for.
fn local(program: &Program, module: &Module, inner: &Inner<'_>, name: Node) -> Option<FunctionId> {
    let Scope::Function(function) = module.scope(name) else {
        return None;
    };
    let name = module.tree.text(name);
    let mut around = Some(function);
    while let Some(id) = around {
        if program[id].binds(name) {
            return inner.get(&(id, name)).copied();
        }
        around = program[id].outer;
    }
    None
}

/// `getattr(self, 'cmd_' + name)` may be any method of such a name, `getattr(self, 'work')` is one.
fn by_name(
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
    if let Some(name) = module.tree.string(name) {
        return program.callable(class, name).into_iter().collect();
    }
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
        // "cmd_{}".format(name)
        "call" => {
            let function = tree.child(node, "function")?;
            let name = tree.child(function, "attribute")?;
            tree.string(tree.child(function, "object")?)
                .filter(|_| tree.text(name) == "format")?
        }
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
