//! The life of a channel: listening, connecting, accepting, closing, and being handed over.

use crate::{
    find::{
        call::{self, Call},
        findings::Findings,
        here::Here,
        types::Type,
    },
    library::Root,
    model::{Class, Target},
    syntax::Node,
};

/// At a call.
pub(crate) fn visit(here: Here<'_, '_>, out: &mut Findings<'_, '_>, call: &Call<'_>) {
    if here.is_on_channel(call) {
        on_channel(here, out, call);
    }
    if let (Target::Item(_, name), 1, "__init__") = (&call.found.target, call.found.rest, call.name)
        && Root::named(name).is_some_and(Root::is_channel)
    {
        constructed(here, out, call);
    } else if call.name == "__init__"
        && call.object.is_some_and(|object| here.is_super(object))
        && here
            .class_around(call.scope)
            .is_some_and(|class| is_below_library(here, class))
    {
        constructed(here, out, call);
    }
    if let Target::Class(class) = call.found.target
        && call.found.rest == 0
        && here.context.root(class).is_some_and(Root::is_channel)
    {
        made(here, out, call);
    }
    on_socket(here, out, call);
}

/// One of its bases is of the library itself.
fn is_below_library(here: Here<'_, '_>, class: &Class) -> bool {
    class.bases.iter().any(|base| match &base.target {
        Target::Item(_, name) => Root::named(name).is_some_and(Root::is_channel),
        Target::Descendant(class) => class.root.is_channel(),
        _ => false,
    }) && here.context.root(class.id).is_some()
}

fn on_channel(here: Here<'_, '_>, out: &mut Findings<'_, '_>, call: &Call<'_>) {
    let place = call.node;
    match call.name {
        "listen" => out.idiom(place, 1),
        "accept" => {
            out.idiom(place, 2);
            if catches_type_error(here, call.statement) {
                out.idiom(place, 3);
            }
        }
        "connect" => connect(here, out, call),
        "bind" if is_host_name(here, call) == Some(true) => {
            out.difference(place, "`connect` and `bind` resolve names", call.name);
        }
        "create_socket" if mentions(here, call, "SOCK_DGRAM") => {
            out.difference(place, "`handle_error` of a UDP socket closes it", call.name);
        }
        "set_socket" => set_socket(here, out, call),
        "del_channel" => {
            out.difference(place, "`del_channel` at any time", call.name);
            let others: Vec<_> = others(here, call).collect();
            if others.iter().any(|other| passes_socket(here, other)) {
                out.idiom(place, 47);
            } else if !others.iter().any(|other| other.name == "set_socket") {
                out.idiom(place, 36);
            }
        }
        "add_channel" => out.idiom(place, 36),
        "handle_close" => {
            out.difference(place, "`handle_close` two or three times", call.name);
        }
        _ => {}
    }
}

/// The calls of the same function.
fn others<'a, 'p>(here: Here<'a, 'p>, call: &Call<'_>) -> impl Iterator<Item = &'a Call<'p>> {
    let function = call.function();
    function
        .into_iter()
        .flat_map(move |function| here.calls.in_function(function))
        .take(500)
}

fn connect(here: Here<'_, '_>, out: &mut Findings<'_, '_>, call: &Call<'_>) {
    let place = call.node;
    out.idiom(place, 9);
    out.difference(
        place,
        "`connect` waits as long as the kernel does",
        call.name,
    );
    if is_host_name(here, call) != Some(false) {
        out.difference(place, "`connect` and `bind` resolve names", call.name);
    }
    if tried(here, call.statement) {
        out.difference(
            place,
            "`connect` may call `handle_connect` at once",
            call.name,
        );
    }
    if let Some(bind) =
        others(here, call).find(|other| other.name == "bind" && here.is_on_channel(other))
    {
        out.idiom(bind.node, 13);
    }
}

/// Whether the address has a name for a host; none if the source does not show it.
fn is_host_name(here: Here<'_, '_>, call: &Call<'_>) -> Option<bool> {
    let tree = here.tree;
    let address = tree.unwrapped(*call.arguments.first()?);
    if tree.kind(address) != "tuple" {
        // A path of a Unix socket is a string.
        return tree.string(address).map(|_| false);
    }
    let host = tree.string(tree.children(address).next()?)?;
    Some(host.parse::<std::net::IpAddr>().is_err())
}

fn mentions(here: Here<'_, '_>, call: &Call<'_>, word: &str) -> bool {
    let mut values = call
        .arguments
        .iter()
        .copied()
        .chain(call.keywords.iter().map(|&(_, value)| value));
    values.any(|value| here.tree.text(value).ends_with(word))
}

fn tried(here: Here<'_, '_>, statement: Node) -> bool {
    let tree = here.tree;
    let mut around = std::iter::once(statement).chain(tree.ancestors(statement));
    around
        .by_ref()
        .take_while(|&node| tree.kind(node) != "function_definition")
        .any(|node| {
            tree.kind(node) == "block" && tree.field(node) == Some("body") && {
                tree.parent(node)
                    .is_some_and(|parent| tree.kind(parent) == "try_statement")
            }
        })
}

