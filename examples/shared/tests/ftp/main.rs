//! `shared::ftp`: a session against servers that keep the rules, end early, and lie.

mod active;
mod endings;
mod fetch;
mod liars;
mod login;
mod play;
mod transfers;
