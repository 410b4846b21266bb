//! What the skeleton contains, under which names and with which types, before any of it is written.

mod bases;
mod fields;
mod methods;
mod naming;
mod parameters;

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
};

pub(super) use self::{
    fields::{addition, last_right},
    parameters::accepted_names,
};
use crate::{
    model::{ClassId, FunctionId, ModuleId, Program, Scope},
    resolve::Names,
    skeleton::{
        callbacks::{Callback, Returns, Trait},
        literal::Literal,
        scan::{self, Calls},
        types::{Todo, Type},
    },
    syntax::{Node, Tree},
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Channel(Trait),
    Producer,
    Plain,
}

impl Kind {
    pub(super) fn channel(self) -> Option<Trait> {
        match self {
            Self::Channel(of) => Some(of),
            _ => None,
        }
    }
}

/// How a channel comes by its socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    Listener,
    Client,
    /// Given by a listener.
    Stream,
    /// Given by the program: a descriptor, or a socket of another kind.
    Given,
    Datagrams,
}

/// A parameter of a function.
#[derive(Clone, Debug)]
pub(super) struct Parameter {
    pub(super) python: String,
    pub(super) rust: String,
    pub(super) type_: Type,
}

/// Where a method goes.
#[derive(Clone, Debug)]
pub(super) enum Home {
    /// `__init__`.
    New,
    Callback(&'static Callback),
    /// `more` of a producer.
    More,
    Own,
}

/// A function or method of the skeleton.
#[derive(Clone, Debug)]
pub(super) struct PlannedFunction {
    pub(super) id: FunctionId,
    pub(super) rust: String,
    pub(super) home: Home,
    pub(super) parameters: Vec<Parameter>,
    pub(super) returns: Returns,
    /// The first parameter is the object.
    pub(super) has_object: bool,
    /// It turns the loop or makes channels, at the top level of a module.
    pub(super) has_reactor: bool,
}

/// A field.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) python: String,
    pub(super) rust: String,
    pub(super) type_: Type,
    pub(super) initial: Initial,
}

/// The value of a field of a new object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Initial {
    /// A method assigns it later.
    Absent,
    /// It depends on a condition or on the value before, or is one of several.
    Unknown,
    Value(Node),
}

/// A class.
#[derive(Debug)]
pub(super) struct PlannedClass {
    pub(super) id: ClassId,
    pub(super) rust: String,
    pub(super) kind: Kind,
    pub(super) role: Role,
    /// Fields that hold a base.
    pub(super) bases: Vec<(String, ClassId)>,
    pub(super) fields: Vec<Field>,
    /// Places in `fields`, by the names in Python.
    by_name: HashMap<String, usize>,
    pub(super) methods: Vec<PlannedFunction>,
    /// The parameter of the constructor that is the socket.
    pub(super) socket: Option<String>,
    /// Of `new`.
    pub(super) parameters: Vec<Parameter>,
}

impl PlannedClass {
    /// A field of its own.
    pub(super) fn field(&self, python: &str) -> Option<&Field> {
        self.by_name.get(python).map(|&place| &self.fields[place])
    }

    fn add_field(&mut self, field: Field) {
        self.by_name.insert(field.python.clone(), self.fields.len());
        self.fields.push(field);
    }
}

/// A constant at the top level of a module.
#[derive(Debug)]
pub(super) struct Constant {
    pub(super) rust: String,
    pub(super) value: Literal,
    /// The literal: a name may be assigned several times, and the first counts.
    pub(super) node: Node,
}

/// A file.
#[derive(Debug)]
pub(super) struct PlannedModule {
    pub(super) id: ModuleId,
    /// Of its `mod`.
    pub(super) rust: String,
    pub(super) classes: Vec<ClassId>,
    pub(super) functions: Vec<PlannedFunction>,
    /// By their names in Python.
    pub(super) constants: HashMap<String, Constant>,
    /// Names that no variable may have: a constant or a variant is not shadowed.
    values: Rc<HashSet<String>>,
}

