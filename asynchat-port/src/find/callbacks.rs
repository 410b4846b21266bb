//! Methods of a channel that its class overrides: what is in them, and what it means for a port.

use crate::{
    find::{call::Call, findings::Findings, here::Here},
    library::Root,
    model::{Class, Function, Target},
};

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
    let own = |name: &str| {
        calls.iter().find(|call| {
            call.name == name
                && call
                    .object
                    .is_some_and(|object| here.is_own_channel(object))
        })
    };
    match function.name.as_str() {
        "handle_close" => {
            if let Some(close) = own("close") {
                out.difference(close.node, "an end of file calls `handle_close`", "close");
            }
            if does_more_than_close(here, function) {
                out.difference(
                    place,
                    "`handle_error` ends in `handle_close`",
                    "handle_close",
                );
            }
            if reconnects(here, function, class) {
                out.idiom(place, 12);
                out.difference(place, "a refused connect", "handle_close");
            }
        }
        "handle_error" => {
            if calls
                .iter()
                .any(|call| call.name == "push" && here.is_on_channel(call))
            {
                out.idiom(place, 39);
            }
            if calls
                .iter()
                .any(|call| call.name == "handle_error" && is_base(here, call))
            {
                out.idiom(place, 44);
            }
            if here
                .context
                .program
                .method(class.id, "handle_accept")
                .or(here.context.program.method(class.id, "handle_accepted"))
                .is_some()
            {
                out.difference(place, "an error in accepting", "handle_error");
            }
        }
        "handle_connect" if root != Root::FileDispatcher && takes_a_socket(here, class) => {
            out.difference(
                place,
                "`handle_connect` for outgoing connections only",
                "handle_connect",
            );
        }
        "close" => {
            out.idiom(place, 43);
            out.pitfall(place, "Overriding `close()`", "close", None);
        }
        "handle_expt" => out.difference(place, "out-of-band data", "handle_expt"),
        "log" | "log_info" => out.difference(place, "output on stdout", &function.name),
        "handle_accept" | "handle_accepted" if counts_by_host(here, function) => {
            out.idiom(place, 8);
        }
        _ => {}
    }
    if matches!(function.name.as_str(), "close" | "handle_close") {
        let reports = calls.iter().find(|call| {
            here.is_on_other_channel(call) && !matches!(call.name, "close" | "close_when_done")
        });
        if let Some(report) = reports {
            out.idiom(report.node, 37);
        }
        let ended = calls.iter().find(|call| {
            here.is_on_other_channel(call) && matches!(call.name, "close" | "close_when_done")
        });
        if let Some(ended) = ended {
            out.idiom(ended.node, 34);
        }
    }
}

/// `asyncore.dispatcher.handle_error(self)`, `Base.handle_error(self)` or `super().handle_error()`.
fn is_base(here: Here<'_, '_>, call: &Call<'_>) -> bool {
    let by_name = matches!(
        (&call.found.target, call.found.rest),
        (Target::Item(..) | Target::Class(_), 1)
    );
    by_name || call.object.is_some_and(|object| here.is_super(object))
}

fn does_more_than_close(here: Here<'_, '_>, function: &Function) -> bool {
    let tree = here.tree;
    let statements = function
        .body
        .into_iter()
        .flat_map(|body| tree.children(body));
    statements.into_iter().any(|statement| {
        if matches!(tree.kind(statement), "pass_statement" | "return_statement") {
            return false;
        }
        let only = tree.children(statement).next();
        match only.map(|only| (only, tree.kind(only))) {
            Some((_, "string")) => false,
            Some((only, "call")) => here.calls.at(only).is_none_or(|call| {
                let is_base = call.name == "handle_close" && is_base(here, call);
                let is_own = call
                    .object
                    .is_some_and(|object| here.is_own_channel(object));
                !(is_base || is_own && matches!(call.name, "close" | "log" | "log_info"))
            }),
            _ => true,
        }
    })
}

/// `handle_close` connects again, also by way of another method of its class.
fn reconnects(here: Here<'_, '_>, function: &Function, class: &Class) -> bool {
    let connects = |call: &&Call<'_>| call.name == "connect" && here.is_on_channel(call);
    let mut calls = here.calls.in_function(function.id);
    calls.any(|call| {
        let helper = call.object.filter(|&object| here.is_own_channel(object));
        let helper = helper.and_then(|_| here.context.program.method(class.id, call.name));
        connects(&call)
            || helper
                .is_some_and(|helper| here.calls.in_function(helper).any(|call| connects(&call)))
    })
}

/// Its constructor hands a socket on to the base.
fn takes_a_socket(here: Here<'_, '_>, class: &Class) -> bool {
    let Some(init) = class.method("__init__") else {
        return false;
    };
    here.calls.in_function(init).any(|call| {
        let skipped = usize::from(!call.object.is_some_and(|object| here.is_super(object)));
        let socket = call.argument(skipped, "sock");
        call.name == "__init__"
            && is_base(here, call)
            && socket.is_some_and(|socket| here.tree.kind(socket) != "none")
    })
}

/// `self.count[addr[0]]`.
fn counts_by_host(here: Here<'_, '_>, function: &Function) -> bool {
    let tree = here.tree;
    let subscripts = tree
        .descendants(function.node)
        .filter(|&node| tree.kind(node) == "subscript");
    subscripts
        .into_iter()
        .any(|node| tree.field(node) == Some("subscript"))
}
