//! A body: its Python as comments, and under each statement its Rust, if there is one.

use crate::{
    skeleton::{callbacks::Returns, code::Code, comment, context::Context, page::Page},
    syntax::Node,
};

/// Blocks inside each other. What is deeper is a comment.
const DEPTH: usize = 16;

/// Writes one body.
#[derive(Debug)]
pub(super) struct Body<'c, 'a, 'p> {
    context: &'c Context<'a, 'p>,
    page: &'c mut Page,
    /// The first line of the Python that is not shown yet.
    line: usize,
    /// White space that the lines of this block have in common.
    columns: usize,
    depth: usize,
    loops: usize,
    /// Something was shown that has no Rust yet.
    undecided: bool,
    /// The accepted socket has been given away.
    stream_is_given: bool,
    /// The last thing written ends the function.
    has_returned: bool,
}

impl<'c, 'a, 'p> Body<'c, 'a, 'p> {
    /// Shows the Python from this line on.
    pub(super) fn new(context: &'c Context<'a, 'p>, page: &'c mut Page, line: usize) -> Self {
        Self {
            columns: comment::indentation(context.tree.line(line)),
            context,
            page,
            line,
            depth: 0,
            loops: 0,
            undecided: false,
            stream_is_given: false,
            has_returned: false,
        }
    }

    /// All of a function but its last expression.
    pub(super) fn function(&mut self, node: Node, block: Option<Node>) {
        let tree = self.context.tree;
        let statements: Vec<_> = block
            .into_iter()
            .flat_map(|block| tree.children(block))
            .collect();
        let head = statements.first().map_or_else(
            || self.last_line(node),
            |&first| {
                // A body may stand in the line of its `def`.
                let line = tree.position(first).line;
                let before = tree.position(node).line.max(line.saturating_sub(1));
                self.head_end(node, block).unwrap_or(before)
            },
        );
        self.show_to(head);
        self.block(&statements);
        let end = self.last_line(node);
        self.show_to(end);
    }

    /// Statements one after the other.
    pub(super) fn block(&mut self, statements: &[Node]) {
        let columns = self.columns;
        if let Some(&first) = statements.first() {
            let position = self.context.tree.position(first);
            if position.line >= self.line {
                self.columns = comment::indentation(self.context.tree.line(position.line));
            }
        }
        for &statement in statements {
            self.statement(statement);
        }
        self.decide();
        self.columns = columns;
    }

    /// The statements of a constructor that `handle_connect` makes.
    pub(super) fn greeting(&mut self, statements: &[Node]) {
        for &statement in statements {
            if self.is_later(statement) {
                self.columns = {
                    let line = self.context.tree.position(statement).line;
                    self.line = self.line.max(line);
                    comment::indentation(self.context.tree.line(line))
                };
                self.statement(statement);
            }
        }
        self.decide();
    }

    pub(super) fn is_later(&self, statement: Node) -> bool {
        let tree = self.context.tree;
        std::iter::once(statement)
            .chain(tree.descendants(statement))
            .any(|node| {
                tree.kind(node) == "call"
                    && self.context.is_later(node)
                    && !self.is_first_terminator(node)
            })
    }

    /// The terminator that `ChatDispatcher::new` gets.
    fn is_first_terminator(&self, call: Node) -> bool {
        let Some(class) = self.context.class else {
            return false;
        };
        self.context.plan.terminator(class) == Some((self.context.module, call))
    }

    fn last_line(&self, node: Node) -> usize {
        let span = self.context.tree.span(node);
        self.context
            .tree
            .position_at(span.end.saturating_sub(1).max(span.start))
            .line
    }

    fn show_to(&mut self, line: usize) {
        while self.line <= line {
            let text = comment::line(self.context.tree.line(self.line), self.columns);
            if !text.is_empty() {
                self.page.comment(&text);
            }
            self.line += 1;
        }
    }

    /// Ends a run of statements without Rust.
    fn decide(&mut self) {
        if std::mem::take(&mut self.undecided) {
            self.page.line("todo!();");
        }
    }

    fn write(&mut self, code: &[Code]) {
        let stream = self
            .context
            .arguments
            .first()
            .filter(|_| self.context.accepted.is_some())
            .cloned();
        for code in code {
            let mut code = code.clone();
            if let (Code::Call(_, arguments, _), Some(stream)) = (&mut code, &stream) {
                for argument in arguments.iter_mut().filter(|argument| *argument == stream) {
                    if std::mem::replace(&mut self.stream_is_given, true) {
                        "todo!()".clone_into(argument);
                    }
                }
            }
            code.write(self.page);
        }
    }

    fn statement(&mut self, node: Node) {
        self.has_returned = false;
        let tree = self.context.tree;
        if is_compound(tree.kind(node)) && self.depth < DEPTH && self.has_code(node) {
            self.compound(node);
            return;
        }
        let code = self
            .context
            .statement(node, self.loops > 0, self.depth == 0);
        let end = self.last_line(node);
        match code {
            Some(code) if code.is_empty() => self.show_to(end),
            Some(code) => {
                self.decide();
                self.show_to(end);
                self.write(&code);
                self.has_returned = self.depth == 0 && tree.kind(node) == "return_statement";
            }
            None => {
                self.show_to(end);
                self.undecided = true;
            }
        }
    }

