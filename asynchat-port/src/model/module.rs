//! Files.

use std::collections::HashMap;

use crate::{
    library::Library,
    model::target::{ClassId, FunctionId, ModuleId},
    syntax::{Node, Tree},
};

/// A file.
#[derive(Debug)]
pub struct Module {
    /// Its own id.
    pub id: ModuleId,
    /// As the user wrote it.
    pub path: String,
    /// Its dotted name, by the packages around it.
    pub name: String,
    /// True for `__init__.py`.
    pub is_package: bool,
    /// Its text and syntax.
    pub tree: Tree,
    /// The library whose copy it is. The code of a copy is not the program's.
    pub copy_of: Option<Library>,
    /// Classes at its top level, also behind `if` and `try`.
    pub classes: Vec<ClassId>,
    /// Functions at its top level.
    pub functions: Vec<FunctionId>,
    /// Variables at its top level.
    pub variables: Vec<Variable>,
    /// All imports, those inside functions too; the same one once.
    pub imports: Vec<Import>,
    /// The meaning of each name at its top level, in the order of the text.
    pub(crate) bindings: HashMap<String, Vec<Binding>>,
    /// Where each node stands.
    pub(crate) scopes: Vec<Scope>,
}

/// An assignment to a name.
#[derive(Clone, Debug)]
pub struct Variable {
    /// The name.
    pub name: String,
    /// The value; none for loops and the like.
    pub value: Option<Node>,
}

/// `import module`, or `from module import item`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Import {
    /// The name in the statement.
    pub node: Node,
    /// Dots in front of the module.
    pub level: usize,
    /// The dotted name of the module; empty for `from . import item`.
    pub module: String,
    /// The item; `*` for all.
    pub item: Option<String>,
    /// The name that the program gives it, or none for `*`. `import a.b` binds `a`.
    pub bound: Option<String>,
}

/// One meaning of a name at the top level of a module.
#[derive(Clone, Debug)]
pub enum Binding {
    /// Number of the import.
    Import(usize),
    /// A class.
    Class(ClassId),
    /// A function.
    Function(FunctionId),
    /// `name = other.name`.
    Alias(Vec<String>),
}

/// Where a node stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// At the top level.
    Module,
    /// In the body of a class.
    Class(ClassId),
    /// In a function.
    Function(FunctionId),
}

impl Module {
    /// Where a node stands. A class or function stands in its own scope.
    pub fn scope(&self, node: Node) -> Scope {
        self.scopes[node.0 as usize]
    }

    /// The package of relative imports.
    pub fn package(&self) -> &str {
        if self.is_package {
            &self.name
        } else {
            self.name
                .rsplit_once('.')
                .map_or("", |(package, _)| package)
        }
    }
}
