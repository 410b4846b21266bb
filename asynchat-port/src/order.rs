//! The order in which to port classes: each behind its bases and the classes whose objects it makes.

use std::collections::HashMap;

use crate::model::{ClassId, Program, Target};

/// Leaves first. Of a circle the class that stands first in the text is first. `makes` are pairs of a class and one that
/// it makes objects of.
pub fn order(program: &Program, classes: &[ClassId], makes: &[(ClassId, ClassId)]) -> Vec<ClassId> {
    let mut needs: HashMap<ClassId, Vec<ClassId>> =
        classes.iter().map(|&class| (class, Vec::new())).collect();
    let bases = classes.iter().flat_map(|&class| {
        program[class]
            .bases
            .iter()
            .map(move |base| (class, &base.target))
    });
    let bases = bases.filter_map(|(class, base)| match base {
        Target::Class(base) => Some((class, *base)),
        _ => None,
    });
    for (class, needed) in bases.chain(makes.iter().copied()) {
        if class != needed
            && needs.contains_key(&needed)
            && let Some(list) = needs.get_mut(&class)
        {
            list.push(needed);
        }
    }
    // Depth first, without recursion: a class, and the number of its needs that were visited.
    let mut order = Vec::new();
    let mut seen: HashMap<ClassId, ()> = HashMap::new();
    for &class in classes {
        let mut path = vec![(class, 0)];
        while let Some((class, visited)) = path.last_mut() {
            let class = *class;
            if *visited == 0 && seen.insert(class, ()).is_some() {
                path.pop();
                continue;
            }
            match needs[&class].get(*visited) {
                Some(&needed) => {
                    *visited += 1;
                    if !seen.contains_key(&needed) {
                        path.push((needed, 0));
                    }
                }
                None => {
                    order.push(class);
                    path.pop();
                }
            }
        }
    }
    order
}
