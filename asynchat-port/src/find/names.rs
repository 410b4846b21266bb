//! Every name of the two modules, every attribute and method of a channel, and the names of ssl.

use crate::{
    find::{
        call,
        finding::Kind,
        findings::Findings,
        here::Here,
        types::Type,
        vocabulary::{self, ASYNCHAT, ASYNCORE, SSL},
    },
    library::Root,
    model::{ClassId, Target},
    syntax::Node,
};

/// Methods of contexts and TLS sockets that no other object has.
const OF_TLS: [&str; 6] = [
    "do_handshake",
    "getpeercert",
    "load_cert_chain",
    "selected_alpn_protocol",
    "set_alpn_protocols",
    "wrap_socket",
];

/// Attributes that the two modules only read.
const OFTEN_ONES_OWN: [&str; 2] = ["debug", "encoding"];

/// Methods of a channel's socket that only one with TLS has.
const OF_TLS_SOCKET: [&str; 4] = ["cipher", "pending", "unwrap", "version"];

/// At an `identifier` or `attribute`.
pub(crate) fn visit(here: Here<'_, '_>, out: &mut Findings<'_, '_>, node: Node) {
    let tree = here.tree;
    if tree.field(node) == Some("attribute") || is_definition(here, node) {
        return;
    }
    let is_object = tree.field(node) == Some("object");
    if !is_object && named(here, out, node) {
        return;
    }
    if let ("attribute", Some(object), Some(name)) = (
        tree.kind(node),
        tree.child(node, "object"),
        tree.child(node, "attribute"),
    ) {
        attribute(here, out, node, object, name, tree.text(name));
    }
}

/// At a `call`: `getattr(channel, 'push')`.
pub(crate) fn by_name(here: Here<'_, '_>, out: &mut Findings<'_, '_>, node: Node) {
    if let Some((object, place)) = call::named_attribute(here.tree, node)
        && let Some(name) = here.tree.string(place)
    {
        attribute(here, out, node, object, place, name);
    }
}

/// Names that are written, not used.
pub(crate) fn is_definition(here: Here<'_, '_>, node: Node) -> bool {
    let tree = here.tree;
    let Some(parent) = tree.parent(node) else {
        return true;
    };
    let kind = tree.kind(parent);
    let field = tree.field(node);
    matches!(
        kind,
        "dotted_name" | "aliased_import" | "parameters" | "lambda_parameters" | "global_statement"
    ) || field == Some("name")
        || tree.field(parent) == Some("superclasses") && kind == "argument_list"
        || is_target(here, node) && tree.kind(node) == "identifier"
}

/// On the left of an assignment, or of a loop.
pub(crate) fn is_target(here: Here<'_, '_>, node: Node) -> bool {
    let tree = here.tree;
    let binds = |kind| {
        matches!(
            kind,
            "assignment" | "augmented_assignment" | "for_statement" | "for_in_clause"
        )
    };
    tree.field(node) == Some("left")
        && tree
            .parent(node)
            .is_some_and(|parent| binds(tree.kind(parent)))
}

/// A whole dotted name that leads into one of the modules, or to ssl.
fn named(here: Here<'_, '_>, out: &mut Findings<'_, '_>, node: Node) -> bool {
    let tree = here.tree;
    let found = here
        .context
        .names
        .lookup(here.context.program, here.module.id, node);
    match &found.target {
        Target::Item(_, name) => {
            let dotted = tree.dotted(node).unwrap_or_default();
            let behind = dotted
                .len()
                .checked_sub(found.rest)
                .and_then(|at| dotted.get(at));
            if let (Some(root), Some(method)) = (Root::named(name), behind) {
                let place = tree.child(node, "attribute").unwrap_or(node);
                return member(out, place, root, method, Kind::Method);
            }
            item(here, out, node, name);
            true
        }
        Target::Foreign(name) => {
            if let Some(name) = name
                .strip_prefix("ssl.")
                .filter(|_| here.context.is_concerned(here.module))
            {
                let rows = [(SSL, name), (SSL, &format!("ssl.{name}"))];
                return out.row(node, Kind::Name, name, &rows);
            }
            let (module, item) = name.rsplit_once('.').unwrap_or_default();
            is_of_medusa(out, node, module, item)
        }
        Target::Class(class) if found.rest == 0 => {
            let class = &here.context.program[*class];
            let module = &here.context.program[class.module].name;
            class.module != here.module.id && is_of_medusa(out, node, module, &class.name)
        }
        _ => false,
    }
}

/// `producers.lines_producer`: Medusa's, or the program's copy of it.
fn is_of_medusa(out: &mut Findings<'_, '_>, node: Node, module: &str, name: &str) -> bool {
    if module.rsplit('.').next() != Some("producers") {
        return false;
    }
    let [(section, row)] = vocabulary::producer_rows(name);
    out.row(
        node,
        Kind::Name,
        name,
        &[(ASYNCHAT, row.as_str()), (section, row.as_str())],
    )
}

