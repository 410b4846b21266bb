//! Fields, with the types of their first assignments.

use std::collections::{HashMap, HashSet};

use super::{Field, Initial, Kind, Plan};
use crate::{
    model::{Attribute, ClassId, ModuleId, Program, Scope, Value},
    skeleton::{
        callbacks::ATTRIBUTES,
        literal::Literal,
        names::{self, Taken},
        types::Type,
    },
    syntax::{Node, Tree},
};

impl Plan<'_> {
    pub(super) fn plan_fields(&mut self, class: ClassId) {
        let program = self.program;
        let Some(planned) = self.classes.get(&class) else {
            return;
        };
        let is_channel = planned.kind.channel().is_some();
        let mut taken = Taken::new(planned.bases.iter().map(|(field, _)| field.as_str()));
        let collected = collected(program, class);
        let initials = initials(program, class);
        for attribute in &program[class].attributes {
            let name = attribute.name.as_str();
            let is_of_channel = is_channel && ATTRIBUTES.contains(&name);
            if is_of_channel || self.field(class, name).is_some() {
                continue;
            }
            let is_first = attribute
                .function
                .is_none_or(|function| program[function].name == "__init__");
            let initial = initials.get(name).copied().unwrap_or(if is_first {
                Initial::Unknown
            } else {
                Initial::Absent
            });
            let is_collected = collected.contains(name);
            let type_ = self.field_type(class, attribute, is_collected, initial);
            let field = Field {
                python: name.to_owned(),
                rust: taken.take(&names::value(name)),
                type_,
                initial,
            };
            if let Some(planned) = self.classes.get_mut(&class) {
                planned.add_field(field);
            }
        }
    }

    /// The value of the very first assignment.
    fn first_value(&self, class: ClassId, attribute: &Attribute) -> Option<Node> {
        let tree = self.tree(self.program[class].module);
        let assignment = tree.parent(attribute.node)?;
        if tree.kind(assignment) != "assignment" {
            return None;
        }
        tree.child(assignment, "right")
    }

    fn field_type(
        &mut self,
        class: ClassId,
        attribute: &Attribute,
        is_collected: bool,
        initial: Initial,
    ) -> Type {
        let program = self.program;
        let module = program[class].module;
        let tree = self.tree(module);
        let assigned = attribute.value.unwrap_or(attribute.node);
        let origin = tree
            .parent(assigned)
            .map_or("", |assignment| tree.text(assignment));
        let name = attribute.name.as_str();
        let known = match &attribute.guess {
            Value::Bool => Some(Type::Bool),
            Value::Int => Some(Type::Int),
            Value::Float => Some(Type::Float),
            Value::Bytes => Some(Type::Bytes),
            Value::Text if is_collected => Some(Type::Bytes),
            Value::Text => Some(Type::Text),
            Value::List if is_collected => Some(Type::Bytes),
            Value::List => Some(Type::List(self.todo.name(name, origin))),
            Value::Dict => Some(Type::Map(self.todo.name(name, origin))),
            Value::Set => Some(Type::Set(self.todo.name(name, origin))),
            Value::Call(called) => self.type_of_call(class, attribute, called),
            Value::Name(named) => attribute
                .value
                .and_then(|value| self.type_of_name(module, value, named)),
            _ => None,
        };
        let wanted = match &attribute.guess {
            Value::Call(dotted) | Value::Name(dotted) => dotted.rsplit('.').next().unwrap_or(name),
            _ => name,
        };
        let type_ = known.unwrap_or_else(|| Type::Todo(self.todo.name(wanted, origin)));
        let first = self.first_value(class, attribute);
        let last = match initial {
            Initial::Value(value) => Some(value),
            Initial::Absent | Initial::Unknown => None,
        };
        let is_none = [first, last]
            .into_iter()
            .flatten()
            .any(|value| Literal::of(tree, value) == Some(Literal::None));
        if is_none && !matches!(type_, Type::Option(_)) {
            Type::Option(Box::new(type_))
        } else {
            type_
        }
    }

    fn type_of_call(
        &mut self,
        class: ClassId,
        attribute: &Attribute,
        called: &str,
    ) -> Option<Type> {
        let module = self.program[class].module;
        let tree = self.tree(module);
        let call = tree.unwrapped(attribute.value?);
        if let Some(&made) = self.calls.constructed.get(&(module, call)) {
            let rank = |class| self.ranks.get(&class).copied();
            return match self.classes.get(&made)?.kind {
                Kind::Channel(_) => Some(Type::Channel),
                // An object does not contain itself.
                _ if rank(made) < rank(class) => Some(Type::Object(made)),
                _ => None,
            };
        }
        Some(match called {
            "int" | "len" | "long" => Type::Int,
            "float" => Type::Float,
            "str" | "unicode" => Type::Text,
            "bytes" | "bytearray" => Type::Bytes,
            "bool" => Type::Bool,
            "list" => Type::List(self.todo.name(&attribute.name, called)),
            "dict" => Type::Map(self.todo.name(&attribute.name, called)),
            "set" => Type::Set(self.todo.name(&attribute.name, called)),
            _ => return None,
        })
    }

    fn type_of_name(&self, module: ModuleId, value: Node, named: &str) -> Option<Type> {
        if let Some(constant) = self.constant(module, value) {
            return Type::of_literal(&constant.value);
        }
        let Scope::Function(function) = self.program[module].scope(value) else {
            return None;
        };
        if let Some(class) = self.program.receiver(function, named) {
            return self.program[class].is_channel().then_some(Type::Channel);
        }
        if let Some((object, name)) = named.split_once('.')
            && let Some(class) = self.program.receiver(function, object)
        {
            let (_, field) = self.field(class, name)?;
            return Some(field.type_.clone()).filter(|type_| !matches!(type_, Type::Object(_)));
        }
        let class = self.program[function].class?;
        let parameters = &self.classes.get(&class)?.parameters;
        let is_constructor = self.program[class].method("__init__") == Some(function);
        let parameter = parameters
            .iter()
            .find(|parameter| parameter.python == named);
        parameter
            .filter(|_| is_constructor)
            .map(|parameter| parameter.type_.clone())
    }
}

