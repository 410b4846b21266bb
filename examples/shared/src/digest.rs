//! The monitor's challenge of `chat_server`: HMAC with SHA-256 (RFC 2104, FIPS 180-4) in hexadecimal digits.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The answer to `message` of a peer that knows `key`.
pub fn hmac(key: &[u8], message: &[u8]) -> String {
    let digest = keyed(key, message).finalize().into_bytes();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether `answer` is that of a peer that knows `key`. Takes as long for a wrong first digit as for a wrong last one.
pub fn is_hmac(key: &[u8], message: &[u8], answer: &str) -> bool {
    bytes(answer).is_some_and(|digest| keyed(key, message).verify_slice(&digest).is_ok())
}

fn keyed(key: &[u8], message: &[u8]) -> Hmac<Sha256> {
    let keyed = Hmac::new_from_slice(key).expect("HMAC takes a key of any length");
    keyed.chain_update(message)
}

/// The bytes that hexadecimal digits in either case stand for.
fn bytes(hex: &str) -> Option<Vec<u8>> {
    // A sign is a digit to `from_str_radix`.
    if !hex.len().is_multiple_of(2) || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = (0..hex.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases 2, 1 and 6 of RFC 4231: a short key, one with bytes that are no text, one longer than a block.
    #[test]
    fn hmac_is_that_of_rfc_4231() {
        for (key, message, digest) in [
            (
                &b"Jefe"[..],
                "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0x0b; 20],
                "Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                &[0xaa; 131],
                "Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(hmac(key, message.as_bytes()), digest, "{message:?}");
        }
    }

    #[test]
    fn only_the_digits_of_the_right_key_are_an_answer_in_either_case() {
        let right = hmac(b"key", b"message");
        for answer in [right.clone(), right.to_ascii_uppercase()] {
            assert!(is_hmac(b"key", b"message", &answer), "{answer}");
        }
        let other = hmac(b"other", b"message");
        for answer in ["", "+1", "xy", "ä", &right[1..], &right[2..], &other] {
            assert!(!is_hmac(b"key", b"message", answer), "{answer}");
        }
    }
}
