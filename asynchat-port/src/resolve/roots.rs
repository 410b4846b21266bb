//! Which class of the two modules each class descends from.

use crate::{
    library::Root,
    model::{ClassId, Program, Target},
};

/// The root of each class. Without recursion, as a chain of classes may be long. A class that descends from itself has no root.
pub(super) fn roots(program: &Program) -> Vec<Option<Root>> {
    let mut roots: Vec<Option<Option<Root>>> = vec![None; program.classes.len()];
    let mut on_path = vec![false; program.classes.len()];
    for class in &program.classes {
        let mut path = vec![class.id];
        while let Some(&id) = path.last() {
            if roots[id.0].is_some() {
                path.pop();
                continue;
            }
            on_path[id.0] = true;
            let missing = program[id].bases.iter().find_map(|base| match base.target {
                Target::Class(base) if roots[base.0].is_none() && !on_path[base.0] => Some(base),
                _ => None,
            });
            if let Some(base) = missing {
                path.push(base);
                continue;
            }
            roots[id.0] = Some(root_by_bases(program, id, &roots));
            on_path[id.0] = false;
            path.pop();
        }
    }
    roots.into_iter().map(Option::flatten).collect()
}

fn root_by_bases(
    program: &Program,
    class: ClassId,
    roots: &[Option<Option<Root>>],
) -> Option<Root> {
    let of_bases = program[class]
        .bases
        .iter()
        .filter_map(|base| match &base.target {
            Target::Item(_, name) => Root::named(name),
            Target::Descendant(class) => Some(class.root),
            Target::Class(base) => roots[base.0].flatten(),
            _ => None,
        });
    let of_bases: Vec<_> = of_bases.collect();
    // A mixin may be a dispatcher itself, as pyftpdlib's SSLConnection.
    let chat = of_bases.iter().find(|&&root| root == Root::AsyncChat);
    chat.or(of_bases.first()).copied()
}
