//! The way in from other threads (R21).

pub(crate) mod mailbox;
pub(crate) mod post_box;
