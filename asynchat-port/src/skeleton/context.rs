//! Where a body stands: what its names mean, and what it can reach.

use crate::{
    model::{ClassId, ModuleId, Program},
    skeleton::{
        callbacks::{Callback, Returns, Trait},
        literal::Literal,
        plan::{Kind, Parameter, Plan, PlannedFunction, accepted_names},
        types::Type,
    },
    syntax::{Node, Tree},
};

/// Which part of a class or module is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// A function that does what the Python function did.
    Function,
    /// `new`, from `__init__`: no channel yet.
    New,
    /// `handle_connect`, from `__init__`: what needs a channel.
    Greeting,
}

/// The surroundings of a body.
#[derive(Debug)]
pub(super) struct Context<'a, 'p> {
    pub(super) plan: &'a Plan<'p>,
    pub(super) program: &'p Program,
    pub(super) module: ModuleId,
    pub(super) tree: &'p Tree,
    pub(super) place: Place,
    /// The class of the object.
    pub(super) class: Option<ClassId>,
    /// Python's name of the object.
    pub(super) object: Option<&'p str>,
    /// The variable of the channel.
    pub(super) channel: Option<&'static str>,
    /// An expression for the registry.
    pub(super) registry: Option<String>,
    /// True if `reactor` is a variable.
    pub(super) has_reactor: bool,
    pub(super) returns: Returns,
    pub(super) parameters: Vec<Parameter>,
    /// False for a predicate, which has `&self`.
    pub(super) is_mutable: bool,
    /// The arguments of a callback.
    pub(super) arguments: Vec<String>,
    /// Python's names of the accepted socket and its address.
    pub(super) accepted: Option<(String, String)>,
}

impl<'a, 'p> Context<'a, 'p> {
    /// Of a function or method.
    pub(super) fn of(
        plan: &'a Plan<'p>,
        function: &PlannedFunction,
        callback: Option<&Callback>,
    ) -> Self {
        let program = plan.program;
        let python = &program[function.id];
        let of = python.class.and_then(|class| plan.trait_of(class));
        let has_channel = function.has_object && callback.is_none_or(Callback::has_channel);
        let channel = of.filter(|_| has_channel).map(Trait::variable);
        let registry = match channel {
            Some(channel) => Some(format!("{channel}.registry()")),
            None if callback.is_some_and(|callback| callback.rust == "handle_closed") => {
                Some("registry".to_owned())
            }
            None if function.has_reactor => Some("reactor".to_owned()),
            None => None,
        };
        Self {
            plan,
            program,
            module: python.module,
            tree: plan.tree(python.module),
            place: Place::Function,
            class: python.class.filter(|_| function.has_object),
            object: python.receiver().filter(|_| python.class.is_some()),
            channel,
            registry,
            has_reactor: function.has_reactor,
            returns: function.returns.clone(),
            parameters: function.parameters.clone(),
            is_mutable: callback.is_none_or(|callback| !callback.is_predicate),
            arguments: callback.map_or_else(Vec::new, |callback| {
                plan.argument_names(function.id, callback)
            }),
            accepted: callback.and_then(|_| accepted_names(program, function.id)),
        }
    }

    /// Of the statements at the top level of a module.
    pub(super) fn of_script(plan: &'a Plan<'p>, module: ModuleId) -> Self {
        Self {
            plan,
            program: plan.program,
            module,
            tree: plan.tree(module),
            place: Place::Function,
            class: None,
            object: None,
            channel: None,
            registry: Some("reactor".to_owned()),
            has_reactor: true,
            returns: Returns::Nothing,
            parameters: Vec::new(),
            is_mutable: true,
            arguments: Vec::new(),
            accepted: None,
        }
    }

    /// True if `?` can be written.
    pub(super) fn is_fallible(&self) -> bool {
        matches!(self.returns, Returns::Nothing | Returns::Value(_))
    }

