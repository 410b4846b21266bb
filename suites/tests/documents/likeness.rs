//! Whether what a page shows is what a program says.

use std::net::Ipv4Addr;

/// Alike but for numbers and dates, and what the page leaves out with `…`.
pub fn is_like(told: &str, is: &str) -> bool {
    fits(&loosely(told), &loosely(is))
}

/// Alike but for ports that the system has chosen, and what the page leaves out with `…`.
pub fn is_exactly(told: &str, is: &str) -> bool {
    let (told, is) = (without_chosen_ports(told), without_chosen_ports(is));
    fits(&told, &is)
}

/// From 32768 on the port behind an address may be any.
fn without_chosen_ports(line: &str) -> String {
    let words = line.trim_end().split(' ').map(|word| {
        let (address, rest) = word.split_once(':').unwrap_or((word, ""));
        let digits = rest.trim_end_matches(|c: char| !c.is_ascii_digit());
        let chosen = digits.parse::<u16>().is_ok_and(|port| port >= 32768);
        if address.parse::<Ipv4Addr>().is_ok() && chosen {
            return format!("{address}:PORT{}", &rest[digits.len()..]);
        }
        word.to_owned()
    });
    words.collect::<Vec<_>>().join(" ")
}

fn fits(told: &str, is: &str) -> bool {
    let mut parts = told.split('…');
    let Some(mut rest) = is.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut left_out = false;
    for part in parts {
        left_out = true;
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty() || (left_out && told.ends_with('…'))
}

fn loosely(line: &str) -> String {
    const NAMES: [&str; 19] = [
        "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Jan", "Feb", "Mar", "Apr", "May", "Jun",
        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let words = line.split_whitespace().map(|word| {
        if NAMES.contains(&word) {
            return "Day".to_owned();
        }
        let mut text = String::new();
        for c in word.chars() {
            match c {
                '0'..='9' if text.ends_with('0') => {}
                '0'..='9' => text.push('0'),
                other => text.push(other),
            }
        }
        text
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn numbers_and_dates_may_differ_and_nothing_else() {
    assert_eq!(
        loosely("Sat Oct  9 16:58:50 on a:1"),
        loosely("Fri May 20 1:2:33 on a:80")
    );
    assert_ne!(loosely("a 1"), loosely("b 1"));
    assert_eq!(loosely("12 a3"), "0 a0");
    assert!(is_like("[… a] b 1", "[2026 x a] b 22"));
    assert!(is_like("a …", "a b") && !is_like("a …c", "a b") && !is_like("a … b", "a 1 b c"));
}

#[test]
fn chosen_ports_may_differ_and_no_other_number() {
    assert!(is_exactly("127.0.0.1:41930 has 5", "127.0.0.1:32768 has 5"));
    assert!(is_exactly(
        "a … 127.0.0.1:41930: 5",
        "a b 127.0.0.1:50000: 5"
    ));
    for other in [
        "127.0.0.1:41930 has 6",
        "127.0.0.2:41930 has 5",
        "127.0.0.1:8027 has 5",
    ] {
        assert!(!is_exactly("127.0.0.1:41930 has 5", other), "{other}");
    }
    assert!(!is_exactly("12", "5") && !is_exactly("127.0.0.1:80", "127.0.0.1:81"));
}
