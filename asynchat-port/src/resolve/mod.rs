//! Names across files: imports, aliases, bases, and so the root of each class.

mod roots;

use std::{cell::RefCell, collections::HashMap};

use crate::{
    library::{self, Copies, Library, Name},
    model::{Binding, Class, ClassId, FunctionId, Import, ModuleId, Program, Scope, Target},
    syntax::Node,
};

/// Looks at bindings for one name. Names may be bound to each other in circles.
const LOOKS: usize = 64;

/// Parts of a dotted name that are looked at.
const PARTS: usize = 16;

/// The meaning of a dotted name, and the number of its last parts that are attributes of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// The meaning.
    pub target: Target,
    /// Parts behind it.
    pub rest: usize,
}

const UNKNOWN: Found = Found {
    target: Target::Unknown,
    rest: 0,
};

/// Looks names up.
#[derive(Debug)]
pub struct Names {
    copies: Copies,
    modules: HashMap<String, ModuleId>,
    /// By the last part of the name.
    endings: HashMap<String, Vec<ModuleId>>,
    /// By module and expression, as programs say the same names again and again.
    known: RefCell<HashMap<ModuleId, HashMap<String, Found>>>,
}

/// Fills in the copies among the modules, the bases of all classes, and their roots.
pub fn resolve(program: &mut Program, copies: Copies) -> Names {
    for module in &mut program.modules {
        let classes = module.classes.iter();
        let classes = classes.map(|&id| program.classes[id.0].name.as_str());
        let functions = module.functions.iter();
        let functions = functions.map(|&id| program.functions[id.0].name.as_str());
        module.copy_of = copies
            .library(&module.name)
            .filter(|_| {
                let mut classes = classes.clone();
                classes.any(|class| matches!(class, "dispatcher" | "async_chat"))
            })
            .or_else(|| library::of_names(classes, functions));
    }
    let names = Names::new(program, copies);
    let mut targets = Vec::new();
    for class in &program.classes {
        let module = &program[class.module];
        let own = program[class.id].name.as_str();
        let found = class.bases.iter().map(|base| {
            let dotted = module.tree.dotted(base.node).unwrap_or_default();
            // `class dispatcher(asyncore.dispatcher)`, or of the same name as an import before it.
            let found = names.lookup_around(program, class.module, &dotted, Some(class.id));
            if found.rest == 0 || dotted.first() == Some(&own) {
                found.target
            } else {
                Target::Unknown
            }
        });
        targets.push(found.collect::<Vec<_>>());
    }
    for (class, targets) in program.classes.iter_mut().zip(targets) {
        for (base, target) in class.bases.iter_mut().zip(targets) {
            base.target = target;
        }
    }
    let functions: Vec<_> = program
        .classes
        .iter()
        .map(|class| {
            (
                assigned(program, &names, class),
                kept(program, &names, class),
            )
        })
        .collect();
    for (class, functions) in program.classes.iter_mut().zip(functions) {
        (class.assigned, class.kept) = functions;
    }
    let roots = roots::roots(program);
    for (class, root) in program.classes.iter_mut().zip(roots) {
        class.root = root;
    }
    names
}

/// Functions that the body of a class assigns to names: methods of its own, functions of a module, or lambdas.
fn assigned(program: &Program, names: &Names, class: &Class) -> HashMap<String, FunctionId> {
    let tree = &program[class.module].tree;
    let in_body = class
        .attributes
        .iter()
        .filter(|attribute| attribute.function.is_none());
    let functions = in_body.filter_map(|attribute| {
        let value = attribute.value?;
        let own = match tree.dotted(value).as_deref() {
            Some(&[name]) => class.method(name),
            _ => None,
        };
        let function = own.or_else(|| function_at(program, names, class.module, value))?;
        Some((attribute.name.clone(), function))
    });
    functions.collect()
}

/// Functions that the methods of a class assign to attributes: methods of its own, functions of a module, or lambdas.
fn kept(program: &Program, names: &Names, class: &Class) -> HashMap<String, FunctionId> {
    let tree = &program[class.module].tree;
    let functions = class.attributes.iter().filter_map(|attribute| {
        let (method, value) = (attribute.function?, attribute.value?);
        let own = match tree.dotted(value).as_deref() {
            Some(&[object, name]) if program.receiver(method, object) == Some(class.id) => {
                program.method(class.id, name)
            }
            _ => None,
        };
        let function = own.or_else(|| function_at(program, names, class.module, value))?;
        Some((attribute.name.clone(), function))
    });
    functions.collect()
}

/// The lambda that an expression is, or the function of a module that it names.
fn function_at(
    program: &Program,
    names: &Names,
    module: ModuleId,
    value: Node,
) -> Option<FunctionId> {
    let here = &program[module];
    if here.tree.kind(value) == "lambda" {
        return match here.scope(value) {
            Scope::Function(function) => Some(function),
            Scope::Module | Scope::Class(_) => None,
        };
    }
    match names.lookup(program, module, value) {
        Found {
            target: Target::Function(function),
            rest: 0,
        } => Some(function),
        _ => None,
    }
}

