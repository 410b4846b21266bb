//! The calls of a program, with the meaning of each callee.

use std::collections::HashMap;

use crate::{
    model::{FunctionId, Module, Program, Scope, Target},
    resolve::{Found, Names},
    syntax::{Node, Tree},
};

/// Statements of a block that are looked at for one that leaves it.
const LOOK_AHEAD: usize = 100;

/// Calls of the timers that programs and their frameworks have.
const TIMERS: [&str; 7] = [
    "CallLater",
    "CallEvery",
    "callLater",
    "call_every",
    "call_later",
    "enterabs",
    "schedule",
];

/// A call.
#[derive(Debug)]
pub(crate) struct Call<'p> {
    /// The `call`.
    pub(crate) node: Node,
    /// The statement around it.
    pub(crate) statement: Node,
    /// Where it stands.
    pub(crate) scope: Scope,
    /// The last part of the callee: `b` of `a.b()`, and of `getattr(a, 'b')()`.
    pub(crate) name: &'p str,
    /// The node of that part.
    pub(crate) name_node: Node,
    /// What stands before that part.
    pub(crate) object: Option<Node>,
    /// The meaning of the callee, as far as imports and definitions say.
    pub(crate) found: Found,
    /// Positional arguments.
    pub(crate) arguments: Vec<Node>,
    /// Keyword arguments.
    pub(crate) keywords: Vec<(&'p str, Node)>,
}

impl<'p> Call<'p> {
    /// A positional argument, or the keyword of this name.
    pub(crate) fn argument(&self, at: usize, keyword: &str) -> Option<Node> {
        let named = self.keywords.iter().find(|(name, _)| *name == keyword);
        self.arguments
            .get(at)
            .copied()
            .or(named.map(|&(_, value)| value))
    }

    /// The full name of a function of another module.
    pub(crate) fn foreign(&self) -> Option<&str> {
        match &self.found.target {
            Target::Foreign(name) => Some(name),
            _ => None,
        }
    }

    /// The name of a function or class of asyncore or asynchat.
    pub(crate) fn item(&self) -> Option<&str> {
        match &self.found.target {
            Target::Item(_, name) if self.found.rest == 0 => Some(name),
            _ => None,
        }
    }

    /// True for a call of a timer.
    pub(crate) fn is_timer(&self) -> bool {
        TIMERS.contains(&self.name) || self.foreign() == Some("threading.Timer")
    }

    /// True if it starts a thread.
    pub(crate) fn starts_thread(&self) -> bool {
        matches!(
            self.foreign(),
            Some(
                "threading.Thread"
                    | "thread.start_new_thread"
                    | "_thread.start_new_thread"
                    | "thread.start_new"
            )
        )
    }

    /// `super()` or `super(Class, self)`.
    pub(crate) fn is_super(&self) -> bool {
        self.name == "super" && self.object.is_none()
    }

    /// The function around it.
    pub(crate) fn function(&self) -> Option<FunctionId> {
        match self.scope {
            Scope::Function(function) => Some(function),
            Scope::Module | Scope::Class(_) => None,
        }
    }
}

/// The calls of a module in the order of the text, and those of each function.
#[derive(Debug)]
pub(crate) struct Calls<'p> {
    /// In the order of the text.
    pub(crate) all: Vec<Call<'p>>,
    of_functions: HashMap<FunctionId, Vec<usize>>,
    of_nodes: HashMap<Node, usize>,
}

impl<'p> Calls<'p> {
    /// Of a module.
    pub(crate) fn of(program: &'p Program, names: &Names, module: &'p Module) -> Self {
        let tree = &module.tree;
        let mut calls = Self {
            all: Vec::new(),
            of_functions: HashMap::new(),
            of_nodes: HashMap::new(),
        };
        // Statements around the node; kept here because to climb from each call would cost the depth each time.
        let mut statements: Vec<Node> = Vec::new();
        for node in tree.nodes() {
            while statements
                .last()
                .is_some_and(|&statement| !tree.contains(statement, node))
            {
                statements.pop();
            }
            let kind = tree.kind(node);
            if is_statement(kind) {
                statements.push(node);
            }
            if kind == "call" {
                let statement = statements.last().copied().unwrap_or(tree.root());
                if let Some(call) = call(program, names, module, node, statement) {
                    let number = calls.all.len();
                    if let Some(function) = call.function() {
                        calls.of_functions.entry(function).or_default().push(number);
                    }
                    calls.of_nodes.insert(node, number);
                    calls.all.push(call);
                }
            }
        }
        calls
    }