    fn has_code(&self, node: Node) -> bool {
        let tree = self.context.tree;
        let statements = tree.descendants(node).filter(|&below| {
            tree.kind(below).ends_with("_statement") && !is_compound(tree.kind(below))
        });
        let scope = self.context.program[self.context.module].scope(node);
        let mut own = statements
            .filter(|&below| self.context.program[self.context.module].scope(below) == scope);
        own.any(|below| {
            self.context
                .statement(below, true, false)
                .is_some_and(|code| !code.is_empty())
        })
    }

    fn head_end(&self, node: Node, block: Option<Node>) -> Option<usize> {
        let tree = self.context.tree;
        let before = tree
            .children(node)
            .take_while(|&child| Some(child) != block);
        before.last().map(|last| self.last_line(last))
    }

    /// The lines of a clause up to its block.
    fn show_head(&mut self, node: Node, block: Option<Node>) {
        let start = self.context.tree.position(node).line;
        let end = self.head_end(node, block).unwrap_or(start);
        self.show_to(end.max(start));
    }

    fn inner(&mut self, block: Option<Node>) {
        let tree = self.context.tree;
        let statements: Vec<_> = block
            .into_iter()
            .flat_map(|block| tree.children(block))
            .collect();
        self.depth += 1;
        self.block(&statements);
        self.depth -= 1;
    }

    fn compound(&mut self, node: Node) {
        let tree = self.context.tree;
        self.decide();
        match tree.kind(node) {
            "if_statement" => self.choice(node),
            "while_statement" | "for_statement" => {
                let block = tree.child(node, "body");
                self.show_head(node, block);
                self.page.open("while todo!()");
                self.loops += 1;
                self.inner(block);
                self.loops -= 1;
                self.page.close();
                self.alternatives(node);
            }
            "with_statement" => {
                let block = tree.child(node, "body");
                self.show_head(node, block);
                self.inner(block);
            }
            _ => {
                let block = tree.child(node, "body");
                self.show_head(node, block);
                self.inner(block);
                self.alternatives(node);
            }
        }
        let end = self.last_line(node);
        self.show_to(end);
    }

    fn choice(&mut self, node: Node) {
        let tree = self.context.tree;
        let block = tree.child(node, "consequence");
        self.show_head(node, block);
        let condition = tree.child(node, "condition");
        if condition.is_some_and(|condition| is_main_guard(tree.text(condition))) {
            self.inner(block);
            return;
        }
        let condition = self.condition(node);
        self.page.open(&format!("if {condition}"));
        self.inner(block);
        let clauses: Vec<_> = tree
            .children(node)
            .filter(|&clause| matches!(tree.kind(clause), "elif_clause" | "else_clause"))
            .collect();
        for clause in clauses {
            let block = tree
                .child(clause, "consequence")
                .or_else(|| tree.child(clause, "body"));
            if tree.kind(clause) == "elif_clause" {
                let condition = self.condition(clause);
                self.page.reopen(&format!("else if {condition}"));
            } else {
                self.page.reopen("else");
            }
            self.show_head(clause, block);
            self.inner(block);
        }
        self.page.close();
    }

    fn condition(&self, node: Node) -> String {
        let condition = self.context.tree.child(node, "condition");
        let known = condition.and_then(|condition| self.context.condition(condition));
        known.unwrap_or_else(|| "todo!()".to_owned())
    }

    /// The clauses of `try`, and `else` of a loop.
    fn alternatives(&mut self, node: Node) {
        let tree = self.context.tree;
        let clauses: Vec<_> = tree
            .children(node)
            .filter(|&clause| tree.kind(clause).ends_with("_clause"))
            .collect();
        for clause in clauses {
            let mut parts = tree.children(clause);
            let block = parts.find(|&part| tree.kind(part) == "block");
            let is_handler =
                tree.kind(clause).starts_with("except") || tree.kind(node) != "try_statement";
            if is_handler {
                self.page.open("if todo!()");
            }
            self.show_head(clause, block);
            self.inner(block);
            if is_handler {
                self.page.close();
            }
        }
    }

    /// The end of a function.
    pub(super) fn finish(&mut self) {
        let undecided = std::mem::take(&mut self.undecided);
        if self.has_returned {
            return;
        }
        match &self.context.returns {
            Returns::Nothing => {
                if undecided {
                    self.page.line("todo!();");
                }
                self.page.line("Ok(())");
            }
            Returns::Unit => {
                if undecided {
                    self.page.line("todo!();");
                }
            }
            Returns::Produced if !undecided => self.page.line("Ok(Produced::Done)"),
            Returns::Bool if !undecided => self.page.line("false"),
            Returns::Object => {}
            _ => self.page.line("todo!()"),
        }
    }
}

/// `__name__ == '__main__'`.
pub(super) fn is_main_guard(condition: &str) -> bool {
    condition.contains("__name__") && condition.contains("__main__")
}

fn is_compound(kind: &str) -> bool {
    matches!(
        kind,
        "if_statement" | "while_statement" | "for_statement" | "try_statement" | "with_statement"
    )
}
