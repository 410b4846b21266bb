//! Output: pushes, producers, direct sends, and what follows them.

use crate::{
    find::{
        call::{self, Call},
        findings::Findings,
        here::Here,
        types::Type,
        vocabulary,
    },
    library::Root,
    model::Function,
    syntax::Node,
};

/// Calls before a close that are looked at.
const LOOK_BACK: usize = 8;

/// Ways to say that a producer reads a file.
const FILE: &str = "file";

/// At a call.
pub(crate) fn visit(here: Here<'_, '_>, out: &mut Findings<'_, '_>, call: &Call<'_>) {
    if vocabulary::is_medusa_producer(call.name) {
        medusa(here, out, call);
    }
    if !here.is_on_channel(call) {
        return;
    }
    match call.name {
        "push" => push(here, out, call),
        "push_with_producer" => {
            queue(here, out, call);
            producer(here, out, call);
        }
        "close_when_done" => {
            if pushed_before(here, call).is_some() {
                out.idiom(call.node, 16);
            }
            out.difference(
                call.node,
                "`close_when_done` closes after the last byte",
                call.name,
            );
            callbacks_go_on(here, out, call);
        }
        "close" => {
            if pushed_before(here, call).is_some() {
                out.difference(call.node, "every `push` sends at once", "push, then close");
            }
            callbacks_go_on(here, out, call);
        }
        "send" => {
            let root = here.callee_root(call);
            if matches!(root, Some(Root::AsyncChat | Root::DispatcherWithSend))
                || here.is_in_loop(call.statement)
            {
                out.difference(call.node, "`send` beside queued data", call.name);
            }
            if root == Some(Root::DispatcherWithSend) {
                queue(here, out, call);
            }
        }
        _ => {}
    }
    visits(here, out, call);
}

fn push(here: Here<'_, '_>, out: &mut Findings<'_, '_>, call: &Call<'_>) {
    queue(here, out, call);
    if here.method_around(call.scope) == Some("__init__") {
        out.idiom(call.node, 4);
    }
    if call
        .arguments
        .first()
        .is_some_and(|&data| is_callback_producer(here, data))
    {
        out.idiom(call.node, 20);
    }
}

/// What grows the queue in a loop, and what goes to each of several channels.
fn queue(here: Here<'_, '_>, out: &mut Findings<'_, '_>, call: &Call<'_>) {
    let tree = here.tree;
    let Some(around) = here.enclosing_loop(call.statement) else {
        return;
    };
    let target = tree.child(around, "left");
    let receiver = call
        .object
        .filter(|&object| tree.kind(object) == "identifier");
    let is_each = target.zip(receiver).is_some_and(|(target, receiver)| {
        let mut names = std::iter::once(target).chain(tree.descendants(target));
        names.any(|name| tree.text(name) == tree.text(receiver))
    });
    if is_each {
        out.idiom(call.node, 33);
    } else {
        out.difference(call.node, "`push` never refuses", call.name);
    }
}

/// The last call before that queued something for the same channel, if both may run.
fn pushed_before<'a, 'p>(here: Here<'a, 'p>, call: &Call<'_>) -> Option<&'a Call<'p>> {
    let receiver = here.tree.text(call.object?);
    let mut before = here.calls.before(call).take(LOOK_BACK);
    before.find(|other| {
        matches!(other.name, "push" | "push_with_producer" | "send")
            && other
                .object
                .is_some_and(|object| here.tree.text(object) == receiver)
            && call::may_precede(here.tree, other.statement, call.statement)
    })
}

/// Input goes on after a close in Python.
fn callbacks_go_on(here: Here<'_, '_>, out: &mut Findings<'_, '_>, call: &Call<'_>) {
    let is_own = call
        .object
        .is_some_and(|object| here.is_own_channel(object));
    let is_chat = here.callee_root(call) == Some(Root::AsyncChat);
    let ends_already = matches!(
        here.method_around(call.scope),
        Some("handle_close" | "handle_error" | "handle_expt" | "close" | "__init__")
    );
    if is_own && is_chat && !ends_already && here.is_in_callback(call.scope) {
        out.difference(call.node, "callbacks go on after `close()`", call.name);
    }
}

fn producer(here: Here<'_, '_>, out: &mut Findings<'_, '_>, call: &Call<'_>) {
    let Some(&given) = call.arguments.first() else {
        return;
    };
    if is_callback_producer(here, given) {
        out.idiom(call.node, 20);
    } else if here
        .calls
        .at(given)
        .is_some_and(|made| !vocabulary::is_medusa_producer(made.name) && reads_file(here, given))
    {
        out.idiom(call.node, 17);
    }
}

/// The name of the class says that it reads a file, or its constructor is given one.
fn reads_file(here: Here<'_, '_>, node: Node) -> bool {
    let Some(made) = here.calls.at(node) else {
        return false;
    };
    let is_file = |node| {
        here.calls
            .at(node)
            .is_some_and(|inner| inner.name == "open")
    };
    made.name.to_lowercase().contains(FILE)
        || made.arguments.iter().any(|&argument| is_file(argument))
}

