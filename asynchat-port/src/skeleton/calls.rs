//! Calls that map one to one: docs/porting.md, "Every name, and what to write instead".

use crate::{
    model::{ClassId, FunctionId, Target},
    skeleton::{
        callbacks::{Returns, Trait},
        code::Code,
        context::{Context, Place},
        literal::{Literal, quoted},
        plan::{Home, Parameter, PlannedFunction},
        scan::LOOPS,
        types::Type,
    },
    syntax::Node,
};

/// Methods of the library that open a socket: `start` does.
const OPENING: [&str; 9] = [
    "__init__",
    "create_socket",
    "set_reuse_addr",
    "bind",
    "listen",
    "connect",
    "set_socket",
    "set_file",
    "add_channel",
];

/// Methods that need a channel: in a constructor they are for `handle_connect`.
const LATER: [&str; 6] = [
    "push",
    "send",
    "push_with_producer",
    "close_when_done",
    "set_terminator",
    "discard_buffers",
];

/// The positional arguments of a call, and its keywords.
pub(super) struct Arguments {
    pub(super) positional: Vec<Node>,
    pub(super) keywords: Vec<(String, Node)>,
}

impl Context<'_, '_> {
    pub(super) fn arguments(&self, call: Node) -> Arguments {
        let tree = self.tree;
        let mut arguments = Arguments {
            positional: Vec::new(),
            keywords: Vec::new(),
        };
        let list = tree.child(call, "arguments");
        for argument in list.into_iter().flat_map(|list| tree.children(list)) {
            match (tree.child(argument, "name"), tree.child(argument, "value")) {
                (Some(name), Some(value)) if tree.kind(argument) == "keyword_argument" => {
                    arguments.keywords.push((tree.text(name).to_owned(), value));
                }
                _ => arguments.positional.push(argument),
            }
        }
        arguments
    }

    /// The code for a call whose result is not used. Nothing to write is `Some` of nothing, and `None` is for a person.
    pub(super) fn call(&self, call: Node) -> Option<Vec<Code>> {
        let tree = self.tree;
        let mut arguments = self.arguments(call);
        let function = tree.child(call, "function")?;
        if let Some(&class) = self.plan.calls.constructed.get(&(self.module, call)) {
            return self.construct(class, &arguments, None);
        }
        if tree.kind(function) == "identifier" && tree.text(function) == "print" {
            return self.print(&arguments.positional);
        }
        if let Some((object, name)) = self.attribute(function)
            && tree.kind(object) == "call"
            && tree
                .child(object, "function")
                .is_some_and(|called| tree.text(called) == "super")
        {
            return self.of_base(None, name, &arguments);
        }
        let found = self.plan.names.lookup(self.program, self.module, function);
        match (&found.target, found.rest) {
            (Target::Item(_, name), 0) if LOOPS.contains(&name.as_str()) => {
                return self.of_loop(name);
            }
            (Target::Item(..) | Target::Descendant(_), 1) => {
                let (_, name) = self.attribute(function)?;
                self.take_object(&mut arguments)?;
                return self.of_library(name, &arguments, true);
            }
            (Target::Class(base), 1) => {
                let (_, name) = self.attribute(function)?;
                self.take_object(&mut arguments)?;
                return self.of_base(Some(*base), name, &arguments);
            }
            (Target::Function(function), 0) => return self.of_function(*function, &arguments),
            _ => {}
        }
        if let Some(name) = self.own(function) {
            return self.of_own(name, &arguments);
        }
        self.of_other(function, &arguments)
    }

    fn attribute(&self, function: Node) -> Option<(Node, &str)> {
        let tree = self.tree;
        if tree.kind(function) != "attribute" {
            return None;
        }
        Some((
            tree.child(function, "object")?,
            tree.text(tree.child(function, "attribute")?),
        ))
    }

    /// `Base.method(self, …)`: without the object.
    fn take_object(&self, arguments: &mut Arguments) -> Option<()> {
        let is_object = arguments
            .positional
            .first()
            .is_some_and(|&first| self.is_object(first));
        is_object.then(|| {
            arguments.positional.remove(0);
        })
    }

    fn print(&self, values: &[Node]) -> Option<Vec<Code>> {
        let [value] = values else {
            return values.is_empty().then(|| vec![Code::line("println!();")]);
        };
        match Literal::of(self.tree, *value)? {
            Literal::Text(text) => Some(vec![Code::call("println!", vec![format_string(&text)])]),
            _ => None,
        }
    }

    /// `print` of Python 2, whose values are the children of the statement.
    pub(super) fn print_statement(&self, statement: Node) -> Option<Vec<Code>> {
        let values: Vec<_> = self.tree.children(statement).collect();
        if self.tree.text(statement).ends_with(',') {
            return None;
        }
        self.print(&values)
    }