    /// The name of an attribute of the object.
    pub(super) fn own(&self, node: Node) -> Option<&'p str> {
        match self.tree.dotted(node).as_deref() {
            Some(&[object, name]) if Some(object) == self.object => Some(name),
            _ => None,
        }
    }

    pub(super) fn is_object(&self, node: Node) -> bool {
        self.object
            .is_some_and(|object| self.tree.text(node) == object)
    }

    pub(super) fn trait_(&self) -> Option<Trait> {
        self.class.and_then(|class| self.plan.trait_of(class))
    }

    fn parameter(&self, node: Node) -> Option<&Parameter> {
        let is_name = self.tree.kind(node) == "identifier";
        let text = self.tree.text(node);
        self.parameters
            .iter()
            .find(|parameter| is_name && parameter.python == text)
    }

    /// An expression as a value of this type, or `todo!()`.
    pub(super) fn value(&self, node: Option<Node>, type_: &Type) -> String {
        node.and_then(|node| self.known(node, type_))
            .unwrap_or_else(|| "todo!()".to_owned())
    }

    /// An expression as a value of this type.
    pub(super) fn known(&self, node: Node, type_: &Type) -> Option<String> {
        let node = self.tree.unwrapped(node);
        if let Some(value) = Literal::of(self.tree, node).and_then(|literal| type_.value(&literal))
        {
            return Some(value);
        }
        if let Some(constant) = self.plan.constant(self.module, node) {
            let value = type_.value(&constant.value)?;
            return Some(match (type_, &constant.value) {
                (Type::Int, Literal::Int(_))
                | (Type::Float, Literal::Float(_))
                | (Type::Bool, Literal::Bool(_)) => constant.rust.clone(),
                (Type::Text, Literal::Text(_)) => format!("{}.to_owned()", constant.rust),
                (Type::Bytes, Literal::Bytes(_)) => format!("{}.to_vec()", constant.rust),
                _ => value,
            });
        }
        let is_empty = matches!(self.tree.kind(node), "list" | "dictionary")
            && self.tree.children(node).next().is_none()
            || matches!(self.tree.text(node), "set()" | "list()" | "dict()");
        if is_empty && let Some(empty) = type_.empty() {
            return Some(empty.to_owned());
        }
        if *type_ == Type::Channel && self.is_object(node) && self.class.is_some() {
            return self.channel.map(|channel| format!("{channel}.id()"));
        }
        if *type_ == Type::Address
            && let Some((_, peer)) = &self.accepted
            && self.tree.text(node) == peer
        {
            return self.arguments.get(1).map(|peer| format!("{peer}.clone()"));
        }
        let parameter = self.parameter(node)?;
        if parameter.type_ == *type_ {
            return copied(&parameter.rust, type_);
        }
        match type_ {
            Type::Option(inner) if parameter.type_ == **inner => {
                Some(format!("Some({})", copied(&parameter.rust, inner)?))
            }
            _ => None,
        }
    }

    /// An expression as bytes to send.
    pub(super) fn bytes(&self, node: Option<Node>) -> String {
        node.and_then(|node| self.known_bytes(node))
            .unwrap_or_else(|| "todo::bytes()".to_owned())
    }

    fn known_bytes(&self, node: Node) -> Option<String> {
        let node = self.tree.unwrapped(node);
        if let Some(literal) = Literal::of(self.tree, node) {
            return literal.sent();
        }
        if let Some(constant) = self.plan.constant(self.module, node) {
            return constant.value.sent().map(|_| constant.rust.clone());
        }
        let is_sent = |type_: &Type| matches!(type_, Type::Bytes | Type::Text);
        if let Some(parameter) = self.parameter(node) {
            return is_sent(&parameter.type_).then(|| format!("{}.clone()", parameter.rust));
        }
        let (path, field) = self.plan.field(self.class?, self.own(node)?)?;
        is_sent(&field.type_).then(|| format!("{path}.clone()"))
    }

    /// A test of a field, as Rust spells it.
    pub(super) fn condition(&self, node: Node) -> Option<String> {
        let tree = self.tree;
        let (mut node, mut holds) = (tree.unwrapped(node), true);
        while tree.kind(node) == "not_operator" {
            (node, holds) = (tree.unwrapped(tree.child(node, "argument")?), !holds);
        }
        let mut is_none = None;
        if tree.kind(node) == "comparison_operator" {
            let mut sides = tree.children(node);
            let (left, right) = (sides.next()?, sides.next()?);
            if sides.next().is_some() || tree.kind(right) != "none" {
                return None;
            }
            let between = tree
                .source()
                .get(tree.span(left).end..tree.span(right).start)?;
            let words: Vec<_> = between.split_whitespace().collect();
            is_none = Some(match words.as_slice() {
                ["is"] | ["=="] => holds,
                ["is", "not"] | ["!="] => !holds,
                _ => return None,
            });
            node = left;
        }
        let (path, field) = self.plan.field(self.class?, self.own(node)?)?;
        let test = |yes: &str, no: &str| format!("{path}.{}()", if holds { yes } else { no });
        Some(match (&field.type_, is_none) {
            (Type::Option(_), Some(true)) => format!("{path}.is_none()"),
            (Type::Option(_), Some(false)) => format!("{path}.is_some()"),
            (_, Some(_)) => return None,
            (Type::Option(inner), None)
                if matches!(**inner, Type::Todo(_) | Type::Channel | Type::Object(_)) =>
            {
                test("is_some", "is_none")
            }
            (Type::Bool, None) => format!("{}{path}", if holds { "" } else { "!" }),
            (Type::Int, None) => format!("{path} {} 0", if holds { "!=" } else { "==" }),
            (Type::Bytes | Type::Text | Type::List(_) | Type::Map(_) | Type::Set(_), None) => {
                format!("{}{path}.is_empty()", if holds { "!" } else { "" })
            }
            _ => return None,
        })
    }
}

fn copied(name: &str, type_: &Type) -> Option<String> {
    if type_.is_copy() {
        Some(name.to_owned())
    } else {
        type_.is_clone().then(|| format!("{name}.clone()"))
    }
}

impl Plan<'_> {
    /// The trait of a class, if its objects are channels.
    pub(super) fn trait_of(&self, class: ClassId) -> Option<Trait> {
        self.classes.get(&class)?.kind.channel()
    }

    pub(super) fn is_producer(&self, class: ClassId) -> bool {
        self.classes
            .get(&class)
            .is_some_and(|class| class.kind == Kind::Producer)
    }
}
