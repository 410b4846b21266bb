//! The traits: callbacks of a class, and those that it leaves to a base.

use crate::{
    model::ClassId,
    skeleton::{
        body::Body,
        callbacks::{CALLBACKS, Callback, Outcome, Returns, Trait},
        class::Writer,
        context::{Context, Place},
        page::Page,
        plan::{Home, Plan, PlannedClass, PlannedFunction},
    },
};

impl Writer<'_, '_> {
    pub(super) fn callbacks(&mut self, class: &PlannedClass, of: Trait) {
        self.page.blank();
        self.page
            .open(&format!("impl {} for {}", of.name(), class.rust));
        let mut is_first = true;
        let mut written: Vec<&str> = Vec::new();
        let has_greeting = self.plan.greeting.contains(&class.id);
        for method in &class.methods {
            let Home::Callback(callback) = method.home else {
                continue;
            };
            if written.contains(&callback.rust) {
                continue;
            }
            written.push(callback.rust);
            self.space(&mut is_first);
            let names = self.plan.argument_names(method.id, callback);
            self.signature(callback, of, &names);
            let mut context = Context::of(self.plan, method, Some(callback));
            context.parameters.clear();
            let greeting = (callback.rust == "handle_connect" && has_greeting).then_some(class);
            self.inside(&context, method, greeting);
            self.page.close();
        }
        for callback in CALLBACKS
            .iter()
            .filter(|callback| callback.traits.contains(&of))
        {
            if written.contains(&callback.rust) {
                continue;
            }
            let base = class
                .bases
                .iter()
                .find(|(_, base)| self.plan.provides(*base, callback.rust));
            let greets = callback.rust == "handle_connect" && has_greeting;
            if base.is_none() && !greets {
                continue;
            }
            written.push(callback.rust);
            self.space(&mut is_first);
            let names: Vec<_> = callback
                .arguments
                .iter()
                .map(|(name, _)| (*name).to_owned())
                .collect();
            self.signature(callback, of, &names);
            let delegated = base.map(|(field, base)| {
                let of_base = self.plan.trait_of(*base).unwrap_or(of);
                let mut arguments = vec![if callback.is_predicate {
                    format!("&self.{field}")
                } else {
                    format!("&mut self.{field}")
                }];
                if callback.has_channel() {
                    arguments.push(of.variable().to_owned());
                }
                arguments.extend(names);
                (format!("{}::{}", of_base.name(), callback.rust), arguments)
            });
            match delegated {
                Some((head, arguments)) if greets => {
                    self.page.call(&head, &arguments, "?;");
                    self.greeting(class);
                    self.page.line("Ok(())");
                }
                Some((head, arguments)) => {
                    let tail = if callback.outcome == Outcome::Nothing {
                        ";"
                    } else {
                        ""
                    };
                    self.page.call(&head, &arguments, tail);
                }
                None => {
                    self.greeting(class);
                    self.page.line("Ok(())");
                }
            }
            self.page.close();
        }
        self.page.close();
    }

    fn space(&mut self, is_first: &mut bool) {
        if !std::mem::take(is_first) {
            self.page.blank();
        }
    }

    fn signature(&mut self, callback: &Callback, of: Trait, names: &[String]) {
        let mut parameters = vec![
            if callback.is_predicate {
                "&self"
            } else {
                "&mut self"
            }
            .to_owned(),
        ];
        if callback.has_channel() {
            parameters.push(format!("{}: {}", of.variable(), of.channel()));
        }
        for (name, (_, type_)) in names.iter().zip(callback.arguments) {
            parameters.push(format!("{name}: {type_}"));
        }
        let result = match callback.outcome {
            Outcome::Bool => " -> bool",
            Outcome::Nothing => "",
            Outcome::Result => " -> Result",
        };
        self.page
            .function(&format!("fn {}", callback.rust), &parameters, result);
    }

    /// What the constructor does with its channel.
    pub(super) fn greeting(&mut self, class: &PlannedClass) {
        let plan = self.plan;
        let Some(init) = class
            .methods
            .iter()
            .find(|method| matches!(method.home, Home::New))
        else {
            return;
        };
        let Some(of) = class.kind.channel() else {
            return;
        };
        let mut context = Context::of(plan, init, None);
        context.place = Place::Greeting;
        context.returns = Returns::Nothing;
        context.parameters.clear();
        context.channel = Some(of.variable());
        context.registry = Some(format!("{}.registry()", of.variable()));
        self.page.comment("From `__init__`:");
        let statements: Vec<_> = plan.program[init.id]
            .body
            .into_iter()
            .flat_map(|block| context.tree.children(block))
            .collect();
        Body::new(&context, self.page, 1).greeting(&statements);
    }

    pub(super) fn producer(&mut self, class: &PlannedClass) {
        let own = class
            .methods
            .iter()
            .find(|method| matches!(method.home, Home::More));
        let base = class
            .bases
            .iter()
            .find(|(_, base)| self.plan.is_producer(*base));
        self.page.blank();
        self.page.open(&format!("impl Producer for {}", class.rust));
        self.page.function(
            "fn more",
            &["&mut self".to_owned()],
            " -> io::Result<Produced>",
        );
        match (own, base) {
            (Some(own), _) => {
                let context = Context::of(self.plan, own, None);
                self.inside(&context, own, None);
            }
            (None, Some((field, _))) => self
                .page
                .line(&format!("Producer::more(&mut self.{field})")),
            (None, None) => self.page.line("todo!()"),
        }
        self.page.close();
        self.page.close();
    }
}

impl Plan<'_> {
    /// True if the constructor of the class has something for `handle_connect`.
    pub(super) fn has_greeting(&self, class: &PlannedClass) -> bool {
        let Some(init) = class
            .methods
            .iter()
            .find(|method| matches!(method.home, Home::New))
        else {
            return false;
        };
        let context = Context::of(self, init, None);
        let mut page = Page::default();
        let body = Body::new(&context, &mut page, 1);
        let block = self.program[init.id].body;
        let mut statements = block
            .into_iter()
            .flat_map(|block| context.tree.children(block));
        statements.any(|statement| body.is_later(statement))
    }

    /// True if the trait of a class has a callback of the program, its own or a base's.
    fn provides(&self, class: ClassId, rust: &str) -> bool {
        self.lineage(class).iter().any(|(_, class)| {
            let Some(class) = self.classes.get(class).filter(|class| class.kind.channel().is_some()) else {
                return false;
            };
            let has = |method: &PlannedFunction| matches!(method.home, Home::Callback(callback) if callback.rust == rust);
            class.methods.iter().any(has) || rust == "handle_connect" && self.greeting.contains(&class.id)
        })
    }
}
