//! A Python program: its modules, classes and functions, and how they belong together. Nothing here knows asyncore;
//! `resolve` fills in what descends from it.

mod build;
pub mod class;
pub mod function;
mod imports;
pub mod module;
pub mod program;
pub mod target;
pub mod value;

pub use self::{
    build::add_module,
    class::{Attribute, Base, Class},
    function::{Function, Parameter},
    module::{Binding, Import, Module, Scope, Variable},
    program::Program,
    target::{ClassId, FunctionId, ModuleId, Target},
    value::Value,
};
