//! A module, and questions about its expressions.

use crate::{
    find::{
        call::{self, Call, Calls},
        context::Context,
        types::Type,
    },
    library::Root,
    model::{Class, ClassId, Function, FunctionId, Module, Scope, Target},
    syntax::{Node, Tree},
};

/// A module, with all that is known of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Here<'a, 'p> {
    pub(crate) context: &'a Context<'p>,
    pub(crate) module: &'p Module,
    pub(crate) tree: &'p Tree,
    pub(crate) calls: &'a Calls<'p>,
}

impl<'a, 'p> Here<'a, 'p> {
    pub(crate) fn new(context: &'a Context<'p>, module: &'p Module) -> Self {
        let (tree, calls) = (&module.tree, &context.calls[module.id.0]);
        Self {
            context,
            module,
            tree,
            calls,
        }
    }

    pub(crate) fn type_of(&self, node: Node) -> Option<Type> {
        self.context
            .types
            .of(self.context.names, self.module, self.calls, node)
    }

    /// The root of an object.
    pub(crate) fn root_of(&self, node: Node) -> Option<Root> {
        match self.type_of(node)? {
            Type::Object(class) => self.context.root(class),
            Type::Root(root) => Some(root),
            _ => None,
        }
    }

    /// The class of an object of the program.
    pub(crate) fn class_of(&self, node: Node) -> Option<ClassId> {
        match self.type_of(node)? {
            Type::Object(class) => Some(class),
            _ => None,
        }
    }

    /// The root of the object whose method is called.
    pub(crate) fn callee_root(&self, call: &Call<'_>) -> Option<Root> {
        self.root_of(call.object?)
    }

    /// True if a channel's method is called.
    pub(crate) fn is_on_channel(&self, call: &Call<'_>) -> bool {
        self.callee_root(call).is_some_and(Root::is_channel)
    }

    /// True if the method of a channel other than `self` is called.
    pub(crate) fn is_on_other_channel(&self, call: &Call<'_>) -> bool {
        call.object
            .is_some_and(|object| !self.is_own_channel(object))
            && self.is_on_channel(call)
    }

    /// True for `self`, where `self` is a channel.
    pub(crate) fn is_own_channel(&self, node: Node) -> bool {
        let (Scope::Function(function), "identifier") =
            (self.module.scope(node), self.tree.kind(node))
        else {
            return false;
        };
        let class = self
            .context
            .program
            .receiver(function, self.tree.text(node));
        class
            .and_then(|class| self.context.root(class))
            .is_some_and(Root::is_channel)
    }

    /// The class whose method a node stands in, also in a function inside it.
    pub(crate) fn class_around(&self, scope: Scope) -> Option<&'p Class> {
        let function = self.function_around(scope)?;
        Some(&self.context.program[self.context.program[function].class?])
    }

    /// The outermost function around a node.
    pub(crate) fn function_around(&self, scope: Scope) -> Option<FunctionId> {
        let Scope::Function(mut function) = scope else {
            return None;
        };
        while let Some(outer) = self.context.program[function].outer {
            function = outer;
        }
        Some(function)
    }

    /// The name of the method or function around a node.
    pub(crate) fn method_around(&self, scope: Scope) -> Option<&'p str> {
        self.function_around(scope)
            .map(|function| self.context.program[function].name.as_str())
    }

    /// True if a statement is repeated in its function.
    pub(crate) fn is_in_loop(&self, statement: Node) -> bool {
        self.enclosing_loop(statement).is_some()
    }

    /// The nearest loop around a statement, in the same function.
    pub(crate) fn enclosing_loop(&self, statement: Node) -> Option<Node> {
        let mut around = std::iter::once(statement).chain(self.tree.ancestors(statement));
        around
            .by_ref()
            .take_while(|&node| self.tree.kind(node) != "function_definition")
            .find(|&node| call::is_loop(self.tree.kind(node)))
    }

    /// True if the loop waits while this scope's code runs.
    pub(crate) fn is_in_callback(&self, scope: Scope) -> bool {
        match scope {
            Scope::Function(function) => self.context.reach.in_callback(function),
            Scope::Module | Scope::Class(_) => false,
        }
    }

    /// The meaning of a dotted name of another module.
    pub(crate) fn foreign(&self, node: Node) -> Option<String> {
        match self
            .context
            .names
            .lookup(self.context.program, self.module.id, node)
            .target
        {
            Target::Foreign(name) => Some(name),
            _ => None,
        }
    }

    /// The name in a definition.
    pub(crate) fn name_of(&self, function: &Function) -> Node {
        self.tree
            .child(function.node, "name")
            .unwrap_or(function.node)
    }

    /// `super()` or `super(Class, self)`.
    pub(crate) fn is_super(&self, object: Node) -> bool {
        self.calls.at(object).is_some_and(Call::is_super)
    }

    /// `self.socket`, where `self` is a channel.
    pub(crate) fn is_socket_of_channel(&self, object: Node) -> bool {
        let tree = self.tree;
        tree.kind(object) == "attribute"
            && tree
                .child(object, "attribute")
                .is_some_and(|name| tree.text(name) == "socket")
            && tree
                .child(object, "object")
                .is_some_and(|object| self.root_of(object).is_some_and(Root::is_channel))
    }
}
