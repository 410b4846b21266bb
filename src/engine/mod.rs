//! One visit of one channel, a file a step: what is due, the system calls, the callbacks, and what comes of them.

mod accept;
mod alarm;
mod call;
mod closing;
mod connect;
mod departures;
mod farewell;
mod filter;
mod flush;
mod handshake;
mod io;
mod names;
mod pacing;
mod proxy;
mod race;
mod registration;
mod visit;
mod wire;

pub(crate) use self::{io::Filled, registration::describe};
