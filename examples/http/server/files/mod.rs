//! Files as answers need them.

pub(crate) mod kept;
pub(crate) mod open;
