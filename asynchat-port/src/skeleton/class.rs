//! A class: a struct, its constructor, its methods, and the trait it implements.

use crate::{
    model::ClassId,
    skeleton::{
        body::Body,
        callbacks::Returns,
        comment,
        context::{Context, Place},
        page::Page,
        plan::{Home, Initial, Kind, Plan, PlannedClass, PlannedFunction},
        types::Type,
    },
    syntax::{Node, Tree},
};

/// rustfmt's `struct_lit_width`.
const LITERAL: usize = 18;

/// Writes the classes of one module.
pub(super) struct Writer<'w, 'p> {
    pub(super) plan: &'w Plan<'p>,
    pub(super) page: &'w mut Page,
}

impl<'p> Writer<'_, 'p> {
    pub(super) fn class(&mut self, id: ClassId) {
        let plan = self.plan;
        let Some(class) = plan.classes.get(&id) else {
            return;
        };
        self.page.blank();
        self.python_head(id);
        self.fields(class);
        self.page.blank();
        self.page.open(&format!("impl {}", class.rust));
        self.constructor(class);
        if let Some(of) = class.kind.channel() {
            self.page.blank();
            self.start(class, of);
        }
        for method in class
            .methods
            .iter()
            .filter(|method| matches!(method.home, Home::Own))
        {
            self.page.blank();
            self.method(method);
        }
        self.page.close();
        match class.kind {
            Kind::Channel(of) => self.callbacks(class, of),
            Kind::Producer => self.producer(class),
            Kind::Plain => {}
        }
    }

    /// The lines of the class that are in no method and no inner class.
    fn python_head(&mut self, id: ClassId) {
        let program = self.plan.program;
        let class = &program[id];
        let tree = &program[class.module].tree;
        let methods = class.methods.iter().map(|&method| program[method].node);
        let nested = class.nested.iter().map(|&nested| program[nested].node);
        let mut elsewhere: Vec<_> = methods
            .chain(nested)
            .map(|node| (first_line(tree, node), lines(tree, node).1))
            .collect();
        elsewhere.sort_unstable();
        let (mut line, last) = lines(tree, decorated(tree, class.node));
        let columns = comment::indentation(tree.line(line));
        let mut elsewhere = elsewhere.into_iter().peekable();
        while line <= last {
            if let Some((_, end)) = elsewhere.next_if(|(start, _)| *start <= line) {
                line = line.max(end + 1);
                continue;
            }
            let text = comment::line(tree.line(line), columns);
            if !text.is_empty() {
                self.page.comment(&text);
            }
            line += 1;
        }
    }

    fn fields(&mut self, class: &PlannedClass) {
        let module = self.plan.program[class.id].module;
        self.page.open(&format!("pub struct {}", class.rust));
        for (field, base) in &class.bases {
            self.page.line(&format!(
                "pub {field}: {},",
                self.plan.class_path(*base, module)
            ));
        }
        for field in &class.fields {
            self.page.line(&format!(
                "pub {}: {},",
                field.rust,
                self.plan.rust(&field.type_, module)
            ));
        }
        self.page.close();
    }

    fn parameters(
        &self,
        function: &PlannedFunction,
        module: crate::model::ModuleId,
    ) -> Vec<String> {
        let parameters = function.parameters.iter();
        parameters
            .map(|parameter| {
                format!(
                    "{}: {}",
                    parameter.rust,
                    self.plan.rust(&parameter.type_, module)
                )
            })
            .collect()
    }

    fn constructor(&mut self, class: &PlannedClass) {
        let plan = self.plan;
        let module = plan.program[class.id].module;
        let init = class
            .methods
            .iter()
            .find(|method| matches!(method.home, Home::New));
        let inherited = || {
            let (owner, _) = plan.constructor(class.id)?;
            plan.classes.get(&owner)
        };
        let parameters = match init {
            Some(_) => class.parameters.clone(),
            None => inherited()
                .map(|owner| owner.parameters.clone())
                .unwrap_or_default(),
        };
        let list: Vec<_> = parameters
            .iter()
            .map(|parameter| {
                format!(
                    "{}: {}",
                    parameter.rust,
                    plan.rust(&parameter.type_, module)
                )
            })
            .collect();
        self.page.function("pub fn new", &list, " -> Self");
        let mut context = match init {
            Some(init) => Context::of(plan, init, None),
            None => Context::of_script(plan, module),
        };
        context.place = Place::New;
        context.returns = Returns::Object;
        context.parameters = parameters;
        (context.channel, context.registry, context.has_reactor) = (None, None, false);
        if let Some(init) = init {
            let python = &plan.program[init.id];
            let line = first_line(context.tree, python.node);
            let mut body = Body::new(&context, self.page, line);
            body.function(python.node, python.body);
        }
        let mut values = Vec::new();
        for (field, base) in &class.bases {
            let owner = plan
                .constructor(*base)
                .and_then(|(owner, _)| plan.classes.get(&owner));
            let given = owner.into_iter().flat_map(|owner| &owner.parameters);
            let given: Vec<_> = given
                .map(|wanted| {
                    let mut own = context.parameters.iter();
                    let own =
                        own.find(|own| own.python == wanted.python && own.type_ == wanted.type_);
                    match own {
                        Some(own) if own.type_.is_copy() => own.rust.clone(),
                        Some(own) if own.type_.is_clone() => format!("{}.clone()", own.rust),
                        _ => "todo!()".to_owned(),
                    }
                })
                .collect();
            values.push((
                field.clone(),
                format!("{}::new", plan.class_path(*base, module)),
                Some(given),
            ));
        }
        for field in &class.fields {
            let value = match (field.initial, &field.type_) {
                (Initial::Value(value), type_) => context.value(Some(value), type_),
                (Initial::Absent, Type::Option(_)) => "None".to_owned(),
                _ => "todo!()".to_owned(),
            };
            values.push((field.rust.clone(), value, None));
        }
        self.object(&values);
        self.page.close();
    }

    fn object(&mut self, values: &[(String, String, Option<Vec<String>>)]) {
        let one = values.iter().map(|(field, value, given)| match given {
            Some(given) => format!("{field}: {value}({})", given.join(", ")),
            None if field == value => field.clone(),
            None => format!("{field}: {value}"),
        });
        let one: Vec<_> = one.collect();
        let line = one.join(", ");
        if line.is_empty() {
            self.page.line("Self {}");
        } else if line.chars().count() <= LITERAL {
            self.page.line(&format!("Self {{ {line} }}"));
        } else {
            self.page.open("Self");
            for ((field, value, given), one) in values.iter().zip(one) {
                match given {
                    Some(given) => self.page.call(&format!("{field}: {value}"), given, ","),
                    None => self.page.line(&format!("{one},")),
                }
            }
            self.page.close();
        }
    }

    fn method(&mut self, method: &PlannedFunction) {
        let plan = self.plan;
        let context = Context::of(plan, method, None);
        let mut parameters = Vec::new();
        if method.has_object {
            parameters.push("&mut self".to_owned());
        }
        if let (Some(channel), Some(of)) = (context.channel, context.trait_()) {
            parameters.push(format!("{channel}: {}", of.channel()));
        }
        parameters.extend(self.parameters(method, context.module));
        self.body(
            &format!("pub fn {}", method.rust),
            &parameters,
            &context,
            method,
        );
    }

    /// A function at the top level of a module.
    pub(super) fn function(&mut self, function: &PlannedFunction) {
        let context = Context::of(self.plan, function, None);
        let mut parameters = Vec::new();
        if function.has_reactor {
            parameters.push("reactor: &mut Reactor".to_owned());
        }
        parameters.extend(self.parameters(function, context.module));
        self.page.blank();
        self.body(
            &format!("pub fn {}", function.rust),
            &parameters,
            &context,
            function,
        );
    }

    fn body(
        &mut self,
        head: &str,
        parameters: &[String],
        context: &Context<'_, 'p>,
        function: &PlannedFunction,
    ) {
        let result = result(self.plan, context);
        self.page.function(head, parameters, &result);
        self.inside(context, function, None);
        self.page.close();
    }

    /// `greeting`: the class whose constructor leaves something to `handle_connect`.
    pub(super) fn inside(
        &mut self,
        context: &Context<'_, 'p>,
        function: &PlannedFunction,
        greeting: Option<&PlannedClass>,
    ) {
        if let Some(class) = greeting {
            self.greeting(class);
        }
        let python = &self.plan.program[function.id];
        let line = first_line(context.tree, python.node);
        let mut body = Body::new(context, self.page, line);
        body.function(python.node, python.body);
        body.finish();
    }
}

/// The type behind the arrow of a function that is no callback.
fn result(plan: &Plan<'_>, context: &Context<'_, '_>) -> String {
    match &context.returns {
        Returns::Value(type_) => format!(" -> Result<{}>", plan.rust(type_, context.module)),
        _ => " -> Result".to_owned(),
    }
}

/// The definition with its decorators.
fn decorated(tree: &Tree, node: Node) -> Node {
    match tree.parent(node) {
        Some(parent) if tree.kind(parent) == "decorated_definition" => parent,
        _ => node,
    }
}

/// The first line of a definition with its decorators, and with the comments above it.
fn first_line(tree: &Tree, node: Node) -> usize {
    let (mut line, _) = lines(tree, decorated(tree, node));
    while line > 1 && tree.line(line - 1).trim_start().starts_with('#') {
        line -= 1;
    }
    line
}

/// The first and the last line of a node.
fn lines(tree: &Tree, node: Node) -> (usize, usize) {
    let span = tree.span(node);
    let last = span.end.saturating_sub(1).max(span.start);
    (
        tree.position_at(span.start).line,
        tree.position_at(last).line,
    )
}
