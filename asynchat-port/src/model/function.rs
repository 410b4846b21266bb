//! Functions and methods.

use std::collections::HashSet;

use crate::{
    model::{
        module::Variable,
        target::{ClassId, FunctionId, ModuleId},
    },
    syntax::{Node, Position},
};

/// A function, a method, or a lambda.
#[derive(Debug)]
pub struct Function {
    /// Its own id.
    pub id: FunctionId,
    /// Its file.
    pub module: ModuleId,
    /// Its name. Of a lambda that of the variable whose value it is, or `lambda`.
    pub name: String,
    /// The class whose method it is.
    pub class: Option<ClassId>,
    /// The function in which it stands.
    pub outer: Option<FunctionId>,
    /// The `function_definition` or `lambda`.
    pub node: Node,
    /// Its block, or the value of a lambda.
    pub body: Option<Node>,
    /// Of the word `def` or `lambda`.
    pub position: Position,
    /// With `self`.
    pub parameters: Vec<Parameter>,
    /// The expressions behind `@`, as text.
    pub decorators: Vec<String>,
    /// Local variables in the order of their assignments, a name several times if it is assigned several times.
    pub variables: Vec<Variable>,
    /// All names that are parameters or local variables.
    pub(crate) bound: HashSet<String>,
}

/// A parameter.
#[derive(Debug)]
pub struct Parameter {
    /// Its name; that of a pattern is its text.
    pub name: String,
    /// Its default value.
    pub default: Option<Node>,
    /// `*` or `**` before it, or nothing.
    pub stars: usize,
}

impl Function {
    /// The name of the first parameter, if it is the object.
    pub fn receiver(&self) -> Option<&str> {
        let has_none = self
            .decorators
            .iter()
            .any(|name| name == "staticmethod" || name == "classmethod");
        let first = self.parameters.first().filter(|first| first.stars == 0)?;
        (!has_none).then_some(first.name.as_str())
    }

    /// True for a `staticmethod`: nothing is handed to it but what is in the call.
    pub fn is_static(&self) -> bool {
        self.decorators.iter().any(|name| name == "staticmethod")
    }

    /// True if the name is a parameter or a local variable.
    pub fn binds(&self, name: &str) -> bool {
        self.bound.contains(name)
    }
}