/// All that is known before writing.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) program: &'a Program,
    pub(super) names: &'a Names,
    pub(super) calls: Calls,
    pub(super) todo: Todo,
    pub(super) modules: Vec<PlannedModule>,
    /// Places in `modules`.
    places: HashMap<ModuleId, usize>,
    pub(super) classes: HashMap<ClassId, PlannedClass>,
    /// Position of each class behind its bases.
    ranks: HashMap<ClassId, usize>,
    pub(super) functions: HashMap<FunctionId, PlannedFunction>,
    /// Classes whose constructors have something for `handle_connect`.
    pub(super) greeting: HashSet<ClassId>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(program: &'a Program, names: &'a Names) -> Self {
        let mut plan = Self {
            program,
            names,
            calls: scan::scan(program, names),
            todo: Todo::default(),
            modules: Vec::new(),
            places: HashMap::new(),
            classes: HashMap::new(),
            ranks: HashMap::new(),
            functions: HashMap::new(),
            greeting: HashSet::new(),
        };
        plan.name_modules_and_classes();
        plan.embed_bases();
        plan.plan_parameters();
        plan.plan_classes();
        plan.plan_functions();
        plan.greeting = plan
            .classes
            .values()
            .filter(|class| plan.has_greeting(class))
            .map(|class| class.id)
            .collect();
        plan
    }

    pub(super) fn module(&self, module: ModuleId) -> Option<&PlannedModule> {
        self.places.get(&module).map(|&place| &self.modules[place])
    }

    pub(super) fn tree(&self, module: ModuleId) -> &'a Tree {
        &self.program[module].tree
    }

    /// A class with its embedded bases, nearest first, each with the path to it from `self`.
    pub(super) fn lineage(&self, class: ClassId) -> Vec<(String, ClassId)> {
        let mut line = vec![(String::new(), class)];
        let mut seen = HashSet::from([class]);
        let mut next = 0;
        while let Some((path, class)) = line.get(next).cloned() {
            next += 1;
            for (field, base) in self
                .classes
                .get(&class)
                .into_iter()
                .flat_map(|class| &class.bases)
            {
                if seen.insert(*base) {
                    line.push((format!("{path}.{field}"), *base));
                }
            }
        }
        line
    }

    /// The path from `self` to a field, and the field.
    pub(super) fn field(&self, class: ClassId, name: &str) -> Option<(String, &Field)> {
        self.lineage(class).into_iter().find_map(|(path, class)| {
            let field = self.classes.get(&class)?.field(name)?;
            Some((format!("self{path}.{}", field.rust), field))
        })
    }

    /// The path from `self` to the object that has a method, its class, and the method.
    pub(super) fn method(
        &self,
        class: ClassId,
        name: &str,
    ) -> Option<(String, ClassId, &PlannedFunction)> {
        self.lineage(class).into_iter().find_map(|(path, class)| {
            let id = self.program[class].method(name)?;
            Some((path, class, self.functions.get(&id)?))
        })
    }

    /// The first call of a method of the object itself, in the nearest class that calls it.
    pub(super) fn first_call(&self, class: ClassId, name: &str) -> Option<(ModuleId, Node)> {
        self.lineage(class).into_iter().find_map(|(_, class)| {
            let calls = self.calls.own.get(&(class, name.to_owned()))?;
            Some((self.program[class].module, *calls.first()?))
        })
    }

    /// The constructor of a class, and the class that has it.
    pub(super) fn constructor(&self, class: ClassId) -> Option<(ClassId, FunctionId)> {
        self.lineage(class).into_iter().find_map(|(_, class)| {
            let init = self.program[class].method("__init__")?;
            Some((class, init))
        })
    }

    /// The type of a class as code in a module names it.
    pub(super) fn class_path(&self, class: ClassId, from: ModuleId) -> String {
        let Some(planned) = self.classes.get(&class) else {
            return "todo::Unknown".to_owned();
        };
        let module = self.program[class].module;
        if module == from {
            planned.rust.clone()
        } else {
            let module = self
                .module(module)
                .map_or("", |module| module.rust.as_str());
            format!("super::{module}::{}", planned.rust)
        }
    }

    pub(super) fn rust(&self, type_: &Type, from: ModuleId) -> String {
        type_.rust(&|class| self.class_path(class, from))
    }

    /// The constant that an expression names.
    pub(super) fn constant(&self, module: ModuleId, node: Node) -> Option<&Constant> {
        let tree = self.tree(module);
        if tree.kind(node) != "identifier" {
            return None;
        }
        if let Scope::Function(function) = self.program[module].scope(node)
            && self.program[function].binds(tree.text(node))
        {
            return None;
        }
        self.module(module)?.constants.get(tree.text(node))
    }

    fn class_ids(&self) -> Vec<ClassId> {
        let mut ids: Vec<_> = self.classes.keys().copied().collect();
        ids.sort_unstable_by_key(|id| self.ranks.get(id).copied());
        ids
    }

    fn plan_classes(&mut self) {
        for class in self.class_ids() {
            self.plan_fields(class);
            let methods = self.plan_methods(class);
            let role = self.role(class);
            if let Some(planned) = self.classes.get_mut(&class) {
                (planned.methods, planned.role) = (methods, role);
            }
        }
    }
}
