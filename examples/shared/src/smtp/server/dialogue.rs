//! Commands and their replies: what has been said in a session, and what follows from it. The replies are those of CPython's
//! `smtpd`.

use std::borrow::Cow;

use asynchat::Address;

use super::{
    Envelope,
    options::{MAX_COMMAND, MAX_SIZE_PARAMETER, MAX_UTF8_PARAMETER, Options, Server},
    parameters::Parameters,
    status::ascii,
};
use crate::smtp::address;

/// One side of a session.
#[derive(Debug)]
pub(super) struct Dialogue {
    pub(super) envelope: Envelope,
    has_greeted: bool,
    /// MAIL was taken. Its sender may be empty.
    has_sender: bool,
}

/// What a command leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Say(Text),
    /// The command was wrong.
    Refuse(Text),
    /// A message is to begin.
    Message,
    StartTls,
    Quit,
}

type Text = Cow<'static, str>;
/// A reply, or the one that refuses.
type Reply = Result<Text, Text>;

const OK: Text = Cow::Borrowed("250 OK");
const BAD_SYNTAX: Text = Cow::Borrowed("500 Error: bad syntax");
const TOO_LONG: Text = Cow::Borrowed("500 Error: line too long");
const NO_GREETING: Text = Cow::Borrowed("503 Error: send HELO first");

impl Dialogue {
    pub(super) fn new(peer: Address, is_secured: bool) -> Self {
        Self {
            envelope: Envelope::new(peer, is_secured),
            has_greeted: false,
            has_sender: false,
        }
    }

    /// Forgets the message, not the client.
    pub(super) fn clear(&mut self) {
        self.has_sender = false;
        self.envelope.clear();
    }

    /// Takes a command line, without its end.
    pub(super) fn command(&mut self, server: &Server, line: &[u8]) -> Step {
        match str::from_utf8(line) {
            Ok(line) if !line.is_empty() && !line.contains(|c: char| c.is_control()) => {
                self.words(server, line)
            }
            _ => Step::Refuse(BAD_SYNTAX),
        }
    }

    fn words(&mut self, server: &Server, line: &str) -> Step {
        let (name, arg) = line.split_once(' ').unwrap_or((line, ""));
        let (name, arg) = (name.to_ascii_uppercase(), arg.trim());
        let options = &server.options;
        if line.len() > self.limit(options, &name) {
            return Step::Refuse(TOO_LONG);
        }
        // RFC 3207, 4.
        let is_open = matches!(name.as_str(), "NOOP" | "EHLO" | "STARTTLS" | "QUIT");
        if options.require_tls && !self.envelope.is_secured && !is_open {
            return Step::Refuse("530 Must issue a STARTTLS command first".into());
        }
        let reply = match name.as_str() {
            "HELO" => self.helo(options, arg),
            "EHLO" => self.ehlo(options, arg),
            "MAIL" => self.mail(options, arg),
            "RCPT" => self.rcpt(server, arg),
            "RSET" => no_argument("RSET", arg).inspect(|_| self.clear()),
            "NOOP" => no_argument("NOOP", arg),
            "VRFY" => vrfy(arg),
            "HELP" => self.help(options, arg),
            "EXPN" => Err("502 EXPN not implemented".into()),
            "DATA" => return self.data(arg).unwrap_or_else(Step::Refuse),
            "QUIT" => return Step::Quit,
            "STARTTLS" if options.tls.is_some() => {
                return self.starttls(arg).unwrap_or_else(Step::Refuse);
            }
            _ => Err(format!("500 Error: command \"{}\" not recognized", ascii(&name)).into()),
        };
        reply.map_or_else(Step::Refuse, Step::Say)
    }

    fn limit(&self, options: &Options, name: &str) -> usize {
        if name != "MAIL" || !self.envelope.is_extended {
            return MAX_COMMAND;
        }
        let utf8 = usize::from(options.utf8) * MAX_UTF8_PARAMETER;
        MAX_COMMAND + MAX_SIZE_PARAMETER + utf8
    }