    /// Those in a function, without functions inside it.
    pub(crate) fn in_function(&self, function: FunctionId) -> impl Iterator<Item = &Call<'p>> {
        let numbers = self.of_functions.get(&function).into_iter().flatten();
        numbers.map(|&number| &self.all[number])
    }

    /// Those before it in its function, the nearest first.
    pub(crate) fn before(&self, call: &Call<'_>) -> impl Iterator<Item = &Call<'p>> {
        let numbers = call
            .function()
            .and_then(|function| self.of_functions.get(&function));
        let numbers = numbers.map_or(&[][..], Vec::as_slice);
        let place = numbers.partition_point(|&number| self.all[number].node < call.node);
        numbers[..place]
            .iter()
            .rev()
            .map(|&number| &self.all[number])
    }

    /// The call that is this node.
    pub(crate) fn at(&self, node: Node) -> Option<&Call<'p>> {
        self.of_nodes.get(&node).map(|&number| &self.all[number])
    }
}

fn call<'p>(
    program: &'p Program,
    names: &Names,
    module: &'p Module,
    node: Node,
    statement: Node,
) -> Option<Call<'p>> {
    let tree = &module.tree;
    let callee = tree.child(node, "function")?;
    let (name_node, object) = match tree.kind(callee) {
        "identifier" => (callee, None),
        "attribute" => (
            tree.child(callee, "attribute")?,
            tree.child(callee, "object"),
        ),
        "call" => {
            let (object, name) = named_attribute(tree, callee)?;
            (name, Some(object))
        }
        _ => return None,
    };
    let list = tree.child(node, "arguments");
    let (mut arguments, mut keywords) = (Vec::new(), Vec::new());
    for argument in list.into_iter().flat_map(|list| tree.children(list)) {
        match tree.kind(argument) {
            "keyword_argument" => {
                if let (Some(name), Some(value)) =
                    (tree.child(argument, "name"), tree.child(argument, "value"))
                {
                    keywords.push((tree.text(name), value));
                }
            }
            "list_splat" | "dictionary_splat" => {}
            _ => arguments.push(argument),
        }
    }
    Some(Call {
        node,
        statement,
        scope: module.scope(node),
        name: tree
            .string(name_node)
            .unwrap_or_else(|| tree.text(name_node)),
        name_node,
        object,
        found: names.lookup(program, module.id, callee),
        arguments,
        keywords,
    })
}

/// Object and name of `getattr(object, 'name')`.
pub(crate) fn named_attribute(tree: &Tree, call: Node) -> Option<(Node, Node)> {
    tree.child(call, "function")
        .filter(|&function| tree.text(function) == "getattr")?;
    let mut arguments = tree.children(tree.child(call, "arguments")?);
    let (object, name) = (arguments.next()?, arguments.next()?);
    tree.string(name).map(|_| (object, name))
}

fn is_statement(kind: &str) -> bool {
    kind.ends_with("_statement")
        || kind.ends_with("_definition")
        || kind.ends_with("_clause") && kind != "for_in_clause"
}

/// True if the first statement may run before the second in one pass through their function.
pub(crate) fn may_precede(tree: &Tree, first: Node, second: Node) -> bool {
    if first == second {
        return true;
    }
    if first > second {
        return false;
    }
    let above = |node: Node| {
        std::iter::once(node)
            .chain(tree.ancestors(node))
            .collect::<Vec<_>>()
    };
    let (one, other) = (above(first), above(second));
    let mut shared = one
        .iter()
        .rev()
        .zip(other.iter().rev())
        .take_while(|(one, other)| one == other);
    let Some((&common, _)) = shared.by_ref().last() else {
        return false;
    };
    if matches!(tree.kind(common), "if_statement" | "match_statement") && first != common {
        return false;
    }
    // Nothing behind `return` in a block of the first runs after it, nor behind a `return` that is the first itself.
    let inner = one
        .iter()
        .take_while(|&&node| node != common && tree.parent(node) != Some(common));
    let leaves = |node| leaves(tree, node, second);
    !leaves(first)
        && !inner
            .into_iter()
            .any(|&node| tree.following(node).take(LOOK_AHEAD).any(leaves))
}

/// True for a statement behind which `later` does not run.
fn leaves(tree: &Tree, statement: Node, later: Node) -> bool {
    match tree.kind(statement) {
        "return_statement" | "raise_statement" => true,
        // Behind the loop all the same.
        "continue_statement" | "break_statement" => {
            let is_loop = |node: &Node| is_loop(tree.kind(*node));
            let around = tree.ancestors(statement).find(is_loop);
            around.is_none_or(|around| tree.contains(around, later))
        }
        _ => false,
    }
}

/// True for the kind of a loop.
pub(crate) fn is_loop(kind: &str) -> bool {
    matches!(kind, "while_statement" | "for_statement")
}