    fn of_loop(&self, name: &str) -> Option<Vec<Code>> {
        match name {
            "close_all" => Some(vec![Code::line(format!(
                "{}.close_all();",
                self.registry.as_ref()?
            ))]),
            "loop" if self.has_reactor && self.is_fallible() => {
                Some(vec![Code::line("reactor.run()?;")])
            }
            _ => None,
        }
    }

    fn of_function(&self, function: FunctionId, arguments: &Arguments) -> Option<Vec<Code>> {
        let planned = self.plan.functions.get(&function)?;
        if self.program[function].class.is_some() || !self.is_fallible() {
            return None;
        }
        let home = self.program[function].module;
        let mut values = Vec::new();
        if planned.has_reactor {
            self.has_reactor
                .then(|| values.push("reactor".to_owned()))?;
        }
        values.extend(self.values(planned.id, &planned.parameters, 0, arguments));
        let name = if home == self.module {
            planned.rust.clone()
        } else {
            let module = self.plan.module(home)?;
            format!("super::{}::{}", module.rust, planned.rust)
        };
        Some(vec![Code::tried(name, values)])
    }

    /// A value for each parameter of a function whose first `skip` Python parameters are not passed.
    pub(super) fn values(
        &self,
        function: FunctionId,
        parameters: &[Parameter],
        skip: usize,
        arguments: &Arguments,
    ) -> Vec<String> {
        let python = &self.program[function];
        let mut values = Vec::new();
        for parameter in parameters {
            let at = python
                .parameters
                .iter()
                .position(|python| python.name == parameter.python);
            let given = at
                .and_then(|at| arguments.positional.get(at.checked_sub(skip)?))
                .copied()
                .filter(|&given| !self.tree.kind(given).ends_with("splat"))
                .or_else(|| {
                    let mut keywords = arguments.keywords.iter();
                    keywords
                        .find(|(name, _)| *name == parameter.python)
                        .map(|(_, value)| *value)
                })
                .or_else(|| {
                    // A default belongs to the text of the same module only.
                    let default = at.and_then(|at| python.parameters[at].default);
                    default.filter(|_| python.module == self.module)
                });
            values.push(self.value(given, &parameter.type_));
        }
        values
    }

    /// `self.name(…)`.
    fn of_own(&self, name: &str, arguments: &Arguments) -> Option<Vec<Code>> {
        let class = self.class?;
        match self.plan.method(class, name) {
            Some((path, owner, method)) => self.of_method(&path, owner, method, arguments),
            None if self.program.method(class, name).is_some() => None,
            None => self.of_library(name, arguments, false),
        }
    }

    /// A method of the class itself or of a base, which `path` leads to.
    fn of_method(
        &self,
        path: &str,
        owner: ClassId,
        method: &PlannedFunction,
        arguments: &Arguments,
    ) -> Option<Vec<Code>> {
        if self.place != Place::Function {
            return None;
        }
        match &method.home {
            Home::Callback(callback) if callback.python == "close" => {
                self.of_library("close", arguments, false)
            }
            Home::Callback(callback) => {
                let (of, channel) = (self.plan.trait_of(owner)?, self.channel?);
                if !callback.arguments.is_empty() || !callback.has_channel() || !self.is_fallible()
                {
                    return None;
                }
                Some(vec![Code::tried(
                    format!("{}::{}", of.name(), callback.rust),
                    vec![borrowed(path), channel.to_owned()],
                )])
            }
            Home::Own if method.has_object && self.is_fallible() => {
                let mut values = Vec::new();
                let head = if path.is_empty() {
                    format!("self.{}", method.rust)
                } else {
                    values.push(borrowed(path));
                    format!(
                        "{}::{}",
                        self.plan.class_path(owner, self.module),
                        method.rust
                    )
                };
                if self.plan.trait_of(owner).is_some() {
                    values.push(self.channel?.to_owned());
                }
                values.extend(self.values(method.id, &method.parameters, 1, arguments));
                Some(vec![Code::tried(head, values)])
            }
            _ => None,
        }
    }

    /// `Base.name(self, …)` or `super().name(…)`.
    fn of_base(
        &self,
        base: Option<ClassId>,
        name: &str,
        arguments: &Arguments,
    ) -> Option<Vec<Code>> {
        if name == "__init__" && self.place == Place::New {
            return Some(Vec::new());
        }
        let class = self.class?;
        for (path, above) in self.plan.lineage(class).into_iter().skip(1) {
            if base.is_some_and(|base| base != above) {
                continue;
            }
            if let Some((rest, owner, method)) = self.plan.method(above, name) {
                return self.of_method(&format!("{path}{rest}"), owner, method, arguments);
            }
        }
        let is_known = self.program[class]
            .bases
            .iter()
            .any(|base| matches!(base.target, Target::Class(_)));
        if is_known
            && self
                .program
                .lineage(class)
                .iter()
                .skip(1)
                .any(|&above| self.program[above].method(name).is_some())
        {
            return None;
        }
        self.of_library(name, arguments, true)
    }

