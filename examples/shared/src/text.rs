//! Text of strangers on its way to a terminal.

/// Without control characters and invisible ones: a header must not be able to rewrite the terminal it is shown on, nor
/// to turn round what stands beside it.
pub fn printable(text: &str) -> String {
    text.replace(is_unprintable, "\u{fffd}")
}

/// Whether the character does something to a terminal or to the text around it instead of being seen.
pub fn is_unprintable(c: char) -> bool {
    c.is_control() || is_invisible(c)
}

/// Characters that show nothing themselves: zero-width ones, those that change the direction or the line, tags, and
/// letters without a shape, which `char::is_alphanumeric` counts as letters.
fn is_invisible(c: char) -> bool {
    matches!(
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
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_invisible_ones_are_told_from_text() {
        for c in "\0\t\n\r\u{1b}\u{7f}\u{9b}\u{ad}\u{61c}\u{200f}\u{2028}\u{202e}\u{2066}\u{2069}\u{feff}".chars() {
            assert!(is_unprintable(c), "{c:?}");
        }
        for c in "a \u{a0}\u{e4}\u{5d0}\u{301}\u{fffd}\u{1f600}".chars() {
            assert!(!is_unprintable(c), "{c:?}");
        }
    }
}
