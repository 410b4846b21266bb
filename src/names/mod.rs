//! A look-up as the reactor and a resolver share it: the question, and the place of the answer.

pub(crate) mod answer;
pub(crate) mod question;
