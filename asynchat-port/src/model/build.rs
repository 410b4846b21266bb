//! From the syntax of a file to its module, in one pass.

use std::collections::{HashMap, HashSet};

use crate::{
    model::{
        class::{Attribute, Base, Class},
        function::{Function, Parameter},
        imports,
        module::{Binding, Import, Module, Scope, Variable},
        program::Program,
        target::{ClassId, FunctionId, ModuleId, Target},
        value::Value,
    },
    syntax::{Node, Tree},
};

/// Targets of `a = b = value` behind the first, after which the value is not looked for.
const TARGETS: usize = 16;

/// Adds a file to the program. Its bases and roots are unknown until `resolve` has seen all files.
pub fn add_module(
    program: &mut Program,
    path: String,
    name: String,
    is_package: bool,
    tree: Tree,
) -> ModuleId {
    let id = ModuleId(program.modules.len());
    let mut module = Module {
        id,
        path,
        name,
        is_package,
        scopes: Vec::with_capacity(tree.len()),
        tree,
        copy_of: None,
        classes: Vec::new(),
        functions: Vec::new(),
        variables: Vec::new(),
        imports: Vec::new(),
        bindings: HashMap::new(),
    };
    let tree = std::mem::replace(&mut module.tree, Tree::empty());
    let open = vec![(u32::MAX, Scope::Module)];
    let (attributes, imported, globals) = (HashMap::new(), HashSet::new(), HashSet::new());
    Builder {
        program,
        module: &mut module,
        tree: &tree,
        open,
        attributes,
        imported,
        globals,
    }
    .run();
    module.tree = tree;
    program.modules.push(module);
    id
}