fn catches_type_error(here: Here<'_, '_>, statement: Node) -> bool {
    let tree = here.tree;
    let mut tries = tree
        .ancestors(statement)
        .take_while(|&node| tree.kind(node) != "function_definition");
    tries.any(|node| {
        tree.kind(node) == "try_statement"
            && tree.children(node).any(|part| {
                tree.kind(part) == "except_clause"
                    && tree.children(part).any(|caught| {
                        tree.field(caught) == Some("value")
                            && tree.text(caught).contains("TypeError")
                    })
            })
    })
}

fn set_socket(here: Here<'_, '_>, out: &mut Findings<'_, '_>, call: &Call<'_>) {
    let Some(&socket) = call.arguments.first() else {
        return;
    };
    let text = here.tree.text(socket);
    if text.contains("wrap_socket") || text.contains("Connection(") {
        return; // a detector of TLS finds it
    }
    out.idiom(call.node, if text.contains("fromfd") { 7 } else { 48 });
}

fn passes_socket(here: Here<'_, '_>, call: &Call<'_>) -> bool {
    call.name != "set_socket"
        && call.name != "wrap_socket"
        && call.arguments.iter().any(|&argument| {
            let tree = here.tree;
            tree.kind(argument) == "attribute"
                && tree
                    .child(argument, "attribute")
                    .is_some_and(|name| tree.text(name) == "socket")
                && tree
                    .child(argument, "object")
                    .is_some_and(|object| here.is_own_channel(object))
        })
}

/// The constructor of a base registers the object.
fn constructed(here: Here<'_, '_>, out: &mut Findings<'_, '_>, call: &Call<'_>) {
    if here.method_around(call.scope) != Some("__init__") {
        return;
    }
    out.difference(
        call.node,
        "constructing a dispatcher registers it",
        call.name,
    );
    let acts = [
        "push",
        "set_terminator",
        "connect",
        "listen",
        "send",
        "push_with_producer",
    ];
    if others(here, call).any(|other| acts.contains(&other.name) && here.is_on_channel(other)) {
        out.pitfall(
            call.node,
            "Constructors that register themselves",
            call.name,
            None,
        );
    }
}

/// A channel of the program is made.
fn made(here: Here<'_, '_>, out: &mut Findings<'_, '_>, call: &Call<'_>) {
    let accepts = matches!(
        here.method_around(call.scope),
        Some("handle_accept" | "handle_accepted")
    );
    if !here.is_in_callback(call.scope) || accepts {
        return;
    }
    let pushed = others(here, call).any(|other| {
        other.name == "push"
            && here.is_on_channel(other)
            && call::may_precede(here.tree, other.statement, call.statement)
    });
    let passes_itself = call
        .arguments
        .iter()
        .any(|&argument| here.is_own_channel(argument));
    out.idiom(call.node, if pushed && passes_itself { 42 } else { 11 });
}

fn on_socket(here: Here<'_, '_>, out: &mut Findings<'_, '_>, call: &Call<'_>) {
    let concerned = || here.context.is_concerned(here.module);
    match call.foreign() {
        Some("socket.getaddrinfo") if concerned() => {
            out.idiom(call.node, 10);
            let for_statement = here.tree.kind(call.statement) == "for_statement";
            if for_statement {
                out.difference(call.node, "a loop over `getaddrinfo`", call.name);
            }
        }
        Some("socket.fromfd") if concerned() => out.idiom(call.node, 7),
        _ => {}
    }
    if call.name == "shutdown"
        && !call.arguments.is_empty()
        && call
            .object
            .is_some_and(|object| here.is_socket_of_channel(object))
    {
        out.idiom(call.node, 22);
    }
    let is_accepted = || {
        matches!(
            here.method_around(call.scope),
            Some("handle_accept" | "handle_accepted")
        )
    };
    let is_socket = |object| match here.type_of(object) {
        Some(Type::Foreign(name)) => name == "socket.socket",
        Some(_) => false,
        // The argument of `handle_accepted`.
        None => is_parameter(here, call, object),
    };
    if matches!(call.name, "send" | "sendall" | "close")
        && is_accepted()
        && call.object.is_some_and(is_socket)
        && here
            .class_around(call.scope)
            .is_some_and(|class| here.context.root(class.id).is_some_and(Root::is_channel))
    {
        out.idiom(call.node, 5);
    }
}

fn is_parameter(here: Here<'_, '_>, call: &Call<'_>, object: Node) -> bool {
    let function = call
        .function()
        .map(|function| &here.context.program[function]);
    function.is_some_and(|function| {
        let mut names = function
            .parameters
            .iter()
            .map(|parameter| parameter.name.as_str());
        names.any(|name| name == here.tree.text(object))
    })
}
