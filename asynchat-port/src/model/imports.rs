//! The imports of a statement.

use crate::{
    model::module::Import,
    syntax::{Node, Tree},
};

/// Of an `import_statement` or an `import_from_statement`.
pub(super) fn imports(tree: &Tree, statement: Node) -> Vec<Import> {
    let from = tree.child(statement, "module_name");
    let parts = tree.children(statement).filter(|&part| Some(part) != from);
    match from {
        None => parts.filter_map(|part| whole(tree, part)).collect(),
        Some(from) => {
            let (level, module) = module(tree, from);
            let import = |part| item(tree, part, level, &module);
            parts.filter_map(import).collect()
        }
    }
}

/// `name = importlib.import_module('a.b')` is `import a.b as name`. So is a call of another function with `import` in its name.
pub(super) fn by_call(tree: &Tree, name: &str, value: Node) -> Option<Import> {
    let function = tree
        .child(value, "function")
        .filter(|_| tree.kind(value) == "call")?;
    let called = tree.dotted(function)?;
    called.last().filter(|called| called.contains("import"))?;
    let given = tree.children(tree.child(value, "arguments")?).next()?;
    Some(Import {
        node: given,
        level: 0,
        module: tree.string(given)?.to_owned(),
        item: None,
        bound: Some(name.to_owned()),
    })
}

/// `import a.b`, `import a.b as c`.
fn whole(tree: &Tree, node: Node) -> Option<Import> {
    let (name, alias) = named(tree, node)?;
    let module = tree.dotted(name)?.join(".");
    let bound = alias.or_else(|| module.split('.').next().map(str::to_owned));
    Some(Import {
        node,
        level: 0,
        module,
        item: None,
        bound,
    })
}

/// A name behind `from module import`.
fn item(tree: &Tree, node: Node, level: usize, module: &str) -> Option<Import> {
    let module = module.to_owned();
    if tree.kind(node) == "wildcard_import" {
        let item = Some("*".to_owned());
        return Some(Import {
            node,
            level,
            module,
            item,
            bound: None,
        });
    }
    let (name, alias) = named(tree, node)?;
    let item = tree.text(name).to_owned();
    let bound = alias.or_else(|| Some(item.clone()));
    Some(Import {
        node,
        level,
        module,
        item: Some(item),
        bound,
    })
}

/// The name, and the one behind `as`.
fn named(tree: &Tree, node: Node) -> Option<(Node, Option<String>)> {
    match tree.kind(node) {
        "dotted_name" => Some((node, None)),
        "aliased_import" => {
            let alias = tree.text(tree.child(node, "alias")?).to_owned();
            Some((tree.child(node, "name")?, Some(alias)))
        }
        _ => None,
    }
}

/// The number of dots, and the name behind them.
fn module(tree: &Tree, from: Node) -> (usize, String) {
    let of_kind = |kind| tree.children(from).find(|&part| tree.kind(part) == kind);
    let (level, name) = if tree.kind(from) == "relative_import" {
        let dots = of_kind("import_prefix").map_or("", |dots| tree.text(dots));
        (
            dots.bytes().filter(|&byte| byte == b'.').count(),
            of_kind("dotted_name"),
        )
    } else {
        (0, Some(from))
    };
    let name = name.and_then(|name| tree.dotted(name)).unwrap_or_default();
    (level, name.join("."))
}
