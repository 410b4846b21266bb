//! The ends of frames.

use crate::{
    model::{ClassId, ModuleId},
    skeleton::{context::Context, literal::Literal, plan::Plan},
    syntax::Node,
};

impl Context<'_, '_> {
    /// The argument of `set_terminator`.
    pub(super) fn terminator(&self, node: Option<Node>) -> String {
        let Some(node) = node else {
            return "todo::terminator()".to_owned();
        };
        let constant = self
            .plan
            .constant(self.module, node)
            .map(|constant| &constant.value);
        let literal = Literal::of(self.tree, node);
        match literal.as_ref().or(constant) {
            // Python waits for no byte, and so collects for ever.
            Some(Literal::None | Literal::Int(0)) => "Terminator::None".to_owned(),
            Some(Literal::Int(count @ 0..)) => count.to_string(),
            Some(literal) => literal
                .sent()
                .unwrap_or_else(|| "todo::terminator()".to_owned()),
            None => "todo::terminator()".to_owned(),
        }
    }
}

impl Plan<'_> {
    /// The call that sets the terminator of a new channel.
    pub(super) fn terminator(&self, class: ClassId) -> Option<(ModuleId, Node)> {
        self.first_call(class, "set_terminator")
    }
}