fn is_callback_producer(here: Here<'_, '_>, node: Node) -> bool {
    here.calls
        .at(node)
        .is_some_and(|made| made.name.to_lowercase().contains("callback"))
}

/// Producers inside each other.
fn medusa(here: Here<'_, '_>, out: &mut Findings<'_, '_>, call: &Call<'_>) {
    let inner = call
        .arguments
        .first()
        .and_then(|&inner| here.calls.at(inner));
    match (call.name, inner) {
        ("hooked_producer", Some(inner)) if inner.name == "file_producer" => {
            out.idiom(call.node, 23);
        }
        ("hooked_producer" | "globbing_producer", _) => out.idiom(call.node, 18),
        ("file_producer", _) => out.idiom(call.node, 17),
        _ => {}
    }
}

/// A method of another channel's object.
fn visits(here: Here<'_, '_>, out: &mut Findings<'_, '_>, call: &Call<'_>) {
    let program = here.context.program;
    if !here.is_in_callback(call.scope) || !here.is_on_other_channel(call) {
        return;
    }
    let Some(class) = call.object.and_then(|object| here.class_of(object)) else {
        return;
    };
    let Some(method) = program.method(class, call.name) else {
        return;
    };
    let there = Here::new(here.context, &program[program[method].module]);
    let calls_others = there
        .calls
        .in_function(method)
        .take(200)
        .any(|inner| there.is_on_other_channel(inner));
    let passes_itself = call
        .arguments
        .iter()
        .any(|&argument| here.is_own_channel(argument));
    if calls_others {
        out.idiom(call.node, 40);
    }
    if calls_others || passes_itself {
        out.pitfall(call.node, "Two objects at once", call.name, None);
    }
}

/// At a method of a channel.
pub(crate) fn method(
    here: Here<'_, '_>,
    out: &mut Findings<'_, '_>,
    root: Root,
    function: &Function,
) {
    let place = here.name_of(function);
    match function.name.as_str() {
        "send" | "recv" => out.idiom(place, 21),
        "handle_write" if matches!(root, Root::AsyncChat | Root::DispatcherWithSend) => {
            out.difference(
                place,
                "`handle_write` whenever the socket takes bytes",
                "handle_write",
            );
        }
        _ => {}
    }
    let tree = here.tree;
    let assignments = tree
        .descendants(function.node)
        .filter(|&node| tree.kind(node) == "assignment");
    let sends = sends(here, function);
    for assignment in assignments {
        if sends && is_cut(here, assignment) {
            out.idiom(assignment, 15);
        }
        if appends_itself_to_other(here, assignment) {
            out.idiom(assignment, 41);
        }
    }
    for call in here.calls.in_function(function.id) {
        let is_list = call
            .object
            .is_some_and(|object| is_attribute_of_other(here, object));
        if matches!(call.name, "append" | "add")
            && is_list
            && call
                .arguments
                .first()
                .is_some_and(|&added| here.is_own_channel(added))
        {
            out.idiom(call.node, 41);
        }
    }
}

fn sends(here: Here<'_, '_>, function: &Function) -> bool {
    here.calls
        .in_function(function.id)
        .any(|call| call.name == "send" && here.is_on_channel(call))
}

/// `x = x[n:]`.
fn is_cut(here: Here<'_, '_>, assignment: Node) -> bool {
    let tree = here.tree;
    let (Some(left), Some(right)) = (
        tree.child(assignment, "left"),
        tree.child(assignment, "right"),
    ) else {
        return false;
    };
    tree.kind(right) == "subscript"
        && tree
            .child(right, "value")
            .is_some_and(|value| tree.text(value) == tree.text(left))
        && tree.children(right).any(|part| tree.kind(part) == "slice")
}

/// `self.server.sessions[key] = self`.
fn appends_itself_to_other(here: Here<'_, '_>, assignment: Node) -> bool {
    let tree = here.tree;
    let (Some(left), Some(right)) = (
        tree.child(assignment, "left"),
        tree.child(assignment, "right"),
    ) else {
        return false;
    };
    let container = tree
        .child(left, "value")
        .filter(|_| tree.kind(left) == "subscript");
    container.is_some_and(|container| is_attribute_of_other(here, container))
        && here.is_own_channel(right)
}

/// `self.server.list`, an attribute of an object that `self` knows.
fn is_attribute_of_other(here: Here<'_, '_>, node: Node) -> bool {
    let tree = here.tree;
    let object = tree
        .child(node, "object")
        .filter(|_| tree.kind(node) == "attribute");
    object.is_some_and(|object| {
        tree.kind(object) == "attribute" && matches!(here.type_of(object), Some(Type::Object(_)))
    })
}