/// The values of a new object: the last that the constructor assigns without a condition, or else the body of the class.
fn initials(program: &Program, class: ClassId) -> HashMap<&str, Initial> {
    let class = &program[class];
    let tree = &program[class.module].tree;
    let mut initials = HashMap::new();
    if let Some(body) = tree.child(class.node, "body") {
        let name = |node| (tree.kind(node) == "identifier").then(|| tree.text(node));
        assign(tree, body, &name, &mut initials);
    }
    let init = class.method("__init__").map(|init| &program[init]);
    if let Some(init) = init
        && let (Some(body), Some(object)) = (init.body, init.receiver())
    {
        let name = |node| match tree.dotted(node).as_deref() {
            Some(&[first, name]) if first == object => Some(name),
            _ => None,
        };
        assign(tree, body, &name, &mut initials);
    }
    initials
}

/// Notes the assignments that are statements of the block itself.
fn assign<'t>(
    tree: &'t Tree,
    block: Node,
    name: &dyn Fn(Node) -> Option<&'t str>,
    initials: &mut HashMap<&'t str, Initial>,
) {
    let statements = tree.children(block);
    for statement in statements.filter(|&node| tree.kind(node) == "expression_statement") {
        let Some(mut node) = tree.children(statement).next() else {
            continue;
        };
        let value = last_right(tree, node);
        while matches!(tree.kind(node), "assignment" | "augmented_assignment")
            && let (Some(left), Some(right)) = (tree.child(node, "left"), tree.child(node, "right"))
        {
            let is_plain = tree.kind(node) == "assignment";
            if let Some(name) = name(tree.unwrapped(left)) {
                let initial = if is_plain {
                    Initial::Value(value)
                } else {
                    Initial::Unknown
                };
                initials.insert(name, initial);
            } else if tree.kind(left).contains("pattern") {
                let names = tree.descendants(left).filter_map(name);
                initials.extend(names.map(|name| (name, Initial::Unknown)));
            }
            node = right;
        }
    }
}

/// The value of an assignment to several targets one after the other: `a = b = 1`.
pub(in crate::skeleton) fn last_right(tree: &Tree, assignment: Node) -> Node {
    let mut node = assignment;
    while matches!(tree.kind(node), "assignment" | "augmented_assignment")
        && let Some(right) = tree.child(node, "right")
    {
        node = right;
    }
    node
}

/// The attributes to which `collect_incoming_data` adds its data.
fn collected(program: &Program, class: ClassId) -> HashSet<&str> {
    let Some(id) = program[class].method("collect_incoming_data") else {
        return HashSet::new();
    };
    let method = &program[id];
    let (Some(body), Some(data)) = (method.body, method.parameters.get(1)) else {
        return HashSet::new();
    };
    let tree = &program[method.module].tree;
    tree.descendants(body)
        .filter_map(|node| {
            let (attribute, added) = addition(tree, node)?;
            (tree.text(added) == data.name).then_some(attribute)
        })
        .collect()
}

/// The attribute to which a statement adds, and the value that it adds: `self.x = self.x + value`, `self.x += value`,
/// `self.x.append(value)`.
pub(in crate::skeleton) fn addition(tree: &Tree, node: Node) -> Option<(&str, Node)> {
    let attribute = |node: Node| match tree.dotted(node).as_deref() {
        Some(&[_, name]) => Some(name),
        _ => None,
    };
    match tree.kind(node) {
        "assignment" => {
            let (left, right) = (tree.child(node, "left")?, tree.child(node, "right")?);
            let name = attribute(left).filter(|_| tree.kind(right) == "binary_operator")?;
            let first = tree.child(right, "left")?;
            (attribute(first)? == name).then_some((name, tree.child(right, "right")?))
        }
        "augmented_assignment" => Some((
            attribute(tree.child(node, "left")?)?,
            tree.child(node, "right")?,
        )),
        "call" => {
            let function = tree.child(node, "function")?;
            let called = tree.child(function, "attribute")?;
            let name = attribute(tree.child(function, "object")?)?;
            let list = tree.child(node, "arguments")?;
            let is_adding = matches!(tree.text(called), "append" | "write");
            Some((name, tree.children(list).next()?)).filter(|_| is_adding)
        }
        _ => None,
    }
}