impl Names {
    fn new(program: &Program, copies: Copies) -> Self {
        let mut modules = HashMap::new();
        let mut endings: HashMap<String, Vec<ModuleId>> = HashMap::new();
        let known = RefCell::default();
        for module in &program.modules {
            modules.entry(module.name.clone()).or_insert(module.id);
            let last = module.name.rsplit('.').next().unwrap_or_default();
            endings.entry(last.to_owned()).or_default().push(module.id);
        }
        Self {
            copies,
            modules,
            endings,
            known,
        }
    }

    /// The meaning of a dotted expression where it stands.
    pub fn lookup(&self, program: &Program, module: ModuleId, node: Node) -> Found {
        let here = &program[module];
        let Some(dotted) = here.tree.dotted(node) else {
            return UNKNOWN;
        };
        if let Scope::Function(function) = here.scope(node)
            && is_local(program, function, dotted[0])
        {
            return UNKNOWN;
        }
        let text = here.tree.text(node);
        let known = |known: &HashMap<ModuleId, HashMap<String, Found>>| {
            known.get(&module)?.get(text).cloned()
        };
        if let Some(found) = known(&self.known.borrow()) {
            return found;
        }
        let found = self.lookup_around(program, module, &dotted, None);
        let mut known = self.known.borrow_mut();
        known
            .entry(module)
            .or_default()
            .insert(text.to_owned(), found.clone());
        found
    }

    /// True if an import brings one of the two modules, a copy, or a name of theirs.
    pub fn is_library(&self, program: &Program, module: ModuleId, import: &Import) -> bool {
        let path = absolute(program, module, import);
        let names = path
            .split('.')
            .chain(import.item.as_deref().filter(|&item| item != "*"));
        let names: Vec<_> = names.filter(|part| !part.is_empty()).take(PARTS).collect();
        let found = self.in_modules(program, module, import.level, &names, &mut { LOOKS });
        matches!(
            found.target,
            Target::Library(_) | Target::Item(..) | Target::Descendant(_)
        )
    }

    /// Names at the top level of a module. `inside` is the class whose base is looked up: it is not bound yet.
    fn lookup_around(
        &self,
        program: &Program,
        module: ModuleId,
        dotted: &[&str],
        inside: Option<ClassId>,
    ) -> Found {
        let mut looks = LOOKS;
        let parts = dotted.len().min(PARTS);
        let mut found = self.bound(program, module, &dotted[..parts], inside, &mut looks);
        found.rest += dotted.len() - parts;
        found
    }

    fn bound(
        &self,
        program: &Program,
        module: ModuleId,
        dotted: &[&str],
        inside: Option<ClassId>,
        looks: &mut usize,
    ) -> Found {
        let Some((&first, rest)) = dotted.split_first() else {
            return UNKNOWN;
        };
        let mut best = UNKNOWN;
        for binding in program[module].bindings.get(first).into_iter().flatten() {
            if *looks == 0 {
                return best;
            }
            *looks -= 1;
            let found = match binding {
                Binding::Class(class) if Some(*class) == inside => continue,
                Binding::Class(class) => nested(program, *class, rest),
                Binding::Function(function) => Found {
                    target: Target::Function(*function),
                    rest: rest.len(),
                },
                Binding::Alias(names) => {
                    let names = names.iter().map(String::as_str).chain(rest.iter().copied());
                    let names: Vec<_> = names.take(PARTS).collect();
                    if names == dotted {
                        continue;
                    } else {
                        self.bound(program, module, &names, inside, looks)
                    }
                }
                Binding::Import(number) => {
                    let import = &program[module].imports[*number];
                    self.imported(program, module, import, dotted, looks)
                }
            };
            if weight(&found.target) > weight(&best.target) {
                best = found;
            }
        }
        if best == UNKNOWN {
            self.by_star(program, module, dotted, looks)
        } else {
            best
        }
    }

    fn imported(
        &self,
        program: &Program,
        module: ModuleId,
        import: &Import,
        dotted: &[&str],
        looks: &mut usize,
    ) -> Found {
        let path = absolute(program, module, import);
        let mut names: Vec<&str> = path.split('.').filter(|part| !part.is_empty()).collect();
        let is_alias = import.bound.as_deref() != names.first().copied();
        match &import.item {
            Some(item) => names.push(item),
            // `import a.b` binds `a`.
            None if !is_alias => names.clear(),
            None => {}
        }
        let skipped = usize::from(import.item.is_some() || is_alias);
        names.extend(&dotted[skipped..]);
        names.truncate(PARTS);
        self.in_modules(program, module, import.level, &names, looks)
    }