    fn greet(&mut self, name: &str, arg: &str) -> Result<(), Text> {
        if arg.is_empty() {
            return Err(format!("501 Syntax: {name} hostname").into());
        }
        if self.has_greeted {
            return Err("503 Duplicate HELO/EHLO".into());
        }
        self.clear();
        self.has_greeted = true;
        self.envelope.helo = arg.into();
        self.envelope.is_extended = name == "EHLO";
        Ok(())
    }

    fn helo(&mut self, options: &Options, arg: &str) -> Reply {
        self.greet("HELO", arg)?;
        Ok(format!("250 {}", options.hostname).into())
    }

    fn ehlo(&mut self, options: &Options, arg: &str) -> Reply {
        self.greet("EHLO", arg)?;
        let mut reply = format!("250-{}\r\n", options.hostname);
        reply += &format!("250-SIZE {}\r\n", options.max_size);
        let offers_tls = options.tls.is_some() && !self.envelope.is_secured;
        for (is_offered, keyword) in [
            (options.eight_bit, "8BITMIME"),
            (options.utf8, "SMTPUTF8"),
            (true, "PIPELINING"),
            (offers_tls, "STARTTLS"),
        ] {
            if is_offered {
                reply += &format!("250-{keyword}\r\n");
            }
        }
        reply += "250 HELP";
        Ok(reply.into())
    }

    fn mail(&mut self, options: &Options, arg: &str) -> Reply {
        if !self.has_greeted {
            return Err(NO_GREETING);
        }
        let syntax = || -> Text { self.syntax("501 Syntax: MAIL FROM: <address>") };
        let (mailbox, rest) = behind_keyword(arg, "FROM:")
            .and_then(address::take)
            .ok_or_else(syntax)?;
        if !self.envelope.is_extended && !rest.trim().is_empty() {
            return Err(syntax());
        }
        if self.has_sender {
            return Err("503 Error: nested MAIL command".into());
        }
        let words = words(rest);
        let mut parameters = Parameters::parse(&words).ok_or_else(syntax)?;
        if options.eight_bit {
            match parameters.take("BODY") {
                None | Some(Some("7BIT" | "8BITMIME")) => {}
                _ => return Err("501 Error: BODY can only be one of 7BIT, 8BITMIME".into()),
            }
        }
        let is_utf8 = match options.utf8.then(|| parameters.take("SMTPUTF8")).flatten() {
            None => false,
            Some(None) => true,
            Some(Some(_)) => return Err("501 Error: SMTPUTF8 takes no arguments".into()),
        };
        if let Some(size) = parameters.take("SIZE") {
            let digits = size.filter(|size| size.bytes().all(|b| b.is_ascii_digit()));
            let digits = digits.ok_or_else(syntax)?;
            // A number that overflows is too large too.
            if digits
                .parse()
                .map_or(true, |size: u64| size > options.max_size)
            {
                return Err("552 Error: message size exceeds fixed maximum message size".into());
            }
        }
        if !parameters.is_empty() {
            return Err("555 MAIL FROM parameters not recognized or not implemented".into());
        }
        check_charset(mailbox, is_utf8)?;
        self.has_sender = true;
        self.envelope.sender = mailbox.into();
        self.envelope.is_utf8 = is_utf8;
        self.envelope.options = words;
        Ok(OK)
    }

