//! Input: terminators, frames, and the buffers behind them.

use crate::{
    find::{call::Call, findings::Findings, here::Here, reach, types::Type},
    library::Root,
    model::{Class, Function},
    syntax::Node,
};

/// A `recv` of fewer bytes is meant to give exactly these.
const FEW_BYTES: u64 = 256;

/// At a call.
pub(crate) fn visit(here: Here<'_, '_>, out: &mut Findings<'_, '_>, call: &Call<'_>) {
    if call.name == "getattr" && call.object.is_none() {
        dispatch(here, out, call);
    }
    if matches!(call.name, "decode" | "encode")
        && call.object.is_some()
        && is_in_channel(here, call)
    {
        out.pitfall(call.node, "Encodings", call.name, None);
    }
    let on_channel = here.is_on_channel(call);
    match call.name {
        "set_terminator" if on_channel || call.object.is_some() => terminator(here, out, call),
        "get_terminator" if on_channel => out.idiom(call.node, 26),
        "recv" if on_channel => {
            let size = call.arguments.first().and_then(|&size| number(here, size));
            if size.is_some_and(|size| size < FEW_BYTES) {
                out.difference(call.node, "`recv(4)` returns the bytes", call.name);
                out.idiom(call.node, 29);
            }
        }
        _ => {}
    }
}

fn is_in_channel(here: Here<'_, '_>, call: &Call<'_>) -> bool {
    let class = here.class_around(call.scope);
    class.is_some_and(|class| here.context.root(class.id).is_some_and(Root::is_channel))
}

fn number(here: Here<'_, '_>, node: Node) -> Option<u64> {
    let node = here.tree.unwrapped(node);
    let text = here
        .tree
        .text(node)
        .trim_end_matches(['l', 'L'])
        .replace('_', "");
    text.parse()
        .ok()
        .filter(|_| here.tree.kind(node) == "integer")
}

/// By the kind of the terminator.
fn terminator(here: Here<'_, '_>, out: &mut Findings<'_, '_>, call: &Call<'_>) {
    let Some(given) = call.argument(0, "term") else {
        return;
    };
    let given = here.tree.unwrapped(given);
    let place = call.node;
    match here.tree.kind(given) {
        "none" => out.idiom(place, 28),
        "integer" if number(here, given) == Some(0) => zero(out, place),
        "integer" => out.idiom(place, 29),
        "string" | "concatenated_string" => match here.tree.string(given) {
            Some("") => zero(out, place),
            Some(text) if text.contains('.') => out.idiom(place, 31),
            _ => {}
        },
        "binary_operator"
            if here
                .tree
                .descendants(given)
                .any(|part| here.tree.kind(part) == "string") => {}
        // A name in capitals is a constant: bytes more often than a number.
        "identifier" | "attribute" if is_constant(here, given) => out.idiom(place, 24),
        _ => {
            out.idiom(place, 26);
            zero(out, place);
        }
    }
}

fn zero(out: &mut Findings<'_, '_>, place: Node) {
    out.difference(
        place,
        "`set_terminator(0)` collects for ever",
        "set_terminator",
    );
}

fn is_constant(here: Here<'_, '_>, node: Node) -> bool {
    let name = here.tree.text(node).rsplit('.').next().unwrap_or_default();
    name.to_lowercase() != name && name.to_uppercase() == name
}

/// `getattr(self, 'cmd_' + name)`.
fn dispatch(here: Here<'_, '_>, out: &mut Findings<'_, '_>, call: &Call<'_>) {
    let [object, name, ..] = call.arguments[..] else {
        return;
    };
    let is_own = matches!(here.type_of(object), Some(Type::Object(class)) if here.context.root(class).is_some_and(Root::is_channel));
    if is_own && reach::prefix(here.context.program, here.module, call, name).is_some() {
        out.idiom(call.node, 25);
    }
}

