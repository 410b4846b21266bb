//! All files together.

use std::ops::Index;

use crate::model::{
    class::Class,
    function::Function,
    module::Module,
    target::{ClassId, FunctionId, ModuleId, Target},
};

/// Classes that are looked at for one of them.
const LONGEST_LINEAGE: usize = 100;

macro_rules! table {
    ($id:ident, $table:ident, $kept:ident) => {
        impl Index<$id> for Program {
            type Output = $kept;

            fn index(&self, id: $id) -> &$kept {
                &self.$table[id.0]
            }
        }
    };
}

table!(ModuleId, modules, Module);
table!(ClassId, classes, Class);
table!(FunctionId, functions, Function);

/// The files of a program. `program[id]` looks a module, class or function up.
#[derive(Default, Debug)]
pub struct Program {
    /// In the order of their paths.
    pub modules: Vec<Module>,
    /// In the order of the text, nested ones behind those around them.
    pub classes: Vec<Class>,
    /// In the order of the text, methods and lambdas too.
    pub functions: Vec<Function>,
}

impl Program {
    /// A class with its bases, nearest first, as far as they are classes of the program; each once.
    pub fn lineage(&self, class: ClassId) -> Vec<ClassId> {
        let mut line = vec![class];
        let mut seen = std::collections::HashSet::from([class]);
        let mut next = 0;
        while let Some(&class) = line.get(next).filter(|_| line.len() < LONGEST_LINEAGE) {
            next += 1;
            for base in &self[class].bases {
                if let Target::Class(base) = base.target
                    && seen.insert(base)
                {
                    line.push(base);
                }
            }
        }
        line
    }

    /// A method of a class or of its bases.
    pub fn method(&self, class: ClassId, name: &str) -> Option<FunctionId> {
        self.lineage(class)
            .into_iter()
            .find_map(|class| self[class].method(name))
    }

    /// A method of a class or of its bases, or a function that they assign to this name.
    pub fn callable(&self, class: ClassId, name: &str) -> Option<FunctionId> {
        let mut line = self.lineage(class).into_iter();
        line.find_map(|class| self[class].callable(name))
    }

    /// What `super().name` is in a class, as far as its own bases have it.
    pub fn above(&self, class: ClassId, name: &str) -> Option<FunctionId> {
        let mut line = self.lineage(class).into_iter().skip(1);
        line.find_map(|class| self[class].callable(name))
    }

    /// A function that a class or its bases keep in an attribute of this name.
    pub fn kept(&self, class: ClassId, name: &str) -> Option<FunctionId> {
        let mut line = self.lineage(class).into_iter();
        line.find_map(|class| self[class].kept.get(name).copied())
    }

    /// True for a class of a copy of one of the two modules.
    pub fn is_copy(&self, class: &Class) -> bool {
        self[class.module].copy_of.is_some()
    }

    /// Classes whose root is known, in the order of the text.
    pub fn descendants(&self) -> impl Iterator<Item = &Class> {
        self.classes.iter().filter(|class| class.root.is_some())
    }

    /// The class as which a function sees its first argument: that of the method it is, or in which it stands.
    pub fn receiver(&self, function: FunctionId, name: &str) -> Option<ClassId> {
        let mut function = Some(function);
        while let Some(id) = function {
            let here = &self[id];
            if here.class.is_some() && here.receiver() == Some(name) {
                return here.class;
            }
            if here.binds(name) {
                return None;
            }
            function = here.outer;
        }
        None
    }
}
