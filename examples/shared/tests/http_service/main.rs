//! `shared::http::service`: each request gets one answer, in order, whatever client and handler do.

mod account;
mod answers;
mod bodies;
mod ends;
mod limits;
mod order;
mod outside;
