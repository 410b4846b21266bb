//! Classes, the callbacks and other methods that they override, and what the classes themselves mean for a port.

use crate::{
    find::{
        finding::Kind, findings::Findings, here::Here, predicates, reach, types::Type, vocabulary,
    },
    library::Root,
    model::{Base, Class, Target, Value},
    syntax::Node,
};

/// At a class.
pub(crate) fn visit(here: Here<'_, '_>, out: &mut Findings<'_, '_>, class: &Class) {
    let Some(root) = here.context.root(class.id) else {
        if is_first_test(here, class) && here.context.is_concerned(here.module) {
            out.pitfall(class.node, "Tests", &class.qualified, None);
        }
        return producer(here, out, class);
    };
    if class.root.is_some() {
        let rows = vocabulary::root_rows(root);
        let rows: Vec<_> = rows
            .iter()
            .map(|(section, row)| (*section, row.as_str()))
            .collect();
        out.row(class.node, Kind::Class, &class.qualified, &rows);
    }
    for attribute in class
        .attributes
        .iter()
        .filter(|attribute| attribute.function.is_none())
    {
        let is_function =
            class.assigned.contains_key(&attribute.name) || attribute.guess == Value::Lambda;
        let is_callback = is_function && vocabulary::is_callback(&attribute.name);
        let kind = if is_callback {
            Kind::Callback
        } else {
            Kind::Attribute
        };
        member(out, attribute.node, root, &attribute.name, kind);
    }
    for &method in &class.methods {
        let function = &here.context.program[method];
        if function.name != "__init__" {
            let kind = if vocabulary::is_callback(&function.name) || function.name == "more" {
                Kind::Callback
            } else {
                Kind::Override
            };
            member(out, here.name_of(function), root, &function.name, kind);
        }
    }
    if root.is_channel() {
        channel(here, out, class, root);
    }
}

/// The first `TestCase` of its file: what is to be said of tests is said once.
fn is_first_test(here: Here<'_, '_>, class: &Class) -> bool {
    let is_test = |class: &Class| {
        class
            .bases
            .iter()
            .any(|base| base.text.ends_with("TestCase"))
    };
    let mut classes = here.module.classes.iter();
    is_test(class)
        && classes.find(|&&class| is_test(&here.context.program[class])) == Some(&class.id)
}

/// A class of its own with `more()`.
fn producer(here: Here<'_, '_>, out: &mut Findings<'_, '_>, class: &Class) {
    let Some(more) = class.method("more") else {
        return;
    };
    let more = &here.context.program[more];
    if reach::is_more(here.context.program, more, here.context.has_descendants()) {
        let medusa = vocabulary::is_medusa_producer(&class.name).then_some(class.name.as_str());
        let [(section, row)] = vocabulary::producer_rows(medusa.unwrap_or("more"));
        out.row(
            class.node,
            Kind::Class,
            &class.qualified,
            &[(section, row.as_str())],
        );
        let [(section, row)] = vocabulary::producer_rows("more");
        out.row(
            here.name_of(more),
            Kind::Callback,
            "more",
            &[(section, row.as_str())],
        );
    }
}

fn channel(here: Here<'_, '_>, out: &mut Findings<'_, '_>, class: &Class, root: Root) {
    let is_last = !here.context.has_subclasses(class.id);
    if !is_last {
        out.pitfall(class.node, "Subclasses", &class.qualified, None);
    }
    if root != Root::AsyncChat && class.root.is_some() && is_last && spins(here, class) {
        out.difference(
            class.node,
            "`handle_read` unimplemented: spins",
            &class.qualified,
        );
    }
    if root == Root::FileDispatcher && class.root.is_some() {
        out.idiom(class.node, 62);
        out.difference(
            class.node,
            "a FIFO or terminal is read on after its end of file",
            &class.qualified,
        );
    }
    for attribute in class
        .attributes
        .iter()
        .filter(|attribute| attribute.function.is_some())
    {
        let known = here.context.types.attribute(class.id, &attribute.name);
        if let Some(Type::Object(other)) = known
            && here.context.root(other).is_some_and(Root::is_channel)
        {
            out.pitfall(
                attribute.node,
                "References to each other",
                &attribute.name,
                None,
            );
        }
    }
}

/// Methods by which a channel reads or accepts.
const READS: [&str; 5] = [
    "handle_read",
    "handle_read_event",
    "handle_accept",
    "handle_accept_event",
    "handle_accepted",
];

/// It is readable, and nothing reads. A base that is not known may read.
fn spins(here: Here<'_, '_>, class: &Class) -> bool {
    let program = here.context.program;
    let line: Vec<_> = program
        .lineage(class.id)
        .iter()
        .map(|&class| &program[class])
        .collect();
    let is_known = |base: &Base| {
        matches!(base.target, Target::Item(..) | Target::Class(_)) || base.text == "object"
    };
    // Also `handle_read = on_read`, and `self.handle_read = self.on_read`.
    let has = |name: &str| {
        line.iter()
            .any(|class| class.method(name).is_some() || class.attribute(name).is_some())
    };
    let readable = program
        .callable(class.id, "readable")
        .map(|id| &program[id]);
    let is_readable = match readable {
        Some(readable) => !predicates::is_never(&program[readable.module].tree, readable),
        // Of a lambda the value is not looked at.
        None => !has("readable"),
    };
    line.iter().all(|class| class.bases.iter().all(is_known))
        && !READS.iter().any(|name| has(name))
        && is_readable
}

fn member(out: &mut Findings<'_, '_>, node: Node, root: Root, name: &str, kind: Kind) -> bool {
    let rows = vocabulary::rows(root, name);
    let rows: Vec<_> = rows
        .iter()
        .map(|(section, row)| (*section, row.as_str()))
        .collect();
    out.row(node, kind, name, &rows)
}
