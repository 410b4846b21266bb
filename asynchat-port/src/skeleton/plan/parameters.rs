//! Parameters, and what the calls show of their types.

use super::{Parameter, Plan};
use crate::{
    model::{ClassId, FunctionId, ModuleId, Program, Scope, Target},
    skeleton::{
        callbacks::Callback,
        literal::Literal,
        names, scan,
        types::{Todo, Type},
    },
    syntax::Node,
};

impl Plan<'_> {
    /// The constructors', as the calls of the constructors show them.
    pub(super) fn plan_parameters(&mut self) {
        let program = self.program;
        for class in self.class_ids() {
            let Some(init) = program[class].method("__init__") else {
                continue;
            };
            let skip = usize::from(program[init].receiver().is_some());
            let mut parameters = self.parameters(init, skip, &[]);
            let is_channel = self
                .classes
                .get(&class)
                .is_some_and(|class| class.kind.channel().is_some());
            let socket = is_channel
                .then(|| self.socket_parameter(class, init))
                .flatten();
            if is_channel {
                parameters.retain(|parameter| {
                    parameter.python != "map" && Some(&parameter.python) != socket.as_ref()
                });
            }
            if let Some(planned) = self.classes.get_mut(&class) {
                (planned.parameters, planned.socket) = (parameters, socket);
            }
        }
        for construction in self.calls.constructions.clone() {
            self.learn_from(construction);
        }
    }

    fn default_type(&mut self, module: ModuleId, name: &str, default: Option<Node>) -> Type {
        let tree = self.tree(module);
        let literal = default.and_then(|default| {
            let constant = self
                .constant(module, default)
                .map(|constant| constant.value.clone());
            Literal::of(tree, default).or(constant)
        });
        let todo = |todo: &mut Todo| Type::Todo(todo.name(name, name));
        match literal {
            Some(Literal::None) => Type::Option(Box::new(todo(&mut self.todo))),
            Some(literal) => Type::of_literal(&literal).unwrap_or_else(|| todo(&mut self.todo)),
            None => todo(&mut self.todo),
        }
    }

    /// Parameters behind the object, with the reserved names left to the skeleton.
    pub(super) fn parameters(
        &mut self,
        function: FunctionId,
        skip: usize,
        reserved: &[&str],
    ) -> Vec<Parameter> {
        let program = self.program;
        let python = &program[function];
        let mut taken = self.variables(python.module, reserved);
        let mut parameters = Vec::new();
        for parameter in python.parameters.iter().skip(skip) {
            let is_plain = parameter
                .name
                .bytes()
                .all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
                || !parameter.name.is_ascii();
            let name = if is_plain && !parameter.name.is_empty() {
                &parameter.name
            } else {
                "argument"
            };
            if parameter.name == "*" || parameter.name == "/" {
                continue;
            }
            parameters.push(Parameter {
                python: parameter.name.clone(),
                rust: taken.take(&names::value(name)),
                type_: self.default_type(python.module, name, parameter.default),
            });
        }
        parameters
    }

    /// Rust's names of a callback's arguments, which are Python's own if it has them.
    pub(in crate::skeleton) fn argument_names(
        &self,
        function: FunctionId,
        callback: &Callback,
    ) -> Vec<String> {
        let python = &self.program[function];
        let accepted = accepted_names(self.program, function);
        let accepted = accepted.map(|(socket, peer)| vec![socket, peer]);
        let own = || {
            python
                .parameters
                .iter()
                .skip(1)
                .map(|parameter| parameter.name.clone())
        };
        let given = accepted.unwrap_or_else(|| own().collect());
        let mut taken = self.variables(python.module, &["channel", "chat", "registry"]);
        let arguments = callback.arguments.iter().enumerate();
        arguments
            .map(|(at, (name, _))| match given.get(at) {
                Some(given) if callback.rust != "handle_closed" => taken.take(&names::value(given)),
                _ => (*name).to_owned(),
            })
            .collect()
    }

    /// The parameter that goes to the constructor of the library as the socket.
    fn socket_parameter(&self, class: ClassId, init: FunctionId) -> Option<String> {
        let (module, function) = (self.program[class].module, &self.program[init]);
        let tree = self.tree(module);
        let body = function.body?;
        for call in tree
            .descendants(body)
            .filter(|&node| tree.kind(node) == "call")
        {
            let arguments = tree.child(call, "arguments")?;
            let called = tree.child(call, "function")?;
            if tree.kind(called) != "attribute"
                || tree.child(called, "attribute").map(|name| tree.text(name)) != Some("__init__")
            {
                continue;
            }
            let is_super = tree
                .child(called, "object")
                .is_some_and(|object| tree.text(object).starts_with("super"));
            let found = self.names.lookup(self.program, module, called);
            if !is_super && !matches!(found.target, Target::Item(..) | Target::Descendant(_)) {
                continue;
            }
            let at = usize::from(!is_super);
            let mut positional = tree
                .children(arguments)
                .filter(|&argument| tree.kind(argument) != "keyword_argument");
            let keyword = tree.children(arguments).find_map(|argument| {
                let name = tree.child(argument, "name")?;
                let value = tree.child(argument, "value")?;
                matches!(tree.text(name), "sock" | "conn").then_some(value)
            });
            let socket = positional.nth(at).or(keyword)?;
            let name = tree.text(socket);
            return function
                .parameters
                .iter()
                .any(|parameter| parameter.name == name)
                .then(|| name.to_owned());
        }
        None
    }

    /// The literals that the class itself passes to a method.
    pub(super) fn learn_from_own(
        &self,
        class: ClassId,
        function: FunctionId,
        parameters: &mut [Parameter],
    ) {
        let python = &self.program[function];
        let tree = self.tree(python.module);
        let calls = self.calls.own.get(&(class, python.name.clone()));
        for &call in calls.into_iter().flatten() {
            let arguments = tree.child(call, "arguments");
            let given = arguments.into_iter().flat_map(|list| tree.children(list));
            for (parameter, given) in python.parameters.iter().skip(1).zip(given) {
                let constant = self
                    .constant(python.module, given)
                    .map(|constant| constant.value.clone());
                let literal = Literal::of(tree, given).or(constant);
                let mut parameters = parameters.iter_mut();
                let known = parameters.find(|known| known.python == parameter.name);
                if let Some(type_) = literal.as_ref().and_then(Type::of_literal)
                    && let Some(known) = known
                    && matches!(known.type_, Type::Todo(_))
                {
                    known.type_ = type_;
                }
            }
        }
    }

    /// An argument that is the calling channel, or the address that a listener was told.
    fn learn_from(&mut self, construction: scan::Construction) {
        let scan::Construction {
            module,
            call,
            class,
        } = construction;
        let program = self.program;
        let tree = self.tree(module);
        let (Scope::Function(scope), Some(arguments)) =
            (program[module].scope(call), tree.child(call, "arguments"))
        else {
            return;
        };
        let Some((class, init)) = self.constructor(class) else {
            return;
        };
        let skip = usize::from(program[init].receiver().is_some());
        let accepted = accepted_names(program, scope);
        let mut learned = Vec::new();
        for (at, argument) in tree.children(arguments).enumerate() {
            let (name, value) = if tree.kind(argument) == "keyword_argument" {
                let name = tree
                    .child(argument, "name")
                    .map(|name| tree.text(name).to_owned());
                (name, tree.child(argument, "value"))
            } else {
                let parameter = program[init].parameters.get(at + skip);
                (
                    parameter.map(|parameter| parameter.name.clone()),
                    Some(argument),
                )
            };
            let (Some(name), Some(value)) = (name, value) else {
                continue;
            };
            let text = tree.text(value);
            let own = program.receiver(scope, text);
            if own.is_some_and(|own| program[own].is_channel()) {
                learned.push((name, Type::Channel));
            } else if accepted.as_ref().is_some_and(|(_, peer)| peer == text) {
                learned.push((name, Type::Address));
            } else {
                let constant = self
                    .constant(module, value)
                    .map(|constant| constant.value.clone());
                let literal = Literal::of(tree, value).or(constant);
                learned
                    .extend(literal.and_then(|literal| Some((name, Type::of_literal(&literal)?))));
            }
        }
        let Some(planned) = self.classes.get_mut(&class) else {
            return;
        };
        for (name, type_) in learned {
            let mut parameters = planned.parameters.iter_mut();
            let parameter = parameters.find(|parameter| parameter.python == name);
            if let Some(parameter) =
                parameter.filter(|parameter| matches!(parameter.type_, Type::Todo(_)))
            {
                parameter.type_ = type_;
            }
        }
    }
}

/// The names that a callback gives the accepted socket and its address.
pub(in crate::skeleton) fn accepted_names(
    program: &Program,
    function: FunctionId,
) -> Option<(String, String)> {
    let python = &program[function];
    let name = |at: usize| {
        python
            .parameters
            .get(at)
            .map(|parameter| parameter.name.clone())
    };
    match python.name.as_str() {
        "handle_accepted" => Some((name(1)?, name(2)?)),
        "handle_accept" => {
            let tree = &program[python.module].tree;
            let accepts = |node: &Node| {
                let right = tree.child(*node, "right");
                let called = right.and_then(|right| tree.child(tree.unwrapped(right), "function"));
                let called = called.and_then(|called| tree.child(called, "attribute"));
                called.is_some_and(|called| tree.text(called) == "accept")
            };
            let mut below = tree.descendants(python.body?);
            let assignment =
                below.find(|node| tree.kind(*node) == "assignment" && accepts(node))?;
            let mut names = tree.children(tree.child(assignment, "left")?);
            let mut next = || names.next().filter(|&name| tree.kind(name) == "identifier");
            let (socket, peer) = (next()?, next()?);
            Some((tree.text(socket).to_owned(), tree.text(peer).to_owned()))
        }
        _ => None,
    }
}
