//! One connection: what is read, which answer it gets, and how that is sent.

pub(crate) mod answer;
pub(crate) mod channel;
pub(crate) mod coding;
pub(crate) mod conditional;
pub(crate) mod multipart;
pub(crate) mod reply;
pub(crate) mod send;
