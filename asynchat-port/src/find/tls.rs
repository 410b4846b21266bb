//! TLS: wrapping, handshakes, and OpenSSL's ways.

use crate::{
    find::{call::Call, findings::Findings, here::Here},
    library::Root,
    syntax::Node,
};

/// Protocols of old, and what the module's own wrapping allows.
const OLD: [&str; 7] = [
    "ssl.PROTOCOL_SSLv2",
    "ssl.PROTOCOL_SSLv23",
    "ssl.PROTOCOL_SSLv3",
    "ssl.PROTOCOL_TLSv1",
    "ssl.PROTOCOL_TLSv1_1",
    "ssl.wrap_socket",
    "socket.ssl",
];

/// At a call.
pub(crate) fn visit(here: Here<'_, '_>, out: &mut Findings<'_, '_>, call: &Call<'_>) {
    if !here.context.is_concerned(here.module) {
        return;
    }
    let wraps = call.name == "wrap_socket" || call.foreign() == Some("OpenSSL.SSL.Connection");
    if wraps && is_of_running_channel(here, call) {
        out.idiom(call.node, 46);
        out.difference(
            call.node,
            "TLS: what came in clear behind STARTTLS",
            call.name,
        );
    }
    let by_method = call.name == "secure_connection" && here.is_on_channel(call);
    if by_method {
        out.idiom(call.node, 46);
        out.difference(
            call.node,
            "TLS: what came in clear behind STARTTLS",
            call.name,
        );
    }
    if call.name == "do_handshake" {
        out.difference(call.node, "TLS: a handshake has no time limit", call.name);
    }
    if let Some((_, value)) = call
        .keywords
        .iter()
        .find(|(name, _)| *name == "suppress_ragged_eofs")
    {
        out.difference(
            *value,
            "TLS: an end of file without close_notify",
            "suppress_ragged_eofs",
        );
        out.row(
            *value,
            super::finding::Kind::Name,
            "suppress_ragged_eofs",
            &[(super::vocabulary::SSL, "suppress_ragged_eofs")],
        );
    }
}

/// The socket of a channel that is connected already: `self.socket` in a method that is no constructor.
fn is_of_running_channel(here: Here<'_, '_>, call: &Call<'_>) -> bool {
    let arguments = call
        .arguments
        .iter()
        .copied()
        .chain(call.keywords.iter().map(|&(_, value)| value));
    let own_socket = arguments
        .into_iter()
        .any(|argument| here.is_socket_of_channel(argument));
    let is_method = here
        .class_around(call.scope)
        .is_some_and(|class| here.context.root(class.id).is_some_and(Root::is_channel));
    own_socket && is_method && here.method_around(call.scope) != Some("__init__")
}

/// At a dotted name.
pub(crate) fn name(here: Here<'_, '_>, out: &mut Findings<'_, '_>, node: Node) {
    let Some(name) = here
        .foreign(node)
        .filter(|_| here.context.is_concerned(here.module))
    else {
        return;
    };
    match name.as_str() {
        "ssl.SSLEOFError" | "ssl.SSL_ERROR_EOF" | "ssl.SSLZeroReturnError" => {
            out.difference(node, "TLS: an end of file without close_notify", &name);
        }
        _ if OLD.contains(&name.as_str()) || name.starts_with("OpenSSL.") => {
            out.difference(node, "OpenSSL: TLS 1.0 and 1.1", &name);
        }
        _ => {}
    }
}
