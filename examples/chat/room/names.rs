//! What a line may show and a name may be, so that nobody writes on the others' terminals or passes for somebody else.

use shared::text::is_unprintable;

/// The longest name, in characters.
pub(crate) const MAX_NAME: usize = 20;

/// What a line says, without what could rewrite the others' terminals or pass for somebody else's line.
pub(crate) fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line).replace(is_unprintable, "");
    text.trim().to_owned()
}

/// No space and no punctuation of the room's own lines, so that a name cannot read like one of them; and no other
/// letters among Latin ones, nor ornamental forms of those, so that it does not look like another name.
pub(crate) fn is_name(text: &str) -> bool {
    let fits = |c: char| (c.is_alphanumeric() || "-_.".contains(c)) && !is_ornamental(c);
    let foreign = |c: char| !c.is_ascii() && !is_latin(c);
    (1..=MAX_NAME).contains(&text.chars().count())
        && text.chars().all(fits)
        && !(text.contains(|c: char| c.is_ascii_alphabetic()) && text.contains(foreign))
}

fn is_latin(c: char) -> bool {
    matches!(c, '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}')
}

/// Numbers raised or in circles, and letters in circles, in squares, in mathematical and in full width.
fn is_ornamental(c: char) -> bool {
    (c.is_numeric() && !c.is_ascii_digit() && !c.is_alphabetic())
        || matches!(
            c,
            '\u{aa}'
                | '\u{ba}'
                | '\u{1d00}'..='\u{1dbf}'
                | '\u{2070}'..='\u{218f}'
                | '\u{2460}'..='\u{24ff}'
                | '\u{ff01}'..='\u{ff5e}'
                | '\u{1d400}'..='\u{1d7ff}'
                | '\u{1f100}'..='\u{1f1ff}'
        )
}

/// What two names must not have in common. Both ways, as some letters have no case of their own in one of them.
pub(crate) fn folded(name: &str) -> String {
    name.to_uppercase().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_letters_of_one_kind() {
        for name in ["Ann", "Zoë-2_b.c", "Straße", "李", "Анна", "Đặng", "42"] {
            assert!(is_name(name), "{name}");
        }
        // Cyrillic, Greek, full width, mathematical, circled, raised, a Hebrew point on a Latin letter.
        let others = [
            "Аnn",
            "Annα",
            "Ａnn",
            "Ａ",
            "𝐀",
            "ⓐ",
            "Ann²",
            "Annᵃ",
            "Ann\u{5b4}",
            "①",
        ];
        for name in others {
            assert!(!is_name(name), "{name}");
        }
    }
}