fn item(here: Here<'_, '_>, out: &mut Findings<'_, '_>, node: Node, name: &str) {
    let in_readable = here.method_around(here.module.scope(node)) == Some("readable");
    let errno = name.starts_with('E') && name != "ExitNow";
    let row = if errno { "errorcode" } else { name };
    out.row(node, Kind::Name, name, &[(ASYNCORE, row), (ASYNCHAT, row)]);
    match name {
        "socket_map" => {
            out.difference(node, "one global `socket_map`", name);
            if in_readable {
                out.idiom(node, 5);
            } else if is_looped_over(here, node) {
                out.idiom(node, 6);
            }
        }
        "ExitNow" if is_raised(here, node) => out.idiom(node, 54),
        // Handed to a thread.
        "loop" if here.tree.field(node) != Some("function") => out.idiom(node, 51),
        _ => {}
    }
}

/// `raise Name` or `raise Name(…)`.
fn is_raised(here: Here<'_, '_>, node: Node) -> bool {
    let mut around = here.tree.ancestors(node).take(2);
    around.any(|node| here.tree.kind(node) == "raise_statement")
}

/// In the head of a loop, or of a comprehension.
fn is_looped_over(here: Here<'_, '_>, node: Node) -> bool {
    let tree = here.tree;
    let mut node = node;
    for _ in 0..6 {
        let Some(parent) = tree.parent(node) else {
            return false;
        };
        if matches!(tree.kind(parent), "for_statement" | "for_in_clause") {
            return tree.field(node) == Some("right");
        }
        node = parent;
    }
    false
}

/// `object.name`, where the type of the object is known, or its name says enough.
fn attribute(
    here: Here<'_, '_>,
    out: &mut Findings<'_, '_>,
    node: Node,
    object: Node,
    place: Node,
    name: &str,
) {
    let tree = here.tree;
    let is_called = tree.field(node) == Some("function");
    let kind = if is_called {
        Kind::Method
    } else {
        Kind::Attribute
    };
    let root = match here.type_of(object) {
        Some(Type::Object(class)) if is_ones_own(here, class, name) => return,
        Some(Type::Object(class)) => match here.context.root(class) {
            Some(root) => root,
            None if name == "more" && here.context.program.method(class, "more").is_some() => {
                let [(section, row)] = vocabulary::producer_rows(name);
                out.row(place, Kind::Method, name, &[(section, row.as_str())]);
                return;
            }
            None => return,
        },
        Some(Type::Root(root)) => root,
        // `Base.method(self)` where the class of the program inherits it.
        Some(Type::Class(class)) => match here.context.root(class) {
            Some(root) if here.context.program.method(class, name).is_none() => root,
            _ => return,
        },
        Some(Type::Foreign(name_of_type)) => {
            if name_of_type.starts_with("ssl.") && here.context.is_concerned(here.module) {
                tls(out, place, name, kind);
            }
            return;
        }
        Some(Type::Many(_)) => return,
        None if here.is_super(object) => match here.class_around(here.module.scope(node)) {
            Some(class) => match here.context.root(class.id) {
                Some(root) => root,
                None => return,
            },
            None => return,
        },
        None => {
            let called = tree.dotted(object).and_then(|names| names.last().copied());
            // A request's own channel, whose type no constructor shows.
            let is_of_channel =
                called == Some("channel") && (name == "addr" || vocabulary::is_unmistakable(name));
            if is_of_channel || here.context.is_unmistakable(name) {
                member(out, place, Root::AsyncChat, name, kind);
            } else if is_called
                && here.context.is_concerned(here.module)
                && (OF_TLS.contains(&name)
                    || OF_TLS_SOCKET.contains(&name) && here.is_socket_of_channel(object))
            {
                tls(out, place, name, kind);
            }
            return;
        }
    };
    member(out, place, root, name, kind);
}

/// An attribute whose name a class takes for something else: its methods assign it.
fn is_ones_own(here: Here<'_, '_>, class: ClassId, name: &str) -> bool {
    let line = || here.context.program.lineage(class).into_iter();
    OFTEN_ONES_OWN.contains(&name)
        && line().any(|class| {
            let attribute = here.context.program[class].attribute(name);
            attribute.is_some_and(|attribute| attribute.function.is_some())
        })
}

fn tls(out: &mut Findings<'_, '_>, place: Node, name: &str, kind: Kind) {
    out.row(
        place,
        kind,
        name,
        &[(SSL, name), (SSL, &format!("context.{name}"))],
    );
}

fn member(out: &mut Findings<'_, '_>, node: Node, root: Root, name: &str, kind: Kind) -> bool {
    let rows = vocabulary::rows(root, name);
    let rows: Vec<_> = rows
        .iter()
        .map(|(section, row)| (*section, row.as_str()))
        .collect();
    out.row(node, kind, name, &rows)
}
