//! What names lead to.

use crate::library::{Descendant, Library};

/// A module of a program.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ModuleId(pub(crate) usize);

/// A class of a program.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClassId(pub(crate) usize);

/// A function or method of a program.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FunctionId(pub(crate) usize);

/// The meaning of a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// `asyncore` or `asynchat` itself, or a copy.
    Library(Library),
    /// A name of one of the two.
    Item(Library, String),
    /// A class of another package that descends from them.
    Descendant(&'static Descendant),
    /// A module of the program.
    Module(ModuleId),
    /// A class of the program.
    Class(ClassId),
    /// A function of the program.
    Function(FunctionId),
    /// Something of another module, by its full name, such as `socket.socket`.
    Foreign(String),
    /// A variable, or a name that nothing defines.
    Unknown,
}