    fn rcpt(&mut self, server: &Server, arg: &str) -> Reply {
        if !self.has_greeted {
            return Err(NO_GREETING);
        }
        if !self.has_sender {
            return Err("503 Error: need MAIL command".into());
        }
        let syntax = || -> Text { self.syntax("501 Syntax: RCPT TO: <address>") };
        let (mailbox, rest) = behind_keyword(arg, "TO:")
            .and_then(address::take)
            .filter(|(mailbox, _)| !mailbox.is_empty())
            .ok_or_else(syntax)?;
        if !self.envelope.is_extended && !rest.trim().is_empty() {
            return Err(syntax());
        }
        let words = words(rest);
        let parameters = Parameters::parse(&words).ok_or_else(syntax)?;
        if !parameters.is_empty() {
            return Err("555 RCPT TO parameters not recognized or not implemented".into());
        }
        check_charset(mailbox, self.envelope.is_utf8)?;
        // Not an error: the client sends the message to the others in a second transaction (RFC 5321, 4.5.3.1.10).
        if self.envelope.recipients.len() >= server.options.max_recipients {
            return Ok("452 Error: too many recipients".into());
        }
        let taken = server.handler.recipient(&self.envelope, mailbox);
        taken.map_err(|status| status.to_string())?;
        self.envelope.recipients.push(mailbox.into());
        Ok(OK)
    }

    fn data(&self, arg: &str) -> Result<Step, Text> {
        if !self.has_greeted {
            return Err(NO_GREETING);
        }
        if self.envelope.recipients.is_empty() {
            return Err("503 Error: need RCPT command".into());
        }
        no_argument("DATA", arg)?;
        Ok(Step::Message)
    }

    fn starttls(&self, arg: &str) -> Result<Step, Text> {
        if self.envelope.is_secured {
            return Err("503 Error: TLS is active".into());
        }
        no_argument("STARTTLS", arg)?;
        Ok(Step::StartTls)
    }

    fn help(&self, options: &Options, arg: &str) -> Reply {
        let tls = if options.tls.is_some() {
            " STARTTLS"
        } else {
            ""
        };
        let commands =
            format!("Supported commands: EHLO HELO MAIL RCPT DATA RSET NOOP QUIT VRFY{tls}");
        Ok(match arg.to_ascii_uppercase().as_str() {
            "" => format!("250 {commands}").into(),
            "EHLO" => "250 Syntax: EHLO hostname".into(),
            "HELO" => "250 Syntax: HELO hostname".into(),
            "MAIL" => self.syntax("250 Syntax: MAIL FROM: <address>"),
            "RCPT" => self.syntax("250 Syntax: RCPT TO: <address>"),
            "VRFY" => "250 Syntax: VRFY <address>".into(),
            name @ ("DATA" | "RSET" | "NOOP" | "QUIT") => format!("250 Syntax: {name}").into(),
            "STARTTLS" if options.tls.is_some() => "250 Syntax: STARTTLS".into(),
            _ => return Err(format!("501 {commands}").into()),
        })
    }

    fn syntax(&self, text: &'static str) -> Text {
        match self.envelope.is_extended {
            true => format!("{text} [SP <mail-parameters>]").into(),
            false => text.into(),
        }
    }
}

fn vrfy(arg: &str) -> Reply {
    if arg.is_empty() {
        return Err("501 Syntax: VRFY <address>".into());
    }
    match address::take(arg) {
        Some((mailbox, _)) if !mailbox.is_empty() => {
            Ok("252 Cannot VRFY user, but will accept message and attempt delivery".into())
        }
        _ => Err(format!("502 Could not VRFY {}", ascii(arg)).into()),
    }
}

fn no_argument(name: &str, arg: &str) -> Reply {
    match arg {
        "" => Ok(OK),
        _ => Err(format!("501 Syntax: {name}").into()),
    }
}

/// A host that does not know SMTPUTF8 cannot get such an address (RFC 6531, 3.4).
fn check_charset(mailbox: &str, is_utf8: bool) -> Result<(), Text> {
    match is_utf8 || mailbox.is_ascii() {
        true => Ok(()),
        false => Err("553 Error: a non-ASCII address needs SMTPUTF8".into()),
    }
}

fn behind_keyword<'a>(arg: &'a str, keyword: &str) -> Option<&'a str> {
    let (start, rest) = arg.split_at_checked(keyword.len())?;
    start.eq_ignore_ascii_case(keyword).then_some(rest)
}

fn words(text: &str) -> Vec<String> {
    let words = text.split_whitespace();
    words.map(str::to_ascii_uppercase).collect()
}
