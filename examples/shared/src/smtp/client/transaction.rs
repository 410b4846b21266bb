//! One message on its way: MAIL, RCPT and DATA (RFC 5321, 3.3).

use std::fmt::Write;

use super::{Address, Mail, extensions::Extensions};

pub(super) struct Transaction {
    pub(super) mail: Mail,
    /// Recipients whose RCPT was sent.
    asked: usize,
    pub(super) accepted: usize,
    /// MAIL was refused: why.
    pub(super) refusal: Option<String>,
}

impl Transaction {
    /// # Errors
    /// The server does not offer what the message needs.
    pub(super) fn new(mail: Mail, offered: &Extensions) -> Result<Self, String> {
        let measure = &mail.measure;
        if mail.to.is_empty() {
            return Err("the message has no recipient".into());
        }
        if let Some(line) = measure.nul_line {
            return Err(format!("line {line} of the message has a NUL: encode it"));
        }
        if let Some((line, bytes)) = measure.long_line {
            return Err(format!(
                "line {line} of the message has {bytes} bytes, and --max-line allows fewer: encode it, or raise the limit \
                 if the server takes such lines"
            ));
        }
        if let Some(limit @ 1..) = offered.size
            && measure.bytes > limit
        {
            let bytes = measure.bytes;
            return Err(format!(
                "the message has {bytes} bytes, and the server takes {limit} (SIZE)"
            ));
        }
        if is_international(&mail) && !offered.utf8 {
            return Err(
                "an address or the message's header is not in ASCII, and the server takes no other (no SMTPUTF8): encode it"
                    .into(),
            );
        }
        if measure.eight_bit && !offered.eight_bit {
            return Err(
                "the message has 8-bit text, and the server takes none (no 8BITMIME): encode it"
                    .into(),
            );
        }
        Ok(Self {
            mail,
            asked: 0,
            accepted: 0,
            refusal: None,
        })
    }

    /// MAIL, with the parameters of what is offered and needed.
    pub(super) fn mail_command(&self, offered: &Extensions) -> String {
        let from = self.mail.from.as_ref().map_or("", Address::as_str);
        let mut command = format!("MAIL FROM:<{from}>");
        let measure = &self.mail.measure;
        if offered.size.is_some() {
            // Writing into a String cannot fail.
            let _ = write!(command, " SIZE={}", measure.bytes);
        }
        if measure.eight_bit {
            command.push_str(" BODY=8BITMIME");
        }
        if is_international(&self.mail) {
            command.push_str(" SMTPUTF8");
        }
        command
    }

    /// The next recipient to be asked for.
    pub(super) fn next_recipient(&mut self) -> Option<usize> {
        let next =
            (self.refusal.is_none() && self.asked < self.mail.to.len()).then_some(self.asked);
        self.asked += usize::from(next.is_some());
        next
    }
}

fn is_international(mail: &Mail) -> bool {
    mail.measure.international_header
        || mail
            .from
            .iter()
            .chain(&mail.to)
            .any(Address::is_international)
}