    /// A full name: the longest part of it that is a module, and the rest in that module.
    fn in_modules(
        &self,
        program: &Program,
        from: ModuleId,
        level: usize,
        names: &[&str],
        looks: &mut usize,
    ) -> Found {
        for length in (1..=names.len()).rev() {
            let (path, rest) = (names[..length].join("."), &names[length..]);
            let own = self.module(program, from, level, &path);
            let library = match own {
                Some(own) => program[own].copy_of,
                None => self.copies.library(names[length - 1]),
            };
            if let Some(library) = library {
                if let Some(found) = in_library(library, rest) {
                    return found;
                }
            } else if let Some(own) = own {
                return match rest.first() {
                    None => Found {
                        target: Target::Module(own),
                        rest: 0,
                    },
                    Some(_) if *looks == 0 => UNKNOWN,
                    Some(_) => {
                        *looks -= 1;
                        self.bound(program, own, rest, None, looks)
                    }
                };
            }
        }
        if let [path @ .., class] = names
            && let Some(class) = library::descendant(&path.join("."), class)
        {
            return Found {
                target: Target::Descendant(class),
                rest: 0,
            };
        }
        Found {
            target: Target::Foreign(names.join(".")),
            rest: 0,
        }
    }

    /// A module of the program: one beside the importing file, as in Python 2, or of exactly this name, or the only one
    /// whose name ends so.
    fn module(
        &self,
        program: &Program,
        from: ModuleId,
        level: usize,
        path: &str,
    ) -> Option<ModuleId> {
        let package = program[from].package();
        if level == 0 && !package.is_empty() {
            let beside = format!("{package}.{path}");
            if let Some(&found) = self.modules.get(&beside)
                && found != from
            {
                return Some(found);
            }
        }
        if let Some(&found) = self.modules.get(path)
            && found != from
        {
            return Some(found);
        }
        let last = path.rsplit('.').next().unwrap_or(path);
        if self.copies.library(last).is_some() {
            return None;
        }
        let ending = format!(".{path}");
        let mut candidates = self
            .endings
            .get(last)
            .into_iter()
            .flatten()
            .filter(|&&id| id != from && program[id].name.ends_with(&ending));
        let found = candidates.next();
        found.filter(|_| candidates.next().is_none()).copied()
    }

    fn by_star(
        &self,
        program: &Program,
        module: ModuleId,
        dotted: &[&str],
        looks: &mut usize,
    ) -> Found {
        for import in program[module]
            .imports
            .iter()
            .filter(|import| import.item.as_deref() == Some("*"))
        {
            if *looks == 0 {
                break;
            }
            *looks -= 1;
            let path = absolute(program, module, import);
            let names: Vec<_> = path
                .split('.')
                .chain(dotted.iter().copied())
                .take(PARTS)
                .collect();
            let found = self.in_modules(program, module, import.level, &names, looks);
            if !matches!(found.target, Target::Foreign(_) | Target::Unknown) {
                return found;
            }
            // `from asyncore import *` brings the modules that asyncore imports.
            if let Target::Foreign(name) = &found.target
                && name.split('.').next() == dotted.first().copied()
            {
                return found;
            }
        }
        UNKNOWN
    }
}

fn weight(target: &Target) -> u8 {
    match target {
        Target::Unknown => 0,
        Target::Foreign(_) => 1,
        Target::Module(_) | Target::Class(_) | Target::Function(_) => 2,
        Target::Library(_) | Target::Item(..) | Target::Descendant(_) => 3,
    }
}

/// The full name of the module of an import.
fn absolute(program: &Program, module: ModuleId, import: &Import) -> String {
    if import.level == 0 {
        return import.module.clone();
    }
    let mut package = program[module].package();
    for _ in 1..import.level.min(PARTS) {
        package = package.rsplit_once('.').map_or("", |(outer, _)| outer);
    }
    match (package, import.module.as_str()) {
        ("", module) => module.to_owned(),
        (package, "") => package.to_owned(),
        (package, module) => format!("{package}.{module}"),
    }
}

fn in_library(library: Library, rest: &[&str]) -> Option<Found> {
    let Some((&name, behind)) = rest.split_first() else {
        return Some(Found {
            target: Target::Library(library),
            rest: 0,
        });
    };
    match library.find(name)? {
        Name::Own(library) => Some(Found {
            target: Target::Item(library, name.to_owned()),
            rest: behind.len(),
        }),
        Name::Errno => Some(Found {
            target: Target::Item(library, name.to_owned()),
            rest: behind.len(),
        }),
        Name::Module if name == "asyncore" => in_library(Library::Asyncore, behind),
        Name::Module => Some(Found {
            target: Target::Foreign(rest.join(".")),
            rest: 0,
        }),
    }
}

fn nested(program: &Program, class: ClassId, rest: &[&str]) -> Found {
    let (mut class, mut rest) = (class, rest);
    while let Some((first, behind)) = rest.split_first() {
        let mut inner = program[class].nested.iter();
        let Some(&inner) = inner.find(|&&inner| program[inner].name == *first) else {
            break;
        };
        (class, rest) = (inner, behind);
    }
    Found {
        target: Target::Class(class),
        rest: rest.len(),
    }
}

fn is_local(program: &Program, function: FunctionId, name: &str) -> bool {
    let mut function = Some(function);
    while let Some(id) = function {
        if program[id].binds(name) {
            return true;
        }
        function = program[id].outer;
    }
    false
}
