//! The store that is a Maildir.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    net::IpAddr,
};

use jiff::{Zoned, fmt::rfc2822};
use shared::{
    maildir::{Draft, Maildir},
    smtp::server::Envelope,
};

use crate::pool::Store;

/// Delivers messages into one Maildir, for all recipients.
pub(crate) struct Delivery {
    pub(crate) maildir: Maildir,
    pub(crate) hostname: String,
}

impl Store for Delivery {
    type Draft = Draft;

    fn begin(&self, envelope: &Envelope) -> io::Result<Draft> {
        let mut draft = self.maildir.begin()?;
        let trace = trace(envelope, &self.hostname, draft.id(), &Zoned::now());
        draft.write_all(trace.as_bytes())?;
        Ok(draft)
    }

    fn write(&self, draft: &mut Draft, data: &[u8]) -> io::Result<()> {
        draft.write_all(data)
    }

    fn finish(&self, draft: Draft) -> io::Result<()> {
        self.maildir.deliver(draft)?;
        self.maildir.commit()
    }
}

/// The lines that a final delivery puts before a message (RFC 5321, 4.4). The protocol is one of RFC 3848 and RFC 6531, 3.7.3.
fn trace(envelope: &Envelope, hostname: &str, id: &str, now: &Zoned) -> String {
    let mut trace = format!("Return-Path: <{}>\n", envelope.sender);
    for recipient in &envelope.recipients {
        let _ = writeln!(trace, "Delivered-To: {recipient}");
    }
    let peer = match envelope.peer.inet().map(|peer| peer.ip()) {
        Some(IpAddr::V4(ip)) => format!("[{ip}]"),
        Some(IpAddr::V6(ip)) => format!("[IPv6:{ip}]"),
        None => "unknown".into(),
    };
    let protocol = match (envelope.is_utf8, envelope.is_extended) {
        (true, _) => "UTF8SMTP",
        (false, true) => "ESMTP",
        (false, false) => "SMTP",
    };
    let secured = if envelope.is_secured { "S" } else { "" };
    let recipient = match &envelope.recipients[..] {
        [only] => format!("\n\tfor <{only}>"),
        // They need not know of each other.
        _ => String::new(),
    };
    let date = rfc2822::to_string(now).unwrap_or_default();
    let helo = envelope.helo.replace(|c| !is_of_domain(c), "?");
    let _ = writeln!(
        trace,
        "Received: from {helo} ({peer})\n\tby {hostname} with {protocol}{secured} id {id}{recipient};\n\t{date}"
    );
    trace
}

/// The client may call itself anything.
fn is_of_domain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._:[]".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> Envelope {
        Envelope {
            peer: ([192, 0, 2, 1], 25).into(),
            helo: "client.example".into(),
            is_extended: true,
            is_secured: false,
            sender: "a@x".into(),
            recipients: vec!["b@x".into()],
            options: Vec::new(),
            is_utf8: false,
        }
    }

    #[track_caller]
    fn traced(envelope: &Envelope) -> String {
        let now = "2026-11-29T20:00:00+01:00[+01:00]".parse().expect("a time");
        trace(envelope, "mx.example", "1.M2P3Q4", &now)
    }

    #[test]
    fn a_message_begins_with_its_way() {
        assert_eq!(
            traced(&envelope()),
            "Return-Path: <a@x>\nDelivered-To: b@x\n\
             Received: from client.example ([192.0.2.1])\n\tby mx.example with ESMTP id 1.M2P3Q4\n\tfor <b@x>;\n\
             \tSun, 29 Nov 2026 20:00:00 +0100\n"
        );
    }

    #[test]
    fn each_kind_of_client_is_told_from_the_others() {
        let mut many = envelope();
        many.recipients.push("c@x".into());
        many.sender.clear();
        many.peer = (std::net::Ipv6Addr::LOCALHOST, 25).into();
        many.helo = "x) by evil (y\u{e4}".into();
        many.is_secured = true;
        many.is_utf8 = true;
        assert_eq!(
            traced(&many),
            "Return-Path: <>\nDelivered-To: b@x\nDelivered-To: c@x\n\
             Received: from x??by?evil??y? ([IPv6:::1])\n\tby mx.example with UTF8SMTPS id 1.M2P3Q4;\n\
             \tSun, 29 Nov 2026 20:00:00 +0100\n"
        );
        many.is_utf8 = false;
        many.is_extended = false;
        many.is_secured = false;
        assert!(traced(&many).contains(" with SMTP id "));
    }
}
