//! The names of channels and producers, and where the guide has them.

use crate::library::Root;

/// The heading of the module's names.
pub(crate) const ASYNCORE: &str = "Module asyncore";
/// Likewise.
pub(crate) const ASYNCHAT: &str = "Module asynchat";
/// Likewise, for TLS.
pub(crate) const SSL: &str = "Module ssl, and pyftpdlib's SSLConnection";
const ATTRIBUTES: &str = "Attributes of dispatcher";
const METHODS: &str = "Methods of dispatcher";
const WITH_SEND: &str = "dispatcher_with_send";
const FILES: &str = "file_wrapper and file_dispatcher";
const CHAT: &str = "async_chat";
const PRODUCERS: &str = "simple_producer, producers and fifo";

/// pyftpdlib's, on channels.
const SSL_CONNECTION: [&str; 7] = [
    "_do_ssl_handshake",
    "_do_ssl_shutdown",
    "_ssl_accepting",
    "handle_failed_ssl_handshake",
    "handle_ssl_established",
    "handle_ssl_shutdown",
    "secure_connection",
];

/// Methods that the loop calls.
const CALLBACKS: [&str; 19] = [
    "handle_read",
    "handle_write",
    "handle_connect",
    "handle_close",
    "handle_error",
    "handle_expt",
    "handle_accept",
    "handle_accepted",
    "handle_read_event",
    "handle_write_event",
    "handle_connect_event",
    "handle_expt_event",
    "readable",
    "writable",
    "collect_incoming_data",
    "found_terminator",
    "initiate_send",
    "refill_buffer",
    "handle_timeout",
];

/// True for a method that the loop calls.
pub(crate) fn is_callback(name: &str) -> bool {
    CALLBACKS.contains(&name)
}

/// Names that nothing else has, so that an object of unknown type which has them is a channel.
const UNMISTAKABLE: [&str; 25] = [
    "_fileno",
    "ac_in_buffer",
    "ac_in_buffer_size",
    "ac_out_buffer",
    "ac_out_buffer_size",
    "add_channel",
    "close_when_done",
    "collect_incoming_data",
    "del_channel",
    "discard_buffers",
    "found_terminator",
    "get_terminator",
    "handle_accepted",
    "handle_connect_event",
    "handle_expt",
    "handle_expt_event",
    "handle_read_event",
    "handle_write_event",
    "ignore_log_types",
    "initiate_send",
    "producer_fifo",
    "push_with_producer",
    "refill_buffer",
    "set_reuse_addr",
    "set_terminator",
];

/// True if a name alone shows that its object is a channel.
pub(crate) fn is_unmistakable(name: &str) -> bool {
    UNMISTAKABLE.contains(&name)
}

/// Where the guide may have an attribute or method of an object: sections, and the names there.
pub(crate) fn rows(root: Root, name: &str) -> Vec<(&'static str, String)> {
    let plain = name.to_owned();
    let dispatcher = [(ATTRIBUTES, plain.clone()), (METHODS, plain.clone())];
    let mut rows = match root {
        Root::Dispatcher => Vec::new(),
        Root::DispatcherWithSend => vec![(WITH_SEND, plain.clone())],
        Root::FileDispatcher => vec![(FILES, format!("file_dispatcher.{name}"))],
        Root::AsyncChat => vec![(CHAT, plain.clone())],
        Root::FileWrapper => return vec![(FILES, format!("file_wrapper.{name}"))],
        Root::SimpleProducer => {
            return vec![
                (PRODUCERS, format!("simple_producer.{name}")),
                (PRODUCERS, plain),
            ];
        }
        Root::Fifo if is_of_fifo(name) => return vec![(PRODUCERS, plain)],
        Root::Fifo | Root::ExitNow => return Vec::new(),
    };
    rows.extend(dispatcher);
    if SSL_CONNECTION.contains(&name) {
        rows.push((SSL, plain));
    }
    rows
}

fn is_of_fifo(name: &str) -> bool {
    matches!(name, "push" | "first" | "pop" | "is_empty" | "__len__")
}

/// Medusa's producers, by the names of their classes.
pub(crate) fn is_medusa_producer(name: &str) -> bool {
    crate::knowledge::row(PRODUCERS, name).is_some_and(|(_, row)| row.python.starts_with("Medusa"))
}

/// The row of producers of one's own.
pub(crate) fn producer_rows(name: &str) -> [(&'static str, String); 1] {
    [(PRODUCERS, name.to_owned())]
}

/// The class itself.
pub(crate) fn root_rows(root: Root) -> [(&'static str, String); 2] {
    [
        (ASYNCORE, root.name().to_owned()),
        (ASYNCHAT, root.name().to_owned()),
    ]
}
