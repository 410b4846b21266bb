//! The names of modules, classes, functions and constants.

use std::{collections::HashMap, rc::Rc};

use super::{Constant, Home, Kind, Plan, PlannedClass, PlannedFunction, PlannedModule, Role};
use crate::{
    library::Root,
    model::{ClassId, ModuleId},
    skeleton::{
        callbacks::{Returns, Trait},
        literal::Literal,
        names::{self, Taken},
    },
    syntax::{Node, Tree},
};

/// Names of values and modules that the skeleton itself has, or imports.
const RESERVED_VALUES: [&str; 10] = [
    "main", "script", "todo", "std", "core", "alloc", "asynchat", "log", "io", "mem",
];

impl Plan<'_> {
    pub(super) fn name_modules_and_classes(&mut self) {
        let program = self.program;
        let mut taken = Taken::new(RESERVED_VALUES);
        for module in program
            .modules
            .iter()
            .filter(|module| self.calls.users.contains(&module.id))
        {
            let last = module.name.rsplit('.').next().unwrap_or_default();
            let wanted = if last.is_empty() { "module" } else { last };
            self.modules.push(PlannedModule {
                id: module.id,
                rust: taken.take(&names::value(wanted)),
                classes: Vec::new(),
                functions: Vec::new(),
                constants: HashMap::new(),
                values: Rc::default(),
            });
        }
        // Modules share a scope with the items of the only one.
        let mut scopes: HashMap<ModuleId, (usize, Taken)> = HashMap::new();
        for (at, module) in self.modules.iter().enumerate() {
            self.places.insert(module.id, at);
            let reserved = names::RESERVED.into_iter().chain(RESERVED_VALUES);
            scopes.insert(module.id, (at, Taken::new(reserved)));
        }
        for class in &program.classes {
            let Some((at, taken)) = scopes.get_mut(&class.module) else {
                continue;
            };
            let name = names::type_(&class.qualified.replace('.', "_"));
            self.modules[*at].classes.push(class.id);
            let kind = self.kind(class.id);
            self.classes.insert(
                class.id,
                PlannedClass {
                    id: class.id,
                    rust: taken.take(&name),
                    kind,
                    role: Role::Given,
                    bases: Vec::new(),
                    fields: Vec::new(),
                    by_name: HashMap::new(),
                    methods: Vec::new(),
                    socket: None,
                    parameters: Vec::new(),
                },
            );
        }
        for module in &mut self.modules {
            let Some((_, taken)) = scopes.get_mut(&module.id) else {
                continue;
            };
            let python = &program[module.id];
            for variable in &python.variables {
                let node = variable
                    .value
                    .filter(|&value| is_outermost(&python.tree, value));
                let Some(node) = node else {
                    continue;
                };
                let value = Literal::of(&python.tree, node);
                let Some(value) = value.filter(|value| *value != Literal::None) else {
                    continue;
                };
                if !module.constants.contains_key(&variable.name) {
                    let rust = taken.take(&names::constant(&variable.name));
                    module
                        .constants
                        .insert(variable.name.clone(), Constant { rust, value, node });
                }
            }
            let constants = module.constants.values();
            let constants = constants.map(|constant| constant.rust.trim_start_matches("r#"));
            let values = constants.chain(["Ok", "Err", "Some", "None"]);
            module.values = Rc::new(values.map(str::to_owned).collect());
            for &function in &python.functions {
                let rust = taken.take(&names::value(&program[function].name));
                module.functions.push(PlannedFunction {
                    id: function,
                    rust,
                    home: Home::Own,
                    parameters: Vec::new(),
                    returns: Returns::Nothing,
                    has_object: false,
                    has_reactor: self.calls.loopers.contains(&function),
                });
            }
        }
    }

    fn kind(&self, class: ClassId) -> Kind {
        let root = self.program[class].root;
        if root == Some(Root::AsyncChat) {
            Kind::Channel(Trait::AsyncChat)
        } else if root.is_some_and(Root::is_channel) {
            Kind::Channel(Trait::Dispatcher)
        } else if root == Some(Root::SimpleProducer) || self.program.method(class, "more").is_some()
        {
            Kind::Producer
        } else {
            Kind::Plain
        }
    }

    /// The names of a function's variables.
    pub(in crate::skeleton) fn variables(&self, module: ModuleId, reserved: &[&str]) -> Taken {
        let taken = Taken::new(reserved.iter().copied());
        match self.module(module) {
            Some(module) => taken.beside(Rc::clone(&module.values)),
            None => taken,
        }
    }
}

/// True for the value of a statement of its own at the top level.
fn is_outermost(tree: &Tree, value: Node) -> bool {
    let mut above = tree.ancestors(value).map(|node| tree.kind(node));
    above.next() == Some("assignment")
        && above.next() == Some("expression_statement")
        && above.next() == Some("module")
}
