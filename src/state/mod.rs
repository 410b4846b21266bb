//! What is known: the registry, the table of channels, and for each channel a slot. Nothing here calls back.

pub(crate) mod channel;
pub(crate) mod dispatcher;
pub(crate) mod farewell;
pub(crate) mod filtered;
pub(crate) mod flags;
pub(crate) mod layer;
pub(crate) mod look_ups;
pub(crate) mod phase;
pub(crate) mod policy;
pub(crate) mod pool;
pub(crate) mod race;
pub(crate) mod registry;
pub(crate) mod slot;
pub(crate) mod socket;
pub(crate) mod table;
pub(crate) mod unread;
pub(crate) mod with_id;