/// At a method of a channel.
pub(crate) fn method(
    here: Here<'_, '_>,
    out: &mut Findings<'_, '_>,
    class: &Class,
    root: Root,
    function: &Function,
) {
    let place = here.name_of(function);
    let calls: Vec<_> = here.calls.in_function(function.id).collect();
    match function.name.as_str() {
        "collect_incoming_data" => collect(here, out, function, place),
        "found_terminator" => {
            if let Some(join) = calls.iter().find(|call| call.name == "join") {
                out.idiom(join.node, 24);
            }
        }
        "handle_read" if root != Root::AsyncChat && compares_length(here, function) => {
            out.idiom(place, 30);
        }
        "handle_close" if root == Root::AsyncChat && reads_collected(here, class, function) => {
            out.difference(
                place,
                "bytes before an end of file without their terminator",
                "handle_close",
            );
        }
        _ => {}
    }
    states(here, out, class, function);
}

fn collect(here: Here<'_, '_>, out: &mut Findings<'_, '_>, function: &Function, place: Node) {
    let tree = here.tree;
    let calls: Vec<_> = here.calls.in_function(function.id).collect();
    let has = |kinds: &[&str]| {
        tree.descendants(function.node)
            .any(|node| kinds.contains(&tree.kind(node)))
    };
    let calls_one = |names: &[&str]| calls.iter().any(|call| names.contains(&call.name));
    if has(&["augmented_assignment"])
        || calls_one(&["append", "extend", "write", "_collect_incoming_data"])
        || has(&["binary_operator"])
    {
        out.idiom(place, 32);
    }
    if has(&["raise_statement"]) || calls_one(&["decode", "int", "float", "loads", "index"]) {
        out.difference(
            place,
            "the data of a `collect_incoming_data` that raised",
            &function.name,
        );
    }
    if calls_one(&[
        "decode",
        "split",
        "find",
        "startswith",
        "endswith",
        "splitlines",
    ]) {
        out.pitfall(place, "Pieces", &function.name, None);
    }
    if !has(&["comparison_operator"]) {
        out.pitfall(place, "Frames without end", &function.name, None);
    }
}

/// `len(self.buffer) < n`.
fn compares_length(here: Here<'_, '_>, function: &Function) -> bool {
    here.calls.in_function(function.id).any(|call| {
        call.name == "len" && {
            let parent = here.tree.parent(call.node);
            parent.is_some_and(|parent| here.tree.kind(parent) == "comparison_operator")
        }
    })
}

/// `handle_close` looks at an attribute to which `collect_incoming_data` adds.
fn reads_collected(here: Here<'_, '_>, class: &Class, function: &Function) -> bool {
    let tree = here.tree;
    let Some(collect) = class.method("collect_incoming_data") else {
        return false;
    };
    let own = |function: &Function| {
        let nodes = tree
            .descendants(function.node)
            .filter(|&node| tree.kind(node) == "attribute");
        let nodes = nodes.filter(|&node| {
            tree.child(node, "object")
                .is_some_and(|object| here.is_own_channel(object))
        });
        nodes
            .map(|node| tree.text(node))
            .collect::<std::collections::HashSet<_>>()
    };
    !own(&here.context.program[collect]).is_disjoint(&own(function))
}

/// `self.part = self.header`: a method that is kept as the state.
fn states(here: Here<'_, '_>, out: &mut Findings<'_, '_>, class: &Class, function: &Function) {
    let tree = here.tree;
    let assignments = tree
        .descendants(function.node)
        .filter(|&node| tree.kind(node) == "assignment");
    for assignment in assignments {
        let Some(value) = tree
            .child(assignment, "right")
            .filter(|&value| tree.kind(value) == "attribute")
        else {
            continue;
        };
        let is_own = tree
            .child(value, "object")
            .is_some_and(|object| here.is_own_channel(object));
        let method = tree
            .child(value, "attribute")
            .and_then(|name| here.context.program.method(class.id, tree.text(name)));
        let target = tree
            .child(assignment, "left")
            .filter(|&left| tree.kind(left) == "attribute");
        if is_own && method.is_some() && target.is_some() {
            out.idiom(assignment, 27);
        }
    }
}
