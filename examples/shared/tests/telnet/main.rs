//! `shared::telnet`: the rules of the negotiation, and sessions with servers that keep them and that do not.

mod negotiation;
mod sessions;
