//! The life of a channel: listening, connecting, accepting, closing, and being handed over.

use crate::{
    find::{
        call::{self, Call},
        findings::Findings,
        here::Here,
        types::Type,
    },
    library::Root,
    model::{Class, Function, Target},
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
        Target::Descendant(root) => root.is_channel(),
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
        None => here.tree.kind(object) == "identifier",
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
            is_on_other_channel(here, call) && !matches!(call.name, "close" | "close_when_done")
        });
        if let Some(report) = reports {
            out.idiom(report.node, 37);
        }
        let ended = calls.iter().find(|call| {
            is_on_other_channel(here, call) && matches!(call.name, "close" | "close_when_done")
        });
        if let Some(ended) = ended {
            out.idiom(ended.node, 34);
        }
    }
}

/// A method of an object of the program that is a channel, and not the one whose method this is.
pub(crate) fn is_on_other_channel(here: Here<'_, '_>, call: &Call<'_>) -> bool {
    call.object
        .is_some_and(|object| !here.is_own_channel(object))
        && here.is_on_channel(call)
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
