//! The callbacks of the two traits, by their names in Python.

/// The channel argument of a callback.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Trait {
    Dispatcher,
    AsyncChat,
}

impl Trait {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Dispatcher => "Dispatcher",
            Self::AsyncChat => "AsyncChat",
        }
    }

    /// The name of the channel argument.
    pub(super) fn variable(self) -> &'static str {
        match self {
            Self::Dispatcher => "channel",
            Self::AsyncChat => "chat",
        }
    }

    /// The type of the channel argument.
    pub(super) fn channel(self) -> &'static str {
        match self {
            Self::Dispatcher => "&mut Channel<'_>",
            Self::AsyncChat => "&mut ChatChannel<'_>",
        }
    }
}

/// What a function of the skeleton returns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Returns {
    /// `Result`.
    Nothing,
    /// Nothing, not even an error.
    Unit,
    Bool,
    Produced,
    /// `Result` of a type.
    Value(super::types::Type),
    /// The object itself.
    Object,
}

/// A callback.
#[derive(Debug)]
pub(super) struct Callback {
    /// In Python.
    pub(super) python: &'static str,
    /// In Rust.
    pub(super) rust: &'static str,
    /// The traits that have it.
    pub(super) traits: &'static [Trait],
    /// True for `&self`, without a channel.
    pub(super) is_predicate: bool,
    /// Name and type of each argument behind the channel.
    pub(super) arguments: &'static [(&'static str, &'static str)],
    pub(super) outcome: Outcome,
}

/// What a callback returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Result,
    Nothing,
    Bool,
}

const BOTH: &[Trait] = &[Trait::Dispatcher, Trait::AsyncChat];
const CHAT: &[Trait] = &[Trait::AsyncChat];
const PLAIN: &[Trait] = &[Trait::Dispatcher];

const fn callback(
    traits: &'static [Trait],
    name: &'static str,
    arguments: &'static [(&'static str, &'static str)],
) -> Callback {
    Callback {
        python: name,
        rust: name,
        traits,
        is_predicate: false,
        arguments,
        outcome: Outcome::Result,
    }
}

const fn predicate(traits: &'static [Trait], name: &'static str) -> Callback {
    Callback {
        is_predicate: true,
        outcome: Outcome::Bool,
        ..callback(traits, name, &[])
    }
}

const ACCEPTED: &[(&str, &str)] = &[("stream", "Stream"), ("peer", "Address")];

/// docs/porting.md, "Methods of dispatcher" and "async_chat".
pub(super) static CALLBACKS: [Callback; 13] = [
    predicate(BOTH, "readable"),
    predicate(PLAIN, "writable"),
    callback(BOTH, "handle_connect", &[]),
    callback(PLAIN, "handle_accepted", ACCEPTED),
    Callback {
        python: "handle_accept",
        ..callback(PLAIN, "handle_accepted", ACCEPTED)
    },
    callback(PLAIN, "handle_read", &[]),
    callback(PLAIN, "handle_write", &[]),
    callback(CHAT, "collect_incoming_data", &[("data", "&[u8]")]),
    callback(CHAT, "found_terminator", &[]),
    callback(BOTH, "handle_expt", &[("what", "Exceptional")]),
    callback(BOTH, "handle_close", &[]),
    Callback {
        outcome: Outcome::Nothing,
        ..callback(BOTH, "handle_error", &[("error", "BoxError")])
    },
    // Idiom 43.
    Callback {
        python: "close",
        outcome: Outcome::Nothing,
        ..callback(
            BOTH,
            "handle_closed",
            &[("registry", "&mut Registry"), ("why", "Closed")],
        )
    },
];

impl Callback {
    pub(super) fn named(python: &str, of: Trait) -> Option<&'static Self> {
        CALLBACKS
            .iter()
            .find(|callback| callback.python == python && callback.traits.contains(&of))
    }

    pub(super) fn returns(&self) -> Returns {
        match self.outcome {
            Outcome::Result => Returns::Nothing,
            Outcome::Nothing => Returns::Unit,
            Outcome::Bool => Returns::Bool,
        }
    }

    /// True if the channel is an argument.
    pub(super) fn has_channel(&self) -> bool {
        !self.is_predicate && self.rust != "handle_closed"
    }
}

/// Attributes that the channel has: none is a field.
pub(super) const ATTRIBUTES: [&str; 19] = [
    "debug",
    "connected",
    "connecting",
    "accepting",
    "closing",
    "addr",
    "ignore_log_types",
    "socket",
    "_fileno",
    "_map",
    "family_and_type",
    "ac_in_buffer_size",
    "ac_out_buffer_size",
    "ac_in_buffer",
    "ac_out_buffer",
    "use_encoding",
    "encoding",
    "producer_fifo",
    "out_buffer",
];
