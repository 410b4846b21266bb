//! The loop, its map, and loops beside it.

use crate::{
    find::{call::Call, findings::Findings, here::Here},
    library::Root,
    model::Target,
    syntax::Node,
};

/// At a call.
pub(crate) fn visit(here: Here<'_, '_>, out: &mut Findings<'_, '_>, call: &Call<'_>) {
    if let Some(name @ ("loop" | "poll" | "poll2" | "poll3")) = call.item() {
        run(here, out, call, name);
    }
    if let Some(map) = map_argument(here, call) {
        out.idiom(map, 53);
        out.difference(map, "one global `socket_map`", here.tree.text(map));
    }
    if let Some(name @ ("select.select" | "select.poll" | "select.epoll" | "select.kqueue")) =
        call.foreign()
        && here.context.is_concerned(here.module)
    {
        out.idiom(call.node, 59);
        if here.is_in_callback(call.scope) {
            out.pitfall(call.node, "Waiting inside a callback", name, None);
        }
    }
}

fn run(here: Here<'_, '_>, out: &mut Findings<'_, '_>, call: &Call<'_>, name: &str) {
    let is_loop = name == "loop";
    let is_counted = call.argument(3, "count").is_some();
    if here.is_in_callback(call.scope) {
        out.difference(
            call.node,
            "`asyncore.loop(count=1)` or `poll()` inside a callback",
            name,
        );
        out.pitfall(call.node, "Waiting inside a callback", name, None);
    } else if is_loop && !is_counted {
        let in_thread = call
            .function()
            .is_some_and(|function| here.context.reach.in_thread(function));
        if in_thread {
            out.idiom(call.node, 51);
        }
        if is_guarded(here, call.statement) || has_code_behind(here, call.statement) {
            out.difference(call.node, "`loop()` returns when the map is empty", name);
        }
        if here.context.has_timers_or_threads() {
            out.difference(call.node, "no timers, no threads", name);
        }
    } else if is_loop {
        out.idiom(call.node, 51);
    } else {
        out.idiom(
            call.node,
            if here.is_in_loop(call.statement) {
                59
            } else {
                52
            },
        );
    }
}

/// Inside a `try`.
fn is_guarded(here: Here<'_, '_>, statement: Node) -> bool {
    here.tree
        .ancestors(statement)
        .any(|node| here.tree.kind(node) == "try_statement")
}

fn has_code_behind(here: Here<'_, '_>, statement: Node) -> bool {
    let tree = here.tree;
    let mut behind = tree.following(statement).take(2);
    behind.any(|other| !matches!(tree.kind(other), "comment" | "pass_statement"))
}

/// The private map that a call names: of the loop, of a constructor, or of the constructor of a base.
fn map_argument(here: Here<'_, '_>, call: &Call<'_>) -> Option<Node> {
    let tree = here.tree;
    let map = match (&call.found.target, call.found.rest) {
        (Target::Item(_, name), 0) => match (name.as_str(), Root::named(name)) {
            ("loop", _) => call.argument(2, "map"),
            ("poll" | "poll2" | "poll3", _) => call.argument(1, "map"),
            ("close_all", _) => call.argument(0, "map"),
            (_, Some(root)) if root.is_channel() => call.argument(1, "map"),
            _ => None,
        },
        (Target::Item(_, name), 1) if call.name == "__init__" => Root::named(name)
            .filter(|root| root.is_channel())
            .and_then(|_| call.argument(2, "map")),
        (Target::Class(class), _) => {
            here.context.root(*class).filter(|root| root.is_channel())?;
            call.keywords
                .iter()
                .find(|(name, _)| *name == "map")
                .map(|&(_, value)| value)
        }
        _ if call.name == "__init__" && call.object.is_some_and(|object| here.is_super(object)) => {
            call.keywords
                .iter()
                .find(|(name, _)| *name == "map")
                .map(|&(_, value)| value)
        }
        _ => None,
    }?;
    let is_global = tree.kind(map) == "none" || tree.text(map).ends_with("socket_map");
    (!is_global).then_some(map)
}
