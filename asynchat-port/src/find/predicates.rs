//! `readable` and `writable`.

use crate::{
    find::{findings::Findings, here::Here},
    model::Function,
    syntax::Node,
};

/// At a method of a channel.
pub(crate) fn method(here: Here<'_, '_>, out: &mut Findings<'_, '_>, function: &Function) {
    let is_readable = function.name == "readable";
    if !is_readable && function.name != "writable" {
        return;
    }
    let place = here.name_of(function);
    if is_constant(here, function) {
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

/// `return True`, `return 0` or nothing.
fn is_constant(here: Here<'_, '_>, function: &Function) -> bool {
    let tree = here.tree;
    let Some(body) = function.body else {
        return true;
    };
    tree.children(body)
        .all(|statement| match tree.kind(statement) {
            "pass_statement" => true,
            "return_statement" => tree
                .children(statement)
                .all(|value| matches!(tree.kind(value), "true" | "false" | "integer" | "none")),
            "expression_statement" => tree
                .children(statement)
                .all(|value| tree.kind(value) == "string"),
            _ => false,
        })
}
