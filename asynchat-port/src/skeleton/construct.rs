//! Objects of the program that are made in a body.

use crate::{
    model::ClassId,
    skeleton::{
        calls::Arguments,
        code::Code,
        context::{Context, Place},
        plan::Role,
        types::Type,
    },
    syntax::Node,
};

impl Context<'_, '_> {
    pub(super) fn producer(&self, node: Option<Node>) -> String {
        let construction = node.and_then(|node| {
            let class = *self.plan.calls.constructed.get(&(self.module, node))?;
            self.plan.is_producer(class).then_some((node, class))
        });
        match construction {
            Some((node, class)) => {
                let values = self.constructor_values(class, &self.arguments(node));
                format!(
                    "{}::new({})",
                    self.plan.class_path(class, self.module),
                    values.join(", ")
                )
            }
            None => "todo::producer()".to_owned(),
        }
    }

    fn constructor_values(&self, class: ClassId, arguments: &Arguments) -> Vec<String> {
        let Some((owner, init)) = self.plan.constructor(class) else {
            return Vec::new();
        };
        let python = &self.program[init];
        let skip = usize::from(python.receiver().is_some());
        let Some(planned) = self.plan.classes.get(&owner) else {
            return Vec::new();
        };
        self.values(init, &planned.parameters, skip, arguments)
    }

    /// A new channel, whose id goes into `target`.
    pub(super) fn construct(
        &self,
        class: ClassId,
        arguments: &Arguments,
        target: Option<(String, &Type)>,
    ) -> Option<Vec<Code>> {
        let planned = self.plan.classes.get(&class)?;
        planned.kind.channel()?;
        let registry = self.registry.clone()?;
        if !self.is_fallible() || self.place != Place::Function {
            return None;
        }
        let name = self.plan.class_path(class, self.module);
        let values = self.constructor_values(class, arguments);
        let mut given = vec![registry];
        match planned.role {
            Role::Stream => given.push(self.stream(class, arguments)),
            Role::Given => given.push("todo!()".to_owned()),
            Role::Listener | Role::Client | Role::Datagrams => {}
        }
        let start = match target {
            None => Code::tried("object.start", given),
            Some((target, Type::Channel)) => Code::tried(format!("{target} = object.start"), given),
            Some((target, _)) => Code::Call(format!("{target} = Some(object.start"), given, "?);"),
        };
        Some(vec![
            Code::call(format!("let object = {name}::new"), values),
            start,
        ])
    }

    /// The accepted socket, if the constructor gets it.
    fn stream(&self, class: ClassId, arguments: &Arguments) -> String {
        let known = || {
            let (socket, _) = self.accepted.as_ref()?;
            let (owner, init) = self.plan.constructor(class)?;
            let wanted = self.plan.classes.get(&owner)?.socket.as_ref();
            let python = &self.program[init];
            let skip = usize::from(python.receiver().is_some());
            let at = wanted.and_then(|wanted| {
                python
                    .parameters
                    .iter()
                    .position(|parameter| parameter.name == *wanted)
            });
            let positional = at
                .and_then(|at| arguments.positional.get(at.checked_sub(skip)?))
                .copied();
            let keyword = arguments
                .keywords
                .iter()
                .find(|(name, _)| Some(name) == wanted)
                .map(|(_, value)| *value);
            let given = positional.or(keyword)?;
            self.arguments
                .first()
                .filter(|_| self.tree.text(given) == socket)
                .cloned()
        };
        known().unwrap_or_else(|| "todo!()".to_owned())
    }
}
