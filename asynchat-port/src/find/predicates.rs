//! `readable` and `writable`.

use crate::{
    find::{findings::Findings, here::Here},
    model::Function,
    syntax::{Node, Tree},
};

/// At a method of a channel.
pub(crate) fn method(here: Here<'_, '_>, out: &mut Findings<'_, '_>, function: &Function) {
    let is_readable = function.name == "readable";
    if !is_readable && function.name != "writable" {
        return;
    }
    let place = here.name_of(function);
    if is_constant(here.tree, function, &["true", "false", "integer", "none"]) {
        return;
    }
    out.difference(
        place,
        "`readable()`, `writable()` polled before each `select`",
        &function.name,
    );
    let calls: Vec<_> = here.calls.in_function(function.id).collect();
    let is_clock = |name: &str| name == "time.time" || name == "time.monotonic";
    let acts = calls
        .iter()
        .any(|call| matches!(call.name, "close" | "handle_close" | "close_when_done"));
    if acts
        || calls
            .iter()
            .any(|call| call.foreign().is_some_and(is_clock))
    {
        out.idiom(place, 55);
        out.difference(place, "predicates double as a clock", &function.name);
        return;
    }
    let returned = returned(here, function);
    let looks_at_length = calls
        .iter()
        .any(|call| call.name == "len" && call.object.is_none());
    let compares = returned.iter().any(|&node| has_comparison(here, node));
    let asks = calls.iter().any(|call| {
        call.object
            .is_some_and(|object| !here.is_own_channel(object))
    });
    match (is_readable, asks) {
        (false, _) => out.idiom(place, 14),
        (true, true) => out.idiom(place, 35),
        (true, false) if compares && !looks_at_length => out.idiom(place, 38),
        (true, false) => {}
    }
}

fn has_comparison(here: Here<'_, '_>, node: Node) -> bool {
    let tree = here.tree;
    std::iter::once(node)
        .chain(tree.descendants(node))
        .any(|node| tree.kind(node) == "comparison_operator")
}

fn returned(here: Here<'_, '_>, function: &Function) -> Vec<Node> {
    let tree = here.tree;
    tree.descendants(function.node)
        .filter(|&node| tree.kind(node) == "return_statement")
        .collect()
}

/// `return False`, `return 0` or nothing.
pub(crate) fn is_never(tree: &Tree, function: &Function) -> bool {
    let is_zero = |node| tree.kind(node) != "integer" || tree.text(node) == "0";
    is_constant(tree, function, &["false", "none", "integer"])
        && tree.descendants(function.node).all(is_zero)
}

/// It returns a value of one of these kinds, or nothing.
fn is_constant(tree: &Tree, function: &Function, kinds: &[&str]) -> bool {
    let Some(body) = function.body else {
        return true;
    };
    tree.children(body)
        .all(|statement| match tree.kind(statement) {
            "pass_statement" => true,
            "return_statement" => tree
                .children(statement)
                .all(|value| kinds.contains(&tree.kind(value))),
            "expression_statement" => tree
                .children(statement)
                .all(|value| tree.kind(value) == "string"),
            _ => false,
        })
}
