//! Finds in a program what its port will meet. One file a family of detectors; each looks at a call, a name, a class or a
//! method, and at the little around it.

mod blocking;
pub(crate) mod call;
mod callbacks;
mod classes;
pub(crate) mod context;
mod finding;
mod findings;
mod framing;
pub(crate) mod here;
mod life;
mod looping;
mod names;
mod predicates;
pub(crate) mod reach;
mod sending;
mod threads;
mod tls;
pub(crate) mod types;
mod vocabulary;

pub use self::finding::{Entry, Finding, Kind};
use self::{call::Call, findings::Findings, here::Here, types::Type};
use crate::{library::Root, load::Loaded, model::ClassId, syntax::Node};

/// What is found in a program.
#[derive(Debug)]
pub struct Found {
    /// In the order of files and lines.
    pub findings: Vec<Finding>,
    /// Pairs of a class, and one that it makes objects of.
    pub makes: Vec<(ClassId, ClassId)>,
}

/// Looks at the whole program.
pub fn find(loaded: &Loaded) -> Found {
    let context = context::Context::new(loaded);
    let mut findings = Vec::new();
    let mut makes = Vec::new();
    let mut classes: Vec<Vec<_>> = loaded.program.modules.iter().map(|_| Vec::new()).collect();
    for class in &loaded.program.classes {
        classes[class.module.0].push(class);
    }
    for (module, classes) in loaded.program.modules.iter().zip(classes) {
        if module.copy_of.is_some() {
            continue;
        }
        let here = Here::new(&context, module);
        let mut found = Findings::new(here);
        for node in module.tree.nodes() {
            visit(here, &mut found, node);
        }
        for class in classes {
            classes::visit(here, &mut found, class);
            let Some(root) = context.root(class.id).filter(|root| root.is_channel()) else {
                continue;
            };
            for &method in &class.methods {
                let method = &loaded.program[method];
                callbacks::method(here, &mut found, class, root, method);
                sending::method(here, &mut found, root, method);
                framing::method(here, &mut found, class, root, method);
                predicates::method(here, &mut found, method);
            }
        }
        findings.extend(in_order(found.list));
        makes.extend(here.calls.all.iter().filter_map(|call| maker(here, call)));
    }
    Found { findings, makes }
}

/// The class in which an object is made, and the class of the object.
fn maker(here: Here<'_, '_>, call: &Call<'_>) -> Option<(ClassId, ClassId)> {
    let around = here.class_around(call.scope)?.id;
    let callee = here.tree.child(call.node, "function")?;
    match here.type_of(callee)? {
        Type::Class(made) => Some((around, made)),
        _ => None,
    }
}

fn visit(here: Here<'_, '_>, found: &mut Findings<'_, '_>, node: Node) {
    match here.tree.kind(node) {
        "identifier" | "attribute" => {
            names::visit(here, found, node);
            if !matches!(here.tree.field(node), Some("object" | "attribute")) {
                if !names::is_definition(here, node) {
                    tls::name(here, found, node);
                }
                other_names(here, found, node);
            }
        }
        "assignment" => threads::assignment(here, found, node),
        "await" if here.context.is_concerned(here.module) => found.idiom(node, 60),
        "call" => {
            names::by_name(here, found, node);
            let Some(call) = here.calls.at(node) else {
                return;
            };
            looping::visit(here, found, call);
            life::visit(here, found, call);
            sending::visit(here, found, call);
            framing::visit(here, found, call);
            blocking::visit(here, found, call);
            tls::visit(here, found, call);
            threads::visit(here, found, call);
            threads::socket(here, found, call);
            if call.item() == Some("file_dispatcher") {
                found.idiom(node, 62);
            }
        }
        _ => {}
    }
}

/// Names that are an idiom by themselves.
fn other_names(here: Here<'_, '_>, found: &mut Findings<'_, '_>, node: Node) {
    let tree = here.tree;
    let name = tree
        .child(node, "attribute")
        .map_or_else(|| tree.text(node), |name| tree.text(name));
    let of_channel = || {
        let object = tree.child(node, "object");
        object.is_some_and(|object| here.root_of(object).is_some_and(Root::is_channel))
    };
    match name {
        "NOT_DONE_YET" if !names::is_definition(here, node) => found.idiom(node, 19),
        "accepting" | "connected" if names::is_target(here, node) && of_channel() => {
            found.idiom(node, if name == "accepting" { 7 } else { 48 });
            found.pitfall(node, "Names you used", name, None);
        }
        _ => {}
    }
}

/// By place; what two detectors say in the same words is said once.
fn in_order(mut findings: Vec<Finding>) -> Vec<Finding> {
    let key = |finding: &Finding| {
        (
            finding.position,
            finding.kind,
            finding.entry.key(),
            finding.name.clone(),
        )
    };
    findings.sort_by_cached_key(key);
    findings.dedup_by(|one, other| key(one) == key(other));
    findings
}
