//! Text of a program on its way to a terminal.

/// Control characters and invisible ones are written as `\u{…}`: a name in the source must not rewrite the terminal, nor
/// turn round the text beside it.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push_str("    "),
            c if is_unprintable(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// The first characters of a text, and `…` if it has more.
pub fn shortened(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Controls, and characters that show nothing or change the direction of the text around them.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_escaped() {
        assert_eq!(
            printable("a\u{1b}[2J\té\u{202e}\r"),
            "a\\u{1b}[2J    é\\u{202e}\\u{d}"
        );
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(shortened("éàü", 2), "éà…");
        assert_eq!(shortened("éà", 2), "éà");
    }
}
