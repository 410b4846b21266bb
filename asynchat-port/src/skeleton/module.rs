//! A file: its constants, classes and functions, and the statements that start it.

use crate::{
    model::{ClassId, ModuleId},
    skeleton::{
        body::{Body, is_main_guard},
        class::Writer,
        comment,
        context::Context,
        literal::{Literal, quoted, quoted_bytes},
        plan::PlannedModule,
    },
    syntax::{Node, Tree},
};

/// What a statement at the top level is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    /// An import, a definition, or the module's text: written elsewhere, or nowhere.
    Elsewhere,
    /// A comment above the items.
    Head,
    /// It starts the program.
    Start,
    /// It belongs to the start if there is one.
    Beside,
}

impl Writer<'_, '_> {
    pub(super) fn items(&mut self, module: &PlannedModule) {
        self.constants(module);
        let mut classes: Vec<ClassId> = module.classes.clone();
        classes.sort_unstable();
        for class in classes {
            self.class(class);
        }
        for function in &module.functions {
            self.function(function);
        }
    }

    fn constants(&mut self, module: &PlannedModule) {
        let tree = self.plan.tree(module.id);
        let has_start = self.plan.starts(module.id);
        for statement in tree.children(tree.root()) {
            let part = self.plan.part(module.id, statement);
            if part != Part::Head && (part != Part::Beside || has_start) {
                continue;
            }
            let assignment = tree.children(statement).next();
            let name = assignment.and_then(|assignment| tree.child(assignment, "left"));
            let constant = name.and_then(|name| module.constants.get(tree.text(name)));
            self.page.blank();
            let span = tree.span(statement);
            let first = tree.position_at(span.start).line;
            let last = tree
                .position_at(span.end.saturating_sub(1).max(span.start))
                .line;
            let columns = comment::indentation(tree.line(first));
            for line in first..=last {
                let text = comment::line(tree.line(line), columns);
                if !text.is_empty() {
                    self.page.comment(&text);
                }
            }
            let right = assignment.and_then(|assignment| tree.child(assignment, "right"));
            if let Some(constant) = constant.filter(|constant| Some(constant.node) == right) {
                self.constant(&constant.rust, &constant.value);
            }
        }
    }

    fn constant(&mut self, name: &str, value: &Literal) {
        let (type_, value) = match value {
            Literal::None => return,
            Literal::Bool(value) => ("bool", value.to_string()),
            Literal::Int(value) => ("i64", value.to_string()),
            Literal::Float(value) => ("f64", format!("{value:?}")),
            Literal::Text(text) => ("&str", quoted(text)),
            Literal::Bytes(bytes) => ("&[u8]", quoted_bytes(bytes)),
        };
        self.page
            .binding(&format!("pub const {name}: {type_}"), &format!("{value};"));
    }

    /// The statements that start the program. Afterwards the loop has to run, unless one of them does it.
    pub(super) fn start_of(&mut self, module: ModuleId) {
        let plan = self.plan;
        let tree = plan.tree(module);
        let context = Context::of_script(plan, module);
        for statement in tree.children(tree.root()) {
            if matches!(plan.part(module, statement), Part::Start | Part::Beside) {
                let line = tree.position(statement).line;
                Body::new(&context, self.page, line).block(&[statement]);
            }
        }
    }
}

impl super::plan::Plan<'_> {
    fn part(&self, module: ModuleId, statement: Node) -> Part {
        let tree = self.tree(module);
        if self.calls.looping.contains(&(module, statement)) {
            return Part::Start;
        }
        match tree.kind(statement) {
            "import_statement"
            | "import_from_statement"
            | "future_import_statement"
            | "function_definition"
            | "class_definition"
            | "decorated_definition" => Part::Elsewhere,
            "if_statement" => {
                let condition = tree.child(statement, "condition");
                if condition.is_some_and(|condition| is_main_guard(tree.text(condition))) {
                    Part::Start
                } else {
                    of_block(tree, statement)
                }
            }
            "try_statement" => of_block(tree, statement),
            "expression_statement" => {
                match tree.children(statement).next().map(|part| tree.kind(part)) {
                    Some("string" | "concatenated_string") => Part::Elsewhere,
                    Some("assignment" | "augmented_assignment") => Part::Head,
                    _ => Part::Beside,
                }
            }
            _ => Part::Beside,
        }
    }

    /// True if the module starts something.
    pub(super) fn starts(&self, module: ModuleId) -> bool {
        let tree = self.tree(module);
        tree.children(tree.root())
            .any(|statement| self.part(module, statement) == Part::Start)
    }
}

/// A block of definitions or imports is known by them.
fn of_block(tree: &Tree, statement: Node) -> Part {
    let is_definition = |node: Node| {
        matches!(
            tree.kind(node),
            "function_definition"
                | "class_definition"
                | "import_statement"
                | "import_from_statement"
        )
    };
    if tree.descendants(statement).any(is_definition) {
        Part::Elsewhere
    } else {
        Part::Head
    }
}
