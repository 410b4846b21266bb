//! Addresses as MAIL, RCPT and VRFY have them (RFC 5321, 4.1.2; RFC 6531, 3.3).

use crate::text::is_unprintable;

/// Takes the path at the start of `text`, and gives its mailbox and what is behind it.
///
/// The mailbox is as it was sent, with its quotes, without angle brackets and source route. That of `<>` is empty. Angle
/// brackets may be missing, and so may the domain, as in `<postmaster>`. There is no limit to the length: the line has one.
pub fn take(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches(' ');
    let (mailbox, rest) = match text.strip_prefix('<') {
        Some(inside) => take_path(inside)?,
        None => take_mailbox(text)?,
    };
    (rest.is_empty() || rest.starts_with(' ')).then_some((mailbox, rest))
}

/// Behind the opening bracket, with the closing one.
fn take_path(inside: &str) -> Option<(&str, &str)> {
    if let Some(rest) = inside.strip_prefix('>') {
        return Some(("", rest));
    }
    let inside = match inside.starts_with('@') {
        true => behind_route(inside)?,
        false => inside,
    };
    let (mailbox, rest) = take_mailbox(inside)?;
    Some((mailbox, rest.strip_prefix('>')?))
}

/// A source route is accepted and ignored (RFC 5321, 4.1.1.3 and appendix C).
fn behind_route(text: &str) -> Option<&str> {
    let (route, rest) = text.split_once(':')?;
    let mut hosts = route.split(',');
    let is_route = |host: &str| {
        host.strip_prefix('@')
            .and_then(take_domain)
            .is_some_and(str::is_empty)
    };
    hosts.all(is_route).then_some(rest)
}

fn take_mailbox(text: &str) -> Option<(&str, &str)> {
    let rest = match text.strip_prefix('"') {
        Some(quoted) => behind_quoted(quoted)?,
        None => behind_atom(text)?,
    };
    let rest = match rest.strip_prefix('@') {
        Some(domain) => take_domain(domain)?,
        None => rest,
    };
    Some((&text[..text.len() - rest.len()], rest))
}

/// Behind the opening quote, with the closing one.
fn behind_quoted(text: &str) -> Option<&str> {
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some(&text[at + 1..]),
            '\\' => {
                let (_, escaped) = chars.next()?;
                (' '..='~').contains(&escaped).then_some(())?;
            }
            c if is_unprintable(c) => return None,
            _ => {}
        }
    }
    None
}

/// Behind the domain, or address literal, at the start.
fn take_domain(text: &str) -> Option<&str> {
    match text.strip_prefix('[') {
        Some(literal) => {
            let (inside, rest) = literal.split_once(']')?;
            let is_literal = !inside.is_empty() && inside.chars().all(|c| c == ':' || is_atom(c));
            is_literal.then_some(rest)
        }
        None => behind_atom(text),
    }
}

fn behind_atom(text: &str) -> Option<&str> {
    let rest = text.trim_start_matches(is_atom);
    (rest.len() < text.len()).then_some(rest)
}

/// Dots are not looked at: some hosts have given out addresses with two in a row.
fn is_atom(c: char) -> bool {
    !is_unprintable(c) && !c.is_whitespace() && !r#"<>()[]\,;:@""#.contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_ends_where_its_parameters_begin() {
        for (text, mailbox, rest) in [
            ("a@x.example", "a@x.example", ""),
            ("<a@x.example>", "a@x.example", ""),
            ("   <a@x.example> SIZE=1", "a@x.example", " SIZE=1"),
            ("a@x.example BODY=7BIT", "a@x.example", " BODY=7BIT"),
            ("<>", "", ""),
            ("<postmaster>", "postmaster", ""),
            ("<a+b=c..d@x>", "a+b=c..d@x", ""),
            (r#"<"Fred Blogs"@x>"#, r#""Fred Blogs"@x"#, ""),
            (r#""a\"> b"@x SIZE=1"#, r#""a\"> b"@x"#, " SIZE=1"),
            ("<a@[127.0.0.1]>", "a@[127.0.0.1]", ""),
            ("<a@[IPv6:::1]> X", "a@[IPv6:::1]", " X"),
            ("<@one,@two.example:a@x>", "a@x", ""),
            ("<näive@exämple>", "näive@exämple", ""),
        ] {
            assert_eq!(take(text), Some((mailbox, rest)), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_none() {
        for text in [
            "",
            " ",
            "<",
            "<a@x",
            "a@x>",
            "<a@x>SIZE=1",
            "<a@x>>",
            "<<a@x>>",
            "<a b@x>",
            "a,b@x",
            "@x",
            "<@x>",
            "<@one:>",
            "<@one,two:a@x>",
            "a@",
            "<a@x@y>",
            "a@[",
            "a@[]",
            "a@[1 2]",
            "\"a@x",
            "\"\"a@x",
            "\"a\\",
            "\"a\0b\"@x",
            "\"a\\\n\"@x",
            "<a\u{202e}b@x>",
            "<a\u{a0}b@x>",
            "<a@x\u{1b}[2J>",
        ] {
            assert_eq!(take(text), None, "{text:?}");
        }
    }
}
