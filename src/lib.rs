//! asyncore and asynchat for Rust.
#![forbid(unsafe_code)]

mod accept;
mod address;
mod builder;
mod call;
mod channel;
mod closing;
mod connect;
mod dispatcher;
mod error;
mod flush;
mod handle;
mod id;
mod io;
mod listen;
mod outgoing;
mod producer;
mod reactor;
mod readiness;
mod registry;
mod slot;
mod socket;
mod stats;
mod table;
mod task;
mod timer;
mod visit;

pub use address::{Address, AddressParseError};
pub use builder::{Builder, ErrorSource};
pub use channel::{Channel, Detached};
pub use connect::ConnectOptions;
pub use dispatcher::{Dispatcher, Exceptional};
pub use error::{BoxError, FrameTooLong, OutgoingFull, Panicked, Result, Stopped, VisitError};
pub use handle::Handle;
pub use id::ChannelId;
pub use listen::ListenOptions;
pub use outgoing::Unsent;
pub use producer::{
    ChainProducer, ChunkedProducer, CoalescingProducer, EscapingProducer, FromFn, HookedProducer,
    LinesProducer, Produced, Producer, ReaderProducer, SimpleProducer, from_fn,
};
pub use reactor::Reactor;
pub use registry::Registry;
pub use socket::{Socket, Stream};
pub use stats::{ChannelInfo, State, Stats, Turn};
pub use timer::TimerId;