struct Builder<'a> {
    program: &'a mut Program,
    module: &'a mut Module,
    tree: &'a Tree,
    /// Scopes around the node, and the first node behind each.
    open: Vec<(u32, Scope)>,
    /// Places in the lists of attributes.
    attributes: HashMap<(ClassId, &'a str), usize>,
    /// Level, module, item and name of the imports.
    imported: HashSet<(usize, String, Option<String>, Option<String>)>,
    /// Names that a function takes from its module.
    globals: HashSet<(FunctionId, &'a str)>,
}

impl<'a> Builder<'a> {
    fn run(mut self) {
        for node in self.tree.nodes() {
            while self
                .open
                .last()
                .is_some_and(|&(behind, _)| behind <= node.0)
            {
                self.open.pop();
            }
            let scope = self.enter(node);
            self.module.scopes.push(scope);
            self.bind(node, scope);
        }
    }

    fn scope(&self) -> Scope {
        self.open.last().map_or(Scope::Module, |&(_, scope)| scope)
    }

    /// The scope of a node, which is a new one for a class or function.
    fn enter(&mut self, node: Node) -> Scope {
        if let Some(around) = self.around_default(node) {
            self.open.push((self.tree.behind(node), around));
        }
        let scope = match self.tree.kind(node) {
            "class_definition" => self.class(node).map(Scope::Class),
            "function_definition" => self.function(node).map(Scope::Function),
            "lambda" => self.lambda(node).map(Scope::Function),
            _ => None,
        };
        let Some(scope) = scope else {
            return self.scope();
        };
        self.open.push((self.tree.behind(node), scope));
        scope
    }

    /// Default values stand where their function stands: the second `self` of `lambda self=self: …` is that of the method.
    fn around_default(&self, node: Node) -> Option<Scope> {
        let tree = self.tree;
        let [.., (_, around), (_, Scope::Function(function))] = self.open[..] else {
            return None;
        };
        let parameter = tree
            .parent(node)
            .filter(|_| tree.field(node) == Some("value"))?;
        let is_of_innermost = || {
            let of = tree.parent(parameter).and_then(|list| tree.parent(list));
            of == Some(self.program[function].node)
        };
        let kind = tree.kind(parameter);
        let has_default = matches!(kind, "default_parameter" | "typed_default_parameter");
        (has_default && is_of_innermost()).then_some(around)
    }

    fn class(&mut self, node: Node) -> Option<ClassId> {
        let tree = self.tree;
        let name = tree.text(tree.child(node, "name")?).to_owned();
        let id = ClassId(self.program.classes.len());
        let outer = match self.scope() {
            Scope::Class(outer) => Some(outer),
            Scope::Module | Scope::Function(_) => None,
        };
        let qualified = match outer {
            Some(outer) => {
                self.program.classes[outer.0].nested.push(id);
                format!("{}.{name}", self.program[outer].qualified)
            }
            None => name.clone(),
        };
        if outer.is_none() {
            // A class in a function is reachable by its name as those at the top level are.
            self.module.classes.push(id);
            self.name(&name, Binding::Class(id));
        }
        let list = tree.child(node, "superclasses");
        let bases = list.into_iter().flat_map(|list| tree.children(list));
        let bases = bases.filter(|&base| tree.kind(base) != "keyword_argument");
        let bases = bases.map(|node| Base {
            node,
            text: tree.text(node).to_owned(),
            target: Target::Unknown,
        });
        self.program.classes.push(Class {
            id,
            module: self.module.id,
            name,
            qualified,
            node,
            position: tree.position(node),
            bases: bases.collect(),
            methods: Vec::new(),
            attributes: Vec::new(),
            nested: Vec::new(),
            outer,
            root: None,
            assigned: HashMap::new(),
            kept: HashMap::new(),
            by_name: HashMap::new(),
        });
        Some(id)
    }

    fn function(&mut self, node: Node) -> Option<FunctionId> {
        let tree = self.tree;
        let name = tree.text(tree.child(node, "name")?).to_owned();
        let id = FunctionId(self.program.functions.len());
        let (class, outer) = match self.scope() {
            Scope::Class(class) => {
                let owner = &mut self.program.classes[class.0];
                owner.methods.push(id);
                owner.by_name.insert(name.clone(), id);
                (Some(class), None)
            }
            Scope::Function(outer) => {
                self.local(outer, &name, None);
                (None, Some(outer))
            }
            Scope::Module => {
                self.module.functions.push(id);
                self.name(&name, Binding::Function(id));
                (None, None)
            }
        };
        let decorated = tree
            .parent(node)
            .filter(|&parent| tree.kind(parent) == "decorated_definition");
        let decorators = decorated
            .into_iter()
            .flat_map(|parent| tree.children(parent));
        let decorators = decorators.filter(|&node| tree.kind(node) == "decorator");
        let decorators =
            decorators.map(|node| tree.text(node).trim_start_matches('@').trim().to_owned());
        let decorators = decorators.collect();
        self.add_function(node, name, class, outer, decorators);
        Some(id)
    }

    /// One that is the value of a name has this name. One inside another is a part of that.
    fn lambda(&mut self, node: Node) -> Option<FunctionId> {
        let tree = self.tree;
        let named = tree
            .parent(node)
            .filter(|_| tree.field(node) == Some("right"))
            .and_then(|assignment| tree.child(assignment, "left"))
            .filter(|&left| tree.kind(left) == "identifier");
        let id = FunctionId(self.program.functions.len());
        let (class, outer) = match self.scope() {
            Scope::Function(outer) => {
                let around = &mut self.program.functions[outer.0];
                if tree.kind(around.node) == "lambda" {
                    let (_, bound) = self.parameters(node);
                    self.program.functions[outer.0].bound.extend(bound);
                    return None;
                }
                (None, Some(outer))
            }
            Scope::Class(class) => (named.map(|_| class), None),
            Scope::Module => {
                if let Some(named) = named {
                    self.name(tree.text(named), Binding::Function(id));
                }
                (None, None)
            }
        };
        let name = named.map_or("lambda", |named| tree.text(named)).to_owned();
        self.add_function(node, name, class, outer, Vec::new());
        Some(id)
    }

    fn add_function(
        &mut self,
        node: Node,
        name: String,
        class: Option<ClassId>,
        outer: Option<FunctionId>,
        decorators: Vec<String>,
    ) {
        let tree = self.tree;
        let (parameters, bound) = self.parameters(node);
        self.program.functions.push(Function {
            id: FunctionId(self.program.functions.len()),
            module: self.module.id,
            name,
            class,
            outer,
            node,
            body: tree.child(node, "body"),
            position: tree.position(node),
            parameters,
            decorators,
            variables: Vec::new(),
            bound,
        });
    }

    /// The parameters of a function, and all names in them.
    fn parameters(&self, function: Node) -> (Vec<Parameter>, HashSet<String>) {
        let tree = self.tree;
        let list = || {
            let list = tree.child(function, "parameters");
            list.into_iter().flat_map(|list| tree.children(list))
        };
        let parameters: Vec<_> = list().filter_map(|node| self.parameter(node)).collect();
        let names = parameters.iter().map(|parameter| parameter.name.clone());
        let mut bound: HashSet<_> = names.collect();
        // A pattern of Python 2, `def f(self, (a, b))`.
        let patterns = list().filter(|&node| tree.kind(node) == "tuple_pattern");
        let names = patterns.flat_map(|node| tree.descendants(node));
        bound.extend(names.map(|node| tree.text(node).to_owned()));
        (parameters, bound)
    }

    fn parameter(&self, node: Node) -> Option<Parameter> {
        let tree = self.tree;
        let (name, stars) = match tree.kind(node) {
            "identifier" | "tuple_pattern" => (node, 0),
            "default_parameter" | "typed_default_parameter" => (tree.child(node, "name")?, 0),
            "typed_parameter" => (tree.children(node).next()?, 0),
            "list_splat_pattern" => (tree.children(node).next()?, 1),
            "dictionary_splat_pattern" => (tree.children(node).next()?, 2),
            _ => return None,
        };
        let default = tree.child(node, "value");
        Some(Parameter {
            name: tree.text(name).to_owned(),
            default,
            stars,
        })
    }

    fn name(&mut self, name: &str, binding: Binding) {
        self.module
            .bindings
            .entry(name.to_owned())
            .or_default()
            .push(binding);
    }

    fn bind(&mut self, node: Node, scope: Scope) {
        let tree = self.tree;
        match tree.kind(node) {
            "import_statement" | "import_from_statement" => {
                for import in imports::imports(tree, node) {
                    self.add_import(import);
                }
            }
            "assignment" => {
                let value = tree.child(node, "right");
                if let Some(left) = tree.child(node, "left") {
                    self.assign(left, value, scope);
                }
            }
            "named_expression" => {
                if let Some(name) = tree.child(node, "name") {
                    self.assign(name, tree.child(node, "value"), scope);
                }
            }
            "augmented_assignment" | "for_statement" | "for_in_clause" => {
                if let Some(left) = tree.child(node, "left") {
                    self.assign(left, None, scope);
                }
            }
            "except_clause" => {
                let mut names = tree
                    .children(node)
                    .filter(|&part| tree.field(part).is_some());
                if let Some(name) = names.nth(1) {
                    self.assign(name, None, scope);
                }
            }
            "global_statement" => {
                if let Scope::Function(function) = scope {
                    let names = tree.children(node).map(|name| (function, tree.text(name)));
                    self.globals.extend(names);
                }
            }
            "as_pattern_target" => {
                if let Some(target) = tree.children(node).next() {
                    let value = tree
                        .parent(node)
                        .and_then(|pattern| tree.children(pattern).next());
                    self.assign(target, value, scope);
                }
            }
            _ => {}
        }
    }

    /// Targets in the order of the text; `a, b = 1, 2` gives each its value.
    fn assign(&mut self, target: Node, value: Option<Node>, scope: Scope) {
        let tree = self.tree;
        let mut pairs = vec![(target, value)];
        while let Some((target, value)) = pairs.pop() {
            match tree.kind(target) {
                "pattern_list" | "tuple_pattern" | "list_pattern" | "tuple" | "list"
                | "expression_list" => {
                    let targets: Vec<_> = tree.children(target).collect();
                    let values: Vec<_> = value
                        .map(|value| tree.unwrapped(value))
                        .filter(|&value| {
                            matches!(tree.kind(value), "expression_list" | "tuple" | "list")
                        })
                        .map(|value| tree.children(value).collect())
                        .unwrap_or_default();
                    let paired = values.len() == targets.len();
                    let values = (0..targets.len()).map(|at| paired.then(|| values[at]));
                    pairs.extend(targets.iter().copied().zip(values).rev());
                }
                "list_splat_pattern" => {
                    pairs.extend(tree.children(target).next().map(|inner| (inner, None)));
                }
                "identifier" => self.assign_name(target, value, scope),
                "attribute" => self.assign_attribute(target, value, scope),
                _ => {}
            }
        }
    }

    fn assign_name(&mut self, target: Node, value: Option<Node>, scope: Scope) {
        let tree = self.tree;
        let name = tree.text(target);
        match scope {
            Scope::Module => {
                let alias = value.and_then(|value| tree.dotted(value));
                if let Some(names) = alias {
                    self.name(
                        name,
                        Binding::Alias(names.into_iter().map(str::to_owned).collect()),
                    );
                }
                if let Some(import) = value.and_then(|value| imports::by_call(tree, name, value)) {
                    self.add_import(import);
                }
                let name = name.to_owned();
                self.module.variables.push(Variable { name, value });
            }
            Scope::Class(class) => self.attribute(class, name, target, value, None),
            Scope::Function(function) if self.globals.contains(&(function, name)) => {
                let name = name.to_owned();
                self.module.variables.push(Variable { name, value });
            }
            Scope::Function(function) => self.local(function, name, value),
        }
    }

    fn local(&mut self, function: FunctionId, name: &str, value: Option<Node>) {
        let function = &mut self.program.functions[function.0];
        function.bound.insert(name.to_owned());
        function.variables.push(Variable {
            name: name.to_owned(),
            value,
        });
    }

    fn assign_attribute(&mut self, target: Node, value: Option<Node>, scope: Scope) {
        let tree = self.tree;
        let (Scope::Function(function), Some(object)) = (scope, tree.child(target, "object"))
        else {
            return;
        };
        if tree.kind(object) != "identifier" {
            return;
        }
        let class = self.program.receiver(function, tree.text(object));
        if let (Some(class), Some(name)) = (class, tree.child(target, "attribute")) {
            self.attribute(class, tree.text(name), target, value, Some(function));
        }
    }

    fn attribute(
        &mut self,
        class: ClassId,
        name: &'a str,
        node: Node,
        value: Option<Node>,
        function: Option<FunctionId>,
    ) {
        // `a = b = 1`: the value is an assignment itself.
        let mut value = value;
        for _ in 0..TARGETS {
            let Some(inner) = value.filter(|&value| self.tree.kind(value) == "assignment") else {
                break;
            };
            value = self.tree.child(inner, "right");
        }
        let guess = value.map_or(Value::Other, |value| Value::of(self.tree, value));
        let attributes = &mut self.program.classes[class.0].attributes;
        let place = *self
            .attributes
            .entry((class, name))
            .or_insert(attributes.len());
        match attributes.get_mut(place) {
            Some(known) if known.guess == Value::None && value.is_some() => {
                known.value = value;
                known.guess = guess;
            }
            Some(_) => {}
            None => {
                let name = name.to_owned();
                attributes.push(Attribute {
                    name,
                    node,
                    value,
                    guess,
                    function,
                });
            }
        }
    }

    fn add_import(&mut self, import: Import) {
        let number = self.module.imports.len();
        // Each function may import the same again.
        let identity = (
            import.level,
            import.module.clone(),
            import.item.clone(),
            import.bound.clone(),
        );
        if !self.imported.insert(identity) {
            return;
        }
        if let Some(bound) = import.bound.clone() {
            self.name(&bound, Binding::Import(number));
        }
        self.module.imports.push(import);
    }
}
