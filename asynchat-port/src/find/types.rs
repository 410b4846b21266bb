//! The types of variables and attributes, as far as constructors show them. A guess is better than none here: an unknown
//! type hides a use of a channel, and there is no wrong one without an assignment of it.

use std::collections::HashMap;

use crate::{
    find::call::{self, Call, Calls},
    library::Root,
    model::{ClassId, FunctionId, Module, ModuleId, Program, Scope, Target},
    resolve::Names,
    syntax::{Node, Tree},
};

/// Passes over the program. What a pass learns of parameters the next one uses.
const PASSES: usize = 3;

/// Parts of an expression inside each other that are looked at.
const DEPTH: usize = 8;

/// Parameters of a function that are looked at.
const PARAMETERS: usize = 100;

/// The type of an expression.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Type {
    /// An object of a class of the program.
    Object(ClassId),
    /// An object of a class of asyncore or asynchat itself, or of one that a package derives.
    Root(Root),
    /// A class of the program.
    Class(ClassId),
    /// A list, dictionary or the like.
    Many(Box<Type>),
    /// The value of a function or class of another module.
    Foreign(String),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Owner {
    Module(ModuleId),
    Function(FunctionId),
}

/// The types of a program.
#[derive(Debug)]
pub(crate) struct Types<'p> {
    program: &'p Program,
    variables: HashMap<(Owner, &'p str), Type>,
    attributes: HashMap<(ClassId, &'p str), Type>,
}

impl<'p> Types<'p> {
    /// Of all variables and attributes.
    pub(crate) fn infer(program: &'p Program, names: &Names, calls: &[Calls<'p>]) -> Self {
        let mut types = Self {
            program,
            variables: HashMap::new(),
            attributes: HashMap::new(),
        };
        let interesting: Vec<Vec<Node>> = program
            .modules
            .iter()
            .map(|module| bindings(&module.tree))
            .collect();
        for class in &program.classes {
            for &function in class.assigned.values() {
                let first = program[function].parameters.first();
                if let Some(object) = first.filter(|_| program[function].class.is_none()) {
                    let name = (Owner::Function(function), object.name.as_str());
                    learn(&mut types.variables, name, Type::Object(class.id));
                }
            }
        }
        for _ in 0..PASSES {
            for ((module, calls), nodes) in program.modules.iter().zip(calls).zip(&interesting) {
                for &node in nodes {
                    types.bind(names, module, calls, node);
                }
                for call in &calls.all {
                    types.pass_arguments(names, module, calls, call);
                }
            }
            types.take_defaults(names, calls);
        }
        types
    }

    /// Of an expression.
    pub(crate) fn of(
        &self,
        names: &Names,
        module: &Module,
        calls: &Calls<'_>,
        node: Node,
    ) -> Option<Type> {
        self.of_expression(names, module, calls, node, DEPTH)
    }

    fn of_expression(
        &self,
        names: &Names,
        module: &Module,
        calls: &Calls<'_>,
        node: Node,
        depth: usize,
    ) -> Option<Type> {
        let tree = &module.tree;
        let depth = depth.checked_sub(1)?;
        let again = |node| self.of_expression(names, module, calls, node, depth);
        match tree.kind(node) {
            "identifier" => self.of_name(names, module, node),
            "attribute" => {
                let name = tree.text(tree.child(node, "attribute")?);
                match again(tree.child(node, "object")?) {
                    Some(Type::Object(class)) => self.attribute(class, name),
                    Some(_) => None,
                    None => self.of_target(names, module, node),
                }
            }
            "call" => {
                if let Some((object, name)) = call::named_attribute(tree, node) {
                    return match again(object)? {
                        Type::Object(class) => self.attribute(class, tree.string(name)?),
                        _ => None,
                    };
                }
                let call = calls.at(node)?;
                self.of_call(names, module, calls, call, depth)
            }
            "subscript" => {
                let value = tree.child(node, "value")?;
                match again(value)? {
                    // A slice is as its whole.
                    whole @ Type::Many(_)
                        if tree.children(node).any(|part| tree.kind(part) == "slice") =>
                    {
                        Some(whole)
                    }
                    Type::Many(element) => Some(*element),
                    _ => None,
                }
            }
            "list" | "tuple" | "set" | "expression_list" => {
                let element = tree.children(node).next()?;
                Some(Type::Many(Box::new(again(element)?)))
            }
            "parenthesized_expression" | "await" => again(tree.children(node).next()?),
            "conditional_expression" | "boolean_operator" => tree.children(node).find_map(again),
            "named_expression" => again(tree.child(node, "value")?),
            _ => None,
        }
    }

    fn of_name(&self, names: &Names, module: &Module, node: Node) -> Option<Type> {
        let name = module.tree.text(node);
        if let Scope::Function(function) = module.scope(node) {
            if let Some(class) = self.program.receiver(function, name) {
                return Some(Type::Object(class));
            }
            let mut function = Some(function);
            while let Some(id) = function {
                if self.program[id].binds(name) {
                    return self.variables.get(&(Owner::Function(id), name)).cloned();
                }
                function = self.program[id].outer;
            }
        }
        if let Scope::Class(class) = module.scope(node)
            && let Some(known) = self.attributes.get(&(class, name))
        {
            return Some(known.clone());
        }
        let variable = self
            .variables
            .get(&(Owner::Module(module.id), name))
            .cloned();
        variable.or_else(|| self.of_target(names, module, node))
    }

    fn of_target(&self, names: &Names, module: &Module, node: Node) -> Option<Type> {
        let found = names.lookup(self.program, module.id, node);
        match found.target {
            Target::Class(class) if found.rest == 0 => Some(Type::Class(class)),
            _ => None,
        }
    }

    /// An attribute of an object, set by its class or one of its bases.
    pub(crate) fn attribute(&self, class: ClassId, name: &str) -> Option<Type> {
        let line = self.program.lineage(class).into_iter();
        line.into_iter()
            .find_map(|class| self.attributes.get(&(class, name)).cloned())
    }

    fn of_call(
        &self,
        names: &Names,
        module: &Module,
        calls: &Calls<'_>,
        call: &Call<'_>,
        depth: usize,
    ) -> Option<Type> {
        match (&call.found.target, call.found.rest) {
            (Target::Class(class), 0) => return Some(Type::Object(*class)),
            (Target::Descendant(class), 0) => return Some(Type::Root(class.root)),
            (Target::Item(_, name), 0) => return Root::named(name).map(Type::Root),
            (Target::Foreign(name), _) => return Some(Type::Foreign(name.clone())),
            _ => {}
        }
        let again = |node| self.of_expression(names, module, calls, node, depth);
        let copies = ["list", "sorted", "tuple", "set", "reversed", "iter"];
        match call.object {
            None if copies.contains(&call.name) => again(*call.arguments.first()?),
            None => match self.of_name(names, module, call.name_node)? {
                Type::Class(class) => Some(Type::Object(class)),
                _ => None,
            },
            Some(object) => match again(object)? {
                whole @ Type::Many(_)
                    if ["values", "itervalues", "copy", "items", "iteritems"]
                        .contains(&call.name) =>
                {
                    Some(whole)
                }
                Type::Many(element)
                    if ["pop", "popleft", "get", "popitem", "setdefault"].contains(&call.name) =>
                {
                    Some(*element)
                }
                Type::Object(class) => match self.attribute(class, call.name)? {
                    Type::Class(class) => Some(Type::Object(class)),
                    _ => None,
                },
                Type::Foreign(name) => Some(Type::Foreign(format!("{name}.{}", call.name))),
                _ => None,
            },
        }
    }

    fn bind(&mut self, names: &Names, module: &'p Module, calls: &Calls<'_>, node: Node) {
        let tree = &module.tree;
        let part = |field| tree.child(node, field);
        match tree.kind(node) {
            "assignment" => {
                if let (Some(left), Some(right)) = (part("left"), part("right")) {
                    let value = self.of(names, module, calls, right);
                    self.assign_parts(names, module, calls, left, right, value);
                }
            }
            "for_statement" | "for_in_clause" => {
                if let (Some(left), Some(right)) = (part("left"), part("right"))
                    && let Some(Type::Many(element)) = self.of(names, module, calls, right)
                {
                    // Of pairs, as `items()` gives them, the second.
                    let target = match tree.kind(left) {
                        "pattern_list" | "tuple_pattern" => tree.children(left).last(),
                        _ => Some(left),
                    };
                    if let Some(target) = target {
                        self.assign(names, module, calls, target, *element);
                    }
                }
            }
            "as_pattern" => {
                let mut parts = tree.children(node);
                if let (Some(value), Some(target)) = (parts.next(), parts.next())
                    && let Some(value) = self.of(names, module, calls, value)
                    && let Some(target) = tree.children(target).next()
                {
                    self.assign(names, module, calls, target, value);
                }
            }
            _ => {}
        }
    }

    fn assign_parts(
        &mut self,
        names: &Names,
        module: &'p Module,
        calls: &Calls<'_>,
        left: Node,
        right: Node,
        value: Option<Type>,
    ) {
        let tree = &module.tree;
        if !matches!(tree.kind(left), "pattern_list" | "tuple_pattern") {
            if let Some(value) = value {
                self.assign(names, module, calls, left, value);
            }
            return;
        }
        // `sock, addr = self.accept()`: the first is the socket.
        if calls.at(right).is_some_and(|call| call.name == "accept")
            && let Some(first) = tree.children(left).next()
        {
            self.assign(
                names,
                module,
                calls,
                first,
                Type::Foreign("socket.socket".to_owned()),
            );
        }
        if matches!(tree.kind(right), "expression_list" | "tuple") {
            let pairs: Vec<_> = tree.children(left).zip(tree.children(right)).collect();
            for (left, right) in pairs {
                if let Some(value) = self.of(names, module, calls, right) {
                    self.assign(names, module, calls, left, value);
                }
            }
        }
    }

    fn assign(
        &mut self,
        names: &Names,
        module: &'p Module,
        calls: &Calls<'_>,
        target: Node,
        value: Type,
    ) {
        let tree = &module.tree;
        match tree.kind(target) {
            "identifier" => {
                let name = tree.text(target);
                let owner = match module.scope(target) {
                    Scope::Module => Owner::Module(module.id),
                    Scope::Class(class) => {
                        return learn(&mut self.attributes, (class, name), value);
                    }
                    Scope::Function(function) => match self.binding_function(function, name) {
                        Some(function) => Owner::Function(function),
                        None => Owner::Module(module.id),
                    },
                };
                learn(&mut self.variables, (owner, name), value);
            }
            "attribute" => {
                if let (Some(object), Some(name)) = (
                    tree.child(target, "object"),
                    tree.child(target, "attribute"),
                ) && let Some(Type::Object(class)) = self.of(names, module, calls, object)
                {
                    learn(&mut self.attributes, (class, tree.text(name)), value);
                }
            }
            "subscript" => {
                if let Some(container) = tree.child(target, "value")
                    && !matches!(tree.kind(container), "subscript")
                {
                    self.assign(names, module, calls, container, Type::Many(Box::new(value)));
                }
            }
            _ => {}
        }
    }

    fn binding_function(&self, function: FunctionId, name: &str) -> Option<FunctionId> {
        let mut function = Some(function);
        while let Some(id) = function {
            if self.program[id].binds(name) {
                return Some(id);
            }
            function = self.program[id].outer;
        }
        None
    }

    /// What is handed to a function is what its parameters are; what is added to a list is what it holds.
    fn pass_arguments(
        &mut self,
        names: &Names,
        module: &'p Module,
        calls: &Calls<'_>,
        call: &Call<'p>,
    ) {
        if let (Some(object), "append" | "add" | "insert" | "appendleft", Some(&added)) =
            (call.object, call.name, call.arguments.last())
            && let Some(added) = self.of(names, module, calls, added)
        {
            return self.assign(names, module, calls, object, Type::Many(Box::new(added)));
        }
        let Some((function, skipped)) = self.callee(names, module, calls, call) else {
            return;
        };
        let parameters = &self.program[function].parameters;
        let parameters = &parameters[..parameters.len().min(PARAMETERS)];
        let positional = parameters
            .iter()
            .skip(skipped)
            .take_while(|parameter| parameter.stars == 0);
        let mut passed: Vec<_> = positional
            .zip(&call.arguments)
            .map(|(parameter, &node)| (parameter, node))
            .collect();
        for &(keyword, value) in &call.keywords {
            passed.extend(
                parameters
                    .iter()
                    .filter(|parameter| parameter.name == keyword)
                    .map(|one| (one, value)),
            );
        }
        for (parameter, node) in passed {
            if let Some(value) = self.of(names, module, calls, node) {
                learn(
                    &mut self.variables,
                    (Owner::Function(function), parameter.name.as_str()),
                    value,
                );
            }
        }
    }

    /// A parameter that nothing is handed to is what its default value is: `lambda channel=self: …`.
    fn take_defaults(&mut self, names: &Names, calls: &[Calls<'p>]) {
        for function in &self.program.functions {
            let (module, calls) = (&self.program[function.module], &calls[function.module.0]);
            for parameter in function.parameters.iter().take(PARAMETERS) {
                if let Some(default) = parameter.default
                    && let Some(value) = self.of(names, module, calls, default)
                {
                    let name = (Owner::Function(function.id), parameter.name.as_str());
                    learn(&mut self.variables, name, value);
                }
            }
        }
    }

    /// The class behind which `super()` looks for a method, if the expression is such a call.
    pub(crate) fn super_class(
        &self,
        names: &Names,
        module: &Module,
        calls: &Calls<'_>,
        object: Node,
    ) -> Option<ClassId> {
        let call = calls.at(object).filter(|call| call.is_super())?;
        let named = call.arguments.first();
        match named.and_then(|&class| self.of(names, module, calls, class)) {
            Some(Type::Class(class)) => Some(class),
            _ => {
                let mut function = call.function()?;
                while let Some(outer) = self.program[function].outer {
                    function = outer;
                }
                self.program[function].class
            }
        }
    }

    /// The function that a call runs, and the number of its parameters that are not in the call.
    pub(crate) fn callee(
        &self,
        names: &Names,
        module: &Module,
        calls: &Calls<'_>,
        call: &Call<'_>,
    ) -> Option<(FunctionId, usize)> {
        let program = self.program;
        match (&call.found.target, call.found.rest) {
            (Target::Function(function), 0) => return Some((*function, 0)),
            (Target::Class(class), 0) => return Some((program.method(*class, "__init__")?, 1)),
            // `Base.method(self, …)`
            (Target::Class(class), 1) => return Some((program.method(*class, call.name)?, 0)),
            _ => {}
        }
        let called = match call.object {
            None => self.of_name(names, module, call.name_node)?,
            Some(object) => {
                if let Some(class) = self.super_class(names, module, calls, object) {
                    return Some((program.above(class, call.name)?, 1));
                }
                let Type::Object(class) = self.of(names, module, calls, object)? else {
                    return None;
                };
                if let Some(method) = program.callable(class, call.name) {
                    return Some((method, usize::from(!program[method].is_static())));
                }
                if let Some(kept) = program.kept(class, call.name) {
                    // Of a method the object is kept with it.
                    return Some((kept, usize::from(program[kept].class.is_some())));
                }
                self.attribute(class, call.name)?
            }
        };
        match called {
            Type::Class(class) => Some((program.method(class, "__init__")?, 1)),
            _ => None,
        }
    }
}

/// The nodes that give names values.
fn bindings(tree: &Tree) -> Vec<Node> {
    let is_binding = |kind| {
        matches!(
            kind,
            "assignment" | "for_statement" | "for_in_clause" | "as_pattern"
        )
    };
    tree.nodes()
        .filter(|&node| is_binding(tree.kind(node)))
        .collect()
}

/// The first type stays, unless it is one of another module.
fn learn<K: std::hash::Hash + Eq>(known: &mut HashMap<K, Type>, name: K, value: Type) {
    let old = known.entry(name).or_insert_with(|| value.clone());
    if matches!(old, Type::Foreign(_)) && !matches!(value, Type::Foreign(_)) {
        *old = value;
    }
}
