//! Methods and functions: where each goes, and what it returns.

use std::collections::HashMap;

use super::{Home, Kind, Plan, PlannedFunction, Role};
use crate::{
    library::Root,
    model::{ClassId, FunctionId, Scope},
    skeleton::{
        callbacks::{Callback, Returns},
        literal::Literal,
        names::{self, Taken},
        types::Type,
    },
};

impl Plan<'_> {
    pub(super) fn plan_methods(&mut self, class: ClassId) -> Vec<PlannedFunction> {
        let program = self.program;
        let Some(kind) = self.classes.get(&class).map(|class| class.kind) else {
            return Vec::new();
        };
        let mut taken = Taken::new(["new", "start"]);
        let accepts_itself = program.method(class, "handle_accepted").is_some();
        let mut winners: HashMap<&str, FunctionId> = HashMap::new();
        for &method in &program[class].methods {
            winners.insert(&program[method].name, method);
        }
        let mut planned = Vec::new();
        for &id in &program[class].methods {
            let python = &program[id];
            let wins = winners.get(python.name.as_str()) == Some(&id);
            let is_plain = python.decorators.is_empty() && python.receiver().is_some();
            let home = if !wins || !is_plain {
                Home::Own
            } else if python.name == "__init__" {
                Home::New
            } else if kind == Kind::Producer && python.name == "more" {
                Home::More
            } else {
                let callback = kind
                    .channel()
                    .and_then(|of| Callback::named(&python.name, of));
                match callback {
                    Some(callback) if callback.python == "handle_accept" && accepts_itself => {
                        Home::Own
                    }
                    Some(callback) => Home::Callback(callback),
                    None => Home::Own,
                }
            };
            let is_setter = python
                .decorators
                .iter()
                .any(|name| name.ends_with(".setter"));
            let wanted = if is_setter {
                format!("set_{}", python.name)
            } else {
                python.name.clone()
            };
            let rust = match &home {
                Home::New => "new".to_owned(),
                Home::More => "more".to_owned(),
                Home::Callback(callback) => callback.rust.to_owned(),
                Home::Own => taken.take(&names::value(&wanted)),
            };
            let skip = usize::from(
                python.receiver().is_some()
                    || python.decorators.iter().any(|name| name == "classmethod"),
            );
            let reserved: &[&str] = &["chat", "channel", "registry"];
            let parameters = match &home {
                Home::New => self
                    .classes
                    .get(&class)
                    .map(|class| class.parameters.clone())
                    .unwrap_or_default(),
                _ => {
                    let mut parameters = self.parameters(id, skip, reserved);
                    self.learn_from_own(class, id, &mut parameters);
                    parameters
                }
            };
            let returns = match &home {
                Home::New => Returns::Object,
                Home::More => Returns::Produced,
                Home::Callback(callback) => callback.returns(),
                Home::Own => self.returns(id),
            };
            planned.push(PlannedFunction {
                id,
                rust,
                home,
                parameters,
                returns,
                has_object: python.receiver().is_some(),
                has_reactor: false,
            });
        }
        for method in &planned {
            self.functions.insert(method.id, method.clone());
        }
        planned
    }

    fn returns(&mut self, function: FunctionId) -> Returns {
        let python = &self.program[function];
        let Some(body) = python.body else {
            return Returns::Nothing;
        };
        let tree = self.tree(python.module);
        let mut types = Vec::new();
        for node in tree
            .descendants(body)
            .filter(|&node| tree.kind(node) == "return_statement")
        {
            if self.program[python.module].scope(node) != Scope::Function(function) {
                continue;
            }
            let Some(value) = tree.children(node).next() else {
                continue;
            };
            match Literal::of(tree, value) {
                Some(Literal::None) => {}
                Some(literal) => types.push(Type::of_literal(&literal)),
                None => types.push(None),
            }
        }
        let Some(first) = types.first().cloned() else {
            return Returns::Nothing;
        };
        let same = types.iter().all(|type_| *type_ == first);
        let type_ = first.filter(|_| same).unwrap_or_else(|| {
            let origin = format!("def {}", python.name);
            Type::Todo(self.todo.name(&python.name, &origin))
        });
        Returns::Value(type_)
    }

    pub(super) fn role(&self, class: ClassId) -> Role {
        let program = self.program;
        let lineage = self.lineage(class);
        let calls = |name: &str| {
            let own = |(_, class): &(String, ClassId)| {
                self.calls.own.contains_key(&(*class, name.to_owned()))
            };
            lineage.iter().any(own)
        };
        let has = |name| program.method(class, name).is_some();
        let is_datagram = lineage.iter().any(|(_, class)| {
            let tree = self.tree(program[*class].module);
            let sockets = self.calls.own.get(&(*class, "create_socket".to_owned()));
            sockets
                .into_iter()
                .flatten()
                .any(|&call| tree.text(call).contains("SOCK_DGRAM"))
        });
        if is_datagram {
            Role::Datagrams
        } else if calls("listen") || has("handle_accept") || has("handle_accepted") {
            Role::Listener
        } else if calls("connect") {
            Role::Client
        } else if program[class].root == Some(Root::FileDispatcher) {
            Role::Given
        } else {
            Role::Stream
        }
    }

    pub(super) fn plan_functions(&mut self) {
        for at in 0..self.modules.len() {
            for number in 0..self.modules[at].functions.len() {
                let (id, has_reactor) = {
                    let function = &self.modules[at].functions[number];
                    (function.id, function.has_reactor)
                };
                let reserved: &[&str] = if has_reactor { &["reactor"] } else { &[] };
                let parameters = self.parameters(id, 0, reserved);
                let returns = self.returns(id);
                let function = &mut self.modules[at].functions[number];
                (function.parameters, function.returns) = (parameters, returns);
                self.functions.insert(id, function.clone());
            }
        }
    }
}
