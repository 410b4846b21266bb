//! How a run ended, from the reactor to `main`.

use std::{cell::RefCell, rc::Rc};

use asynchat::{BoxError, Result};

/// The first outcome counts. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Outcome(Rc<RefCell<Option<Result<(), BoxError>>>>);

impl Outcome {
    pub fn set(&self, outcome: Result<(), BoxError>) {
        self.0.borrow_mut().get_or_insert(outcome);
    }

    /// After [`Reactor::run`](asynchat::Reactor::run).
    ///
    /// # Errors
    /// The outcome's, or "interrupted" if none came.
    pub fn take(&self) -> Result<(), BoxError> {
        let outcome = self.0.borrow_mut().take();
        outcome.unwrap_or_else(|| Err("interrupted".into()))
    }
}
