//! Statements that map one to one, or to nothing.

use crate::{
    model::{Scope, Target},
    skeleton::{
        callbacks::{ATTRIBUTES, Returns, Trait},
        code::Code,
        context::{Context, Place},
        literal::Literal,
        names,
        plan::{Initial, addition, last_right},
        types::Type,
    },
    syntax::Node,
};

impl Context<'_, '_> {
    /// The code for a simple statement. Nothing to write is `Some` of nothing, and `None` is for a person.
    pub(super) fn statement(
        &self,
        node: Node,
        is_in_loop: bool,
        is_outermost: bool,
    ) -> Option<Vec<Code>> {
        let tree = self.tree;
        match tree.kind(node) {
            "pass_statement"
            | "global_statement"
            | "nonlocal_statement"
            | "import_statement"
            | "import_from_statement"
            | "future_import_statement" => Some(Vec::new()),
            "expression_statement" => {
                let mut parts = tree.children(node);
                let expression = parts.next()?;
                if parts.next().is_some() {
                    return None;
                }
                self.expression(expression, is_outermost)
            }
            "print_statement" => self.print_statement(node),
            "break_statement" => is_in_loop.then(|| vec![Code::line("break;")]),
            "continue_statement" => is_in_loop.then(|| vec![Code::line("continue;")]),
            "return_statement" => self.return_(node),
            "raise_statement" => self.raise(node),
            _ => None,
        }
    }

    fn expression(&self, expression: Node, is_outermost: bool) -> Option<Vec<Code>> {
        let tree = self.tree;
        match tree.kind(expression) {
            "string" | "concatenated_string" => Some(Vec::new()),
            "call" => self.call(expression).or_else(|| self.collect(expression)),
            "assignment" => self.assignment(expression, is_outermost),
            "augmented_assignment" => self.augmented(expression),
            _ => None,
        }
    }

    fn raise(&self, node: Node) -> Option<Vec<Code>> {
        let tree = self.tree;
        let mut raised = tree.children(node).next()?;
        if tree.kind(raised) == "call" {
            raised = tree.child(raised, "function")?;
        }
        let found = self.plan.names.lookup(self.program, self.module, raised);
        let is_exit =
            matches!(&found.target, Target::Item(_, name) if name == "ExitNow" && found.rest == 0);
        let registry = self
            .registry
            .as_ref()
            .filter(|_| is_exit && self.returns == Returns::Nothing)?;
        Some(vec![
            Code::line(format!("{registry}.stop();")),
            Code::line("return Ok(());"),
        ])
    }

    fn return_(&self, node: Node) -> Option<Vec<Code>> {
        let tree = self.tree;
        let value = tree.children(node).next();
        let literal = value.and_then(|value| Literal::of(tree, value));
        let is_none = value.is_none() || literal == Some(Literal::None);
        let line = |line: &str| Some(vec![Code::line(line)]);
        match &self.returns {
            _ if self.place != Place::Function => None,
            Returns::Nothing if is_none => line("return Ok(());"),
            Returns::Nothing => {
                let mut code = value
                    .filter(|&value| tree.kind(value) == "call")
                    .and_then(|value| self.call(value))?;
                code.push(Code::line("return Ok(());"));
                Some(code)
            }
            Returns::Unit if is_none => line("return;"),
            Returns::Unit => {
                let mut code = value
                    .filter(|&value| tree.kind(value) == "call")
                    .and_then(|value| self.call(value))?;
                code.push(Code::line("return;"));
                Some(code)
            }
            Returns::Bool => {
                let known = match &literal {
                    Some(Literal::Bool(value)) => Some(value.to_string()),
                    Some(Literal::Int(value)) => Some((*value != 0).to_string()),
                    Some(Literal::None) => Some("false".to_owned()),
                    _ if value.is_none() => Some("false".to_owned()),
                    _ => value.and_then(|value| self.condition(value)),
                };
                line(&format!(
                    "return {};",
                    known.as_deref().unwrap_or("todo!()")
                ))
            }
            Returns::Produced => {
                let is_empty = match &literal {
                    Some(Literal::Text(text)) => text.is_empty(),
                    Some(Literal::Bytes(bytes)) => bytes.is_empty(),
                    _ => is_none,
                };
                match literal.as_ref().and_then(Literal::sent) {
                    _ if is_empty => line("return Ok(Produced::Done);"),
                    Some(sent) => line(&format!("return Ok(Produced::Data({sent}.into()));")),
                    None => line("return todo!();"),
                }
            }
            Returns::Value(type_) => {
                let known = value.and_then(|value| self.known(value, type_));
                match known {
                    Some(known) => line(&format!("return Ok({known});")),
                    None => line("return todo!();"),
                }
            }
            Returns::Object => None,
        }
    }

