//! Classes, the callbacks and other methods that they override, and what the classes themselves mean for a port.

use crate::{
    find::{finding::Kind, findings::Findings, here::Here, types::Type, vocabulary},
    library::Root,
    model::Class,
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
        member(out, attribute.node, root, &attribute.name, Kind::Attribute);
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
    if more.parameters.len() == 1 {
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
    let program = here.context.program;
    let has = |name| program.method(class.id, name).is_some();
    let is_last = !here.context.has_subclasses(class.id);
    if !is_last {
        out.pitfall(class.node, "Subclasses", &class.qualified, None);
    }
    let reads = has("handle_read")
        || has("handle_read_event")
        || has("handle_accept")
        || has("handle_accepted");
    if root != Root::AsyncChat && class.root.is_some() && is_last && !reads {
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

fn member(out: &mut Findings<'_, '_>, node: Node, root: Root, name: &str, kind: Kind) -> bool {
    let rows = vocabulary::rows(root, name);
    let rows: Vec<_> = rows
        .iter()
        .map(|(section, row)| (*section, row.as_str()))
        .collect();
    out.row(node, kind, name, &rows)
}