    /// A method of the library's classes. `is_default`: called past an override.
    fn of_library(&self, name: &str, arguments: &Arguments, is_default: bool) -> Option<Vec<Code>> {
        let of = self.trait_()?;
        if self.place == Place::New {
            let is_elsewhere = OPENING.contains(&name) || LATER.contains(&name);
            return is_elsewhere.then(Vec::new);
        }
        if let (true, None) = (name == "close" || name == "del_channel", self.channel) {
            // In `handle_closed` the channel is closed.
            return self.registry.is_some().then(Vec::new);
        }
        let channel = self.channel?;
        let first = arguments.positional.first().copied();
        let plain = |call: &str| Some(vec![Code::line(format!("{channel}.{call}();"))]);
        match (name, of) {
            ("push", Trait::AsyncChat) | ("send", _) => Some(vec![Code::call(
                format!("{channel}.push"),
                vec![self.bytes(first)],
            )]),
            ("push_with_producer", _) => {
                let producer = self.producer(first);
                Some(vec![Code::call(
                    format!("{channel}.push_with_producer"),
                    vec![producer],
                )])
            }
            ("close_when_done" | "close", _) => plain(name),
            ("handle_close", _) => plain("close_when_done"),
            ("set_terminator", Trait::AsyncChat) => {
                let terminator = self.terminator(first);
                Some(vec![Code::call(
                    format!("{channel}.set_terminator"),
                    vec![terminator],
                )])
            }
            ("discard_buffers", Trait::AsyncChat) => Some(vec![
                Code::line(format!("{channel}.discard_input();")),
                Code::line(format!("{channel}.discard_output();")),
            ]),
            ("log" | "log_info", _) => self.log(arguments),
            ("handle_error", _) if is_default => {
                let error = self.arguments.first()?;
                let is_here = matches!(self.returns, Returns::Unit);
                is_here.then(|| vec![Code::line(format!("{channel}.default_error({error});"))])
            }
            (
                "handle_read" | "handle_write" | "handle_connect" | "handle_expt" | "handle_accept"
                | "readable" | "writable",
                _,
            ) if is_default => Some(Vec::new()),
            ("accept", _) => Some(Vec::new()),
            _ => None,
        }
    }

    fn log(&self, arguments: &Arguments) -> Option<Vec<Code>> {
        let literal = |node: Option<&Node>| match Literal::of(self.tree, *node?)? {
            Literal::Text(text) => Some(text),
            _ => None,
        };
        let text = literal(arguments.positional.first())?;
        let keyword = arguments
            .keywords
            .iter()
            .find(|(name, _)| name == "type")
            .map(|(_, value)| value);
        let level = match literal(arguments.positional.get(1).or(keyword)).as_deref() {
            Some("warning") => "log::warn!",
            Some("error") => "log::error!",
            _ => "log::info!",
        };
        Some(vec![Code::call(level, vec![format_string(&text)])])
    }

    /// A method of another channel, whose id is a field.
    fn of_other(&self, function: Node, arguments: &Arguments) -> Option<Vec<Code>> {
        let (object, name) = self.attribute(function)?;
        let (path, field) = self.plan.field(self.class?, self.own(object)?)?;
        if field.type_ != Type::Channel || self.place != Place::Function {
            return None;
        }
        let registry = self.registry.as_ref()?;
        let code = match name {
            "push" | "send" => Code::call(
                "other.push",
                vec![self.bytes(arguments.positional.first().copied())],
            ),
            "close" | "close_when_done" => Code::line(format!("other.{name}();")),
            _ => return None,
        };
        Some(vec![
            Code::Open(format!(
                "if let Some(mut other) = {registry}.channel({path})"
            )),
            code,
            Code::Close,
        ])
    }

    /// True for a call in a constructor that `handle_connect` makes.
    pub(super) fn is_later(&self, call: Node) -> bool {
        let tree = self.tree;
        let Some(function) = tree.child(call, "function") else {
            return false;
        };
        let name = match self.own(function) {
            Some(name) => name,
            None => match self.plan.names.lookup(self.program, self.module, function) {
                found
                    if found.rest == 1
                        && matches!(found.target, Target::Item(..) | Target::Descendant(_)) =>
                {
                    self.attribute(function).map_or("", |(_, name)| name)
                }
                _ => return false,
            },
        };
        let is_own = self
            .class
            .is_some_and(|class| self.program.method(class, name).is_some());
        LATER.contains(&name) && !is_own
    }
}

fn borrowed(path: &str) -> String {
    if path.is_empty() {
        "self".to_owned()
    } else {
        format!("&mut self{path}")
    }
}

/// A text as the only argument of `println!`.
fn format_string(text: &str) -> String {
    quoted(&text.replace('{', "{{").replace('}', "}}"))
}