    fn assignment(&self, node: Node, is_outermost: bool) -> Option<Vec<Code>> {
        let tree = self.tree;
        let (left, right) = (tree.child(node, "left")?, tree.child(node, "right")?);
        if let Some(name) = self.own(left) {
            let class = self.class?;
            let is_attribute = self.plan.trait_of(class).is_some() && ATTRIBUTES.contains(&name);
            if is_attribute {
                return (tree.kind(right) != "assignment").then(Vec::new);
            }
            if self.place == Place::New {
                // The literal at the end has the last value, and one before it does not matter.
                let field = self.plan.classes.get(&class)?.field(name)?;
                let value = last_right(tree, node);
                let has_it = field.initial == Initial::Value(value)
                    || matches!(field.initial, Initial::Value(_))
                        && self.known(value, &field.type_).is_some();
                return (is_outermost && has_it).then(Vec::new);
            }
            if !self.is_mutable {
                return None;
            }
            let (path, field) = self.plan.field(class, name)?;
            if let Some(code) = self.collected(node, name, &path, &field.type_) {
                return Some(code);
            }
            if let Some(&made) = self.plan.calls.constructed.get(&(self.module, right)) {
                let is_channel = matches!(&field.type_, Type::Channel)
                    || matches!(&field.type_, Type::Option(inner) if **inner == Type::Channel);
                let arguments = self.arguments(right);
                return is_channel
                    .then(|| self.construct(made, &arguments, Some((path, &field.type_))))?;
            }
            let value = self.known(right, &field.type_)?;
            return Some(vec![Code::line(format!("{path} = {value};"))]);
        }
        if self.accepted.is_some() && self.is_accept(right) {
            return Some(Vec::new());
        }
        if let Some(code) = self.received(left, right) {
            return Some(code);
        }
        if tree.kind(left) == "identifier"
            && let Some(&made) = self.plan.calls.constructed.get(&(self.module, right))
        {
            return self.construct(made, &self.arguments(right), None);
        }
        None
    }

    /// `data = self.recv(size)`.
    fn received(&self, left: Node, right: Node) -> Option<Vec<Code>> {
        let tree = self.tree;
        let function = tree
            .child(right, "function")
            .filter(|_| tree.kind(right) == "call")?;
        let is_own = self.own(function) == Some("recv")
            && self.program.method(self.class?, "recv").is_none();
        let is_here = self.trait_() == Some(Trait::Dispatcher) && self.is_fallible();
        if tree.kind(left) != "identifier" || !is_own || !is_here || self.place != Place::Function {
            return None;
        }
        let channel = self.channel?;
        let name = names::value(tree.text(left));
        let name = self.plan.variables(self.module, &[channel]).take(&name);
        let read = "recv_with(|_, data| data.to_vec())?;";
        Some(vec![Code::line(format!("let {name} = {channel}.{read}"))])
    }

    fn is_accept(&self, node: Node) -> bool {
        let tree = self.tree;
        let function = tree
            .child(node, "function")
            .filter(|_| tree.kind(node) == "call");
        function.and_then(|function| self.own(function)) == Some("accept")
    }

    /// The data of `collect_incoming_data` goes into a field.
    fn collected(&self, node: Node, name: &str, path: &str, type_: &Type) -> Option<Vec<Code>> {
        let tree = self.tree;
        let is_data = self.trait_() == Some(Trait::AsyncChat) && *type_ == Type::Bytes;
        let (_, added) =
            addition(tree, node).filter(|(attribute, _)| is_data && *attribute == name)?;
        let Scope::Function(function) = self.program[self.module].scope(node) else {
            return None;
        };
        let python = &self.program[function];
        let data = python.parameters.get(1)?;
        let is_given = data.name == tree.text(added) && python.name == "collect_incoming_data";
        let data = self.arguments.first().filter(|_| is_given)?;
        Some(vec![Code::line(format!(
            "{path}.extend_from_slice({data});"
        ))])
    }

    fn collect(&self, call: Node) -> Option<Vec<Code>> {
        let tree = self.tree;
        let object = tree.child(tree.child(call, "function")?, "object")?;
        let name = self.own(object)?;
        let (path, field) = self.plan.field(self.class?, name)?;
        self.collected(call, name, &path, &field.type_)
    }

    fn augmented(&self, node: Node) -> Option<Vec<Code>> {
        let tree = self.tree;
        let (left, right) = (tree.child(node, "left")?, tree.child(node, "right")?);
        let name = self.own(left)?;
        if self.place != Place::Function || !self.is_mutable {
            return None;
        }
        let (path, field) = self.plan.field(self.class?, name)?;
        if let Some(code) = self.collected(node, name, &path, &field.type_) {
            return Some(code);
        }
        let between = tree
            .source()
            .get(tree.span(left).end..tree.span(right).start)?;
        match (&field.type_, between.trim(), Literal::of(tree, right)) {
            (Type::Int, operator @ ("+=" | "-=" | "*="), Some(Literal::Int(number @ 0..))) => {
                Some(vec![Code::line(format!("{path} {operator} {number};"))])
            }
            _ => None,
        }
    }
}
