//! Classes.

use std::collections::HashMap;

use crate::{
    library::Root,
    model::{
        target::{ClassId, FunctionId, ModuleId, Target},
        value::Value,
    },
    syntax::{Node, Position},
};

/// A class.
#[derive(Debug)]
pub struct Class {
    /// Its own id.
    pub id: ClassId,
    /// Its file.
    pub module: ModuleId,
    /// Its name alone.
    pub name: String,
    /// Its name with those around it, such as `Server.Handler`.
    pub qualified: String,
    /// The `class_definition`.
    pub node: Node,
    /// Of the word `class`.
    pub position: Position,
    /// In the order of the text, without keywords such as `metaclass=`.
    pub bases: Vec<Base>,
    /// In the order of the text; of two with one name the last counts in Python.
    pub methods: Vec<FunctionId>,
    /// In the order of their first assignments.
    pub attributes: Vec<Attribute>,
    /// Classes inside it.
    pub nested: Vec<ClassId>,
    /// The class around it.
    pub outer: Option<ClassId>,
    /// The class of asyncore or asynchat from which it descends.
    pub root: Option<Root>,
    /// Functions that its body assigns to names: `handle_read = on_read`.
    pub(crate) assigned: HashMap<String, FunctionId>,
    /// Functions that its methods assign to attributes: `self.handle_read = self.on_read`.
    pub(crate) kept: HashMap<String, FunctionId>,
    /// The last method of each name.
    pub(crate) by_name: HashMap<String, FunctionId>,
}

/// A base of a class.
#[derive(Debug)]
pub struct Base {
    /// The expression.
    pub node: Node,
    /// Its text.
    pub text: String,
    /// Its meaning.
    pub target: Target,
}

/// An attribute that the class itself sets.
#[derive(Debug)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// The target of its first assignment: `self.name`, or `name` in the body of the class.
    pub node: Node,
    /// The value of its first assignment that is not `None`, or of the first.
    pub value: Option<Node>,
    /// The kind of that value.
    pub guess: Value,
    /// The method that assigns it first; none in the body of the class.
    pub function: Option<FunctionId>,
}

impl Class {
    /// A method of its own.
    pub fn method(&self, name: &str) -> Option<FunctionId> {
        self.by_name.get(name).copied()
    }

    /// A method of its own, or a function that its body assigns to this name.
    pub fn callable(&self, name: &str) -> Option<FunctionId> {
        self.method(name)
            .or_else(|| self.assigned.get(name).copied())
    }

    /// True if its objects are channels.
    pub fn is_channel(&self) -> bool {
        self.root.is_some_and(Root::is_channel)
    }

    /// An attribute of its own.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes
            .iter()
            .find(|attribute| attribute.name == name)
    }
}
